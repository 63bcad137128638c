package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"orderbridge/internal/lab"
)

// What bounds the number of shards (docs/scale.md), measured apart: a bridge
// that reads events which nobody hears, a bus from which many durables take all
// events, and one that takes the writes of statuses.

const (
	limitEvents = 100_000
	limitWrites = 50_000
	limitWindow = 4_096 // events of a durable on the way, as of a bridge's feed
	limitAcks   = 64    // so many events are acknowledged at once
)

// limits measures h.
func (b *bench) limits(ctx context.Context) error {
	where := place{"h"}
	replicas, err := b.startBridges(ctx, &bridges{place: where, program: b.program,
		records: []string{fmt.Sprintf(`{"targetURL":%q,"subjects":["h.nobody.>"]}`, b.to.URL)}})
	if err != nil {
		return err
	}
	err = b.feedOf(ctx, where, replicas[0])
	if err = errors.Join(err, b.stop(replicas[0].Process)); err != nil {
		return err
	}
	for _, n := range []int{1, 4, 16, 64} {
		name := fmt.Sprintf("h%d", n)
		l := &load{Name: name, Title: "durables that each take all events: events/s of each"}
		events := limitEvents * 4 / max(4, n) // many durables are many events in all
		if err := b.busWith(ctx, l, "readers", readersSettings{b.natsURL, where.stream(), n, events}, events); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	l := &load{Name: "h_status", Title: "writes with a fence, 256 on the way: writes/s"}
	return b.busWith(ctx, l, "writer", writerSettings{b.natsURL, where.prefix() + "subscription_status", limitWrites},
		limitWrites)
}

// feedOf measures what an event costs that no record hears.
func (b *bench) feedOf(ctx context.Context, where place, p *lab.Program) error {
	l := &load{Name: "h_feed", Title: "orderbridge, events that nobody hears"}
	b.report.Loads = append(b.report.Loads, l)
	stream, err := b.js.Stream(ctx, where.stream())
	if err != nil {
		return err
	}
	for i := range b.Rounds + 1 {
		p.Signal(syscall.SIGSTOP)
		err := b.publish(ctx, where, limitEvents)
		from := time.Now()
		before, bus := cpuTime(p.Pid()), cpuTime(b.nats.Pid())
		p.Signal(syscall.SIGCONT)
		if err != nil {
			return err
		}
		if err := b.settled(ctx, stream, p); err != nil {
			return err
		}
		if i == 0 { // the warming up
			continue
		}
		b.note(l, limitEvents, time.Since(from), cpuTime(p.Pid())-before, cpuTime(b.nats.Pid())-bus)
	}
	return nil
}

// settled waits until the bridge's durable has acknowledged all events.
func (b *bench) settled(ctx context.Context, stream jetstream.Stream, p *lab.Program) error {
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	return waitFor(ctx, func() bool {
		info, err := stream.Info(ctx)
		if err != nil {
			return !p.Running()
		}
		for c := range stream.ListConsumers(ctx).Info() {
			if c.AckFloor.Stream >= info.State.LastSeq {
				return true
			}
		}
		return !p.Running()
	})
}

// busWith runs a role that does its work and then answers how long it took.
func (b *bench) busWith(ctx context.Context, l *load, role string, settings any, n int) error {
	b.report.Loads = append(b.report.Loads, l)
	for range min(b.Rounds, 3) {
		bus := cpuTime(b.nats.Pid())
		var done limitDone
		p, err := startRole(role, settings, &done)
		if err != nil {
			return err
		}
		b.note(l, n, done.Took, cpuTime(p.Pid()), cpuTime(b.nats.Pid())-bus)
		if err := b.stop(p); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

func (b *bench) note(l *load, n int, took, self, bus time.Duration) {
	l.Rate = append(l.Rate, float64(n)/took.Seconds())
	l.Self = append(l.Self, self.Seconds()*1000/float64(n))
	l.NATS = append(l.NATS, bus.Seconds()*1000/float64(n))
	b.say("%s  %s/s", l.Name, thousands(int(l.Rate[len(l.Rate)-1])))
}

// limitDone is the answer of a role that has done its work.
type limitDone struct{ Took time.Duration }

type readersSettings struct {
	NATS, Stream string
	Durables     int
	Events       int // for each durable
}

// runReaders takes the last events of a stream by many durables at once, as so
// many shards would, each on a connection of its own.
func runReaders(ctx context.Context, s readersSettings, ready func(any) error) error {
	var first uint64
	var readers errgroup.Group
	begin := make(chan struct{})
	conns := make([]jetstream.JetStream, s.Durables)
	for i := range conns {
		nc, err := nats.Connect(s.NATS)
		if err != nil {
			return err
		}
		defer nc.Close()
		if conns[i], err = jetstream.New(nc); err != nil {
			return err
		}
	}
	stream, err := conns[0].Stream(ctx, s.Stream)
	if err != nil {
		return err
	}
	first = stream.CachedInfo().State.LastSeq - uint64(s.Events) + 1
	for i, js := range conns {
		c, err := js.CreateConsumer(ctx, s.Stream, jetstream.ConsumerConfig{Durable: "reader" + strconv.Itoa(i),
			AckPolicy: jetstream.AckAllPolicy, MaxAckPending: limitWindow,
			DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: first})
		if err != nil {
			return err
		}
		//nolint:errcheck // the bus goes anyway
		defer js.DeleteConsumer(context.WithoutCancel(ctx), s.Stream, "reader"+strconv.Itoa(i))
		readers.Go(func() error {
			<-begin
			return readAll(ctx, c, s.Events)
		})
	}
	from := time.Now()
	close(begin)
	if err := readers.Wait(); err != nil {
		return err
	}
	if err := ready(limitDone{time.Since(from)}); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// readAll takes so many events.
func readAll(ctx context.Context, c jetstream.Consumer, events int) error {
	n := 0
	done := make(chan struct{})
	cc, err := c.Consume(func(m jetstream.Msg) {
		if n++; n%limitAcks == 0 || n == events {
			_ = m.Ack()
		}
		if n == events {
			close(done)
		}
	}, jetstream.PullMaxMessages(limitWindow/2))
	if err != nil {
		return err
	}
	defer cc.Stop()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

type writerSettings struct {
	NATS, Bucket string
	Writes       int
}

// runWriter writes entries of a bucket as the bridge writes statuses: with a fence
// that the server checks, many on the way.
func runWriter(ctx context.Context, s writerSettings, ready func(any) error) error {
	nc, err := nats.Connect(s.NATS)
	if err != nil {
		return err
	}
	defer nc.Close()
	var refused atomic.Int64
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(256),
		jetstream.WithPublishAsyncErrHandler(func(jetstream.JetStream, *nats.Msg, error) { refused.Add(1) }))
	if err != nil {
		return err
	}
	kv, err := js.KeyValue(ctx, s.Bucket)
	if err != nil {
		return err
	}
	fence, err := kv.PutString(ctx, "fence-of-the-bench", "1")
	if err != nil {
		return err
	}
	subject := "$KV." + s.Bucket + "."
	value := slices.Repeat([]byte("x"), 300)
	from := time.Now()
	for i := range s.Writes {
		m := &nats.Msg{Subject: fmt.Sprintf("%sw%d", subject, i), Data: value, Header: nats.Header{
			jetstream.ExpectedLastSubjSeqHeader:     {strconv.FormatUint(fence, 10)},
			jetstream.ExpectedLastSubjSeqSubjHeader: {subject + "fence-of-the-bench"}}}
		if _, err := js.PublishMsgAsync(m); err != nil {
			return err
		}
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if n := refused.Load(); n > 0 {
		return fmt.Errorf("%d writes were refused", n)
	}
	if err := ready(limitDone{time.Since(from)}); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
