package protocol

import (
	"fmt"

	"orderbridge/internal/limits"
)

// # R15, leaving
//
// Events in memory may be readable nowhere else. So the term takes nothing in any more, delivers for 2
// s what it can, parks the rest like a graceful stop (R10b), only faster (3 s at most), and the next term follows at
// once.

// leave ends the term because the stream has changed.
func (c *Machine) leave(why string) {
	cause := fmt.Errorf("%w: %s", ErrStreamChanged, why)
	switch {
	case !c.opened:
		c.end(cause)
		return
	case c.leaving != nil || c.handover.step != leading: // it ends already
		return
	}
	c.leaving, c.leaveUntil = cause, c.now.Boot+limits.LeaveDeliver
	c.log(Warn, "the source stream has changed: what is in memory is delivered or written down, then the bridge takes over again", "reason", why, "unsettled", len(c.win))
	c.leaveSoon()
}

// leaveSoon hands over when all is delivered, or a moment has passed.
func (c *Machine) leaveSoon() {
	now := c.now.Boot
	switch {
	case c.handover.step != leading: // a graceful stop came first
	case len(c.win) > 0 && now < c.leaveUntil:
		c.after(c.Tick/10, timer{what: dueLeaving})
	default:
		c.handover = handover{step: draining, until: now, last: now + limits.LeaveLast}
		c.handOver()
	}
}
