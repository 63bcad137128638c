package bridge

import (
	"math"
	"time"

	"orderbridge/internal/limits"
)

// attempt is one HTTP request of a delivery, or the burial of a dead letter.
type attempt struct {
	lane       *lane
	item       *item
	probe      bool
	free       bool          // a probe before its time
	nextProbe  time.Duration // of such a one: when the next is due
	again      bool          // an earlier one of this delivery has failed
	burial     bool
	ended      bool
	at         time.Duration
	Delivery   Delivery // Event is nil if it must be read by sequence
	Seq        uint64
	known, top Ref    // its message, and the highest one that was known (R15)
	DeadLetter uint64 // not 0: the event is read from this dead letter
	token      any    // of whoever runs it

	older, newer *attempt // in core.runs
	weight       int64    // bytes of its event, as they count in the shares
}

// offer lets a lane run its head as soon as the subscription allows it.
func (s *sub) offer(ln *lane) {
	if s.dead || ln.ready || ln.run != nil || len(ln.q) == 0 {
		return
	}
	if ln.next > s.core.out.boot() && !(s.failing() && s.probing()) {
		return // its timer offers it again
	}
	ln.ready = true
	s.ready.add(ln)
	s.pump()
}

// kick offers every lane: a reason to wait has gone.
func (s *sub) kick() {
	for _, token := range sorted(s.lanes) {
		if ln := s.lanes[token]; ln != nil {
			s.offer(ln)
		}
	}
	s.pump()
	s.pumpReader()
}

// pump starts attempts for ready lanes.
func (s *sub) pump() { s.pumpSome(math.MaxInt) }

// pumpSome starts so many attempts at most. Where there is no slot for more, the
// subscription waits for its turn.
func (s *sub) pumpSome(most int) {
	c := s.core
	for ; s.ready.any(s) && s.open() && s.inFlight < s.maxInFlight() && s.mayStart(); most-- {
		if most <= 0 || !c.admits(s) {
			c.turns.wait(s)
			return
		}
		ln := s.ready.take(s)
		ln.ready = false
		if len(ln.q) == 0 || ln.run != nil || s.lanes[ln.token] != ln {
			most++
			continue
		}
		if ln.held && c.stale(ln.ledgerKey()) {
			c.blocked[s] = struct{}{}
			most++
			continue
		}
		probe := s.failing()
		if !probe && ln.next > c.out.boot() {
			most++
			continue
		}
		ln.start(probe)
	}
}

// open tells whether the subscription may start an attempt now. If time alone
// can change it, it is seen to that the subscription is asked again.
func (s *sub) open() bool {
	c := s.core
	if s.busy || len(s.revs) > 0 || s.dead || s.rec == nil || s.gone || !s.active || !s.valid || s.suspended || s.mode != live && s.mode != reading {
		return false // kicked when that changes
	}
	if c.holdsBack(s) {
		return false // kicked when that ends
	}
	if !c.canSend() || s.mode == reading && c.stale(s.id) {
		if !c.stopping {
			c.blocked[s] = struct{}{}
		}
		return false
	}
	now := c.out.boot()
	if s.notBefore > now {
		return false // its timer kicks it
	}
	if s.failing() {
		return s.probing() || s.freely()
	}
	return true
}

func (s *sub) probing() bool { return s.probeAt <= s.core.out.boot() }

func (s *sub) maxInFlight() int {
	if s.failing() {
		return s.inFlight + 1 // a probe goes beside what still runs
	}
	return s.rec.MaxInFlight
}

func (ln *lane) start(probe bool) {
	s := ln.sub
	c := s.core
	it := ln.q[0]
	a := &attempt{lane: ln, item: it, at: c.out.boot(), Seq: it.seq, known: it.ref(), top: c.top,
		Delivery: Delivery{Subscription: s.rec, Event: it.ev, Generation: s.gen, Attempt: ln.attempts + 1, Redrive: ln.redrive > 0, Former: c.former(it.seq)}}
	a.DeadLetter = ln.redrive
	ln.run = a
	if probe {
		s.beginProbe(a)
	}
	if s.pace != nil {
		s.pace.started(c.out.boot())
	}
	s.inFlight++
	if a.again = ln.suspect(); a.again {
		s.retrying++
	}
	c.running++
	c.runs.add(a)
	c.charge(a)
	if ln.attempts > 0 {
		c.figures.Retried++
	}
	c.out.attempt(a)
}

// ended is the input of an attempt's outcome. ev is the event if it had to be
// read for it.
func (c *core) ended(a *attempt, o Outcome, ev *Event) {
	if c.dead || a.ended {
		return
	}
	if o.Doubt { // R15: the event is not what the ledger speaks of; is the stream still the same?
		if o.Doubt = false; c.leaving {
			c.ended(a, Outcome{Verdict: NotAttempted, Reason: o.Reason}, nil)
			return
		}
		c.lookBack(func() { c.ended(a, o, ev) })
		return
	}
	c.finished(a)
	ln, it := a.lane, a.item
	if ev != nil && it.stamp == 0 && ev.Seq == it.seq && ln.redrive == 0 {
		it.stamp = ev.Ref().Time
	}
	s := ln.sub
	if s.dead {
		return
	}
	if o.Verdict == Delivered || o.Status > 0 {
		s.answered(c.out.boot() - a.at)
	}
	c.judge(a, o, ev)
	if ln.run == nil {
		if len(ln.q) > 0 && !(ln.q[0] == it && o.Verdict != Delivered && o.Verdict != Filtered) {
			s.offer(ln)
		} else {
			ln.drop()
		}
	}
	if len(s.share().of.waiting) > 0 { // others of the tenant have waited longer
		c.turns.wait(s)
	} else {
		s.pump()
	}
	c.expandNext()
	c.takeTurns(turnsAtEnd)
}

// finished: the attempt runs no more.
func (c *core) finished(a *attempt) {
	a.ended = true
	c.runs.remove(a)
	c.discharge(a)
	a.lane.sub.inFlight--
	if a.again {
		a.lane.sub.retrying--
	}
	c.running--
	a.lane.run = nil
}

func (c *core) judge(a *attempt, o Outcome, ev *Event) {
	ln, it := a.lane, a.item
	s := ln.sub
	now := c.out.boot()
	if o.Verdict == Delivered || o.Verdict == Filtered || o.Status > 0 {
		s.filterTold()
	}
	switch o.Verdict {
	case Delivered:
		c.figures.Delivered++
		s.unproven = false
		s.health().success(now)
		ln.own, ln.hopeless, ln.failedAt = false, false, 0
		ln.remove(it)
		if s.failing() {
			s.closeBreaker()
		}
		return
	case Filtered:
		// It says nothing about the endpoint: no request was sent.
		c.figures.Filtered++
		if s.pace != nil {
			s.pace.unstarted(a.at)
		}
		ln.remove(it)
		if a.probe && s.failing() {
			s.probeIn(0)
		}
		return
	case NotAttempted:
		if a.probe {
			s.probeIn(c.Renew)
		}
		if !it.gone && !c.stopping {
			ln.next = now + c.Renew
			ln.wake()
		}
		return
	}
	c.figures.Failed++
	if a.probe {
		s.probeFailed(a)
	}
	if it.gone { // superseded, or no longer the lane's while it ran
		return
	}
	if o.RetryAfter > 0 {
		s.waitUntil(now + o.RetryAfter)
	}
	if !a.again {
		s.health().missed(now)
	}
	if o.EndpointFault && s.blamed(a, o, ev) {
		s.openBreaker(o.Reason)
	}
	if o.Verdict == SuspendedByReceiver && !s.suspended {
		s.suspended = true
		s.reason = o.Reason
		s.changed()
		c.raise(AlertSuspended, s, "410 Gone: put or activate the record to resume", c.nextID())
		c.out.log(logWarn, "suspended by the receiver: 410 Gone; put or activate the record to resume", "subscription_id", s.id)
		s.goReading(reasonGone, nil)
		s.shed()
	}
	if s.mode == reading && !it.reader && !it.inLedger && s.reader.at < it.seq {
		// Left over from the feed: the reader has yet to come to it.
		it.gone = true
		ln.take(it)
		ln.maxSeq = 0
		if n := len(ln.q); n > 0 {
			ln.maxSeq = ln.q[n-1].seq
		}
		if ln.held {
			ln.write()
		}
		return
	}
	if s.rec.Coalesce && len(ln.q) > 1 && ln.q[0] == it && supersedes(s.rec, ln.q[1], it) {
		ln.take(it)
		c.superseded(it)
	}
	ln.attempts++
	if ln.redrive > 0 && a.Delivery.Event != nil {
		ln.known = a.Delivery.ID()
	}
	ln.lastStatus, ln.lastError, ln.fault = o.Status, o.Reason, o.EndpointFault
	schedule := s.rec.RetrySchedule()
	if o.Verdict == GiveUp || ln.attempts > len(schedule) {
		ln.bury(ln.q[0], o, ev)
		return
	}
	if c.losing != "" && ln.redrive == 0 {
		o.Reason = reasonLosing + "; " + o.Reason
		ln.bury(ln.q[0], o, ev)
		return
	}
	if why := ln.crowdedOut(); why != "" {
		o.Reason = why + ": " + o.Reason
		ln.bury(ln.q[0], o, ev)
		return
	}
	wait := schedule[ln.attempts-1]
	wait += time.Duration((c.rng.Float64()*2 - 1) * 0.1 * float64(wait))
	wait = max(wait, o.RetryAfter)
	ln.next, ln.nextWall = now+wait, c.out.wall().Add(wait)
	ln.hold()
	if s.lanesFull() || len(ln.q) > c.Lane {
		s.goReading(reasonBacklog, nil)
	}
	ln.write()
	ln.wake()
}

func (ln *lane) take(it *item) {
	for i, x := range ln.q {
		if x == it {
			if i == 0 {
				ln.q[0] = nil
				ln.q = ln.q[1:]
			} else {
				ln.q = append(ln.q[:i:i], ln.q[i+1:]...)
			}
			return
		}
	}
}

// remove ends a delivery: it succeeded, or its dead letter is stored.
func (ln *lane) remove(it *item) {
	s := ln.sub
	if ln.redrive > 0 {
		ln.removeRedriven(it)
		return
	}
	if !it.gone {
		ln.take(it)
		s.settleItem(it)
		it.gone = true
	} else {
		s.settledSeq(it.ref())
	}
	ln.attempts, ln.next, ln.nextWall, ln.lastStatus, ln.lastError, ln.fault, ln.cut = 0, 0, time.Time{}, 0, "", false, false
	if ln.held {
		ln.write()
	}
	ln.rescue()
	s.pumpReader()
}

// removeRedriven: the old dead letter goes first, then the entry (R14).
func (ln *lane) removeRedriven(it *item) {
	c := ln.sub.core
	hold := &attempt{lane: ln, item: it, burial: true}
	ln.run = hold
	var try func()
	try = func() {
		c.out.unbury(ln.redrive, func(err error) {
			if c.dead || ln.sub.dead {
				return
			}
			if err != nil {
				c.complain("redriven dead letter could not be removed, tried again", ln.sub.id, "subscription_id", ln.sub.id, "error", err)
				c.after(c.Busy, try)
				return
			}
			ln.run = nil
			ln.take(it)
			it.gone = true
			ln.write()
		})
	}
	try()
}

// bury stores the dead letter; the lane is busy until it is confirmed (R14).
func (ln *lane) bury(it *item, o Outcome, ev *Event) {
	s := ln.sub
	c := s.core
	a := &attempt{lane: ln, item: it, burial: true}
	ln.run = a
	if ev == nil || ev.Seq != it.seq {
		ev = it.ev
	}
	d := DeadLetter{Subscription: s.id, Generation: s.gen, Lane: ln.token, Key: ln.key, Order: ln.order, Reason: o.Reason, Attempts: ln.attempts,
		LastStatus: o.Status, Sequence: it.seq, Time: c.out.wall(), Event: ev, ID: c.nextID(), message: it.ref(), top: c.top}
	if d.Key == "" {
		d.Key = ln.token
	}
	if ev != nil {
		d.Order = ev.order()
	}
	d.former = c.former(it.seq)
	if d.DeliveryID = ln.known; ev != nil && d.DeliveryID == "" {
		d.DeliveryID = d.idOf(ev)
	}
	var try func()
	try = func() {
		c.out.bury(d, func(err error) {
			if c.dead || s.dead {
				return
			}
			delete(c.unstored, ln)
			if it.gone { // superseded meanwhile
				ln.run = nil
				ln.attempts, ln.next = 0, 0
				s.offer(ln)
				return
			}
			if err != nil {
				c.unstored[ln] = struct{}{}
				c.complain("dead letter could not be stored: kept and tried again", s.id, "subscription_id", s.id, "sequence", it.seq, "error", err)
				c.after(c.Busy, try)
				return
			}
			ln.run = nil
			c.figures.Dead++
			level := logWarn
			if s.buried(d.Reason, d.LastStatus) > limits.LetterLines { // told with their count
				level = logDebug
			}
			c.out.log(level, "dead letter", "subscription_id", s.id, "sequence", it.seq, "order_id", d.Order, "attempts", d.Attempts, "status", d.LastStatus, "reason", d.Reason)
			s.health().probes = 0
			if o.Gone {
				s.expired++
				c.figures.Removed++
				s.changed()
			}
			ln.remove(it)
			s.offer(ln)
			ln.drop()
		})
	}
	try()
}
