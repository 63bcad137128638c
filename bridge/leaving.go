package bridge

import (
	"fmt"

	"orderbridge/internal/limits"
)

// Leaving (R15): how a term ends whose stream has changed. What it holds in
// memory are events that nobody can read again. So nothing is taken in any
// more, what is in memory is delivered as far as that is a matter of a moment,
// and the rest is written down as at a graceful stop, only faster. The next term,
// of this replica or of another, follows at once and tells what has vanished.

// leave ends the term because the stream has changed.
func (c *core) leave(why string) {
	cause := fmt.Errorf("%w: %s", errStreamChanged, why)
	switch {
	case !c.opened:
		c.end(cause)
		return
	case c.leaving || c.handover.step != leading: // it ends already
		return
	}
	c.leaving = true
	c.out.log(logWarn, "the source stream has changed: what is in memory is delivered or written down, then the bridge takes over anew", "reason", why, "unsettled", len(c.win))
	until := c.out.boot() + limits.LeaveDeliver
	var wait func()
	wait = func() {
		now := c.out.boot()
		if c.handover.step != leading {
			return // a graceful stop came first
		}
		if len(c.win) > 0 && now < until {
			c.after(c.Tick/10, wait)
			return
		}
		c.handover = handover{step: draining, until: now, last: now + limits.LeaveLast, done: func(error) { c.out.over(cause) }}
		c.handOver()
	}
	wait()
}
