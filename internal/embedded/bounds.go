package embedded

import (
	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/sys/unix"

	"orderbridge/internal/limits"
)

// bound keeps clients of the server from taking what deliveries need: whoever
// connects without a word, or stops reading, is cut.
func bound(o *server.Options) {
	o.MaxConn = limits.NATSConnections
	var files unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &files) == nil {
		o.MaxConn = int(min(limits.NATSConnections, max(files.Cur/limits.NATSDescriptorsShare, 8)))
	}
	o.MaxControlLine = limits.NATSControlLine
	o.AuthTimeout = limits.NATSLoginTime.Seconds()
	o.PingInterval, o.MaxPingsOut = limits.NATSPing, limits.NATSPingsOut
	o.WriteDeadline = limits.NATSWriteTime
}
