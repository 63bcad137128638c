package protocol

import (
	"fmt"
	"slices"
	"time"

	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

// # R16, records without status
//
// The lease says up to which revision of the records' bucket everything is applied
// (applied, with up to 32 exceptions). A record without a status, but with revisions up to there, is not new: its
// status was lost. It is restored from its history at that revision, later revisions are applied as usual, and what the
// ledger holds of it stays. Entries of records that have neither status nor such a history are removed. A subscription
// that is inactive or invalid and has no mark (its debts were lost) gets a mark at the position + 1: without one it
// would be taken for live.

// Applied says how far the revisions of the records are applied, confirmed.
type Applied struct {
	Bucket   int64             `json:"bucket"`        // creation of the records' bucket, Unix nanoseconds
	Revision uint64            `json:"revision"`      // every revision up to here
	But      map[string]uint64 `json:"but,omitempty"` // except for these records: only up to here
}

// told is the revision for people.
func (a *Applied) told() string {
	if a == nil {
		return ""
	}
	return fmt.Sprintf(" at revision %d", a.Revision)
}

// until is the revision up to which a record is applied.
func (a *Applied) until(id string, bucket int64) uint64 {
	if a == nil || a.Bucket != bucket {
		return 0
	}
	if only, ok := a.But[id]; ok {
		return min(only, a.Revision)
	}
	return a.Revision
}

// appliedBefore is up to which revision a record was applied before this term: as
// the lease says, or its former shard's (R18).
func (c *Machine) appliedBefore(id string, bucket int64) uint64 {
	applied := c.old.Applied.until(id, bucket)
	if len(c.formers) > 0 {
		applied = max(applied, c.formers.of(id).entry.Applied.until(id, bucket))
	}
	return applied
}

// noteSeen keeps track of the revisions that were seen and are not applied yet.
func (c *Machine) noteSeen(s *sub, r Revision) {
	c.seenUpTo(r.Bucket, r.Revision)
	if len(s.revs) > 0 {
		c.behind[s] = struct{}{}
	}
}

func (c *Machine) seenUpTo(bucket int64, revision uint64) {
	if bucket != c.seen.Bucket {
		c.seen = Applied{Bucket: bucket, Revision: revision}
		return
	}
	c.seen.Revision = max(c.seen.Revision, revision)
}

// appliedSoFar is what the lease says of it.
func (c *Machine) appliedSoFar() *Applied {
	if c.seen.Bucket == 0 {
		return c.old.Applied
	}
	a := c.seen
	least := a.Revision
	a.But = map[string]uint64{}
	for s := range c.behind {
		if s.mode == gone || len(s.revs) == 0 {
			delete(c.behind, s)
			continue
		}
		only := uint64(0)
		if s.bucket == a.Bucket {
			only = s.applied
		}
		for _, r := range s.revs {
			if r.Bucket == a.Bucket {
				least = min(least, r.Revision.Revision-1)
				break
			}
		}
		if len(a.But) <= limits.BehindRecords {
			a.But[s.id] = only
		}
	}
	least = c.newcomers.tellApplied(&a, least)
	if len(a.But) > limits.BehindRecords {
		a.Revision, a.But = least, nil
	}
	return &a
}

// recalled is what the history tells of a record whose status is lost.
type recalled struct {
	seen    bool   // it was valid once
	gone    bool   // deleted before it ever was valid
	renewed bool   // a new generation began in the history that is kept
	from    string // startFrom of the put that began the generation
	born    Revision
}

// recall takes a revision that was applied before this term, of a record that
// has no status: it is not applied again, but remembered.
func (c *Machine) recall(r Revision, rec *record.Subscription, problems record.Problems) bool {
	if c.caughtUp || c.appliedBefore(r.Key, r.Bucket) < r.Revision {
		return false
	}
	s := c.subs[r.Key]
	if s == nil {
		if c.resting[r.Key] != nil {
			return false
		}
		s = c.newSub(r.Key, r.Revision)
		s.recalled = &recalled{}
		c.subs[r.Key] = s
	}
	x := s.recalled
	switch {
	case x == nil:
		return false
	case r.Revision <= s.applied:
		return true
	}
	s.applied, s.lastSeen, s.bucket, s.problems = r.Revision, r.Revision, r.Bucket, problems
	if x.gone && !r.Deleted {
		s.gen, x.gone = r.Revision, false
	}
	switch {
	case r.Deleted && !x.seen:
		x.gone = true
	case r.Deleted:
		s.active, s.deletedAt, s.purged = false, r.Time, r.Purged
	case rec == nil:
		s.valid = false
	default:
		switch {
		case !x.seen:
			x.born = r
		case !s.deletedAt.IsZero() && !s.continues(revision{Revision: r, rec: rec}):
			s.gen, x.renewed, x.born = max(r.Revision, s.gen+1), true, r
		}
		x.seen = true
		if x.born.Revision == r.Revision {
			x.from = ""
			if rec.More != nil {
				x.from = rec.More.StartFrom
			}
		}
		s.rec, s.absent, s.purged, s.valid, s.active, s.deletedAt = rec, false, false, true, !rec.Inactive, time.Time{}
		s.paused = rec.Paused
	}
	return true
}

// recollect makes subscriptions of what was recalled, and removes the entries of
// records without status.
func (c *Machine) recollect() {
	n := 0
	for _, s := range c.which(func(s *sub) bool { return s.recalled != nil }) {
		x := s.recalled
		expired := len(s.revs) == 0 && !s.deletedAt.IsZero() && c.now.Wall.Sub(s.deletedAt) > c.Keep
		switch {
		case x.gone || expired:
			s.recalled, s.gen = nil, 0
			if len(s.revs) == 0 {
				s.count("")
				delete(c.subs, s.id)
				continue
			}
			s.gen, s.rec, s.applied, s.active, s.valid, s.deletedAt = s.revs[0].Revision.Revision, noRecord, 0, true, true, time.Time{}
		case !x.seen:
			s.recalled = nil
			s.changed()
		default:
			n++
			s.queued = true
			c.applyQ = append(c.applyQ, s)
		}
	}
	if n > 0 {
		text := fmt.Sprintf("%d records had no status: they are taken as their history tells them%s, what they had got is not sent again", n, c.old.Applied.told())
		c.log(Warn, text)
		c.raiseState(text)
	}
	c.removeOrphans()
	c.applyMore()
}

// restore ends the recollection of a record: its anchor, its debts, its status.
func (s *sub) restore() {
	x := s.recalled
	s.locate(anchorTime(x.born.Time.Add(-s.core.Overlap), x.from))
}

func (s *sub) restoreAt(anchor uint64) {
	c := s.core
	x := s.recalled
	s.recalled = nil
	if e := c.orphans.generation(s.id); (e > s.gen || e > 0 && !x.renewed) && !s.begins(e) {
		s.gen = e // the creation is not kept in the history any more
	}
	s.enter(live)
	s.fromLoad, s.liveFrom, s.anchorTime = true, anchor, x.born.Time.Add(-c.Overlap)
	confirm := c.adopt(s, c.orphans)
	s.reconcile()
	c.orphans.drop(s.id)
	if s.active && s.valid {
		c.Directory.Put(s.rec)
	}
	if !s.deletedAt.IsZero() {
		c.expireDebts(s)
	}
	if confirm {
		s.writeMark(effect{what: endsChange, sub: s})
	} else {
		s.finish()
	}
}

// restored: its status is confirmed.
func (s *sub) restored() {
	if !s.busy() {
		return
	}
	s.paced()
	s.changed()
	s.changeDone()
}

// begins tells whether a revision that is still to be applied begins that
// generation: the predecessor had applied it after its last renewal. It is
// applied again, and the entries of the first time go.
func (s *sub) begins(generation uint64) bool {
	return slices.ContainsFunc(s.revs, func(r revision) bool { return r.Bucket == s.bucket && r.Revision.Revision == generation })
}

// generation is that of the entries of a record without status, 0 if there are none.
func (l *Loaded) generation(id string) uint64 {
	gen := l.Marks[id].Generation
	for _, e := range l.Lanes[id] {
		gen = max(gen, e.Generation)
	}
	return gen
}

func (l *Loaded) drop(id string) {
	delete(l.Marks, id)
	delete(l.Lanes, id)
}

// removeOrphans removes what the ledger holds of records that have no status and
// are not recalled: dropped while their entries were being removed, or never
// applied (a mark is written before the first status, R12: the record is applied
// again and writes it again).
func (c *Machine) removeOrphans() {
	l := c.orphans
	for _, id := range sorted(l.Lanes) {
		if s := c.subs[id]; s != nil && s.recalled != nil {
			continue
		}
		for _, token := range sorted(l.Lanes[id]) {
			c.put(BucketOwed, laneKey(id, token), nil)
		}
		delete(l.Lanes, id)
	}
	for _, id := range sorted(l.Marks) {
		if s := c.subs[id]; s != nil && s.recalled != nil {
			continue
		}
		c.put(BucketOwed, id, nil)
		delete(l.Marks, id)
	}
}
