//go:build unix

package http1

import (
	"errors"
	"syscall"
)

const canProbe = true

// readNow reads what has come; the descriptor does not block.
func readNow(fd uintptr, b []byte) (int, error) {
	for {
		n, err := syscall.Read(int(fd), b)
		if !errors.Is(err, syscall.EINTR) {
			return max(n, 0), err
		}
	}
}
