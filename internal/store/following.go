package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
)

// ErrBehind says that this process has not read all records yet.
var ErrBehind = errors.New("the records are being read; try again")

// Feed has the index hear what this process reads of the bucket: while a watch
// of the records runs (that of the leader) from that one, at other times from one
// of its own. It returns when ctx ends or the connection is closed for good.
func (r *Records) Feed(ctx context.Context) error {
	x := r.index
	for ctx.Err() == nil {
		x.mu.Lock()
		taps, tapped := x.taps, x.tapped
		f := follower{js: r.js, bucket: r.bucket, key: ">", log: r.log, created: x.created, seen: x.seen, each: r.tap,
			missing: func(bool) {}}
		x.mu.Unlock()
		if taps > 0 {
			select {
			case <-tapped:
			case <-ctx.Done():
			}
			continue
		}
		own, stop := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- f.run(own) }()
		var err error
		select {
		case <-tapped:
			stop()
			err = <-done
		case err = <-done:
		}
		stop()
		if errors.Is(err, nats.ErrConnectionClosed) {
			return nil // the program ends for that
		}
	}
	return nil
}

// tap tells the index of a message.
func (r *Records) tap(m *event.Message, created int64) {
	rev, ok := r.revision(m.Subject, m.Header, m.Data, m.Seq, m.Time, created)
	r.index.hear(created, m.Seq, rev, ok)
}

// tapping counts the watches that feed the index; end takes this one out.
func (x *Index) tapping() (end func()) {
	change := func(n int) {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.taps += n
		close(x.tapped)
		x.tapped = make(chan struct{})
	}
	change(1)
	return func() { change(-1) }
}

// await waits until the index has heard all that the leader of the bucket holds
// now: what was written before, by whomever, is in it.
func (c *Catalog) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, limits.IndexWait)
	defer cancel()
	info, err := msgget.Info(ctx, c.js, bucketStream(c.names.Subscriptions))
	if err != nil {
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			err = protocol.ErrNotFound
		}
		return err
	}
	target, exact := info.State.LastSeq, false
	for {
		c.index.mu.Lock()
		created, seen, heard := c.index.created, c.index.seen, c.index.heard
		c.index.mu.Unlock()
		if target == 0 || created == info.Created.UnixNano() && seen >= target {
			return nil
		}
		if !exact { // the last sequence may have no message any more
			m, err := msgget.Last(ctx, c.js, bucketStream(c.names.Subscriptions), storedSubject(">"))
			switch {
			case errors.Is(err, protocol.ErrNotFound):
				return nil
			case err != nil:
				return fmt.Errorf("read the end of bucket %q: %w", c.names.Subscriptions, err)
			}
			target, exact = m.Seq, true
			continue
		}
		select {
		case <-heard:
		case <-ctx.Done():
			return ErrBehind
		}
	}
}

// Usage is what the records of a tenant take at present.
func (c *Catalog) Usage(ctx context.Context, tenant string) (Usage, error) {
	if c.index == nil {
		return Usage{Tenant: tenant}, nil
	}
	if err := c.await(ctx); err != nil {
		return Usage{}, fmt.Errorf("count the records of tenant %q: %w", tenant, err)
	}
	return c.index.Usage(tenant), nil
}
