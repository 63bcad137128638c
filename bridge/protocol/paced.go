package protocol

import (
	"time"

	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

// What an endpoint has asked for, or was found to bear, outlives a leader: it
// stands in the status entry of its subscription, which is written when it
// changes in kind (and not for each request), and a successor goes on with it.

// Pace is the part of a status entry that tells how fast attempts may start.
type Pace struct {
	NotBefore    time.Time `json:"notBefore,omitzero"`    // no attempt earlier: the endpoint asked for it (Retry-After)
	FailingSince time.Time `json:"failingSince,omitzero"` // the breaker is open
	Reason       string    `json:"reason,omitempty"`      // why it is open, where the status tells of something else
	Former       float64   `json:"former,omitempty"`      // successes a second before that
	SlowFrom     time.Time `json:"slowFrom,omitzero"`     // the slow start after it
	SlowRate     float64   `json:"slowRate,omitempty"`    // attempts a second at its beginning
}

// paceEntry is what a successor has to know, nil if there is nothing.
func (s *sub) paceEntry() *Pace {
	c := s.core
	now, wall := c.now.Boot, c.now.Wall
	at := func(t time.Duration) time.Time { return wall.Add(t - now).UTC().Truncate(time.Millisecond) }
	p := Pace{}
	if s.notBefore > now {
		p.NotBefore = at(s.notBefore)
	}
	if s.failing() {
		p.FailingSince, p.Former = at(s.breaker.since), s.breaker.former
		if state, _ := s.verdict(); state != StateSuspended {
			p.Reason = s.reason
		}
	}
	if s.pace != nil && s.pace.ramp.on && now-s.pace.ramp.since < s.pace.ramp.length {
		p.SlowFrom, p.SlowRate = at(s.pace.ramp.since), s.pace.ramp.rate
	}
	s.told.notBefore, s.told.failing = s.notBefore, s.failing()
	if p == (Pace{}) {
		return nil
	}
	return &p
}

// paceMoved tells whether the status entry must be written for the pace: a pause
// is when it is long, and has moved by more than a tenth of what is left of it, or
// was ended (retryNow).
func (s *sub) paceMoved() bool {
	left, told := s.notBefore-s.core.now.Boot, s.told.notBefore-s.core.now.Boot
	return s.failing() != s.told.failing || left > limits.PaceNotable && s.notBefore-s.told.notBefore > max(time.Second, left/10) ||
		told > limits.PaceNotable && s.notBefore < s.told.notBefore
}

// resumePace goes on with the pace that a predecessor has told.
func (s *sub) resumePace(st *Status) {
	c := s.core
	p := Pace{}
	switch {
	case st.Pace != nil:
		p = *st.Pace
	case st.State == StateSuspended && !st.Suspended: // of a build that told no pace
		p.FailingSince = st.Since
	default:
		return
	}
	now, wall := c.now.Boot, c.now.Wall
	if rest := p.NotBefore.Sub(wall); !p.NotBefore.IsZero() && rest > 0 {
		s.waitUntil(now + min(rest, limits.RetryAfter))
		s.told.notBefore = s.notBefore
	}
	switch {
	case !p.FailingSince.IsZero() && s.active && s.valid && !s.suspended && s.mode != unseen:
		b := s.health()
		b.resumed(now-max(wall.Sub(p.FailingSince), 0), now, c.ProbeMin, c.ProbeMax)
		b.former = p.Former
		c.figures.Suspended++
		s.told.failing = true
		s.probeIn(c.ProbeMin)
	case p.SlowRate > 0:
		if ran := wall.Sub(p.SlowFrom); ran >= 0 && ran < c.RampTime {
			s.slowStart(now-ran, p.SlowRate)
		}
	}
}

// failure is why the subscription was suspended, "" if the entry does not tell.
func (st *Status) failure() string {
	switch {
	case st.State == StateSuspended:
		return st.Reason
	case st.Pace != nil:
		return st.Pace.Reason
	}
	return ""
}

// suspendResumed lets those read that a predecessor had found failing, but not
// yet written down as reading. The feed is open.
func (c *Machine) suspendResumed() {
	for _, s := range c.which(func(s *sub) bool { return s.failing() && s.mode == live }) {
		s.goReading(reasonSuspended)
	}
}

// tellPace writes what a stop must not forget.
func (c *Machine) tellPace() {
	for _, s := range ordered(c.dirty) {
		if s.paceMoved() {
			c.flushStatus(s)
		}
	}
}

// waitUntil: the endpoint asked for a pause of the whole subscription.
func (s *sub) waitUntil(t time.Duration) {
	if t <= s.notBefore {
		return
	}
	s.notBefore = t
	s.changed()
	s.core.after(t-s.core.now.Boot, timer{what: dueKick, sub: s})
}

// paced makes the pace follow the record.
func (s *sub) paced() {
	var limit *record.RateLimit
	if s.rec.More != nil {
		limit = s.rec.More.RateLimit
	}
	if s.pace == nil && limit != nil {
		s.pace = s.newPace()
	}
	if s.pace != nil {
		s.pace.setLimit(limit)
	}
}

func (s *sub) newPace() *pace {
	return &pace{ramp: ramp{double: s.core.RampDouble, length: s.core.RampTime}}
}

// slowStart lets the endpoint begin at a rate and go faster step by step.
func (s *sub) slowStart(since time.Duration, rate float64) {
	if s.pace == nil {
		s.pace = s.newPace()
		s.paced()
	}
	s.pace.ramp.begin(since, rate)
}

// mayStart asks the pace; if it says no, the subscription is asked again in time.
func (s *sub) mayStart() bool {
	if s.pace == nil {
		return true
	}
	wait := s.pace.wait(s.core.now.Boot)
	if wait > 0 && !s.pacing {
		s.pacing = true
		s.core.after(wait, timer{what: duePace, sub: s})
	}
	return wait == 0
}
