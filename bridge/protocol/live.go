package protocol

import (
	"orderbridge/bridge/event"
)

// # R7 Back to live
//
// A reading subscription goes back to live at P, the sequence up to which its reader has read, when
//
//   - P is at or above the position (inherited intervals and cursor included), and at or above its
//     anchor,
//   - nothing above P is in done,
//   - it has no until, no revision of its record is being applied or waits for it, and its breaker
//     is closed.
//
// From then on the feed owes it what comes after P. The mark is not removed:
//
//   - If all that was read is settled or in lane entries, the mark becomes {live: P+1}. Its
//     confirmation is a debt of the feed's next event. It is removed when the floor of a confirmed
//     lease entry is at or above P.
//   - Otherwise what is not settled are leftovers: the mark becomes {from, done, live: P+1}, whose
//     confirmation is a debt of the feed's next event too. What is settled at or below P goes into
//     the mark, what is settled above P into the lease. When the last leftover is settled, the mark
//     becomes {live: P+1}.
//
// Loaded at a take-over, {live: L} means: live, owes nothing below L. A mark with leftovers makes a plain reading from
// from: what the lease says of L and above goes into done, and this mark is confirmed before the feed opens. A new
// mark may replace a {live} mark at any time, and pays the same debt.
//
// Added: leftovers. Under a steady flow there is never a moment at which nothing that was read is outstanding, so a
// subscription that waits for one reads for ever. Found by a test under load, not by the simulation.

// leftovers tells whether the subscription is live again while some of what it
// has read is not settled yet (R7).
func (s *sub) leftovers() bool { return s.mode == live && s.reader != nil }

// backToLive is R7: the feed owes what comes after the present position. What
// was read and is not settled yet stays, with the mark, a leftover.
func (s *sub) backToLive() bool {
	c := s.core
	r := s.reader
	if s.failing() || r.at < s.position() || r.at+1 < s.liveFrom || r.until != noLimit || s.busy() || len(s.revs) > 0 || r.done.max() > r.at {
		return false
	}
	c.log(Info, "subscription is live again", "subscription_id", s.id, "position", r.at, "unsettled", r.outstanding)
	s.enter(live)
	s.liveFrom = r.at + 1
	r.round++ // a read under way comes too late
	r.pulling = false
	c.newMarks = append(c.newMarks, s)
	s.changed()
	if r.from > r.at {
		s.endReading()
		s.writeLive()
		return true
	}
	c.emit(ForgetReader{s.id})
	s.writeMark()
	return true
}

// endLeftovers ends a reading whose last delivery is settled.
func (s *sub) endLeftovers() {
	if s.reader.advance(); s.reader.from > s.reader.at {
		s.endReading()
		s.writeLive()
	}
}

// writeLive stores the mark {live}; it is removed when the floor has passed it.
func (s *sub) writeLive() {
	c := s.core
	mark := s.liveFrom
	s.liveMark = mark
	c.put(BucketOwed, s.id, &Mark{Generation: s.gen, Live: mark, Known: event.Refs(c.top)},
		effect{what: paysMark, sub: s}, effect{what: isLive, sub: s, mark: mark})
}

func (s *sub) liveConfirmed(mark uint64) {
	if s.mode == live && s.reader == nil && s.liveMark == mark {
		s.core.liveMarks[s] = struct{}{}
	}
}

// floorMoved removes what only mattered until the confirmed floor had passed
// it: {live} marks (R7) and drained lanes of a predecessor (R6).
func (c *Machine) floorMoved() {
	if len(c.drained) > 0 {
		drained := c.drained
		c.drained = nil
		for _, ln := range drained {
			if len(ln.q) == 0 && ln.held && ln.sub.mode != gone {
				ln.write()
			}
		}
	}
	for _, s := range ordered(c.liveMarks) {
		if s.mode == live && s.reader == nil && !s.busy() && s.liveMark > 0 && c.floorDurable+1 >= s.liveMark {
			s.liveMark = 0
			delete(c.liveMarks, s)
			c.put(BucketOwed, s.id, nil)
		}
	}
}
