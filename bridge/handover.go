package bridge

import "time"

// handover is the state of a graceful stop (R10).
type handover struct {
	deadline  time.Duration // running attempts are cut then
	step      int
	releasing bool // the last lease write is under way
	done      func()
}

// stop hands everything over; done is called when the lease is free and
// nothing of ours is owed in memory. Nothing is repeated afterwards.
func (c *core) stop(done func()) {
	if c.stopping || c.dead {
		return
	}
	c.stopping = true // no attempt, no intake, no expansion any more
	c.handover = handover{deadline: c.out.boot() + c.Grace, done: done}
	c.out.log(logInfo, "handing over", "running", c.running, "unsettled", len(c.win))
}

// handOver goes on with a graceful stop; the tick calls it.
func (c *core) handOver() {
	h := &c.handover
	switch h.step {
	case 0: // running attempts end, or are cut
		if c.running > 0 && c.out.boot() < h.deadline {
			return
		}
		if c.running > 0 {
			c.out.log(logWarn, "attempts cut off by the stop: they are tried again later", "running", c.running)
			for _, id := range sorted(c.subs) {
				s := c.subs[id]
				for _, token := range sorted(s.lanes) {
					if ln := s.lanes[token]; ln.run != nil && !ln.run.burial {
						// The endpoint may still be at it.
						wait := s.rec.AttemptTimeout() - (c.out.boot() - ln.run.at)
						ln.nextWall = c.out.wall().Add(max(wait, 0))
						c.out.cut(ln.run)
					}
				}
			}
		}
		h.step++
	case 1: // every attempt has reported back, every burial is confirmed or known to fail
		if c.running > 0 || c.applying > 0 || c.burying() {
			return
		}
		if !c.opened {
			h.step = 3
			return
		}
		c.parkAll()
		h.step++
	case 2: // what was parked is confirmed; then the readers' positions
		if c.writing() {
			return
		}
		for _, s := range ordered(c.readers) {
			if s.mode != going && !s.busy {
				s.writeMark(nil)
			}
		}
		h.step++
	case 3: // all confirmed, the last renewal too
		if c.writing() || c.renewing {
			return
		}
		h.releasing = true
		h.step++
		c.out.confirm(func(error) {
			if c.dead {
				return
			}
			c.renew(func() {
				c.dead = true
				h.done()
			})
		})
	}
}

func (c *core) burying() bool {
	for _, s := range c.subs {
		for _, ln := range s.lanes {
			if _, failing := c.unstored[ln]; ln.run != nil && !(failing && c.out.boot() >= c.handover.deadline) {
				return true
			}
		}
	}
	return false
}

// parkAll writes down every delivery that is still owed in memory.
func (c *core) parkAll() {
	for _, id := range sorted(c.subs) {
		s := c.subs[id]
		if s.dead || s.mode != live && s.mode != reading {
			continue
		}
		waiting := 0
		for _, ln := range s.lanes {
			if len(ln.q) > 0 && !ln.held {
				waiting++
			}
		}
		if s.mode == live && waiting > c.Parked {
			s.goReading(reasonHandover, nil)
			continue
		}
		for _, token := range sorted(s.lanes) {
			ln := s.lanes[token]
			if len(ln.q) == 0 || s.mode == reading && !ln.held && ln.nextWall.IsZero() {
				continue // what only the reader has in memory is read again
			}
			ln.hold()
			if len(ln.q) > c.Lane && s.mode == live {
				s.goReading(reasonHandover, nil)
			}
			ln.write()
		}
	}
}
