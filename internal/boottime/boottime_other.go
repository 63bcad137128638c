//go:build !linux

package boottime

import "time"

var start = time.Now()

// Go's monotonic clock is the nearest thing where there is no boot clock; it
// may stand still while the machine sleeps, so a laptop that wakes up may
// repeat what a replica elsewhere has sent meanwhile.
func boot() time.Duration { return time.Since(start) }
