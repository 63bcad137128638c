package protocol

import (
	"slices"

	"orderbridge/bridge/event"
)

func (ln *lane) park() {
	ln.hold()
	if len(ln.q) > ln.sub.core.Lane {
		ln.sub.goReading(reasonBacklog)
	}
	ln.write()
}

func (ln *lane) hold() {
	if !ln.held {
		ln.held = true
		ln.sub.core.shares.acquire(ln.sub.share(), places, 1)
		ln.sub.held++
		ln.sub.core.figures.Held++
		ln.sub.core.holding[ln.sub] = struct{}{}
		ln.sub.changed()
	}
}

func (ln *lane) unhold() {
	if ln.held {
		ln.held = false
		ln.sub.core.shares.release(ln.sub.share(), places, 1)
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
	if s.mode == gone {
		return
	}
	if upTo := s.loadedMax[ln.token]; len(ln.q) == 0 && upTo > c.floorDurable && s.mode == live {
		// The feed has yet to come to what a predecessor had put here: a
		// successor must know that it is settled.
		c.drained = append(c.drained, ln)
		c.put(BucketOwed, ln.ledgerKey(), &LaneEntry{Generation: s.gen, Key: ln.key, Order: ln.order, UpTo: upTo, Known: event.Refs(c.top)})
		return
	}
	if len(ln.q) == 0 {
		c.put(BucketOwed, ln.ledgerKey(), nil, effect{what: laneOpens, sub: s, lane: ln})
		return
	}
	e := &LaneEntry{Generation: s.gen, Key: ln.key, Order: ln.order, Redrive: ln.redrive,
		Head: Head{Attempts: ln.attempts, Next: ln.nextWall, LastStatus: ln.lastStatus, LastError: ln.lastError, Cut: ln.cut}}
	n := min(len(ln.q), c.Lane)
	e.Seqs = make([]uint64, n)
	items := make([]*item, 0, n)
	for i, it := range ln.q[:n] {
		e.Seqs[i] = it.seq
		e.Known = append(e.Known, it.ref())
		if !it.inLedger {
			items = append(items, it)
		}
	}
	e.Known = event.Refs(e.Known...)
	c.put(BucketOwed, ln.ledgerKey(), e, effect{what: laneHolds, sub: s, lane: ln, items: items})
}

// entryGone: the lane opens, unless something newer is wanted.
func (ln *lane) entryGone(confirmed any) {
	s := ln.sub
	if k := s.core.keys[ln.ledgerKey()]; confirmed == nil && len(ln.q) == 0 && ln.held && (k == nil || !k.wanted) {
		ln.unhold()
		ln.drop()
		s.pumpReader()
	}
}

// entryHolds: what the confirmed entry tells of these items is owed by the ledger.
func (ln *lane) entryHolds(confirmed any, items []*item) {
	s := ln.sub
	got, _ := confirmed.(*LaneEntry)
	if got == nil {
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
		s.settle(it)
		if ln.run == nil || ln.run.item != it {
			it.ev = nil
		}
	}
	s.pumpReader()
}

// loadLane takes a lane over from a predecessor (R9).
func (s *sub) loadLane(token string, e LaneEntry) {
	c := s.core
	if len(e.Seqs) == 0 && e.UpTo == 0 {
		c.put(BucketOwed, laneKey(s.id, token), nil)
		return
	}
	ln := s.lane(token, e.Key)
	ln.key = e.Key
	if ln.order = e.Order; ln.order == "" {
		ln.order = event.OrderOf(token, e.Key)
	}
	ln.redrive = e.Redrive
	c.weighEntry(ln.ledgerKey(), &e)
	ln.attempts, ln.nextWall, ln.lastStatus, ln.lastError, ln.cut = e.Head.Attempts, e.Head.Next, e.Head.LastStatus, e.Head.LastError, e.Head.Cut
	ln.next = c.now.Boot + e.Head.Next.Sub(c.now.Wall)
	ln.hold()
	for _, q := range e.Seqs {
		it := &item{seq: q, sub: s, lane: ln, inLedger: true, at: c.now.Boot}
		if i, ok := slices.BinarySearchFunc(e.Known, it.ref(), event.CompareRefs); ok {
			it.stamp = e.Known[i].Time
		}
		ln.q = append(ln.q, it)
		if ln.redrive == 0 {
			if s.mode == reading && q >= s.reader.from {
				s.reader.done.addRef(it.ref())
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
	} else {
		ln.joinLine()
	}
	ln.wake()
}
