package protocol

import (
	"time"

	"orderbridge/bridge/event"
	"orderbridge/internal/limits"
)

// A deleted record's debts are kept for a day (R12), but not the entries of its
// lanes: what waits in them goes into the mark of the subscription, which owes it
// as if it had never been read, and the entries go. How often a delivery had been
// tried is forgotten by that, so a record that is put again begins its schedule
// from the start.

// collapseDeleted goes on with the deleted records whose lanes are still written down.
func (c *Machine) collapseDeleted() {
	if !c.opened || c.stopping {
		return
	}
	for _, s := range ordered(c.collapsing) {
		if s.mode == gone || s.deletedAt.IsZero() || s.collapse() {
			delete(c.collapsing, s)
		}
	}
}

// collapse is true when there is nothing more to do.
func (s *sub) collapse() bool {
	c := s.core
	lanes, more := s.collapsible()
	switch {
	case len(s.lanes) == 0:
		return true
	case s.changing() || s.mode != reading || s.active:
		return false
	case len(lanes) == 0:
		return !more
	}
	waits := seqSet{}
	for _, ln := range lanes {
		for _, it := range ln.q {
			waits.addRef(it.ref())
		}
	}
	if len(waits.spans)+len(s.reader.done.spans) > limits.MarkSpans || waits.spans[0].From <= c.expiring {
		return true // the lanes are shorter, or become dead letters in a moment
	}
	for _, ln := range lanes { // a write under way that is confirmed meanwhile does not settle them
		for _, it := range ln.q {
			it.gone = true
		}
	}
	s.reader.owesAgain(&waits)
	s.begin(confirmingOwn, revision{}) // nothing is read, and no revision applied, until the mark is there
	s.writeMark(effect{what: isCollapsed, sub: s, lanes: lanes})
	return !more
}

// collapsed: the mark tells what the lanes held.
func (s *sub) collapsed(lanes []*lane) {
	for _, ln := range lanes {
		if s.lanes[ln.token] == ln && ln.run == nil {
			ln.handToMark()
		}
	}
	s.changeDone()
}

// collapsible are the lanes that stand in the order of the stream and in which
// nothing is under way, nor may be at the endpoint, and whether there are others yet.
func (s *sub) collapsible() (lanes []*lane, more bool) {
	for _, token := range sorted(s.lanes) {
		switch ln := s.lanes[token]; {
		case ln.redrive > 0 || len(ln.q) == 0:
		case ln.run != nil, ln.cut && ln.next > s.core.now.Boot: // what a stop cut off may be at the endpoint: only the entry says until when (R10b)
			more = true
		default:
			lanes = append(lanes, ln)
		}
	}
	return lanes, more
}

// handToMark empties a lane whose deliveries the mark tells.
func (ln *lane) handToMark() {
	s := ln.sub
	for _, it := range ln.q {
		s.dropEvent(it)
		s.core.pay(it)
		if it.reader {
			it.reader = false
			s.reader.outstanding--
		}
	}
	s.reader.ahead += len(ln.q)
	ln.q, ln.maxSeq = nil, 0
	ln.attempts, ln.next, ln.nextWall, ln.lastStatus, ln.lastError, ln.fault, ln.cut = 0, 0, time.Time{}, 0, "", false, false
	if ln.held {
		ln.write()
	} else {
		ln.drop()
	}
}

// owesAgain lets the reader come once more to what waits: all else from there on,
// as far as it was read, is settled.
func (r *reader) owesAgain(waits *seqSet) {
	r.advance()
	low := min(r.from, waits.spans[0].From)
	r.done.add(low, r.from-1)
	for _, x := range waits.spans {
		r.done.remove(x.From, x.To)
		r.reread.addAt(x.From, x.To, x.At)
	}
	r.from, r.at, r.before = low, low-1, event.Ref{}
	r.round++
	r.pulling, r.moved = false, true
}

// remove takes the sequences from lo to hi out of the set.
func (s *seqSet) remove(lo, hi uint64) {
	var rest []span
	for _, x := range s.spans {
		if x.To < lo || x.From > hi {
			rest = append(rest, x)
			continue
		}
		if x.From < lo {
			rest = append(rest, span{x.From, lo - 1, 0})
		}
		if x.To > hi {
			rest = append(rest, span{hi + 1, x.To, x.At})
		}
	}
	s.spans = rest
}

// rereads tells whether the message had been in a lane, and is owed though what
// else that lane held is settled.
func (s *sub) rereads(seq uint64) bool { return s.reader != nil && s.reader.reread.has(seq) }
