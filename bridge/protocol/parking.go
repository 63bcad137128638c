package protocol

import (
	"time"

	"orderbridge/internal/limits"
)

// # R5 Parking
//
// A delivery that has waited or run for more than 1 s is parked, that is, written to the ledger without
// counting an attempt, when
//
//   - the window is crowded: more than half full of events, of bytes (64 MB), or of debts (8,192),
//     or
//   - another delivery of the same event is settled already.
//
// Its attempt, if one runs, goes on, and removes the entry when it succeeds. When the entry is confirmed the debt is
// settled. It is parked sooner, after 0.3 s, where the endpoint may not be asked now (it asked for a pause, its rate limit
// is used up, no slot is free), or where an attempt has no answer for longer than twice what the endpoint usually takes
// (0.3 s at least, 0.6 s at most).
//
// A subscription with more than 64 lanes to park, or that may hold no more lanes, goes to reading instead (R6, reason
// slow); so does one that has an attempt without an answer for long when the window is crowded and a further event wants
// to be expanded for it.

// parkOld parks what has waited or run for too long.
func (c *Machine) parkOld() {
	now := c.now.Boot
	if c.stopping || len(c.win) == 0 || now-c.win[0].at <= c.ParkSoon {
		c.expandNext()
		return
	}
	crowded := c.crowded()
	stalled := c.stalled(now)
	var lanes []*lane
	parked := map[*sub]int{}
	for _, w := range c.win {
		if now-w.at <= c.ParkSoon {
			break
		}
		if w.settled || !crowded && !w.touched {
			continue
		}
		for _, it := range w.items {
			if it.win == nil || it.lane == nil || it.sub.mode != live || it.lane.held || it.lane.marked || now-it.at <= c.parkAfter(it, w.touched || crowded, stalled, now) {
				continue
			}
			it.lane.marked = true
			parked[it.sub]++
			lanes = append(lanes, it.lane)
		}
	}
	for _, ln := range lanes {
		ln.marked = false
		switch s := ln.sub; {
		case s.mode != live:
		case parked[s] > c.Parked || s.lanesFull():
			s.goReading(reasonSlow)
		default:
			c.figures.Parked++
			ln.park()
		}
	}
	// What an expansion waits for may be settled by now.
	c.expandNext()
}

// crowded tells whether what the feed brings has little room left: for events,
// their bytes, or the deliveries that they owe.
func (c *Machine) crowded() bool {
	return len(c.win)*2 > c.Window || c.winBytes*2 > c.WindowBytes || c.owed*2 > c.Deliveries
}

// parkAfter is how old a delivery may become. pressing: others have delivered
// the event, or room is needed.
func (c *Machine) parkAfter(it *item, pressing bool, stalled map[*sub]struct{}, now time.Duration) time.Duration {
	if _, ok := stalled[it.sub]; pressing && (ok || it.sub.notBefore > now || it.sub.pacing || it.sub.waits) {
		return c.ParkSoon
	}
	return c.Park
}

// standsInTheWay tells whether a subscription must read for itself because room
// is needed, and what it has got already has no answer.
func (c *Machine) standsInTheWay(s *sub) bool {
	if !c.crowded() || s.inFlight == 0 && !s.waits {
		return false
	}
	if now := c.now.Boot; now-c.slowAt >= c.Tick || c.slow == nil {
		c.slow, c.slowAt = c.stalled(now), now
	}
	_, slow := c.slow[s]
	return slow
}

// stalled are the subscriptions with an attempt that has no answer for longer
// than usual.
func (c *Machine) stalled(now time.Duration) map[*sub]struct{} {
	some := map[*sub]struct{}{}
	for a := c.runs.oldest; a != nil && now-a.at > c.ParkSoon; a = a.newer {
		if s := a.lane.sub; a.replay == nil && now-a.at > s.patience() {
			some[s] = struct{}{}
		}
	}
	return some
}

// patience is how long an answer of the endpoint is waited for until what waits
// with it is written down.
func (s *sub) patience() time.Duration {
	if s.usual == 0 || s.usual > limits.ParkAnyway {
		return s.core.ParkSoon
	}
	return min(max(2*s.usual, s.core.ParkSoon), limits.ParkAnyway)
}

// renewSoon lets the lease tell what is settled above an event that holds the
// floor, twice as often as it must be renewed.
func (c *Machine) renewSoon() {
	now := c.now.Boot
	if !c.opened || c.handover.step == releasing || len(c.win) == 0 || now-c.win[0].at <= c.ParkSoon || now-c.renewSent < c.Renew/2 {
		return
	}
	c.renew()
}
