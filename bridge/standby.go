package bridge

import (
	"crypto/rand"
	"time"
)

// standby watches the lease of another replica (R10): it may be taken when it
// is free, or when no new revision came for its length and the margin. An absent
// lease is not a free one (R16): somebody may have deleted it under a leader
// that goes on until it notices. It is waited out like any other, unless nothing
// of ours is on the bus.
type standby struct {
	patience time.Duration // length of a lease plus the margin for clocks
	holder   string        // our own name: a lease that still carries it is of a former life of ours
	fresh    bool          // nothing of ours is on the bus
	revision uint64
	entry    LeaseEntry
	since    time.Duration // when the revision was first seen
	led      time.Duration // when somebody was last seen to lead
	known    bool
}

// observe takes note of the entry as it was read at the boot time now. A bucket
// that was made anew counts its revisions from 1: the revision alone does not
// tell two entries apart.
func (s *standby) observe(e LeaseEntry, revision uint64, now time.Duration) {
	if s.known && revision == s.revision && e.Epoch == s.entry.Epoch && e.Term == s.entry.Term && e.Beat == s.entry.Beat && e.Holder == s.entry.Holder {
		return
	}
	if e.leads() {
		s.led = now
	}
	s.entry, s.revision, s.since, s.known = e, revision, now, true
}

// wait returns how long to wait before the lease may be taken; 0: now.
func (s *standby) wait(now time.Duration) time.Duration {
	switch {
	case !s.known:
		return s.patience
	case s.entry.Free, s.entry.absent() && s.fresh, s.holder != "" && s.entry.Holder == s.holder:
		return 0
	}
	return max(0, s.since+s.patience-now)
}

// absent: there is no entry.
func (e LeaseEntry) absent() bool { return e.Holder == "" && !e.Free }

// leads: whoever wrote the entry has finished its take-over. The first build
// did not say.
func (e LeaseEntry) leads() bool {
	return !e.absent() && !e.Free && (e.Leading || e.Term == "")
}

// succession is the entry with which the lease is won: the next epoch, all else
// carried over unchanged (R3).
func (e LeaseEntry) succession(holder string, length time.Duration) LeaseEntry {
	if e.absent() {
		// Nothing was here before, or the entry was lost: then what a crash repeats
		// was most likely sent by this build, under its ids.
		e.FormerIDs = new(uint64)
	}
	e.none = e.absent()
	e.Epoch++
	e.Holder, e.Free, e.Leading, e.Length = holder, false, false, length.String()
	e.Term, e.Beat = rand.Text(), 0
	return e
}
