package protocol

import (
	"fmt"
	"time"

	"orderbridge/internal/limits"
)

// What happens when more fails than can be kept waiting. A subscription may
// hold Lanes lanes, and up to LanesMost within its share of HeldMost; its
// entries may take its share of the ledger; an order may have Lane changes in
// its entry. Beyond that, an
// endpoint that serves the others goes on serving them: what fails is a dead
// letter at once. One that serves few is not asked for more: its subscription
// reads, and stands still until there is room (nothing is lost by that).

// servesMany is the part of deliveries that must get through at the first attempt.
const servesMany = 0.25

// lanesFull tells whether the subscription may hold no more lanes. One that holds
// none goes on: its own mark, or what its tenant has, must not stop it for good.
func (s *sub) lanesFull() bool {
	c := s.core
	return s.held >= c.Lanes && (s.held >= c.LanesMost || !c.shares.may(s.share(), places)) || s.held > 0 && s.overLedger()
}

// servesOthers tells whether the endpoint takes what is not in trouble.
func (s *sub) servesOthers() bool {
	return !s.failing() && s.breaker != nil && s.breaker.gotThrough() >= servesMany
}

// crowdedOut tells why a delivery that has failed cannot be kept waiting, "" if it can.
func (ln *lane) crowdedOut() string {
	s := ln.sub
	c := s.core
	switch {
	case ln.redrive > 0 || !s.servesOthers():
	case !ln.held && s.lanesFull():
		return fmt.Sprintf("%d orders of this subscription fail already, no more are kept waiting", s.held)
	case s.mode == reading && s.reader.outstanding >= c.Outstanding && len(ln.q) > c.Lane && (ln.hopeless || ln.attempts >= limits.CrowdPatience):
		ln.hopeless = true
		return fmt.Sprintf("%d changes of this order wait already, no more are kept waiting", len(ln.q))
	}
	return ""
}

// missed takes note of a first attempt that failed, whatever it says.
func (b *breaker) missed(now time.Duration) {
	b.decay(now)
	b.misses++
}

// gotThrough is the part of deliveries that lately got through at the first attempt.
func (b *breaker) gotThrough() float64 {
	if b.flow+b.misses == 0 {
		return 0
	}
	return b.flow / (b.flow + b.misses)
}
