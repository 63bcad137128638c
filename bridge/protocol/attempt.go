package protocol

import (
	"math"
	"time"

	"orderbridge/bridge/event"
)

// attempt is one HTTP request of a delivery, or the burial of a dead letter.
type attempt struct {
	number     uint64
	lane       *lane
	item       *item
	probe      bool
	free       bool          // a probe before its time
	nextProbe  time.Duration // of such a one: when the next is due
	again      bool          // an earlier one of this delivery has failed
	burial     bool
	replay     *ReplayAttempt // nil: it is owed
	command    uint64         // of a burial: that which asked for it (SkipHead)
	gone       bool           // of a burial: the event was removed from the stream
	ended      bool
	at         time.Duration
	Delivery   Delivery // Event is nil if it must be read by sequence
	Seq        uint64
	known, top event.Ref // its message, and the highest one that was known (R15)
	DeadLetter uint64    // not 0: the event is read from this dead letter

	older, newer *attempt // in core.runs
	weight       int64    // bytes of its event, as they count in the shares
}

// offer lets a lane run its head as soon as the subscription allows it.
func (s *sub) offer(ln *lane) {
	if s.mode == gone || ln.ready || ln.run != nil || len(ln.q) == 0 || !ln.inTurn() {
		return
	}
	if ln.next > s.core.now.Boot && (ln.cut || !(s.failing() && s.probing())) {
		return // its timer offers it again; what a stop has cut off is not a probe either (R10b)
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
	for ; (s.ready.any(s) || s.mayReplay()) && s.open() && s.inFlight < s.maxInFlight() && s.mayStart(); most-- {
		if most <= 0 || !c.admits(s) {
			c.turns.wait(s)
			return
		}
		if s.replaysNext() {
			s.startReplay()
			continue
		}
		ln := s.ready.next(s)
		ln.ready = false
		if len(ln.q) == 0 || ln.run != nil || s.lanes[ln.token] != ln || !ln.inTurn() {
			most++
			continue
		}
		if ln.held && c.stale(ln.ledgerKey()) {
			c.blocked[s] = struct{}{}
			most++
			continue
		}
		probe := s.failing()
		if !probe && ln.next > c.now.Boot {
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
	if s.busy() || len(s.revs) > 0 || s.standing() != inForce || s.mode != live && s.mode != reading {
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
	now := c.now.Boot
	urged := len(s.ready.urgent) > 0
	if s.notBefore > now && !urged {
		return false // its timer kicks it
	}
	if s.failing() {
		return s.probing() || urged && s.probeAt != noTime || s.freely()
	}
	return true
}

func (s *sub) probing() bool { return s.probeAt <= s.core.now.Boot }

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
	a := &attempt{lane: ln, item: it, Seq: it.seq, known: it.ref(), top: c.top,
		Delivery: Delivery{Subscription: s.rec, Event: it.ev, Generation: s.gen, Attempt: ln.attempts + 1, Redrive: ln.redrive > 0, Former: c.former(it.seq)}}
	a.DeadLetter = ln.redrive
	ln.cut = false
	if probe {
		s.beginProbe(a)
	}
	a.again = ln.suspect()
	c.begin(a)
}

// begin starts an attempt.
func (c *Machine) begin(a *attempt) {
	ln, s := a.lane, a.lane.sub
	a.at, ln.run = c.now.Boot, a
	if s.replays != nil {
		s.replays.turn = a.replay != nil
	}
	if s.pace != nil {
		s.pace.started(c.now.Boot)
	}
	s.inFlight++
	if a.again {
		s.retrying++
	}
	c.running++
	c.runs.add(a)
	c.charge(a)
	if ln.attempts > 0 {
		c.figures.Retried++
	}
	c.attemptN++
	a.number = c.attemptN
	c.attempts[a.number] = a
	c.emit(&StartAttempt{Attempt: a.number, Delivery: a.Delivery, Sequence: a.Seq, Message: a.known, Top: a.top, DeadLetter: a.DeadLetter, Probe: a.probe})
}

// order is that which an attempt speaks of.
func (a *attempt) order() string {
	if a.Delivery.Event != nil {
		return a.Delivery.Event.Order()
	}
	return a.lane.order
}
