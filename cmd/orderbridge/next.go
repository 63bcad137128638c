package main

import (
	"context"
	"time"

	"orderbridge/bridge"
)

// sayWhatIsNext tells whoever has started the program that nothing is
// subscribed yet, and what to type.
func (a *app) sayWhatIsNext(ctx context.Context, b *bridge.Bridge) error {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		c := b.Condition()
		if c.Role == bridge.RoleLeader {
			if c.Figures.Subscriptions == 0 {
				a.log.Info("nothing is subscribed yet, so nothing is delivered: `orderbridge subscriptions put --help` shows how, `orderbridge demo --keep` gives an example to play with",
					"bucket", a.names.Subscriptions)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
