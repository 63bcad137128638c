package protocol

// A source stream that deletes what is owed. Somebody has edited its retention
// from limits to interest while the bridge runs: from then on the server
// deletes an event as soon as no consumer waits for it, and the feed's durable
// does not wait for what stands, as a reference, in the ledger. So until that
// is mended
//   - everything that is owed by reference is copied to the dead letters, while
//     it is still there;
//   - what fails from now on becomes a dead letter at once, with its event;
//   - the feed acknowledges nothing at or above the oldest event that is owed,
//     which keeps it in the stream.

// reasonLosing begins the reason of a dead letter that was written because of it.
const reasonLosing = reasonExpiring + ", since its retention was changed"

func (c *Machine) setLosing(why string) {
	if c.losing == why {
		return
	}
	begun := c.losing == ""
	c.losing = why
	if why == "" {
		c.expiring = 0 // the guard's next look says it again
		c.held = noLimit
		c.emit(HoldAcks{noLimit})
		c.log(Info, "the stream keeps what is owed again")
		return
	}
	c.log(Error, "the stream deletes what is owed: it is copied to the dead letters", "reason", why)
	c.expiring = noLimit
	if begun {
		c.keepOwed()
	}
}

// keepOwed copies what is owed and holds the acknowledgement below it.
func (c *Machine) keepOwed() {
	if c.losing == "" || c.stopping {
		return
	}
	for _, s := range c.which(func(s *sub) bool { return s.reader != nil || len(s.lanes) > 0 }) {
		s.rescue()
	}
	c.holdAcks()
	c.after(c.Renew, timer{what: dueOwed})
}

// holdAcks holds the acknowledgement below what is owed by reference, or may be:
// a record that was seen and is not applied yet may owe what has come since.
func (c *Machine) holdAcks() {
	low := uint64(noLimit)
	for s := range c.readers {
		low = min(low, s.lowestOwed())
	}
	for s := range c.holding {
		if s.mode != gone {
			low = min(low, s.lowestOwed())
		}
	}
	for s := range c.behind {
		if len(s.revs) > 0 && s.mode != gone {
			low = min(low, s.revs[0].seen+1)
		}
	}
	if low != c.held {
		c.held = low
		c.emit(HoldAcks{low})
	}
}

// endangered is up to where events are copied: by the stream's limits, or all
// while it deletes what is owed.
func (c *Machine) endangered(byLimits uint64) uint64 {
	if c.losing != "" {
		return noLimit
	}
	return byLimits
}
