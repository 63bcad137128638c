package protocol

import (
	"errors"
	"time"

	"orderbridge/internal/limits"
)

// # R10b Graceful stop
//
// A stop repeats nothing, and keeps the time short in which nothing is delivered, whatever hangs. Its steps:
//
//   - drain: all goes on, intake and parking too; but a subscription with an attempt older than 1
//     s, or whose endpoint would not answer in time, starts nothing. Not so if its endpoint is
//     known to answer within 0.5 s: then the old attempt is an outlier, and the rest goes on: until
//     no old attempt runs; SHUTDOWN_TIMEOUT - 2 s
//   - freeze: no attempt, no intake, no expansion any more; young attempts may end: 0.75 s
//   - cut: what still runs is cut, not counted, and not tried again before its own deadline (the
//     endpoint may still be working on it): 0.2 s
//   - bury: dead letters under way are stored, and revisions under way applied: 0.75 s
//   - park: first what was cut is written down and confirmed, then everything else that is owed in
//     memory; a subscription with too much of it goes to reading
//   - flush: what was parked is confirmed; then the positions of the readers are written and
//     confirmed
//   - release: the settled prefix is acknowledged, confirmed; then one write of the lease: {free,
//     floor, settled, cursor}
//
// The cursor names the one event that is expanded in part: done for all subscriptions whose id is below the cursor's.
// Events are expanded in the order of subscription ids, so a successor skips by it.
//
// Nothing may end after the cut: an outcome that comes later is dropped, since it can no longer be recorded. What was cut
// waits for its own deadline whatever comes then: under the successor it is not used as a probe of an open breaker, and
// the lane of a deleted record that holds it does not go into the mark (R12, collapsing) before, since a mark keeps no
// time and a record that is put again would send it at once. What cannot be confirmed half a second before
// SHUTDOWN_TIMEOUT is left as after a crash, but the lease is freed all the same.

// handover is a graceful stop under way (R10b).
type handover struct {
	step     step
	until    time.Duration // of the present step
	last     time.Duration // released by then, whatever is confirmed
	frozen   time.Duration // since when
	dragging map[*sub]struct{}
	cause    error // what the term ends with
}

type step int

const (
	leading step = iota
	draining
	freezing
	cutting
	burying
	parkingCut
	parking
	flushing
	releasing
)

// ErrStopUnconfirmed ends a term that had to stop before all was confirmed.
var ErrStopUnconfirmed = errors.New("the graceful stop took too long: what was not confirmed may be repeated")

// stop hands everything over; the term ends when the lease is free. With no
// cause, nothing of ours is owed in memory and nothing is repeated afterwards.
func (c *Machine) stop() {
	if c.handover.step != leading {
		return
	}
	now := c.now.Boot
	c.handover = handover{step: draining, until: now + c.Drain, last: now + c.Last}
	c.log(Info, "handing over", "running", c.running, "unsettled", len(c.win))
	c.checkAll() // a bucket that somebody deleted a moment ago is filled before nobody knows any more what was in it
	c.handOver()
}

// handOver goes on with a graceful stop, as far as it can at the moment.
func (c *Machine) handOver() {
	if c.handover.step == leading {
		return
	}
	for c.handover.step < releasing && c.handOverStep() {
		c.handover.step++
	}
	if c.handover.step < releasing && c.now.Boot >= c.handover.last {
		c.log(Warn, "not all could be confirmed: handed over all the same", "writes", len(c.keys), "running", c.running)
		c.stopping, c.handover.step = true, releasing
		c.release(ErrStopUnconfirmed)
	}
	if c.handover.step < releasing && !c.over {
		c.after(c.Tick/10, timer{what: dueHandover})
	}
}

// handOverStep does what the present step has to do, and tells whether it is over.
func (c *Machine) handOverStep() bool {
	h := &c.handover
	now := c.now.Boot
	switch h.step {
	case draining:
		if c.opened && c.drags(now) && now < h.until {
			return false
		}
		c.stopping, h.frozen, h.until = true, now, now+c.Freeze
		if c.leaving != nil {
			h.until = now + limits.LeaveFreeze
		}
	case freezing:
		if c.opened && c.ending() && now < h.until {
			return false
		}
		c.cutRunning()
		h.until = now + limits.StopCutTime
	case cutting:
		if c.running > 0 && now < h.until {
			return false
		}
		c.forgetRunning()
		h.until = now + c.Freeze
	case burying:
		if (c.applying > 0 || c.burying()) && now < h.until {
			return false
		}
		if !c.opened {
			h.step = flushing // nothing was delivered
			return false
		}
		c.parkCut()
	case parkingCut:
		if c.writing() {
			return false
		}
		c.parkAll()
		c.tellPace()
	case parking:
		if c.writing() {
			return false
		}
		c.flushReaders()
	case flushing:
		if c.writing() || c.renewing || c.mending() {
			return false
		}
		c.release(nil)
	}
	return true
}

// drags tells whether something runs for which a stop waits, and notes which
// subscriptions start nothing meanwhile.
func (c *Machine) drags(now time.Duration) bool {
	h := &c.handover
	before := h.dragging
	h.dragging = map[*sub]struct{}{}
	waits := false
	for a := c.runs.oldest; a != nil; a = a.newer {
		s := a.lane.sub
		if s.mode == gone {
			continue
		}
		old := now-a.at > limits.StopOldAttempt
		if s.fast() {
			waits = waits || old
			continue
		}
		waits = true
		if old || s.usual == 0 || now+2*s.usual > h.until { // unknown, or it would not end in time
			h.dragging[s] = struct{}{}
		}
	}
	if waits {
		for _, s := range ordered(before) {
			if _, still := h.dragging[s]; !still {
				s.kick()
			}
		}
	}
	return waits
}

// held back by a stop that drains.
func (c *Machine) holdsBack(s *sub) bool {
	if c.handover.step != draining {
		return false
	}
	_, held := c.handover.dragging[s]
	return held
}

// ending tells whether an attempt runs that may still end in a moment.
func (c *Machine) ending() bool {
	return c.runs.newest != nil && c.runs.newest.at > c.handover.frozen-limits.StopOldAttempt
}

func (c *Machine) cutRunning() {
	if c.running == 0 {
		return
	}
	c.log(Warn, "attempts cut off by the stop: they are tried again later", "running", c.running)
	for a := c.runs.oldest; a != nil; a = a.newer {
		// The endpoint may still be at it.
		rest := a.Delivery.Subscription.AttemptTimeout() - (c.now.Boot - a.at)
		a.lane.nextWall = c.now.Wall.Add(max(rest, 0))
		a.lane.cut = true
		c.emit(CutAttempt{a.number})
	}
}

// forgetRunning ends what was cut and did not come back: its outcome, if there
// ever is one, comes too late.
func (c *Machine) forgetRunning() {
	for a := c.runs.oldest; a != nil; a = c.runs.oldest {
		c.finished(a)
	}
}

func (c *Machine) burying() bool {
	for _, s := range c.subs {
		for _, ln := range s.lanes {
			if _, failing := c.unstored[ln]; ln.run != nil && ln.run.burial && !failing {
				return true
			}
		}
	}
	return false
}

// parkCut writes down what was cut, with the time before which it is not tried.
func (c *Machine) parkCut() {
	for _, s := range c.which(func(s *sub) bool { return len(s.lanes) > 0 && s.mode != gone && s.mode != unseen }) {
		for _, token := range sorted(s.lanes) {
			if ln := s.lanes[token]; ln.cut && len(ln.q) > 0 {
				ln.hold()
				ln.write()
			}
		}
	}
}

// parkAll writes down every delivery that is still owed in memory.
func (c *Machine) parkAll() {
	subs := c.which(func(s *sub) bool { return len(s.lanes) > 0 && s.mode != gone && (s.mode == live || s.mode == reading) })
	waiting := map[*sub]int{}
	all := 0
	for _, s := range subs {
		for _, ln := range s.lanes {
			if s.mode == live && len(ln.q) > 0 && !ln.held {
				waiting[s]++
				all++
			}
		}
	}
	most := c.Parked
	if all > limits.StopLanes {
		most = min(most, limits.StopLanes/len(waiting))
	}
	for _, s := range subs {
		if waiting[s] > most {
			s.goReading(reasonHandover)
			continue
		}
		for _, token := range sorted(s.lanes) {
			s.lanes[token].parkAtStop()
		}
	}
}

func (ln *lane) parkAtStop() {
	s := ln.sub
	switch {
	case len(ln.q) == 0:
		return
	case s.mode == reading && !ln.held:
		return // what only the reader has in memory is read again
	case ln.held && !ln.unwritten():
		return
	}
	ln.hold()
	if len(ln.q) > s.core.Lane && s.mode == live {
		s.goReading(reasonHandover)
	}
	ln.write()
}

// unwritten tells whether the entry of a held lane does not say all that it should.
func (ln *lane) unwritten() bool {
	n := min(len(ln.q), ln.sub.core.Lane)
	for _, it := range ln.q[:n] {
		if !it.inLedger {
			return true
		}
	}
	return n < len(ln.q) && ln.sub.mode == live
}

func (c *Machine) flushReaders() {
	for _, s := range ordered(c.readers) {
		if s.mode == going {
			continue
		}
		if s.reader.advance(); s.reader.moved {
			s.writeMark()
		}
	}
}

// release acknowledges what is settled and frees the lease.
func (c *Machine) release(why error) {
	if c.handover.cause = c.leaving; c.leaving != nil { // the consumer may be gone
		c.freeLease()
		return
	}
	c.handover.cause = why
	c.ask(request{out: ConfirmSettled{c.newRequest()}, done: true})
}

// freeLease writes the lease for the last time. Where a renewal is under way, its
// outcome decides which revision that must follow.
func (c *Machine) freeLease() {
	if c.freeing = true; c.renewing {
		return
	}
	c.renew()
}
