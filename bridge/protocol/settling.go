package protocol

import (
	"time"

	"orderbridge/bridge/event"
)

// attemptEnded is the input of an attempt's outcome. One that was forgotten, by a
// stop or with its subscription, comes too late.
func (c *Machine) attemptEnded(in *AttemptEnded) {
	a := c.attempts[in.Attempt]
	if a == nil {
		return
	}
	o, ev := in.Outcome, in.Event
	if o.Doubt { // R15: the event is not what the ledger speaks of; is the stream still the same?
		if c.leaving == nil {
			in.Outcome.Doubt = false
			c.sure(held{in: in})
			return
		}
		o, ev = Outcome{Verdict: NotAttempted, Reason: o.Reason}, nil
	}
	if ev != nil {
		a.Delivery.Event, a.Delivery.Known = ev, in.Known
	}
	told := c.aboutToTell(a, &o)
	c.ended(a, o, ev)
	c.tellAttempt(a, told)
}

func (c *Machine) ended(a *attempt, o Outcome, ev *event.Event) {
	c.finished(a)
	ln, it := a.lane, a.item
	if ev != nil && it.stamp == 0 && ev.Seq == it.seq && ln.redrive == 0 {
		it.stamp = ev.Ref().Time
	}
	s := ln.sub
	if s.mode == gone {
		return
	}
	if o.Verdict == Delivered || o.Status > 0 {
		s.answered(c.now.Boot - a.at)
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
func (c *Machine) finished(a *attempt) {
	a.ended = true
	delete(c.attempts, a.number)
	c.runs.remove(a)
	c.discharge(a)
	a.lane.sub.inFlight--
	if a.again {
		a.lane.sub.retrying--
	}
	c.running--
	a.lane.run = nil
}

func (c *Machine) judge(a *attempt, o Outcome, ev *event.Event) {
	s := a.lane.sub
	if o.Verdict == Delivered || o.Verdict == Filtered || o.Status > 0 {
		s.filterTold()
	}
	if a.replay != nil {
		c.replayed(a, o, ev)
	} else {
		c.judgeOwed(a, o, ev)
	}
	if s.mode != gone && s.standing() != inForce {
		s.shed() // it stands still since the attempt began: what it kept would keep others from reading
	}
}

// judgeOwed is judge for what is owed.
func (c *Machine) judgeOwed(a *attempt, o Outcome, ev *event.Event) {
	switch o.Verdict {
	case Delivered:
		c.delivered(a)
	case Filtered:
		c.rejected(a)
	case NotAttempted:
		c.notMadeNow(a)
	default:
		c.failed(a, o, ev)
	}
}

func (c *Machine) delivered(a *attempt) {
	ln, s := a.lane, a.lane.sub
	c.figures.Delivered++
	s.unproven = false
	s.health().success(c.now.Boot)
	ln.own, ln.hopeless, ln.failedAt = false, false, 0
	ln.end(a.item)
	if s.failing() {
		s.closeBreaker()
	}
}

// rejected by the filter. It says nothing about the endpoint: no request was sent.
func (c *Machine) rejected(a *attempt) {
	s := a.lane.sub
	c.figures.Filtered++
	if s.pace != nil {
		s.pace.unstarted(a.at)
	}
	a.lane.end(a.item)
	if a.probe && s.failing() {
		s.probeIn(0)
	}
}

// notMadeNow: no attempt was made, for a reason that is the bridge's.
func (c *Machine) notMadeNow(a *attempt) {
	if a.probe {
		a.lane.sub.probeIn(c.Renew)
	}
	if !a.item.gone && !c.stopping {
		a.lane.next = c.now.Boot + c.Renew
		a.lane.wake()
	}
}

func (c *Machine) failed(a *attempt, o Outcome, ev *event.Event) {
	ln, it := a.lane, a.item
	s := ln.sub
	c.figures.Failed++
	if a.probe {
		s.probeFailed(a)
	}
	if it.gone { // superseded, or no longer the lane's while it ran
		return
	}
	s.failed(a, o, ev)
	if s.mode == reading && !it.reader && !it.inLedger && s.reader.at < it.seq {
		ln.leaveToReader(it)
		return
	}
	if s.rec.Coalesce && len(ln.q) > 1 && ln.q[0] == it && supersedes(s.rec, ln.q[1], it) {
		ln.dequeue(it)
		c.superseded(it)
	}
	ln.attempts++
	if ln.redrive > 0 && a.Delivery.Event != nil {
		ln.formerID = a.Delivery.ID()
	}
	ln.lastStatus, ln.lastError, ln.fault = o.Status, o.Reason, o.EndpointFault
	if why, last := ln.givenUp(&o); last {
		o.Reason = why
		ln.bury(ln.q[0], o, ev)
		return
	}
	ln.tryAgain(o.RetryAfter)
}

// failed is what a failed attempt says of its endpoint.
func (s *sub) failed(a *attempt, o Outcome, ev *event.Event) {
	c := s.core
	if o.RetryAfter > 0 {
		s.waitUntil(c.now.Boot + o.RetryAfter)
	}
	if !a.again {
		s.health().missed(c.now.Boot)
	}
	if o.EndpointFault && s.blamed(a, o, ev) {
		s.openBreaker(o.Reason)
	}
	if o.Verdict == SuspendedByReceiver && !s.suspended {
		s.suspended = true
		s.reason = o.Reason
		s.changed()
		s.fires(firingSuspended, AlertSuspended, "410 Gone: put or activate the record to resume", c.nextID())
		c.log(Warn, "suspended by the receiver: 410 Gone; put or activate the record to resume", "subscription_id", s.id)
		s.goReading(reasonGone)
		s.shed()
	}
}

// leaveToReader: it is left over from the feed, and the reader has yet to come to it.
func (ln *lane) leaveToReader(it *item) {
	it.gone = true
	ln.dequeue(it)
	ln.maxSeq = 0
	if n := len(ln.q); n > 0 {
		ln.maxSeq = ln.q[n-1].seq
	}
	if ln.held {
		ln.write()
	}
}

// givenUp tells whether the head of the lane becomes a dead letter now, and why.
func (ln *lane) givenUp(o *Outcome) (why string, last bool) {
	switch {
	case o.Verdict == GiveUp || ln.attempts > len(ln.sub.rec.RetrySchedule()):
		return o.Reason, true
	case ln.sub.core.losing != "" && ln.redrive == 0:
		return reasonLosing + "; " + o.Reason, true
	case ln.q[0].seq <= ln.sub.core.expiring && ln.redrive == 0: // while the event is at hand
		return reasonExpiring + "; " + o.Reason, true
	}
	if crowded := ln.crowdedOut(); crowded != "" {
		return crowded + ": " + o.Reason, true
	}
	return "", false
}

// tryAgain holds the lane until the time of its next attempt.
func (ln *lane) tryAgain(atLeast time.Duration) {
	s := ln.sub
	c := s.core
	wait := s.rec.RetrySchedule()[ln.attempts-1]
	wait += time.Duration((c.rng.Float64()*2 - 1) * 0.1 * float64(wait))
	wait = max(wait, atLeast)
	ln.next, ln.nextWall = c.now.Boot+wait, c.now.Wall.Add(wait)
	ln.hold()
	if s.lanesFull() || len(ln.q) > c.Lane {
		s.goReading(reasonBacklog)
	}
	ln.write()
	ln.wake()
}

func (ln *lane) dequeue(it *item) {
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

// end ends a delivery: it succeeded, or its dead letter is stored.
func (ln *lane) end(it *item) {
	s := ln.sub
	if ln.redrive > 0 {
		ln.endRedriven(it)
		return
	}
	if !it.gone {
		ln.dequeue(it)
		s.settle(it)
		it.gone = true
	} else {
		s.noteSettled(it.ref())
	}
	ln.attempts, ln.next, ln.nextWall, ln.lastStatus, ln.lastError, ln.fault, ln.cut = 0, 0, time.Time{}, 0, "", false, false
	if ln.held {
		ln.write()
	}
	ln.rescue()
	s.pumpReader()
}
