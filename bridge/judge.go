package bridge

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"orderbridge/internal/limits"
)

// ErrCut is the cause with which an attempt's context is cancelled when we
// ourselves cut it off: a shutdown, a lost lease. Such an attempt is not
// counted.
var ErrCut = errors.New("cut off by our own stop")

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

// Judge says what the result of an attempt means; nothing else in the program
// does. perOrderURL (Subscription.PerOrderURL) tells whether a 410 speaks of
// one order or of the whole endpoint.
//
// An error that is no *AttemptError is a retry: it came from our own side, so
// it counts for the breaker only if it was a timeout. A context that we
// cancelled, with ErrCut or otherwise, is not an attempt.
func Judge(err error, perOrderURL bool) Outcome {
	if err == nil {
		return Outcome{Verdict: Delivered}
	}
	if errors.Is(err, ErrCut) {
		return Outcome{Verdict: NotAttempted, Reason: err.Error()}
	}
	var a *AttemptError
	if !errors.As(err, &a) {
		if errors.Is(err, context.Canceled) {
			return Outcome{Verdict: NotAttempted, Reason: err.Error()}
		}
		return Outcome{Verdict: Retry, Reason: err.Error(), EndpointFault: errors.Is(err, context.DeadlineExceeded)}
	}
	o := Outcome{Verdict: Retry, Status: a.Status, Reason: a.Reason, Detail: a.Detail, Unreachable: a.Unreachable}
	switch a.Fault {
	case FaultStatus:
		judgeStatus(&o, a.RetryAfter, perOrderURL)
	case FaultRender:
		o.Verdict = GiveUp
	case FaultExpired:
		o.Verdict, o.Doubt, o.Gone = GiveUp, true, true
	case FaultSource, FaultLocal:
		o.Verdict = NotAttempted
	case FaultTransport, FaultConfig:
		// A record that cannot be used fails for each of its events alike.
		o.EndpointFault = true
	default:
		o.EndpointFault = true
	}
	return o
}

func judgeStatus(o *Outcome, retryAfter time.Duration, perOrderURL bool) {
	o.EndpointFault = !speaksOfEvent(o.Status)
	switch {
	case o.Status >= 200 && o.Status < 300:
		// A publisher that reports a success as a failure is mended here.
		*o = Outcome{Verdict: Delivered, Status: o.Status}
	case o.Status == http.StatusGone && perOrderURL:
		o.Verdict = GiveUp
	case o.Status == http.StatusGone:
		o.Verdict = SuspendedByReceiver
	case o.Status == http.StatusTooManyRequests, o.Status == http.StatusServiceUnavailable:
		o.RetryAfter = min(max(retryAfter, 0), limits.RetryAfter)
	}
}

// speaksOfEvent reports whether an answer is about the event that was sent and
// says nothing about the next one.
func speaksOfEvent(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
		http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	}
	return status >= 400 && status < 500
}

// PerOrderURL reports whether the target URL holds a placeholder: then each
// order has a URL of its own.
func (s *Subscription) PerOrderURL() bool {
	for _, p := range [...]string{"{orderId}", "{legacyOrderId}", "<orderId>", "<legacyOrderId>"} {
		if strings.Contains(s.TargetURL, p) {
			return true
		}
	}
	return false
}

// ParseRetryAfter reads a Retry-After header, which holds seconds or an HTTP
// date. It returns at most 24 h, and 0 if the value is empty, past or neither.
func ParseRetryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseUint(value, 10, 64)
		if err != nil || seconds > uint64(limits.RetryAfter/time.Second) {
			return limits.RetryAfter
		}
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), limits.RetryAfter)
}
