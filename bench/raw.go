package main

import (
	"context"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"golang.org/x/sync/errgroup"

	"orderbridge/internal/embedded"
)

type rawSettings struct {
	URL, CAFile string
	Requests    int // of a round
	Connections int
}

// runRaw sends a round of requests at each SIGUSR1, without a bus.
func runRaw(ctx context.Context, s rawSettings, ready func(any) error) error {
	client, err := newClient(s.CAFile)
	if err != nil {
		return err
	}
	rounds := make(chan os.Signal, 1)
	signal.Notify(rounds, syscall.SIGUSR1)
	if err := ready(struct{}{}); err != nil {
		return err
	}
	for {
		select {
		case <-rounds:
		case <-ctx.Done():
			return nil
		}
		var next atomic.Int64
		var running errgroup.Group
		for range s.Connections {
			running.Go(func() error {
				for n := next.Add(1); n <= int64(s.Requests); n = next.Add(1) {
					if err := post(ctx, client, s.URL, newBody(orderOf(int(n)), 0)); err != nil && ctx.Err() == nil {
						return err
					}
				}
				return nil
			})
		}
		if err := running.Wait(); err != nil {
			return err
		}
	}
}

type natsSettings struct{ Dir string }

type natsReady struct{ URL string }

// runNATS is the bus: a file store that is not synced on each write, as a
// server of one's own is by default.
func runNATS(ctx context.Context, s natsSettings, ready func(any) error) error {
	server, err := embedded.Start(embedded.Options{Dir: s.Dir, Listen: "127.0.0.1:0"})
	if err != nil {
		return err
	}
	defer server.Stop()
	if err := ready(natsReady{server.URL()}); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
