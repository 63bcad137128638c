package bus

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	"orderbridge/internal/limits"
)

// LeaveDeafServers goes to another server of a cluster when the present one is
// connected but cut off from the others: it answers pings, and nothing else
// that matters. Whether it does is for ask to say, which reads something from a
// stream's leader; it is called every limits.HearingCheck until ctx ends.
func LeaveDeafServers(ctx context.Context, nc *nats.Conn, log *slog.Logger, ask func(context.Context) error) error {
	if len(nc.Servers()) < 2 {
		return nil
	}
	tick := time.NewTicker(limits.HearingCheck)
	defer tick.Stop()
	heard, left := time.Now(), time.Time{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		asked, cancel := context.WithTimeout(ctx, limits.HearingCheck)
		err := ask(asked)
		cancel()
		now := time.Now()
		if err == nil || !nc.IsConnected() {
			heard = now
			continue
		}
		if now.Sub(heard) < limits.DeafAfter || now.Sub(left) < limits.DeafAgain {
			continue
		}
		log.Warn("the bus does not answer: another of its servers is tried", "url", Redact(nc.ConnectedUrl()), "error", err)
		left = now
		if err := nc.ForceReconnect(); err != nil {
			log.Warn("reconnect", "error", err)
		}
	}
}
