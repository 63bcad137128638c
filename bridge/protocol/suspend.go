package protocol

import (
	"time"

	"orderbridge/bridge/event"
)

// What a subscription does about a failing endpoint: it is suspended, reads for
// itself, and probes. Whether it fails, the breaker decides (breaker.go).

// failing tells whether the breaker is open.
func (s *sub) failing() bool { return s.breaker != nil && s.breaker.open }

func (s *sub) health() *breaker {
	if s.breaker == nil {
		s.breaker = &breaker{}
	}
	return s.breaker
}

// blamed takes note of a failure that may speak of the endpoint, and tells
// whether the endpoint must be taken for failing now. It is asked before the
// attempt is counted in its lane.
func (s *sub) blamed(a *attempt, o Outcome, ev *event.Event) bool {
	b, ln := s.health(), a.lane
	if ln.attempts > 0 && b.succeeded > ln.failedAt {
		ln.own = true // others got through since it failed last
	}
	ln.failedAt = s.core.now.Boot
	order := orderHash(ln.token)
	switch {
	case o.Unreachable || a.Delivery.Subscription.Ordering == event.OrderingStrict: // one lane is all that it has
		order = 0
	case ln.own:
		return false
	case ev != nil && ev.OrderID != "": // more than the lane where events of one order do not wait for each other
		order = orderHash(ev.OrderID)
	}
	return b.failure(a.at, order, s.core.Failures)
}

func (s *sub) openBreaker(reason string) {
	c := s.core
	s.health().opens(c.now.Boot, c.Failures)
	c.figures.Suspended++
	s.reason = reason
	s.probeIn(s.health().probeAfter(c.ProbeMin, c.ProbeMax))
	s.changed()
	s.fires(firingSuspended, AlertSuspended, reason, c.nextID())
	c.log(Warn, "suspended: the endpoint fails; probed from time to time, nothing is lost", "subscription_id", s.id, "reason", reason)
	s.goReading(reasonSuspended)
	s.shed()
}

func (s *sub) closeBreaker() {
	s.goesOn("the endpoint answers", s.breaker.closes(s.core.now.Boot, s.core.RampRate))
}

// halfOpen gives an endpoint its chance when nothing is owed that could probe it (R14).
func (s *sub) halfOpen() {
	s.goesOn("nothing is owed that could be tried; the next event tries the endpoint", s.breaker.halfOpens(s.core.now.Boot, s.core.RampRate))
}

// goesOn resumes a suspended subscription, for that reason, at a rate at first, or (0) as before.
func (s *sub) goesOn(why string, rate float64) {
	c := s.core
	now := c.now.Boot
	c.figures.Suspended--
	s.reason = ""
	s.changed()
	s.ended(firingSuspended, AlertResumed, AlertSuspended, why)
	c.log(Info, "resumed: "+why, "subscription_id", s.id, "rate", rate)
	if rate > 0 {
		s.slowStart(now, rate)
	}
	for _, token := range sorted(s.lanes) { // what waited for its time need not wait any longer
		if ln := s.lanes[token]; ln.fault && !ln.own && ln.next > now {
			ln.next = now
		}
	}
	s.kick()
}

func (s *sub) probeIn(d time.Duration) {
	c := s.core
	s.probeAt = c.now.Boot + d
	c.after(d, timer{what: dueProbe, sub: s})
}

func (s *sub) probeDue() {
	if s.failing() && s.probing() {
		s.kick()
	}
}

// freely tells whether an order that has not failed may probe now: those that
// have may be to blame.
func (s *sub) freely() bool {
	return s.breaker.free > 0 && s.probeAt != noTime && len(s.ready.fresh) > 0
}

// probing begins with an attempt, and ends with it: see probeFailed.
func (s *sub) beginProbe(a *attempt) {
	a.probe, a.free, a.nextProbe = true, !s.probing(), s.probeAt
	s.probeAt = noTime // until this one has ended
}

func (s *sub) probeFailed(a *attempt) {
	b, c := s.breaker, s.core
	if !a.free {
		b.probes++
		s.probeIn(b.probeAfter(c.ProbeMin, c.ProbeMax))
		return
	}
	if b.free--; b.free < 0 {
		b.free = 0
	}
	if _, orders := b.inARow(); orders >= c.Failures {
		b.free = 0
	}
	s.probeIn(max(a.nextProbe-c.now.Boot, 0))
}
