//go:build unix

package process

import (
	"os"
	"os/signal"
	"syscall"
)

// Asked tells each time that somebody asks the process, by SIGUSR1, to write down
// what it knows; until stop is called.
func Asked() (asked <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	return c, func() { signal.Stop(c) }
}
