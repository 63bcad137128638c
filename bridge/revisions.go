package bridge

import (
	"errors"
	"fmt"
	"time"
)

// record is the input of the records' bucket: a revision, with what the parser
// made of it. Revisions of one key come in the order of the bucket; one that
// was seen before does no harm.
func (c *core) record(r Revision, rec *Subscription, problems Problems) {
	if c.dead {
		return
	}
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
				c.directory.Put(rec)
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
		s.goReading(reasonDeactivated, nil) // what comes by the feed from now on must not join its lanes
	}
	if c.caughtUp {
		c.applySoon(s)
	}
}

// reread takes note of other warnings about the revision that is in force, and
// brings one into force that could not be used before.
func (c *core) reread(r Revision, rec *Subscription, problems Problems) {
	s := c.subs[r.Key]
	if c.dead || s == nil || s.bucket != r.Bucket || s.applied != r.Revision || s.busy || len(s.revs) > 0 || problems.Err() != nil || !s.deletedAt.IsZero() {
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

// bucketMissing says that the records' bucket is gone, or there again. The last
// directory stays in force: a missing bucket is not a deletion (R12).
func (c *core) bucketMissing(missing bool) { c.missing = missing }

func (c *core) applySoon(s *sub) {
	if s.busy || s.queued || len(s.revs) == 0 || s.dead {
		return
	}
	s.queued = true
	c.applyQ = append(c.applyQ, s)
	c.applyMore()
}

func (c *core) applyMore() {
	for c.applying < c.Applying && len(c.applyQ) > 0 && !c.stopping {
		s := c.applyQ[0]
		c.applyQ = c.applyQ[1:]
		s.queued = false
		if s.dead || s.busy || len(s.revs) == 0 && s.recalled == nil {
			continue
		}
		s.apply()
	}
	if len(c.applyQ) == 0 {
		c.applyQ = nil
	}
}

// apply brings the oldest revision that is not applied into force (R12): first
// what it asks about the stream, then the mark, then the status entry.
func (s *sub) apply() {
	c := s.core
	s.busy = true
	c.applying++
	if s.recalled != nil {
		s.restore()
		return
	}
	r := s.revs[0]
	switch {
	case r.Deleted && s.mode == unseen:
		s.forget(r)
	case r.Deleted:
		s.deactivate(r, true)
	case r.rec == nil:
		s.invalidate(r)
	case s.mode == unseen:
		s.anchorAt(r)
	case !s.deletedAt.IsZero() && !s.continues(r):
		s.replace(r)
	case !s.deletedAt.IsZero() || !s.active && !r.rec.Inactive:
		s.activate(r)
	case s.active && r.rec.Inactive:
		s.deactivate(r, false)
	default:
		s.update(r)
	}
}

// finish ends apply: the revision's effect is confirmed, its status entry is
// written and confirmed, then the next one's turn comes.
func (s *sub) finish(r revision) {
	c := s.core
	s.revised()
	c.put(BucketStatus, s.id, s.statusEntry(r.Revision.Revision, r.Bucket), func(any) {
		if s.dead || !s.busy {
			return
		}
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
		c.applySoon(s)
		s.changed()
		s.kick()
	})
}

func (s *sub) done() {
	s.busy = false
	s.core.applying--
	s.core.applyMore()
}

// ask asks the stream for the sequence at a time, until it answers.
func (s *sub) ask(t time.Time, then func(seq, last uint64)) {
	s.core.ask("subscription "+s.id, t, func(seq, last uint64) {
		if !s.dead {
			then(seq, last)
		}
	})
}

// ask asks for whom the stream for the sequence at a time. The answer counts
// once the stream was the same after it (R15).
func (c *core) ask(whom string, t time.Time, then func(seq, last uint64)) {
	var try func()
	try = func() {
		c.out.sequenceAt(t, func(seq uint64, last Ref, err error) {
			switch {
			case c.dead:
			case err != nil:
				c.complain("record waits: the stream does not answer", whom, "for", whom, "error", err)
				c.after(c.Busy, try)
			default:
				c.lookBack(func() {
					c.know(last)
					then(seq, last.Seq)
				})
			}
		})
	}
	try()
}

// anchorAt is R13, for a record's first valid revision.
func (s *sub) anchorAt(r revision) {
	c := s.core
	at := r.Time.Add(-c.Overlap)
	if r.rec.More != nil {
		at = anchorTime(at, r.rec.More.StartFrom)
	}
	s.ask(at, func(anchor, last uint64) {
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
			s.writeMark(func() { s.enterReading(); s.finish(r) })
		case anchor <= c.position():
			c.directory.Put(s.rec)
			s.readFrom(anchor, reasonNew)
			s.writeMark(func() { s.enterReading(); s.finish(r) })
		default:
			c.directory.Put(s.rec)
			s.mode = joining
			s.finish(r)
		}
	})
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
		c.directory.Put(s.rec)
	}
	if !wasValid || s.mode == reading {
		s.restartReader()
	}
	s.finish(r)
}

// invalidate: a record that cannot be used harms no other. If it was valid
// before, it reads, frozen, so that nothing it should have heard is lost.
func (s *sub) invalidate(r revision) {
	s.problems = r.problems
	s.valid = false
	s.tellInvalid(r)
	s.core.raise(AlertInvalid, s, r.problems.Errors().Error(), fmt.Sprint(r.Revision.Revision))
	if s.mode == unseen {
		s.finish(r)
		return
	}
	s.shed()
	s.goReading(reasonInvalid, func() { s.finish(r) })
}

func (s *sub) deactivate(r revision, deleted bool) {
	c := s.core
	reason := reasonDeactivated
	if deleted {
		reason = reasonDeleted
	}
	s.ask(r.Time.Add(c.Overlap), func(seq, last uint64) {
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
			c.directory.Remove(s.id)
			s.reader.until = min(s.reader.until, until)
			s.writeMark(func() { s.finish(r) })
			return
		}
		s.goReadingUntil(reason, until, func() { s.finish(r) })
	})
}

func (s *sub) activate(r revision) {
	c := s.core
	s.ask(r.Time.Add(-c.Overlap), func(seq, last uint64) {
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
			s.core.out.log(logInfo, "put again as deactivated", "subscription_id", s.id)
			if rd == nil {
				s.untilTime = r.Time.Add(-c.Overlap)
				s.goReadingUntil(reasonDeactivated, seq-1, func() { s.finish(r) })
				return
			}
			rd.until, s.untilTime = max(rd.at, seq-1), r.Time.Add(-c.Overlap)
			s.writeMark(func() { s.finish(r) })
			return
		}
		c.directory.Put(s.rec)
		s.restartReader()
		if rd == nil {
			s.active = true
			s.finish(r)
			return
		}
		s.writeMark(func() { s.active = true; s.finish(r) })
	})
}

// continues tells whether a put after a deletion speaks of the same partner.
func (s *sub) continues(r revision) bool {
	return s.rec != nil && !s.purged && !s.gone && r.rec != nil && s.rec.Tenant == r.rec.Tenant && s.rec.Origin() == r.rec.Origin()
}

// replace begins a new generation: debts and lanes of the old one are dropped.
func (s *sub) replace(r revision) {
	c := s.core
	c.out.log(logInfo, "new generation: what was owed to the deleted record is dropped", "subscription_id", s.id, "generation", r.Revision.Revision)
	n := c.newSub(s.id, max(r.Revision.Revision, s.gen+1))
	n.applied, n.bucket, n.revs = s.applied, s.bucket, s.revs
	s.discard()
	c.subs[n.id] = n
	c.behind[n] = struct{}{}
	c.put(BucketOwed, n.id, nil, nil)
	n.busy = true
	n.anchorAt(r)
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
			c.put(BucketOwed, ln.ledgerKey(), nil, nil)
		}
		if run := ln.run; run != nil && !run.burial && !run.ended {
			c.finished(run)
			c.out.cut(run)
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
	c.directory.Remove(s.id)
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

// forget drops a record that was deleted before it ever was valid.
func (s *sub) forget(r revision) {
	c := s.core
	c.put(BucketStatus, s.id, nil, func(any) {
		if s.dead || !s.busy {
			return
		}
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
	})
}

// expireDebts drops the debts of a deleted record after Keep, unless the
// stream's leader knows a newer revision (R12).
func (c *core) expireDebts(s *sub) {
	deleted := s.deletedAt
	c.deletions[s] = struct{}{}
	c.collapsing[s] = struct{}{}
	wait := max(c.Keep-c.out.wall().Sub(deleted), 0)
	var expire func()
	expire = func() {
		if s.dead || !s.deletedAt.Equal(deleted) {
			return
		}
		if s.busy || len(s.revs) > 0 || s.queued || !c.opened || c.stopping {
			c.after(c.Renew, expire)
			return
		}
		c.out.latest(s.id, func(r Revision, err error) {
			if c.dead || s.dead || !s.deletedAt.Equal(deleted) {
				return
			}
			gone := errors.Is(err, ErrNotFound) || err == nil && r.Deleted
			if !gone || s.busy || len(s.revs) > 0 || s.queued {
				c.after(c.Renew, expire) // the bus does not answer, or a put is on its way
				return
			}
			c.out.log(logInfo, "deleted record: its debts are dropped", "subscription_id", s.id)
			s.discard()
			c.put(BucketOwed, s.id, nil, nil)
			c.put(BucketStatus, s.id, nil, nil)
			delete(c.subs, s.id)
		})
	}
	c.after(wait, expire)
}
