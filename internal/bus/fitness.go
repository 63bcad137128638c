package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge"
	"orderbridge/internal/bus"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

// The fence that keeps a deposed replica from writing is checked by the server
// that leads a state bucket. A NATS server before 2.11 takes the write and
// checks nothing, so the bridge neither begins nor goes on where one leads:
// at the start it waits for better servers, and while it runs it lets the lease
// go. It asks again and again, since servers are replaced one after another,
// and an old one may come to lead a stream at any time.

// awaitFit waits until check is content, and says in the log and in /readyz
// with what it is not.
func (a *app) awaitFit(ctx context.Context, check func(context.Context) error) error {
	said := time.Time{}
	for {
		unfit, err := a.judge(ctx, check)
		switch {
		case !unfit && err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !unfit:
			return nil // the bus cannot answer: the next step says so, and waits
		case time.Since(said) > limits.FitSayAgain:
			a.log.Error(err.Error())
			said = time.Now()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(limits.FitCheck):
		}
	}
}

// judge asks once and remembers the verdict for /readyz and the lease. A bus
// that does not answer leaves it as it was.
func (a *app) judge(ctx context.Context, check func(context.Context) error) (unfit bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, limits.FitTime)
	defer cancel()
	err = check(ctx)
	var old *bus.TooOldError
	switch {
	case errors.As(err, &old):
		text := old.Error()
		a.unfit.Store(&text)
		return true, err
	case err == nil:
		a.unfit.Store(nil)
	}
	return false, err
}

func (a *app) accountFits(ctx context.Context) error { return bus.FitAccount(ctx, a.js) }

func (a *app) streamsFit(ctx context.Context) error {
	return bus.FitStreams(ctx, a.js, "KV_"+a.names.Lease, "KV_"+a.names.Owed, "KV_"+a.names.Status)
}

// watchFit goes on asking while the bridge runs.
func (a *app) watchFit(ctx context.Context) error {
	if a.server != nil {
		return nil // its own server is of this build
	}
	tick := time.NewTicker(limits.FitCheck)
	defer tick.Stop()
	said := time.Time{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if !a.nc.IsConnected() {
			continue
		}
		was := a.unfit.Load() != nil
		switch unfit, err := a.judge(ctx, a.streamsFit); {
		case unfit && (!was || time.Since(said) > limits.FitSayAgain):
			a.log.Error(err.Error())
			said = time.Now()
		case was && err == nil:
			a.log.Info("the servers of the bus are new enough now")
		}
	}
}

// fencedLease is a lease that is let go where it could not be fenced.
type fencedLease struct {
	bridge.Lease
	app *app
}

func (l fencedLease) Put(ctx context.Context, value []byte, expect uint64, id string) (uint64, error) {
	if unfit := l.app.unfit.Load(); unfit != nil {
		return 0, fmt.Errorf("write lease: %w: %s", bridge.ErrRefused, *unfit)
	}
	return l.Lease.Put(ctx, value, expect, id)
}

func (a *app) newLease(js jetstream.JetStream) bridge.Lease {
	return fencedLease{store.NewLease(js, a.names, store.NewMaker(js, storeOptions(a.cfg, a.log)), a.log), a}
}
