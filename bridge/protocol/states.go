package protocol

import (
	"fmt"

	"orderbridge/bridge/record"
)

// mode is how a subscription gets its events. Why it is not sent any is another
// matter: standing.
type mode uint8

const (
	unseen  mode = iota // no valid revision was ever applied
	joining             // anchored ahead of the feed; its first status is not yet confirmed
	live                // owes what the feed brings
	going               // its mark is being written: new events only become debts (R6)
	reading             // reads the stream for itself
	gone                // of an ended generation: nobody waits for anything of it
	modes
)

// String is the mode as people read it.
func (m mode) String() string {
	return [...]string{"unseen", "joining", "live", "going to reading", "reading", "gone"}[m]
}

// transitions are all changes of a mode, and when each happens. There are no others.
var transitions = [...]struct {
	from, to mode
	when     string
}{
	{unseen, joining, "its anchor lies ahead of the feed (R13)"},
	{unseen, going, "its anchor lies behind the feed, or it is deactivated from the first: the first mark is being written (R13)"},
	{unseen, live, "a predecessor had anchored it (R9), or its history tells it (R16)"},
	{unseen, gone, "deleted before it ever was valid"},
	{joining, live, "its first status is confirmed"},
	{joining, going, "it has a reason to read before that"},
	{live, going, "it has a reason to read (R6)"},
	{live, reading, "at a take-over: the ledger holds its mark (R9), or it stands still and has lost it (R16)"},
	{live, gone, "its debts are dropped, or another generation begins (R12)"},
	{going, reading, "its mark is confirmed: the feed's debts are paid (R6)"},
	{going, gone, "its debts are dropped, or another generation begins (R12)"},
	{reading, live, "nothing is left to read (R7)"},
	{reading, gone, "its debts are dropped, or another generation begins (R12)"},
}

// enter changes the mode.
func (s *sub) enter(m mode) {
	for _, t := range transitions {
		if t.from == s.mode && t.to == m {
			s.mode = m
			if m == gone {
				s.count("")
			}
			return
		}
	}
	panic(fmt.Sprintf("subscription %s cannot go from %s to %s", s.id, s.mode, m))
}

// Why a subscription reads.
const (
	reasonNew         = "new: catches up from its anchor"
	reasonSuspended   = "suspended: the endpoint fails"
	reasonGone        = "suspended by the receiver: 410 Gone"
	reasonSlow        = "slow: more waits than can be held"
	reasonBacklog     = "backlog: more waits than the ledger holds"
	reasonLedger      = "ledger: an entry was refused"
	reasonDeactivated = "deactivated"
	reasonDeleted     = "deleted"
	reasonPaused      = "paused"
	reasonResumed     = "resumed: catches up"
	reasonInvalid     = "invalid record"
	reasonRewound     = "set back by an operator"
	reasonHandover    = "handed over with a backlog"
)

// standing says whether a subscription may be sent anything, and else why not.
// Whether its endpoint fails at present is the breaker's matter.
type standing uint8

const (
	inForce     standing = iota
	isDeleted            // by a marker: its debts are kept for a while (R12)
	isInvalid            // its record cannot be used
	isAbsent             // its record is not in the bucket, though nobody has deleted it; or was not seen yet
	isInactive           // deactivated by its record
	isPaused             // by its record: what it owes and what is published meanwhile is kept
	isSuspended          // by the receiver: 410 Gone
)

// standing is the first that holds.
func (s *sub) standing() standing {
	switch {
	case !s.deletedAt.IsZero():
		return isDeleted
	case !s.valid:
		return isInvalid
	case !s.hasRecord() || s.absent:
		return isAbsent
	case !s.active:
		return isInactive
	case s.paused:
		return isPaused
	case s.suspended:
		return isSuspended
	}
	return inForce
}

// noRecord stands where no record was seen yet.
var noRecord = &record.Subscription{}

func (s *sub) hasRecord() bool { return s.rec.ID != noRecord.ID }
