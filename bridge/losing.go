package bridge

import "fmt"

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

// Losing tells the leader why the source stream deletes what is owed; "": it
// does not (any more).
func (b *Bridge) Losing(why string) {
	if t := b.term.Load(); t != nil {
		t.post(func() { t.core.setLosing(why) })
	}
}

func (c *core) setLosing(why string) {
	if c.dead || c.losing == why {
		return
	}
	begun := c.losing == ""
	c.losing = why
	if why == "" {
		c.expiring = 0 // the guard's next look says it again
		c.out.holdBack(noLimit)
		c.out.log(logInfo, "the stream keeps what is owed again")
		return
	}
	c.out.log(logError, "the stream deletes what is owed: it is copied to the dead letters", "reason", why)
	c.expiring = noLimit
	if begun {
		c.keepOwed()
	}
}

// keepOwed copies what is owed and holds the acknowledgement below it.
func (c *core) keepOwed() {
	if c.losing == "" || c.stopping {
		return
	}
	low := uint64(noLimit)
	for _, s := range c.which(func(s *sub) bool { return s.reader != nil || len(s.lanes) > 0 }) {
		low = min(low, s.lowestOwed())
		s.rescue()
	}
	c.out.holdBack(low)
	c.after(c.Renew, c.keepOwed)
}

// endangered is up to where events are copied: by the stream's limits, or all
// while it deletes what is owed.
func (c *core) endangered(byLimits uint64) uint64 {
	if c.losing != "" {
		return noLimit
	}
	return byLimits
}

// Alert tells the operators something about the bus; only the leader does.
func (b *Bridge) Alert(kind, what, text string) {
	if t := b.term.Load(); t != nil {
		t.post(func() { t.core.raiseBus(kind, what, text) })
	}
}

// raiseBus is raise for what concerns no single subscription.
func (c *core) raiseBus(kind, what, text string) {
	if c.dead {
		return
	}
	if c.figures.Alerts == nil {
		c.figures.Alerts = map[string]uint64{}
	}
	c.figures.Alerts[kind]++
	c.out.alert(Alert{Kind: kind, Subscription: wholeBridge, Text: fmt.Sprintf("%s: %s", what, text), Time: c.out.wall(), ID: kind + "." + c.nextID()})
}

// takingOver says what a leader that does not deliver yet waits for.
func (c *core) takingOver() string {
	if c.stuck == "" {
		return "taking over"
	}
	return "taking over: " + c.stuck
}
