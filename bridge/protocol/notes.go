package protocol

import (
	"strings"

	"orderbridge/bridge/event"
	"orderbridge/internal/limits"
)

// noteBounds takes note of an event that tells more than is used.
func (c *Machine) noteBounds(e *event.Event) {
	names := e.Overlong()
	if names == nil || e.Not != "" {
		return
	}
	c.figures.Overlong++
	what := strings.Join(names, ", ")
	c.complain("event tells a value that is too long: it counts as not told", what, "value", what, "most_bytes", limits.ValueBytes,
		"sequence", e.Seq, "subject", event.Shown(e.Subject), "events", c.figures.Overlong)
}

// passOver takes note of a message that is not an event; the first of each kind is told.
func (c *Machine) passOver(e *event.Event) {
	c.figures.NotEvents++
	level := Debug
	if !c.passed[e.Not] {
		if c.passed == nil {
			c.passed = map[string]bool{}
		}
		c.passed[e.Not] = true
		level = Info
	}
	c.log(level, "message is not an event: it is counted and passed over", "kind", e.Not, "sequence", e.Seq, "subject", e.Subject)
}

// noteTenant takes note of an event that records of tenants may not hear. It is
// told once in a while and only where there are such records.
func (c *Machine) noteTenant(e *event.Event) {
	why := e.Untold()
	if why == "" || e.Not != "" {
		return
	}
	c.figures.Untold++
	if c.Directory.Tied() == 0 {
		return
	}
	c.complain("event is of no tenant: only records without tenant hear it", why,
		"why", why, "sequence", e.Seq, "subject", event.Shown(e.Subject), "events", c.figures.Untold)
}
