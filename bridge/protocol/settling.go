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
	ln, it := a.lane, a.item
	s := ln.sub
	now := c.now.Boot
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
		c.log(Warn, "suspended by the receiver: 410 Gone; put or activate the record to resume", "subscription_id", s.id)
		s.goReading(reasonGone)
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
	ln.next, ln.nextWall = now+wait, c.now.Wall.Add(wait)
	ln.hold()
	if s.lanesFull() || len(ln.q) > c.Lane {
		s.goReading(reasonBacklog)
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
