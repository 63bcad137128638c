package protocol

import (
	"strconv"
	"time"
)

// Verdict is what becomes of a delivery after an attempt.
type Verdict int

// The verdicts.
const (
	Delivered           Verdict = iota // a 2xx: nothing is owed any more
	Retry                              // a counted failure: again on the schedule, then a dead letter
	GiveUp                             // a dead letter at once: no other attempt can end better
	SuspendedByReceiver                // 410: debts are kept until the record is put or activated again
	NotAttempted                       // nothing is counted: the delivery is owed as before
	Filtered                           // the subscription's filter rejects the event: nothing is sent or owed
)

func (v Verdict) String() string {
	switch v {
	case Delivered:
		return "delivered"
	case Retry:
		return "retry"
	case GiveUp:
		return "give_up"
	case SuspendedByReceiver:
		return "suspended_by_receiver"
	case NotAttempted:
		return "not_attempted"
	case Filtered:
		return "filtered"
	}
	return "verdict(" + strconv.Itoa(int(v)) + ")"
}

// Outcome is a judged attempt.
type Outcome struct {
	Verdict       Verdict
	Status        int           // HTTP status, 0 if there was no answer
	Reason        string        // one line for people, "" when delivered
	Detail        string        // what only the operator's log may tell; "": nothing but Reason
	RetryAfter    time.Duration // wait at least that long, with 429 and 503; 0 if nothing was asked
	Unreachable   bool          // and of the endpoint only: no request of whatever event could get through
	EndpointFault bool          // the failure speaks of the endpoint, not of this event: it counts for the breaker
	Doubt         bool          // the event is not in the stream as the ledger speaks of it: the core looks whether it is the same stream (R15)
	Gone          bool          // the event was removed from the stream while it was owed
}
