package protocol

import (
	"time"

	"orderbridge/bridge/event"
	"orderbridge/bridge/record"
)

// item is one delivery in memory: what a subscription owes for one event.
type item struct {
	seq      uint64
	stamp    int64        // the time of its message (R15), Unix nanoseconds; 0: not known
	ev       *event.Event // nil: read by sequence when it is attempted
	sub      *sub
	lane     *lane        // nil: only a debt, while the subscription goes to reading
	win      *windowEvent // whose debt it is; nil if it is not the feed's (any more)
	reader   bool         // counts as outstanding of the reader
	inLedger bool         // stands, confirmed, in the entry of its lane
	gone     bool         // no longer in its lane
	at       time.Duration
}

func (it *item) ref() event.Ref { return event.Ref{Seq: it.seq, Time: it.stamp} }

// lane is what waits for one another: the deliveries of one subscription and
// one order key, oldest first. A lane is open (memory only) or held (an entry
// in the ledger).
type lane struct {
	sub        *sub
	token      string
	key        string // plain
	order      string // plain order id, "" if the lane is not that of one order
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
	fault      bool // the last failure was the endpoint's
	hopeless   bool // it holds up its subscription: what fails is a dead letter at once
	own        bool // its trouble is its own: others got through meanwhile
	failedAt   time.Duration
	cut        bool   // its last attempt was cut off by a stop, and none has begun since
	formerID   string // id of a redriven delivery, once it was attempted
	redrive    uint64 // dead letter that was put back; such a lane holds just that one
	letterOf   uint64 // the event of that letter
}

func (s *sub) laneOf(ev *event.Event) *lane {
	token, key := ev.Key(s.rec.Ordering)
	ln := s.lane(token, key)
	if s.rec.Ordering != event.OrderingStrict {
		ln.order = ev.Order()
	}
	return ln
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
		ln.leaveLine()
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
			ln.absorb(old, it)
			return
		}
	}
	if ln.held && it.seq <= ln.maxSeq || it.seq <= s.loadedMax[ln.token] && !s.rereads(it.seq) {
		s.settle(it)
		ln.drop()
		return
	}
	ln.maxSeq = max(ln.maxSeq, it.seq)
	it.lane = ln
	if it.reader {
		s.reader.outstanding++
		s.readsAhead(it.ev.Size())
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
		if s.mode == live && (len(ln.q) > c.Lane || s.overLedger()) {
			s.goReading(reasonBacklog)
		} else {
			ln.write()
		}
	}
	s.offer(ln)
}

// absorb lets the item that stands in the lane take over what the new one came for.
func (ln *lane) absorb(old, it *item) {
	s := ln.sub
	if w := it.win; w != nil {
		switch {
		case old.inLedger:
			s.core.pay(it)
		case old.win == nil:
			it.win = nil
			old.win = w
			w.items = append(w.items, old)
		default:
			s.core.pay(it)
		}
	}
	if it.reader {
		switch {
		case old.inLedger:
			s.reader.done.addRef(it.ref())
		case !old.reader:
			old.reader = true
			s.reader.outstanding++
			if old.ev != nil {
				s.readsAhead(old.ev.Size())
			}
		}
	}
}

// dropEvent frees the payload of an item that may wait for long: it is read
// again when its turn comes.
func (s *sub) dropEvent(it *item) {
	if it.ev != nil && it.reader {
		s.readsAhead(-it.ev.Size())
	}
	it.ev = nil
}

// shed frees the payloads of all that waits: the subscription stands still. What the stream is about
// to drop stays, for its dead letter: it may be the only copy by then.
func (s *sub) shed() {
	for _, ln := range s.lanes {
		for _, it := range ln.q {
			if (ln.run == nil || ln.run.item != it) && (it.seq > s.core.expiring || ln.redrive > 0) {
				s.dropEvent(it)
			}
		}
	}
}

// supersedes tells whether the newer delivery makes the older one needless.
func supersedes(rec *record.Subscription, newer, older *item) bool {
	if rec.Method == "GET" {
		return true
	}
	payload, _ := event.PayloadOf(rec.Payload)
	return payload.Replaces != nil && newer.ev != nil && older.ev != nil && payload.Replaces(newer.ev, older.ev)
}

func (c *Machine) superseded(it *item) {
	it.gone = true
	c.figures.Superseded++
	c.log(Info, "superseded", "subscription_id", it.sub.id, "sequence", it.seq)
	c.tellSuperseded(it)
	it.sub.settle(it)
}

// settle: nobody owes this in memory any more.
func (s *sub) settle(it *item) {
	if s.mode == gone {
		return
	}
	s.core.pay(it)
	if it.lane != nil && it.reader {
		it.reader = false
		s.reader.outstanding--
		if it.ev != nil {
			s.readsAhead(-it.ev.Size())
		}
	}
	s.noteSettled(it.ref())
}

// wake offers the lane again when its head is due.
func (ln *lane) wake() {
	c := ln.sub.core
	if d := ln.next - c.now.Boot; d > 0 {
		c.after(d, timer{what: dueOffer, sub: ln.sub, lane: ln})
	} else {
		ln.sub.offer(ln)
	}
}
