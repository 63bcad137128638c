package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/lab"
)

const (
	bodySize = 500
	orders   = 5_000 // so many order ids take turns
	warmPart = 4     // the first quarter of a round is not counted: some of it lay in the client before
	fanOut   = 100   // subscriptions of d
)

const bodyTime = `"publishedAt":"`

// orderOf is the order of the nth event.
func orderOf(n int) string { return fmt.Sprintf("o-%06d", n%orders) }

// newBody is an event of exactly bodySize bytes. at is when it was published,
// in Unix nanoseconds.
func newBody(order string, at int64) []byte {
	b := fmt.Appendf(make([]byte, 0, bodySize), `{"orderId":%q,"eventType":"OrderAccepted",%s%019d","note":"`,
		order, bodyTime, at)
	for len(b) < bodySize-2 {
		b = append(b, 'x')
	}
	return append(b, `"}`...)
}

// bench is the bus, the receiver and what is measured beside them.
type bench struct {
	settings
	report  *report
	dir     string
	program string
	caFile  string
	nats    *lab.Process
	natsURL string
	sink    *lab.Process
	to      sinkReady
	nc      *nats.Conn
	js      jetstream.JetStream
	n       int // events published
	lost    atomic.Pointer[error]
}

func newBench(ctx context.Context, s settings, r *report) (*bench, error) {
	b := &bench{settings: s, report: r}
	if err := b.start(ctx); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *bench) start(ctx context.Context) (err error) {
	if b.dir, err = os.MkdirTemp("", "orderbridge-bench-"); err != nil {
		return err
	}
	b.caFile = filepath.Join(b.dir, "ca.pem")
	if b.program, err = lab.Executable(ctx, "", b.dir); err != nil {
		return err
	}
	var bus natsReady
	if b.nats, err = startRole("nats", natsSettings{filepath.Join(b.dir, "nats")}, &bus); err != nil {
		return err
	}
	b.natsURL = bus.URL
	if b.sink, err = startRole("sink", sinkSettings{b.caFile}, &b.to); err != nil {
		return err
	}
	if b.nc, err = nats.Connect(b.natsURL); err != nil {
		return err
	}
	b.js, err = jetstream.New(b.nc, jetstream.WithPublishAsyncMaxPending(1024),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, _ *nats.Msg, err error) { b.lost.Store(&err) }))
	return err
}

func (b *bench) close() error {
	var errs []error
	if b.nc != nil {
		b.nc.Close()
	}
	for _, p := range []*lab.Process{b.sink, b.nats} {
		if p != nil {
			errs = append(errs, b.stop(p))
		}
	}
	if b.dir != "" {
		errs = append(errs, os.RemoveAll(b.dir))
	}
	return errors.Join(errs...)
}

func (b *bench) stop(p *lab.Process) error {
	err := p.Stop(stopTimeout)
	if b.verbose {
		fmt.Fprintf(os.Stderr, "---- %s\n%s\n", p.Name, p.Output())
	}
	return err
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%5.0f s  %s\n", time.Since(b.report.Started).Seconds(), fmt.Sprintf(format, args...))
}

// place is a stream of its own for one of those that are measured.
type place struct{ root string }

func (p place) stream() string        { return strings.ToUpper(p.root) }
func (p place) subject() string       { return p.root + ".>" }
func (p place) prefix() string        { return p.root + "-" }
func (p place) subscriptions() string { return p.prefix() + "subscriptions" }

func (b *bench) makeStream(ctx context.Context, p place) error {
	_, err := b.js.CreateStream(ctx, jetstream.StreamConfig{Name: p.stream(), Subjects: []string{p.subject()},
		Storage: jetstream.FileStorage, MaxAge: 7 * 24 * time.Hour, Duplicates: 10 * time.Minute})
	return err
}

// publish puts events into the stream and returns when all are stored.
func (b *bench) publish(ctx context.Context, p place, events int) error {
	for range events {
		b.n++
		if err := b.publishOne(p, orderOf(b.n), 0); err != nil {
			return err
		}
	}
	return b.published(ctx)
}

// published returns when all that was published is stored.
func (b *bench) published(ctx context.Context) error {
	select {
	case <-b.js.PublishAsyncComplete():
		if err := b.lost.Load(); err != nil {
			return fmt.Errorf("publish: %w", *err)
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (b *bench) publishOne(p place, order string, at int64) error {
	_, err := b.js.PublishAsync(p.root+".acme.OrderAccepted."+order, newBody(order, at),
		jetstream.WithStallWait(roundTimeout))
	return err
}
