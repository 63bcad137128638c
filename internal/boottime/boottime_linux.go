package boottime

import (
	"time"

	"golang.org/x/sys/unix"
)

func boot() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic("boottime: " + err.Error()) // part of Linux since 2.6.39
	}
	return time.Duration(t.Nano())
}
