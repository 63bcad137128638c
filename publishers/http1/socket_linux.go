package http1

import (
	"syscall"
	"time"
)

// silence is how long what was sent may stay unconfirmed by the other side's
// system: a path that died is noticed although nobody reads.
const silence = 30 * time.Second

func boundSilence(raw syscall.RawConn) {
	const tcpUserTimeout = 18 // TCP_USER_TIMEOUT, which package syscall does not name
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(silence/time.Millisecond))
	})
}
