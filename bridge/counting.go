package bridge

import (
	"time"

	"orderbridge/bridge/protocol"
)

// counting spreads out the counting so that it takes no more than a fiftieth of
// the core's time.
type counting struct {
	last protocol.Owing
	next time.Time
}

func (k *counting) count(now time.Time, count func() protocol.Owing) {
	if !now.Before(k.next) {
		k.last = count()
		k.next = now.Add(max(200*time.Millisecond, 50*time.Since(now)))
	}
}
