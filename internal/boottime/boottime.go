// Package boottime tells the time since boot, suspend included: what a lease
// is measured by (DESIGN R10). A clock that stands still while the machine
// sleeps would let a leader believe that its lease goes on.
package boottime

import "time"

// Clock implements bridge.Clock by the clocks of the system.
type Clock struct{}

// Now is the wall clock.
func (Clock) Now() time.Time { return time.Now() }

// Boot is the time since boot, suspend included.
func (Clock) Boot() time.Duration { return boot() }
