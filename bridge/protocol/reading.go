package protocol

import (
	"slices"

	"orderbridge/bridge/event"
	"orderbridge/internal/limits"
)

// # R6 Going to reading
//
// A live subscription goes to reading in this order:
//
//   1. In memory: it starts no attempt any more, and new events of the feed only get a debt for it.
//   2. The mark is made. from is the lowest sequence that the subscription still owes. The rest of
//     the newest event that is not yet expanded for it counts as owed. done is everything from from
//     to the position that it does not owe: settled, in a confirmed lane entry, or not matched. If
//     the subscription has been live since before this term, the inherited intervals and the cursor
//     count as done too. If it still had leftovers (R7), from and done include those.
//   3. The mark is confirmed.
//   4. Only now the feed's debts are paid, waiting deliveries leave memory, and the reader starts
//     at from.
//
// A lane with a running attempt stays busy. Its success goes into done; its failure counts only if the reader has come
// to that event; else the reader will come to it.
//
// Held lanes. A sequence is not queued again, but settled at once, if
//
//   - it is in the lane already (then the lane's item takes over what the new one came for), or
//   - the lane is held and the sequence is at or below the highest that it held, or
//   - it is at or below the highest of the entry with which the lane was loaded at take-over, also
//     after that entry is gone.
//
// A lane opens only when the removal of its entry is confirmed and nothing newer is wanted under that key.
//
// Added: drained lanes. While the subscription is live, an entry that was loaded at take-over is, when it becomes
// empty, not removed but rewritten to {upTo: highest loaded}, until the floor of a confirmed lease entry is at or
// above it. Loaded, it means: at or below upTo this lane owes nothing but its seqs.

// Steps 1 to 3 are goReading, step 4 is enterReading. Held lanes are in lane.go (enqueue, absorb) and held.go, a failure
// that the reader will come to is in settling.go (leaveToReader). Why each step is as it is, and which trace it
// prevents: docs/rules.md. What it looks like: testdata/r06_*.txt.

// goReading is R6. The effects, if any, follow when the mark is confirmed.
func (s *sub) goReading(reason string, then ...effect) {
	s.goReadingUntil(reason, noLimit, then...)
}

// goReadingUntil is goReading for a subscription that owes nothing above until.
func (s *sub) goReadingUntil(reason string, until uint64, then ...effect) {
	c := s.core
	if s.mode == gone || s.mode == unseen {
		return
	}
	switch s.mode {
	case reading:
		for _, e := range then {
			c.confirmed(e, nil)
		}
		return
	case going:
		s.reader.until = min(s.reader.until, until)
		if len(then) > 0 {
			s.writeMark(then...)
		}
		return
	}
	c.log(Info, "subscription reads", "subscription_id", s.id, "reason", reason)
	old := s.reader // with leftovers of an earlier reading
	from := max(c.taken+1, s.liveFrom)
	for _, w := range c.win {
		if s.owes(w) {
			from = min(from, w.seq())
			break
		}
	}
	if old != nil {
		if old.advance(); old.from <= old.at {
			from = min(from, old.from)
		}
		s.disownReader()
	}
	r := s.startReading(from, reason)
	r.until = until
	s.enter(going)
	s.liveMark = 0
	delete(c.liveMarks, s)
	since := from
	if old != nil {
		since = max(old.at+1, from)
		for _, x := range old.done.spans {
			r.done.addAt(max(x.From, from), x.To, x.At)
		}
	}
	c.settledFor(s, since, s.fromLoad, &r.done)
	s.writeMark(append([]effect{{what: entersRead, sub: s}}, then...)...)
}

// owes tells whether the subscription owes something to the feed for the event:
// a delivery, or that it is not yet expanded for it.
func (s *sub) owes(w *windowEvent) bool {
	if w.settled {
		return false
	}
	for _, it := range w.items {
		if it.sub == s && it.win == w {
			return true
		}
	}
	c := s.core
	return w.unexpanded(s.id) && w.seq() >= s.liveFrom && !(w.seq() == c.cursor.Seq && s.id < c.cursor.ID) && !c.formers.settled(s.id, w.seq())
}

// enterReading: the mark is confirmed, so the feed's debts are paid, what
// waits leaves memory, and the reader starts.
func (s *sub) enterReading() {
	c := s.core
	r := s.reader
	s.enter(reading)
	s.fromLoad = false
	r.at = r.from - 1
	for _, token := range sorted(s.lanes) {
		ln := s.lanes[token]
		if ln.redrive > 0 {
			continue // outside the order of the stream
		}
		var keep []*item
		for _, it := range ln.q {
			if !it.inLedger {
				r.ahead++
			}
			if it.inLedger || ln.run != nil && ln.run.item == it || ln.cut && it == ln.q[0] {
				keep = append(keep, it)
				if it.inLedger && it.seq >= r.from {
					r.done.addRef(it.ref())
				}
			} else {
				it.gone = true
			}
		}
		ln.q = keep
		ln.maxSeq = 0
		if n := len(keep); n > 0 {
			ln.maxSeq = keep[n-1].seq
		}
		if ln.held {
			ln.write()
		}
		ln.drop()
	}
	for _, w := range slices.Clone(c.win) {
		for _, it := range w.items {
			if it.sub == s {
				if it.win != nil && it.lane == nil {
					r.ahead++
				}
				c.pay(it)
			}
		}
	}
	if st := s.standing(); st != inForce && st != isSuspended && st != isPaused {
		c.Directory.Remove(s.id)
	}
	s.changed()
	s.kick()
}

// disownReader makes what an earlier reading has in memory ordinary: a new
// reading comes to it again, unless it is settled before.
func (s *sub) disownReader() {
	for _, ln := range s.lanes {
		for _, it := range ln.q {
			if it.reader {
				it.reader = false
				if it.ev != nil {
					s.readsAhead(-it.ev.Size())
				}
			}
		}
	}
}

func (s *sub) mark() *Mark {
	r := s.reader
	if s.mode != going {
		r.advance()
	}
	m := &Mark{Generation: s.gen, From: r.from, Done: r.done.list(), Reason: r.reason}
	if s.leftovers() {
		m.Live = s.liveFrom
	}
	if r.until != noLimit {
		u := r.until
		m.Until, m.UntilTime = &u, s.untilTime
	}
	ends := r.done.ends()
	m.Known = event.Refs(append(ends[max(0, len(ends)-limits.MarkEnds):], r.before, s.core.top)...)
	return m
}

// writeMark stores the position. A {live} mark that it replaces is as good as
// confirmed: the new one pays the same debt (R7).
func (s *sub) writeMark(then ...effect) {
	s.reader.moved = false
	effects := append([]effect{{what: paysMark, sub: s}}, then...)
	s.core.put(BucketOwed, s.id, s.mark(), append(effects, effect{what: pumpsReader, sub: s})...)
}

// settledFor adds to done what the feed has settled for a subscription from a
// sequence on, at or above that from which it owes to the feed. Three rules need
// it: who goes to reading says it in the mark (R6), leftovers included (R7), and
// so does the successor of one that had leftovers (R9). inherited: the intervals
// and the cursor of the lease that was won speak of the subscription too, and so
// does what its former shard had settled (R18).
func (c *Machine) settledFor(s *sub, from uint64, inherited bool, done *seqSet) {
	done.add(from, c.prefix)
	for _, w := range c.win {
		if w.seq() >= from && !s.owes(w) {
			done.addRef(w.ev.Ref())
		}
	}
	if !inherited {
		return
	}
	for _, x := range c.inherited.spans {
		done.addAt(max(x.From, from), x.To, x.At)
	}
	if c.cursor.Seq >= from && s.id < c.cursor.ID {
		done.add(c.cursor.Seq, c.cursor.Seq)
	}
	c.formers.addTo(done, s.id, from)
}
