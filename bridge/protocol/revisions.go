package protocol

import (
	"errors"
	"fmt"
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
	if rec != nil && (!s.valid || s.rec == nil) {
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
	if s.busy() || s.queued || len(s.revs) == 0 || s.dead {
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
		if s.dead || s.busy() || len(s.revs) == 0 && s.recalled == nil {
			continue
		}
		s.apply()
	}
	if len(c.applyQ) == 0 {
		c.applyQ = nil
	}
}

// change is what a subscription is doing to its own state, one at a time: until
// it is confirmed no revision is applied and no attempt begins (R12).
type change struct {
	kind changeKind
	revision
}

type changeKind uint8

const (
	anchoring     changeKind = iota // the first valid revision (R13)
	updating                        // another valid one
	invalidating                    // one that cannot be used
	deactivating                    // by the record
	deleting                        // by a marker
	activating                      // after one of these
	forgetting                      // deleted before it ever was valid
	restoring                       // its status was lost (R16)
	confirmingOwn                   // no revision: a mark that must stand before the feed opens, or collapsed lanes
)

func (s *sub) busy() bool { return s.change != nil }

// begin begins a change.
func (s *sub) begin(kind changeKind, r revision) {
	s.change = &change{kind, r}
	s.core.applying++
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

// locate asks for the sequence at a time, which the change needs.
func (s *sub) locate(at time.Time) { s.core.find("subscription "+s.id, at, s, nil) }

// find asks for whom the stream for the sequence at a time.
func (c *Machine) find(whom string, at time.Time, s *sub, m *moving) {
	c.ask(request{out: FindSequence{c.newRequest(), at}, sub: s, moving: m,
		until: "record waits: the stream does not answer", args: []any{"for", whom}})
}

// sequenceFound goes on with whoever asked.
func (c *Machine) sequenceFound(q *request, in SequenceFound) {
	if q.step {
		c.formerTold(in.Last.Seq)
		return
	}
	c.know(in.Last)
	if q.moving != nil {
		q.moving.located(in.Sequence)
		return
	}
	s := q.sub
	switch s.change.kind {
	case anchoring:
		s.anchored(in.Sequence)
	case deactivating, deleting:
		s.deactivate(in.Sequence, in.Last.Seq)
	case activating:
		s.activate(in.Sequence)
	case restoring:
		s.restoreAt(in.Sequence)
	case updating, invalidating, forgetting, confirmingOwn: // ask nothing
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
		s.mode = live
	}
	s.core.applySoon(s)
	s.changed()
	s.kick()
}

func (s *sub) done() {
	s.change = nil
	s.core.applying--
	s.core.applyMore()
}

// changeDone ends a change that is none of a revision.
func (s *sub) changeDone() {
	s.done()
	s.core.applySoon(s)
	s.kick()
}

// anchorOf is the time from which a record hears events (R13).
func (s *sub) anchorOf(r *revision) time.Time {
	at := r.Time.Add(-s.core.Overlap)
	if r.rec.More != nil {
		at = anchorTime(at, r.rec.More.StartFrom)
	}
	return at
}

func (s *sub) locateAnchor(r revision) { s.locate(s.anchorOf(&r)) }

// anchored is R13, for a record's first valid revision.
func (s *sub) anchored(anchor uint64) {
	c, r := s.core, &s.change.revision
	at := s.anchorOf(r)
	s.holdsRecord(r.rec)
	s.problems, s.valid, s.active = r.problems, true, true
	s.deletedAt = time.Time{}
	s.liveFrom = anchor
	s.anchorTime = at
	switch {
	case r.rec.Inactive:
		s.active = false
		s.readFrom(anchor, reasonDeactivated)
		s.reader.until, s.untilTime = anchor-1, at
		s.writeMark(effect{what: entersRead, sub: s}, effect{what: endsChange, sub: s})
	case anchor <= c.position():
		c.Directory.Put(s.rec)
		s.readFrom(anchor, reasonNew)
		s.writeMark(effect{what: entersRead, sub: s}, effect{what: endsChange, sub: s})
	default:
		c.Directory.Put(s.rec)
		s.mode = joining
		s.finish()
	}
}

func (s *sub) readFrom(anchor uint64, reason string) {
	s.startReading(anchor, reason).uncounted = true
	s.mode = going
}

func (s *sub) update(r revision) {
	c := s.core
	s.startsAt(r.rec)
	s.holdsRecord(r.rec)
	s.problems = r.problems
	wasValid := s.valid
	s.valid, s.suspended = true, false
	if s.active {
		c.Directory.Put(s.rec)
	}
	if !wasValid || s.mode == reading {
		s.restartReader()
	}
	s.finish()
}

// invalidate: a record that cannot be used harms no other. If it was valid
// before, it reads, frozen, so that nothing it should have heard is lost.
func (s *sub) invalidate(r revision) {
	s.problems = r.problems
	s.valid = false
	s.tellInvalid(r)
	s.core.raise(AlertInvalid, s, r.problems.Errors().Error(), fmt.Sprint(r.Revision.Revision))
	if s.mode == unseen {
		s.finish()
		return
	}
	s.shed()
	s.goReading(reasonInvalid, effect{what: endsChange, sub: s})
}

func (s *sub) deactivate(seq, last uint64) {
	c, r := s.core, &s.change.revision
	deleted := s.change.kind == deleting
	reason := reasonDeactivated
	if deleted {
		reason = reasonDeleted
	}
	s.active = false
	s.shed()
	if deleted {
		s.deletedAt = r.Time
		if r.Purged {
			s.purged = true // R12: after a purge nothing is continued
		}
		c.expireDebts(s)
	} else {
		s.startsAt(r.rec)
		s.holdsRecord(r.rec)
		s.problems, s.valid = r.problems, true
	}
	until := max(min(last, seq-1), s.liveFrom-1)
	if s.mode != reading {
		until = max(until, r.seen)
	} else {
		until = max(until, s.reader.at)
	}
	s.untilTime = r.Time.Add(c.Overlap)
	if s.mode == reading {
		c.Directory.Remove(s.id)
		s.reader.until = min(s.reader.until, until)
		s.writeMark(effect{what: endsChange, sub: s})
		return
	}
	s.goReadingUntil(reason, until, effect{what: endsChange, sub: s})
}

func (s *sub) activate(seq uint64) {
	c, r := s.core, &s.change.revision
	s.startsAt(r.rec)
	s.holdsRecord(r.rec)
	s.problems, s.valid = r.problems, true
	s.suspended, s.deletedAt = false, time.Time{}
	rd := s.reader
	if rd != nil && rd.until != noLimit {
		rd.done.add(rd.until+1, max(seq, 1)-1)
		rd.until = noLimit
	}
	if r.rec.Inactive { // put again after a deletion, but deactivated
		c.log(Info, "put again as deactivated", "subscription_id", s.id)
		if rd == nil {
			s.untilTime = r.Time.Add(-c.Overlap)
			s.goReadingUntil(reasonDeactivated, seq-1, effect{what: endsChange, sub: s})
			return
		}
		rd.until, s.untilTime = max(rd.at, seq-1), r.Time.Add(-c.Overlap)
		s.writeMark(effect{what: endsChange, sub: s})
		return
	}
	c.Directory.Put(s.rec)
	s.restartReader()
	if rd == nil {
		s.active = true
		s.finish()
		return
	}
	s.writeMark(effect{what: activates, sub: s}, effect{what: endsChange, sub: s})
}

// continues tells whether a put after a deletion speaks of the same partner.
func (s *sub) continues(r revision) bool {
	return s.rec != nil && !s.purged && !s.gone && r.rec != nil && s.rec.Tenant == r.rec.Tenant && s.rec.Origin() == r.rec.Origin()
}

// replace begins a new generation: debts and lanes of the old one are dropped.
func (s *sub) replace(r revision) {
	c := s.core
	c.log(Info, "new generation: what was owed to the deleted record is dropped", "subscription_id", s.id, "generation", r.Revision.Revision)
	n := c.newSub(s.id, max(r.Revision.Revision, s.gen+1))
	n.applied, n.bucket, n.revs = s.applied, s.bucket, s.revs
	s.discard()
	c.subs[n.id] = n
	c.behind[n] = struct{}{}
	c.put(BucketOwed, n.id, nil)
	n.begin(anchoring, r)
	n.locateAnchor(r)
}

// discard drops everything that a generation owes.
func (s *sub) discard() {
	c := s.core
	if s.reader != nil {
		s.endReading()
	}
	for _, token := range sorted(s.lanes) {
		ln := s.lanes[token]
		delete(c.unstored, ln)
		if ln.held {
			c.put(BucketOwed, ln.ledgerKey(), nil)
		}
		if run := ln.run; run != nil && !run.burial && !run.ended {
			c.finished(run)
			c.emit(CutAttempt{run.number})
		}
		for _, it := range ln.q {
			it.gone = true
			if it.reader && it.ev != nil {
				s.readsAhead(-it.ev.Size())
			}
		}
	}
	c.figures.Held -= s.held
	s.dead = true
	c.Directory.Remove(s.id)
	for _, w := range append([]*windowEvent(nil), c.win...) {
		for _, it := range w.items {
			if it.sub == s {
				c.settle(it)
			}
		}
	}
	c.settleMark(s)
	delete(c.liveMarks, s)
	delete(c.dirty, s)
	delete(c.blocked, s)
	s.lanes, s.ready = nil, readyLanes{}
	s.leaveShares()
}

// forgotten drops a record that was deleted before it ever was valid.
func (s *sub) forgotten() {
	if !s.busy() {
		return
	}
	c, r := s.core, s.change.revision
	s.revs = s.revs[1:]
	s.applied, s.bucket = r.Revision.Revision, r.Bucket
	s.done()
	if len(s.revs) > 0 {
		s.gen = s.revs[0].Revision.Revision // what comes begins it
		c.applySoon(s)
		return
	}
	s.dead = true
	s.leaveShares()
	if c.subs[s.id] == s {
		delete(c.subs, s.id)
	}
}

// expireDebts drops the debts of a deleted record after Keep, unless the
// stream's leader knows a newer revision (R12).
func (c *Machine) expireDebts(s *sub) {
	c.deletions[s] = struct{}{}
	c.collapsing[s] = struct{}{}
	c.after(max(c.Keep-c.now.Wall.Sub(s.deletedAt), 0), timer{what: dueDebts, sub: s, time: s.deletedAt})
}

// changing tells whether a revision is being applied, or waits for it.
func (s *sub) changing() bool { return s.busy() || len(s.revs) > 0 || s.queued }

func (c *Machine) debtsDue(s *sub, deleted time.Time) {
	switch {
	case !s.deletedAt.Equal(deleted):
	case s.changing() || !c.opened || c.stopping:
		c.after(c.Renew, timer{what: dueDebts, sub: s, time: deleted})
	default:
		c.ask(request{out: FindRecord{c.newRequest(), s.id}, sub: s, time: deleted})
	}
}

func (c *Machine) debtsJudged(q *request, in RecordFound) {
	s := q.sub
	if !s.deletedAt.Equal(q.time) {
		return
	}
	gone := errors.Is(in.Err, ErrNotFound) || in.Err == nil && in.Revision.Deleted
	if !gone || s.changing() { // the bus does not answer, or a put is on its way
		c.after(c.Renew, timer{what: dueDebts, sub: s, time: q.time})
		return
	}
	c.log(Info, "deleted record: its debts are dropped", "subscription_id", s.id)
	s.discard()
	c.put(BucketOwed, s.id, nil)
	c.put(BucketStatus, s.id, nil)
	delete(c.subs, s.id)
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
