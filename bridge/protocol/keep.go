package protocol

// What is owed by reference lies below the feed's floor: nothing but the
// stream's limits keeps it there. As long as something is owed, a consumer that
// nobody reads from stands below it on the stream. It changes nothing where
// retention is by limits; where somebody edits it to interest, the server does
// not delete what is owed, so that it can still be copied (losing.go).

// keep has it stand at the oldest event that is owed by reference.
func (c *Machine) keep() {
	low := uint64(noLimit)
	for _, s := range c.which(func(s *sub) bool { return s.reader != nil || s.held > 0 }) {
		low = min(low, s.lowestHeld())
	}
	c.kept = low != noLimit
	c.ask(request{out: KeepFrom{c.newRequest(), low}})
}

// keepSoon is asked each second: trouble has begun and nothing is kept yet.
func (c *Machine) keepSoon() {
	if c.opened && !c.kept && (len(c.readers) > 0 || c.figures.Held > 0) {
		c.keep()
	}
}

// lowestHeld is the oldest event that the subscription owes by reference;
// noLimit if there is none.
func (s *sub) lowestHeld() uint64 {
	low := uint64(noLimit)
	if r := s.reader; r != nil {
		if r.advance(); r.from <= r.until {
			low = r.from
		}
	}
	for _, ln := range s.lanes {
		if ln.held && len(ln.q) > 0 && ln.redrive == 0 {
			low = min(low, ln.q[0].seq)
		}
	}
	return low
}
