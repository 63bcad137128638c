package process

import (
	"log/slog"
	"strconv"

	"orderbridge/internal/limits"
)

// IdleConnections is how many connections to endpoints are kept open for reuse:
// at most half of what may be open at all, so that there is room for new ones.
func IdleConnections() int {
	n, known := openFiles()
	if !known {
		return limits.IdleConnections
	}
	return int(max(1, min(limits.IdleConnections, n/2)))
}

// WarnOfFewFiles says in one line that fewer files may be open than the bridge can
// use: each running attempt takes one.
func WarnOfFewFiles(log *slog.Logger) {
	if n, known := openFiles(); known && n < limits.DescriptorsWanted {
		log.Warn("few files may be open at once, and each attempt takes one: beyond that deliveries wait; raise the hard limit (LimitNOFILE=, ulimit -Hn, --ulimit nofile=)",
			"open_files", n, "wanted", strconv.Itoa(limits.DescriptorsWanted))
	}
}
