package bridge

import (
	"crypto/rand"
	"time"
)

// standby watches the lease of another replica (R10): it may be taken when it
// is free, or when no new revision came for its length and the margin.
type standby struct {
	patience time.Duration // length of a lease plus the margin for clocks
	holder   string        // our own name: a lease that still carries it is of a former life of ours
	revision uint64
	entry    LeaseEntry
	since    time.Duration // when the revision was first seen
	known    bool
}

// observe takes note of the entry as it was read at the boot time now.
func (s *standby) observe(e LeaseEntry, revision uint64, now time.Duration) {
	if s.known && revision == s.revision {
		return
	}
	s.entry, s.revision, s.since, s.known = e, revision, now, true
}

// wait returns how long to wait before the lease may be taken; 0: now.
func (s *standby) wait(now time.Duration) time.Duration {
	switch {
	case !s.known:
		return s.patience
	case s.revision == 0, s.entry.Free, s.holder != "" && s.entry.Holder == s.holder:
		return 0
	}
	return max(0, s.since+s.patience-now)
}

// succession is the entry with which the lease is won: the next epoch, all else
// carried over unchanged (R3).
func (e LeaseEntry) succession(holder string, length time.Duration) LeaseEntry {
	e.Epoch++
	e.Holder, e.Free, e.Leading, e.Length = holder, false, false, length.String()
	e.Term, e.Beat = rand.Text(), 0
	return e
}
