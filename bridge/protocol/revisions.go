package protocol

import (
	"time"

	"orderbridge/bridge/record"
)

// # R12 Records
//
// The generation of a subscription is the revision of its record's creation; every entry carries it, and
// entries of another generation are removed. The status entry keeps, confirmed, which revision is applied.
//
// Every revision, in order. Each revision in the key's history above the applied one is applied, one after the other:
// first what must be asked of the stream, then the mark, confirmed; then the status entry, confirmed. From the moment at
// which a revision is seen until it is applied the subscription starts no attempt. Applying a revision twice (after a
// crash) comes to the same.
//
//   - update: the next attempt uses the new record; a reader forgets what it has read ahead
//   - deactivate, delete: always a mark, with until: the highest of (a) the last event stamped
//     before the revision's time + 2 s, as the stream is when it is asked; (b) the position when
//     the revision was seen, or, for one that reads already, where its reader stands; (c) its
//     anchor - 1. An until that it has already is never raised. What was owed is kept; nothing
//     above is owed
//   - activate, put again after a deletion: the events from until to the first one stamped at or
//     after the revision's time - 2 s go into done, and until goes. So what was owed is delivered,
//     what was published meanwhile is not, and what was published between the put and its sighting
//     is
//   - invalid, was valid: reading, frozen, no until: nothing that it should have heard is lost
//   - valid again: goes on reading from where it stood
//
// The 2 s allow for the difference between the clocks of publisher and operator.
//
// Deletion. Only an explicit marker deletes. What a deleted record owes is kept for 24 h; before it is dropped, the
// record is read once more from the bucket's leader. A put after a deletion continues the generation only if tenant and
// origin of the target URL equal those of the last value in the history, and it was not purged. Otherwise it is a new
// generation: debts and lanes of the old one are dropped, and the log says so. A redrive names the generation and is
// refused for another.
//
// Added: collapsing. The lane entries of a deleted record go: what waits in them is taken out of done of its mark,
// as if it had never been read, the mark is confirmed, then the entries are removed. (Thousands of entries of deleted
// records would fill the ledger for a day.) Lanes in which something runs, or was cut by a stop and may still be at the
// endpoint (R10b), wait. How often a delivery had failed is forgotten by that. What comes to the reader once more is
// queued though the lane was loaded with something higher (R6).
//
// Added: records that vanish. A record that is not in its bucket though nobody deleted it (its TTL ran out, a purge
// of the bucket, a limit, another bucket of that name) is not a deletion, and neither is a bucket that is gone. The
// subscription stands still, with a mark, from the moment at which that is seen, running or at a take-over; what it owes
// and what is published meanwhile waits, and comes when the record is put again. The last known record stays in memory
// for what runs. The same holds for a record that was good and cannot be used any more because the operator's policy is
// another one.

// recordSeen takes a revision.
func (c *Machine) recordSeen(in *RecordSeen) {
	r, rec, problems := in.Revision, in.Record, in.Problems
	if c.recall(r, rec, problems) {
		c.noteSeen(c.subs[r.Key], r)
		return
	}
	s := c.sub(r.Key)
	if former := c.newcomers.take(r.Key); former != nil {
		s = c.welcome(former)
		c.applySoon(s)
	}
	if s == nil {
		if r.Deleted && c.caughtUp || c.newcomerWaits(in) {
			return
		}
		s = c.newSub(r.Key, r.Revision)
		c.subs[r.Key] = s
	}
	defer c.noteSeen(s, r)
	if s.bucket == r.Bucket && r.Revision == s.applied && rec != nil && !s.valid && s.deletedAt.IsZero() && len(s.revs) == 0 {
		s.mended(revision{r, rec, problems, s.position()})
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
	s.revs = append(s.revs, revision{r, rec, problems, s.position()})
	if c.opened && (r.Deleted || rec != nil && rec.Inactive) && s.active { // what comes by the feed from now on must not join its lanes
		reason := reasonDeactivated
		if r.Deleted {
			reason = reasonDeleted
		}
		s.goReading(reason)
	}
	if c.caughtUp {
		c.applySoon(s)
	}
}

// reread takes note of other warnings about the revision that is in force, and
// brings one into force that could not be used before.
func (c *Machine) reread(in *RecordReread) {
	r, rec, problems := in.Revision, in.Record, in.Problems
	s := c.sub(r.Key)
	if s == nil || s.bucket != r.Bucket || s.applied != r.Revision || s.busy() || len(s.revs) > 0 || problems.Err() != nil || !s.deletedAt.IsZero() {
		return
	}
	if rec != nil && (!s.valid || !s.hasRecord()) {
		s.mended(revision{r, rec, problems, s.position()})
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
	for c.applying < c.Applying && len(c.applyQ) == 0 && !c.stopping {
		in := c.newcomers.oldest()
		if in == nil {
			return
		}
		c.welcome(c.newcomers.take(in.Revision.Key)).apply()
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
	renewed := s.change.kind == updating || s.change.kind == activating
	s.endApplying()
	if s.mode == joining && s.deletedAt.IsZero() {
		s.enter(live)
	}
	s.core.applySoon(s)
	s.changed()
	if renewed && s.standing() == inForce {
		s.endWaits()
	} else {
		s.kick()
	}
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
