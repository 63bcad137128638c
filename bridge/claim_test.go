package bridge

import "time"

func (c *stoppedClock) Now() time.Time { return time.Unix(1767225600, 0).Add(c.boot) }

func (c *stoppedClock) Boot() time.Duration { return c.boot }
