package protocol

import (
	"math"
	"time"

	"orderbridge/bridge/event"
	"orderbridge/internal/limits"
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
	gone       bool // of a burial: the event was removed from the stream
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
	if s.dead || ln.ready || ln.run != nil || len(ln.q) == 0 {
		return
	}
	if ln.next > s.core.now.Boot && (ln.cut || !(s.failing() && s.probing())) {
		return // its timer offers it again; what a stop has cut off is no probe either (R10b)
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
	if s.busy() || len(s.revs) > 0 || s.dead || s.rec == nil || s.gone || !s.active || !s.valid || s.suspended || s.mode != live && s.mode != reading {
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
	if s.notBefore > now {
		return false // its timer kicks it
	}
	if s.failing() {
		return s.probing() || s.freely()
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
	a := &attempt{lane: ln, item: it, at: c.now.Boot, Seq: it.seq, known: it.ref(), top: c.top,
		Delivery: Delivery{Subscription: s.rec, Event: it.ev, Generation: s.gen, Attempt: ln.attempts + 1, Redrive: ln.redrive > 0, Former: c.former(it.seq)}}
	a.DeadLetter = ln.redrive
	ln.run, ln.cut = a, false
	if probe {
		s.beginProbe(a)
	}
	if s.pace != nil {
		s.pace.started(c.now.Boot)
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
	c.attemptN++
	a.number = c.attemptN
	c.attempts[a.number] = a
	c.emit(&StartAttempt{Attempt: a.number, Delivery: a.Delivery, Sequence: a.Seq, Message: a.known, Top: a.top, DeadLetter: a.DeadLetter})
}

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
	if s.dead {
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

// removeRedriven: the old dead letter goes first, then the entry (R14).
func (ln *lane) removeRedriven(it *item) {
	c := ln.sub.core
	hold := &attempt{lane: ln, item: it, burial: true}
	ln.run = hold
	c.ask(request{out: RemoveLetter{c.newRequest(), ln.redrive}, sub: ln.sub, lane: ln, item: it,
		until: "redriven dead letter could not be removed, tried again", args: []any{"subscription_id", ln.sub.id}})
}

func (ln *lane) letterRemoved(it *item) {
	ln.run = nil
	ln.take(it)
	it.gone = true
	ln.write()
}

// bury stores the dead letter; the lane is busy until it is confirmed (R14).
func (ln *lane) bury(it *item, o Outcome, ev *event.Event) {
	s := ln.sub
	c := s.core
	a := &attempt{lane: ln, item: it, burial: true}
	ln.run = a
	if ev == nil || ev.Seq != it.seq {
		ev = it.ev
	}
	d := DeadLetter{Subscription: s.id, Generation: s.gen, Lane: ln.token, Key: ln.key, Order: ln.order, Reason: o.Reason, Attempts: ln.attempts,
		LastStatus: o.Status, Sequence: it.seq, Time: c.now.Wall, Event: ev, ID: c.nextID(), Message: it.ref(), Top: c.top}
	if d.Key == "" {
		d.Key = ln.token
	}
	if ev != nil {
		d.Order = ev.Order()
	}
	d.former = c.former(it.seq)
	if d.DeliveryID = ln.known; ev != nil && d.DeliveryID == "" {
		d.DeliveryID = d.IDOf(ev)
	}
	a.gone = o.Gone
	c.ask(request{out: StoreLetter{c.newRequest(), d}, sub: s, lane: ln, item: it,
		until: "dead letter could not be stored: kept and tried again", args: []any{"subscription_id", s.id, "sequence", it.seq}})
}

// letterWaits tells whether a letter that could not be stored is still wanted.
func (c *Machine) letterWaits(q *request) bool {
	if q.item.gone {
		q.lane.letterNeedless()
		return false
	}
	c.unstored[q.lane] = struct{}{}
	return true
}

// letterNeedless: the delivery was superseded meanwhile.
func (ln *lane) letterNeedless() {
	delete(ln.sub.core.unstored, ln)
	ln.run = nil
	ln.attempts, ln.next = 0, 0
	ln.sub.offer(ln)
}

// letterStored: the dead letter is confirmed.
func (c *Machine) letterStored(q *request) {
	ln, it, s, d := q.lane, q.item, q.sub, q.out.(StoreLetter).Letter
	if it.gone {
		ln.letterNeedless()
		return
	}
	delete(c.unstored, ln)
	gone := ln.run.gone
	ln.run = nil
	c.figures.Dead++
	level := Warn
	if s.buried(d.Reason, d.LastStatus) > limits.LetterLines { // told with their count
		level = Debug
	}
	c.log(level, "dead letter", "subscription_id", s.id, "sequence", it.seq, "order_id", d.Order, "attempts", d.Attempts, "status", d.LastStatus, "reason", d.Reason)
	s.health().probes = 0
	if gone {
		s.expired++
		c.figures.Removed++
		s.changed()
	}
	ln.remove(it)
	s.offer(ln)
	ln.drop()
}

// order is that which an attempt speaks of.
func (a *attempt) order() string {
	if a.Delivery.Event != nil {
		return a.Delivery.Event.Order()
	}
	return a.lane.order
}
