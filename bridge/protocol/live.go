package protocol

import (
	"orderbridge/bridge/event"
)

// leftovers tells whether the subscription is live again while some of what it
// has read is not settled yet (R7).
func (s *sub) leftovers() bool { return s.mode == live && s.reader != nil }

// backToLive is R7: the feed owes what comes after the present position. What
// was read and is not settled yet stays, with the mark, a leftover.
func (s *sub) backToLive() bool {
	c := s.core
	r := s.reader
	if s.failing() || r.at < c.position() || r.at+1 < s.liveFrom || r.until != noLimit || s.busy() || len(s.revs) > 0 || r.done.max() > r.at {
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

// settleLeftovers ends a reading whose last delivery is settled.
func (s *sub) settleLeftovers() {
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
