package protocol

import (
	"errors"
	"time"
)

// continues tells whether a put after a deletion speaks of the same partner.
func (s *sub) continues(r revision) bool {
	return s.hasRecord() && !s.purged && !s.absent && r.rec != nil && s.rec.Tenant == r.rec.Tenant && s.rec.Origin() == r.rec.Origin()
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
	s.endReplays()
	c.figures.Held -= s.held
	s.enter(gone)
	c.Directory.Remove(s.id)
	for _, w := range append([]*windowEvent(nil), c.win...) {
		for _, it := range w.items {
			if it.sub == s {
				c.pay(it)
			}
		}
	}
	c.payMark(s)
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
	s.endApplying()
	if len(s.revs) > 0 {
		s.gen = s.revs[0].Revision.Revision // what comes begins it
		c.applySoon(s)
		return
	}
	s.enter(gone)
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
