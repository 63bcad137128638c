//go:build unix

package http1

import (
	"errors"
	"syscall"
)

const canProbe = true

// readNow reads what has come; the descriptor does not block.
func readNow(fd uintptr, b []byte) (int, error) { return uninterrupted(syscall.Read, fd, b) }

// writeNow writes what fits.
func writeNow(fd uintptr, b []byte) (int, error) { return uninterrupted(syscall.Write, fd, b) }

func uninterrupted(call func(fd int, b []byte) (int, error), fd uintptr, b []byte) (int, error) {
	for {
		n, err := call(int(fd), b)
		if !errors.Is(err, syscall.EINTR) {
			return max(n, 0), err
		}
	}
}
