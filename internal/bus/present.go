package bus

import (
	"context"
	"sync"

	"github.com/nats-io/nats.go"
)

// Present returns a function whose contexts end when the connection that stands
// at the time of its call is lost, and have ended already while none stands.
func Present(nc *nats.Conn) func() context.Context {
	var mu sync.Mutex
	ctx, cancel := context.WithCancel(context.Background())
	lost := nc.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	go func() {
		for range lost {
			mu.Lock()
			cancel()
			mu.Unlock()
			if nc.IsClosed() {
				nc.RemoveStatusListener(lost)
			}
		}
	}()
	return func() context.Context {
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() != nil && nc.IsConnected() {
			ctx, cancel = context.WithCancel(context.Background()) //nolint:gosec // the goroutine above calls it
		}
		return ctx
	}
}
