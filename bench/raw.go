package main

import (
	"context"
	"sync"
	"sync/atomic"

	"orderbridge/internal/embedded"
)

type rawSettings struct {
	URL, CAFile string
	Requests    int
}

// runRaw sends the same body again and again, without a bus.
func runRaw(ctx context.Context, s rawSettings, ready func(any) error) error {
	client, err := newClient(s.CAFile)
	if err != nil {
		return err
	}
	if err := ready(struct{}{}); err != nil {
		return err
	}
	var next atomic.Int64
	var running sync.WaitGroup
	failed := make(chan error, inFlight)
	for range inFlight {
		running.Go(func() {
			for n := next.Add(1); n <= int64(s.Requests); n = next.Add(1) {
				if err := post(ctx, client, s.URL, newBody(int(n), 0)); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	running.Wait()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
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
