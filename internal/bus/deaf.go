package main

import (
	"context"
	"time"

	"orderbridge/internal/bus"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

// leaveDeafServers goes to another server of a cluster when the present one is
// connected but cut off from the others: it answers pings, and nothing else
// that matters. Whether it does is asked by reading the lease.
func (a *app) leaveDeafServers(ctx context.Context) error {
	if len(a.nc.Servers()) < 2 {
		return nil
	}
	lease := store.NewLease(a.js, a.names, nil, a.log)
	tick := time.NewTicker(limits.HearingCheck)
	defer tick.Stop()
	heard, left := time.Now(), time.Time{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		ask, cancel := context.WithTimeout(ctx, limits.HearingCheck)
		_, _, err := lease.Get(ask)
		cancel()
		now := time.Now()
		if err == nil || !a.nc.IsConnected() {
			heard = now
			continue
		}
		if now.Sub(heard) < limits.DeafAfter || now.Sub(left) < limits.DeafAgain {
			continue
		}
		a.log.Warn("the bus does not answer: another of its servers is tried", "url", bus.Redact(a.nc.ConnectedUrl()), "error", err)
		left = now
		if err := a.nc.ForceReconnect(); err != nil {
			a.log.Warn("reconnect", "error", err)
		}
	}
}
