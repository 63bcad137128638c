package protocol

import (
	"orderbridge/bridge/record"
	"time"
)

// recordSeen takes a revision.
func (c *Machine) recordSeen(in *RecordSeen) {
	r, rec, problems := in.Revision, in.Record, in.Problems
	if c.recall(r, rec, problems) {
		c.noteSeen(c.subs[r.Key], r)
		return
	}
	s := c.subs[r.Key]
	if s == nil {
		if r.Deleted && c.caughtUp {
			return
		}
		s = c.newSub(r.Key, r.Revision)
		c.subs[r.Key] = s
	}
	defer c.noteSeen(s, r)
	if s.bucket == r.Bucket && r.Revision == s.applied && rec != nil && !s.valid && s.deletedAt.IsZero() && len(s.revs) == 0 {
		s.mended(revision{r, rec, problems, c.position()})
		return
	}
	if s.bucket == r.Bucket && r.Revision <= s.applied {
		s.lastSeen = max(s.lastSeen, r.Revision)
		if rec != nil { // history: the last valid value is what an invalid or deleted one is compared with
			if r.Revision > s.gen {
				s.startsAt(rec)
			}
			s.holdsRecord(rec)
			s.paced()
			if s.mode != unseen && s.active && s.valid {
				c.Directory.Put(rec)
			}
		}
		s.purged = r.Purged || s.purged && rec == nil
		s.problems = problems
		s.changed()
		return
	}
	if n := len(s.revs); n > 0 && s.revs[n-1].Bucket == r.Bucket && r.Revision <= s.revs[n-1].Revision.Revision {
		return
	}
	s.lastSeen = r.Revision
	s.revs = append(s.revs, revision{r, rec, problems, c.position()})
	if c.opened && (r.Deleted || rec != nil && rec.Inactive) && s.active {
		s.goReading(reasonDeactivated) // what comes by the feed from now on must not join its lanes
	}
	if c.caughtUp {
		c.applySoon(s)
	}
}

// reread takes note of other warnings about the revision that is in force, and
// brings one into force that could not be used before.
func (c *Machine) reread(in *RecordReread) {
	r, rec, problems := in.Revision, in.Record, in.Problems
	s := c.subs[r.Key]
	if s == nil || s.bucket != r.Bucket || s.applied != r.Revision || s.busy() || len(s.revs) > 0 || problems.Err() != nil || !s.deletedAt.IsZero() {
		return
	}
	if rec != nil && (!s.valid || !s.hasRecord()) {
		s.mended(revision{r, rec, problems, c.position()})
		return
	}
	if !s.valid {
		return
	}
	s.problems = problems
	s.changed()
}

// mended takes the revision that was applied as one that cannot be used, and
// can be by now, because what it refers to is another or the operator permits
// more, as a new one.
func (s *sub) mended(r revision) {
	s.lastSeen = max(s.lastSeen, r.Revision.Revision)
	s.revs = append(s.revs, r)
	if s.core.caughtUp {
		s.core.applySoon(s)
	}
}

func (c *Machine) applySoon(s *sub) {
	if s.busy() || s.queued || len(s.revs) == 0 || s.mode == gone {
		return
	}
	s.queued = true
	c.applyQ = append(c.applyQ, s)
	c.applyMore()
}

func (c *Machine) applyMore() {
	for c.applying < c.Applying && len(c.applyQ) > 0 && !c.stopping {
		s := c.applyQ[0]
		c.applyQ = c.applyQ[1:]
		s.queued = false
		if s.mode == gone || s.busy() || len(s.revs) == 0 && s.recalled == nil {
			continue
		}
		s.apply()
	}
	if len(c.applyQ) == 0 {
		c.applyQ = nil
	}
}

// apply brings the oldest revision that is not applied into force (R12): first
// what it asks about the stream (located), then the mark, then the status entry
// (finish).
func (s *sub) apply() {
	if s.recalled != nil {
		s.begin(restoring, revision{})
		s.restore()
		return
	}
	switch r := s.revs[0]; {
	case r.Deleted && s.mode == unseen:
		s.begin(forgetting, r)
		s.core.put(BucketStatus, s.id, nil, effect{what: isForgotten, sub: s})
	case r.Deleted:
		s.begin(deleting, r)
		s.locate(r.Time.Add(s.core.Overlap))
	case r.rec == nil:
		s.begin(invalidating, r)
		s.invalidate(r)
	case s.mode == unseen:
		s.begin(anchoring, r)
		s.locateAnchor(r)
	case !s.deletedAt.IsZero() && !s.continues(r):
		s.replace(r)
	case !s.deletedAt.IsZero() || !s.active && !r.rec.Inactive:
		s.begin(activating, r)
		s.locate(r.Time.Add(-s.core.Overlap))
	case s.active && r.rec.Inactive:
		s.begin(deactivating, r)
		s.locate(r.Time.Add(s.core.Overlap))
	default:
		s.begin(updating, r)
		s.update(r)
	}
}

// finish ends the change of a revision: its effect is confirmed, its status entry
// is written and confirmed, then the next one's turn comes.
func (s *sub) finish() {
	r := &s.change.revision
	if s.change.kind == restoring {
		s.core.put(BucketStatus, s.id, s.statusEntry(s.applied, s.bucket), effect{what: isRestored, sub: s})
		return
	}
	s.revised()
	s.core.put(BucketStatus, s.id, s.statusEntry(r.Revision.Revision, r.Bucket), effect{what: isApplied, sub: s})
}

func (s *sub) revisionApplied() {
	if !s.busy() {
		return
	}
	r := &s.change.revision
	s.applied, s.bucket = r.Revision.Revision, r.Bucket
	s.unproven = s.active && s.valid
	s.revs = s.revs[1:]
	if len(s.revs) == 0 {
		s.revs = nil
	}
	s.paced()
	s.done()
	if s.mode == joining && s.deletedAt.IsZero() {
		s.enter(live)
	}
	s.core.applySoon(s)
	s.changed()
	s.kick()
}

// Revision is one revision of a record, as its writer left it.
type Revision struct {
	Key      string
	Revision uint64    // of the KV entry
	Bucket   int64     // creation time of the bucket in Unix nanoseconds: revisions of another bucket do not compare
	Time     time.Time // the server's time stamp
	Deleted  bool      // explicit marker: delete
	Purged   bool      // explicit marker: purge (Deleted is true as well)
	Value    []byte    // nil when Deleted
}

// revision is a record's revision that was seen but not applied.
type revision struct {
	Revision
	rec      *record.Subscription
	problems record.Problems
	seen     uint64 // position when it was seen
}
