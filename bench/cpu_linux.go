package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is what all threads of a process have spent, user and system. The
// clock of another process is exact, where /proc counts in hundredths.
func cpuTime(pid int) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
