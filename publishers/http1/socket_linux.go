package http1

import (
	"syscall"
	"time"

	"orderbridge/internal/limits"
)

func boundSilence(raw syscall.RawConn) {
	const tcpUserTimeout = 18 // TCP_USER_TIMEOUT, which package syscall does not name
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(limits.SocketSilence/time.Millisecond))
	})
}
