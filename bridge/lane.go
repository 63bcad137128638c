package bridge

import "time"

// item is one delivery in memory: what a subscription owes for one event.
type item struct {
	seq      uint64
	ev       *Event // nil: read by sequence when it is attempted
	sub      *sub
	lane     *lane        // nil: only a debt, while the subscription goes to reading
	win      *windowEvent // whose debt it is; nil if it is not the feed's (any more)
	reader   bool         // counts as outstanding of the reader
	inLedger bool         // stands, confirmed, in the entry of its lane
	gone     bool         // no longer in its lane
	at       time.Duration
}

// lane is what waits for one another: the deliveries of one subscription and
// one order key, oldest first. A lane is open (memory only) or held (an entry
// in the ledger).
type lane struct {
	sub        *sub
	token      string
	key        string // plain
	q          []*item
	held       bool
	ready      bool // waits in sub.ready
	marked     bool // during parkOld
	maxSeq     uint64
	run        *attempt
	attempts   int // failed, of the head
	next       time.Duration
	nextWall   time.Time
	lastStatus int
	lastError  string
	fault      bool   // the last failure was the endpoint's
	redrive    uint64 // dead letter that was put back; such a lane holds just that one
}

// attempt is one HTTP request of a delivery, or the burial of a dead letter.
type attempt struct {
	lane       *lane
	item       *item
	probe      bool
	burial     bool
	ended      bool
	at         time.Duration
	Delivery   Delivery // Event is nil if it must be read by sequence
	Seq        uint64
	DeadLetter uint64 // not 0: the event is read from this dead letter
	token      any    // of whoever runs it
}

func (s *sub) laneOf(ev *Event) *lane {
	token, key := ev.Key(s.rec.Ordering)
	return s.lane(token, key)
}

func (s *sub) lane(token, key string) *lane {
	ln := s.lanes[token]
	if ln == nil {
		ln = &lane{sub: s, token: token}
		if key != token {
			ln.key = key
		}
		if s.lanes == nil {
			s.lanes = map[string]*lane{}
		}
		s.lanes[token] = ln
	}
	return ln
}

// drop forgets an empty open lane.
func (ln *lane) drop() {
	if len(ln.q) == 0 && !ln.held && ln.run == nil && ln.sub.lanes[ln.token] == ln {
		delete(ln.sub.lanes, ln.token)
	}
}

// find returns the item with that sequence; the queue is sorted by sequence.
func (ln *lane) find(seq uint64) *item {
	lo, hi := 0, len(ln.q)
	for lo < hi {
		if mid := (lo + hi) / 2; ln.q[mid].seq < seq {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(ln.q) && ln.q[lo].seq == seq {
		return ln.q[lo]
	}
	return nil
}

// enqueue puts a delivery of the feed (it.win) or of the reader (it.reader)
// at the end of its lane, unless the lane knows the sequence already (R6).
func (s *sub) enqueue(it *item) {
	c := s.core
	ln := s.laneOf(it.ev)
	if n := len(ln.q); n > 0 && ln.q[n-1].seq >= it.seq {
		if old := ln.find(it.seq); old != nil {
			ln.adopt(old, it)
			return
		}
	}
	if ln.held && it.seq <= ln.maxSeq || it.seq <= s.loadedMax[ln.token] {
		s.settleItem(it)
		ln.drop()
		return
	}
	ln.maxSeq = max(ln.maxSeq, it.seq)
	it.lane = ln
	if it.reader {
		s.reader.outstanding++
		c.readBytes += it.ev.Size()
	}
	if s.rec.Coalesce {
		keep := ln.q[:0:0]
		for _, old := range ln.q {
			if ln.run != nil && ln.run.item == old || old.seq > it.seq || !supersedes(s.rec, it, old) {
				keep = append(keep, old)
				continue
			}
			c.superseded(old)
		}
		ln.q = keep
	}
	ln.q = append(ln.q, it)
	if ln.held {
		s.dropEvent(it)
		if len(ln.q) > c.Lane && s.mode == live {
			s.goReading(reasonBacklog, nil)
		} else {
			ln.write()
		}
	}
	s.offer(ln)
}

// adopt lets the item that stands in the lane take over what the new one came for.
func (ln *lane) adopt(old, it *item) {
	s := ln.sub
	if w := it.win; w != nil {
		switch {
		case old.inLedger:
			s.core.settle(it)
		case old.win == nil:
			it.win = nil
			old.win = w
			w.items = append(w.items, old)
		default:
			s.core.settle(it)
		}
	}
	if it.reader {
		switch {
		case old.inLedger:
			s.reader.done.add(it.seq, it.seq)
		case !old.reader:
			old.reader = true
			s.reader.outstanding++
			if old.ev != nil {
				s.core.readBytes += old.ev.Size()
			}
		}
	}
}

// dropEvent frees the payload of an item that may wait for long: it is read
// again when its turn comes.
func (s *sub) dropEvent(it *item) {
	if it.ev != nil && it.reader {
		s.core.readBytes -= it.ev.Size()
	}
	it.ev = nil
}

// shed frees the payloads of all that waits: the subscription stands still.
func (s *sub) shed() {
	for _, ln := range s.lanes {
		for _, it := range ln.q {
			if ln.run == nil || ln.run.item != it {
				s.dropEvent(it)
			}
		}
	}
}

// supersedes tells whether the newer delivery makes the older one needless.
func supersedes(rec *Subscription, newer, older *item) bool {
	if rec.Method == "GET" {
		return true
	}
	return rec.Payload == "notification" && newer.ev != nil && older.ev != nil && newer.ev.Type == older.ev.Type
}

func (c *core) superseded(it *item) {
	it.gone = true
	c.figures.Superseded++
	c.out.log(logInfo, "superseded", "subscription_id", it.sub.id, "sequence", it.seq)
	it.sub.settleItem(it)
}

// settleItem: nobody owes this in memory any more.
func (s *sub) settleItem(it *item) {
	if s.dead {
		return
	}
	s.core.settle(it)
	if it.lane != nil && it.reader {
		it.reader = false
		s.reader.outstanding--
		if it.ev != nil {
			s.core.readBytes -= it.ev.Size()
		}
	}
	if (s.mode == reading || s.mode == going) && it.seq >= s.reader.from {
		s.reader.done.add(it.seq, it.seq)
		s.reader.moved = true
	}
}

// ---- the entry in the ledger

func (ln *lane) park() {
	ln.hold()
	if len(ln.q) > ln.sub.core.Lane {
		ln.sub.goReading(reasonBacklog, nil)
	}
	ln.write()
}

func (ln *lane) hold() {
	if !ln.held {
		ln.held = true
		ln.sub.held++
		ln.sub.core.figures.Held++
		ln.sub.changed()
	}
}

func (ln *lane) release() {
	if ln.held {
		ln.held = false
		ln.sub.held--
		ln.sub.core.figures.Held--
		ln.sub.changed()
	}
}

func (ln *lane) ledgerKey() string { return laneKey(ln.sub.id, ln.token) }

// write brings the entry of a held lane up to date; a lane opens only when the
// removal of its entry is confirmed and nothing newer is wanted (R6).
func (ln *lane) write() {
	s := ln.sub
	c := s.core
	if s.dead {
		return
	}
	if upTo := s.loadedMax[ln.token]; len(ln.q) == 0 && upTo > c.floorDurable && s.mode == live {
		// The feed has yet to come to what a predecessor had put here: a
		// successor must know that it is settled.
		c.drained = append(c.drained, ln)
		c.put(BucketOwed, ln.ledgerKey(), &LaneEntry{Generation: s.gen, Key: ln.key, UpTo: upTo}, nil)
		return
	}
	if len(ln.q) == 0 {
		c.put(BucketOwed, ln.ledgerKey(), nil, func(confirmed any) {
			if k := c.keys[ln.ledgerKey()]; confirmed == nil && len(ln.q) == 0 && ln.held && (k == nil || !k.wanted) && !s.dead {
				ln.release()
				ln.drop()
				s.pumpReader()
			}
		})
		return
	}
	e := &LaneEntry{Generation: s.gen, Key: ln.key, Redrive: ln.redrive,
		Head: Head{Attempts: ln.attempts, Next: ln.nextWall, LastStatus: ln.lastStatus, LastError: ln.lastError}}
	n := min(len(ln.q), c.Lane)
	e.Seqs = make([]uint64, n)
	items := make([]*item, 0, n)
	for i, it := range ln.q[:n] {
		e.Seqs[i] = it.seq
		if !it.inLedger {
			items = append(items, it)
		}
	}
	c.put(BucketOwed, ln.ledgerKey(), e, func(confirmed any) {
		got, _ := confirmed.(*LaneEntry)
		if got == nil || s.dead {
			return
		}
		in := seqSet{}
		for _, q := range got.Seqs {
			in.add(q, q)
		}
		for _, it := range items {
			if it.gone || it.inLedger || !in.has(it.seq) {
				continue
			}
			it.inLedger = true
			s.settleItem(it)
			if ln.run == nil || ln.run.item != it {
				it.ev = nil
			}
		}
		s.pumpReader()
	})
}

// loadLane takes a lane over from a predecessor (R9).
func (s *sub) loadLane(token string, e LaneEntry) {
	c := s.core
	if len(e.Seqs) == 0 && e.UpTo == 0 {
		c.put(BucketOwed, laneKey(s.id, token), nil, nil)
		return
	}
	ln := s.lane(token, e.Key)
	ln.key = e.Key
	ln.redrive = e.Redrive
	ln.attempts, ln.nextWall, ln.lastStatus, ln.lastError = e.Head.Attempts, e.Head.Next, e.Head.LastStatus, e.Head.LastError
	ln.next = c.out.boot() + e.Head.Next.Sub(c.out.wall())
	ln.hold()
	for _, q := range e.Seqs {
		ln.q = append(ln.q, &item{seq: q, sub: s, lane: ln, inLedger: true, at: c.out.boot()})
		if ln.redrive == 0 {
			if s.mode == reading && q >= s.reader.from {
				s.reader.done.add(q, q)
			}
		}
	}
	ln.maxSeq = e.UpTo
	if n := len(e.Seqs); n > 0 {
		ln.maxSeq = max(ln.maxSeq, e.Seqs[n-1])
	} else {
		c.drained = append(c.drained, ln)
	}
	if ln.redrive == 0 {
		if s.loadedMax == nil {
			s.loadedMax = map[string]uint64{}
		}
		s.loadedMax[token] = ln.maxSeq
	}
	ln.wake()
}

// wake offers the lane again when its head is due.
func (ln *lane) wake() {
	c := ln.sub.core
	if d := ln.next - c.out.boot(); d > 0 {
		c.after(d, func() { ln.sub.offer(ln) })
	} else {
		ln.sub.offer(ln)
	}
}

// ---- attempts

// offer lets a lane run its head as soon as the subscription allows it.
func (s *sub) offer(ln *lane) {
	if s.dead || ln.ready || ln.run != nil || len(ln.q) == 0 {
		return
	}
	if ln.next > s.core.out.boot() && !(s.breaker && s.probing()) {
		return // its timer offers it again
	}
	ln.ready = true
	s.ready = append(s.ready, ln)
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
func (s *sub) pump() {
	c := s.core
	for len(s.ready) > 0 && s.open() && s.inFlight < s.maxInFlight() {
		if c.running >= c.MaxRunning {
			c.blocked[s] = struct{}{}
			return
		}
		ln := s.ready[0]
		s.ready[0] = nil
		s.ready = s.ready[1:]
		ln.ready = false
		if len(ln.q) == 0 || ln.run != nil || s.lanes[ln.token] != ln {
			continue
		}
		if ln.held && c.stale(ln.ledgerKey()) {
			c.blocked[s] = struct{}{}
			continue
		}
		probe := s.breaker
		if !probe && ln.next > c.out.boot() {
			continue
		}
		if probe {
			s.probeAt = noTime // until this one has ended
		}
		ln.start(probe)
	}
	if len(s.ready) == 0 {
		s.ready = nil
	}
}

// open tells whether the subscription may start an attempt now. If time alone
// can change it, it is seen to that the subscription is asked again.
func (s *sub) open() bool {
	c := s.core
	if s.busy || len(s.revs) > 0 || s.dead || s.rec == nil || !s.active || !s.valid || s.suspended || s.mode != live && s.mode != reading {
		return false // kicked when that changes
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
	if s.breaker {
		return s.probing()
	}
	return true
}

func (s *sub) probing() bool { return s.probeAt <= s.core.out.boot() }

func (s *sub) maxInFlight() int {
	if s.breaker {
		return s.inFlight + 1 // a probe goes beside what still runs
	}
	return s.rec.MaxInFlight
}

func (ln *lane) start(probe bool) {
	s := ln.sub
	c := s.core
	it := ln.q[0]
	a := &attempt{lane: ln, item: it, probe: probe, at: c.out.boot(), Seq: it.seq,
		Delivery: Delivery{Subscription: s.rec, Event: it.ev, Generation: s.gen, Attempt: ln.attempts + 1, Redrive: ln.redrive > 0}}
	a.DeadLetter = ln.redrive
	ln.run = a
	s.inFlight++
	c.running++
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
	a.ended = true
	ln, it := a.lane, a.item
	s := ln.sub
	s.inFlight--
	c.running--
	ln.run = nil
	if s.dead {
		return
	}
	c.judge(a, o, ev)
	if ln.run == nil {
		if len(ln.q) > 0 && !(ln.q[0] == it && o.Verdict != Delivered) {
			s.offer(ln)
		} else {
			ln.drop()
		}
	}
	s.pump()
	c.expandNext()
	if c.running == c.MaxRunning-1 && len(c.blocked) > 0 {
		for _, b := range ordered(c.blocked) {
			delete(c.blocked, b)
			b.pump()
			break
		}
	}
}

func (c *core) judge(a *attempt, o Outcome, ev *Event) {
	ln, it := a.lane, a.item
	s := ln.sub
	now := c.out.boot()
	switch o.Verdict {
	case Delivered:
		c.figures.Delivered++
		s.failures, s.probes = 0, 0
		ln.remove(it)
		if s.breaker {
			s.closeBreaker()
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
		s.probes++
		s.probeIn(min(c.ProbeMin<<min(s.probes, 16), c.ProbeMax))
	}
	if it.gone { // superseded, or no longer the lane's while it ran
		return
	}
	if o.RetryAfter > 0 {
		s.waitUntil(now + o.RetryAfter)
	}
	if o.EndpointFault {
		s.failures++
		if s.failures >= c.Failures && !s.breaker {
			s.openBreaker(o.Reason)
		}
	}
	if o.Verdict == SuspendedByReceiver && !s.suspended {
		s.suspended = true
		s.reason = o.Reason
		s.changed()
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
	ln.lastStatus, ln.lastError, ln.fault = o.Status, o.Reason, o.EndpointFault
	schedule := s.rec.RetrySchedule()
	if o.Verdict == GiveUp || ln.attempts > len(schedule) {
		ln.bury(ln.q[0], o, ev)
		return
	}
	wait := schedule[ln.attempts-1]
	wait += time.Duration((c.rng.Float64()*2 - 1) * 0.1 * float64(wait))
	wait = max(wait, o.RetryAfter)
	ln.next, ln.nextWall = now+wait, c.out.wall().Add(wait)
	ln.hold()
	if s.held > c.Lanes || len(ln.q) > c.Lane {
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
	} else if (s.mode == reading || s.mode == going) && it.seq >= s.reader.from {
		s.reader.done.add(it.seq, it.seq)
		s.reader.moved = true
	}
	ln.attempts, ln.next, ln.nextWall, ln.lastStatus, ln.lastError, ln.fault = 0, 0, time.Time{}, 0, "", false
	if ln.held {
		ln.write()
	}
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
				c.out.log(logWarn, "redriven dead letter could not be removed, tried again", "subscription_id", ln.sub.id, "error", err)
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
	d := DeadLetter{Subscription: s.id, Generation: s.gen, Lane: ln.token, Key: ln.key, Reason: o.Reason, Attempts: ln.attempts,
		LastStatus: o.Status, Sequence: it.seq, Time: c.out.wall(), Event: ev, ID: c.nextID()}
	if d.Key == "" {
		d.Key = ln.token
	}
	if ev != nil {
		d.DeliveryID = deliveryID(ev, s.id, s.gen)
	}
	var try func()
	try = func() {
		c.out.bury(d, func(err error) {
			if c.dead || s.dead {
				return
			}
			if it.gone { // superseded meanwhile
				ln.run = nil
				ln.attempts, ln.next = 0, 0
				s.offer(ln)
				return
			}
			if err != nil {
				c.out.log(logWarn, "dead letter could not be stored: kept and tried again", "subscription_id", s.id, "sequence", it.seq, "error", err)
				c.after(c.Busy, try)
				return
			}
			ln.run = nil
			c.figures.Dead++
			c.out.log(logWarn, "dead letter", "subscription_id", s.id, "sequence", it.seq, "order", d.Key, "attempts", d.Attempts, "status", d.LastStatus, "reason", d.Reason)
			s.probes = 0
			ln.remove(it)
			s.offer(ln)
			ln.drop()
		})
	}
	try()
}
