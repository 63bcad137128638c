package protocol

import (
	"time"
)

// # R16, an absent lease is not a free one
//
// Somebody may have deleted it under a leader that goes on until it notices.
// A stand-by waits as for a held one, lease + 2 s, unless nothing of ours is on the bus: no durable, no fence, no entry.
// The holder writes an entry that is gone or overwritten again, while the lease is its own by its own clock: nobody else
// can have won it, since stand-bys wait longer. An entry that is not of a bridge counts as held by somebody unknown.
// Without lease and without durable, but with entries, the feed begins at the first message, never at the end.

// # R10 Lease
//
// The lease lasts 10 s. All times are of the boot clock, which goes on while the machine sleeps and which
// nobody can set; the lease counts from the sending of a renewal. A leader starts no attempt after the end of its
// lease - 1 s. A running attempt is cut at the earlier of its own timeout and the end of the lease - 1 s, which moves
// away with each confirmed renewal; a cut attempt is not counted. When the lease is over the term ends. The publisher
// looks at that clock last of all, when it has a connection and everything else that takes time is done, right before
// the first byte of a request: one whose time is over is not sent, and is a cut attempt.
//
// A stand-by takes the lease when it is free, or when it has seen no new revision for the length of the lease + 2 s by its
// own clock.

// Standby watches the lease of another replica (R10): it may be taken when it
// is free, or when no new revision came for its length and the margin. An absent
// lease is not a free one (R16): somebody may have deleted it under a leader
// that goes on until it notices. It is waited out like any other, unless nothing
// of ours is on the bus.
type Standby struct {
	Patience time.Duration // length of a lease plus the margin for clocks
	Holder   string        // our own name: a lease that still carries it is of a former life of ours
	Fresh    bool          // nothing of ours is on the bus
	Revision uint64
	Entry    LeaseEntry
	since    time.Duration // when the revision was first seen
	Led      time.Duration // when somebody was last seen to lead
	Known    bool
}

// Observe takes note of the entry as it was read at the boot time now. A bucket
// that was recreated counts its revisions from 1: the revision alone does not
// tell two entries apart.
func (s *Standby) Observe(e LeaseEntry, revision uint64, now time.Duration) {
	if s.Known && revision == s.Revision && e.Epoch == s.Entry.Epoch && e.Term == s.Entry.Term && e.Beat == s.Entry.Beat && e.Holder == s.Entry.Holder {
		return
	}
	if e.leads() {
		s.Led = now
	}
	s.Entry, s.Revision, s.since, s.Known = e, revision, now, true
}

// never is how long one waits for a lease that is closed (R18).
const never = 1000 * time.Hour

// Wait returns how long to wait before the lease may be taken; 0: now.
func (s *Standby) Wait(now time.Duration) time.Duration {
	switch {
	case !s.Known:
		return s.Patience
	case s.Entry.Closed:
		return never
	case s.Entry.Free, s.Entry.Absent() && s.Fresh, s.Holder != "" && s.Entry.Holder == s.Holder:
		return 0
	}
	return max(0, s.since+s.Patience-now)
}

// Absent says that there is no entry.
func (e LeaseEntry) Absent() bool { return e.Holder == "" && !e.Free }

// leads: whoever wrote the entry has finished its take-over. The first build
// did not say.
func (e LeaseEntry) leads() bool {
	return !e.Absent() && !e.Free && (e.Leading || e.Term == "")
}

// Succession is the entry with which the lease is won: the next epoch, all else
// carried over unchanged (R3). term is a text that no other leadership has.
func (e LeaseEntry) Succession(holder, term string, length time.Duration) LeaseEntry {
	if e.Absent() {
		// Nothing was here before, or the entry was lost: then what a crash repeats
		// was most likely sent by this build, under its ids.
		e.FormerIDs = new(uint64)
	}
	e.none = e.Absent()
	e.Epoch++
	e.Holder, e.Free, e.Leading, e.Length = holder, false, false, length.String()
	e.Term, e.Beat = term, 0
	return e
}
