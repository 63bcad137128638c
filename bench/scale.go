package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/boottime"
	"orderbridge/internal/egress"
	"orderbridge/internal/store"
	"orderbridge/publishers"
	"orderbridge/subscribers"
)

// scaleSettings are those of the bridge that runs in a process of the bench.
type scaleSettings struct {
	NATS, Stream, Prefix, URL, CAFile string
	Subject                           string // what the one record hears that matches
	Records                           int
	Profile                           string // file of a CPU profile, "" for none
}

// scaleReady is given once the bridge leads.
type scaleReady struct {
	Heap uint64        // bytes in use after a collection
	Took time.Duration // to read the records and to lead
}

// runScale runs the parts of orderbridge as its serve command wires them. Only
// the records and their status entries are made here and not read from the bus:
// to store a million of them takes longer than the whole bench may.
func runScale(ctx context.Context, s scaleSettings, ready func(any) error) (err error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	nc, err := nats.Connect(s.NATS, nats.ReconnectBufSize(-1))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	names, _, err := store.Ensure(ctx, js,
		store.Options{Prefix: s.Prefix, Stream: s.Stream, Subscriptions: s.Prefix + "subscriptions", Logger: log})
	if err != nil {
		return err
	}
	webhook, err := scaleWebhook(s.CAFile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, webhook.Close()) }()
	letters, err := publishers.NewDeadLetters(publishers.DeadLettersOptions{JetStream: js, Stream: names.DeadLetters,
		Subject: names.DeadLetterSubject, MaxPayload: int(nc.MaxPayload())})
	if err != nil {
		return err
	}
	made := &madeRecords{scaleSettings: s, created: time.Now(), told: make(chan struct{})}
	recent := &subscribers.Recent{}
	leases := store.NewLeases(js, names, nil, log)
	b, err := bridge.New(bridge.Options{
		Seat: func(l protocol.Layout, number int) bridge.Parts {
			return bridge.Parts{
				Feed: func() (bridge.Feed, error) {
					return subscribers.NewFeed(subscribers.Options{JetStream: js, Stream: names.Stream,
						DurablePrefix: store.DurablePrefix(names, l.Shard(number)), Recent: recent, Logger: log})
				},
				Source: subscribers.NewSource(subscribers.SourceOptions{JetStream: js, Stream: names.Stream,
					Recent: recent, Logger: log}),
				Ledger: madeLedger{store.NewLedger(js, names, l, number, nil)},
				Lease:  leases.Shard(l.Shard(number)),
				Traces: func(ctx context.Context) (protocol.Traces, error) { return store.Traces(ctx, js, names, l, number) },
			}
		},
		Layout:      leases.Layout(),
		Shards:      leases,
		Records:     made,
		Statuses:    &madeStatuses{made, store.NewStatuses(js, names, log)},
		DeadLetters: letters,
		Clock:       boottime.Clock{},
		Decoder:     &event.Decoder{Stream: names.Stream, Created: made.created},
		Parse: func(id string, data []byte) (*record.Subscription, record.Problems) {
			return record.Parse(id, data, record.Policy{})
		},
		Publisher: webhook,
		Holder:    s.Prefix,
		Logger:    log,
	})
	if err != nil {
		return err
	}
	running := make(chan error, 1)
	go func() { running <- b.Run(ctx) }()
	defer func() { err = errors.Join(err, <-running) }()

	start := time.Now()
	if err := waitFor(ctx, func() bool { return b.Condition().Role == bridge.RoleLeader }); err != nil {
		return err
	}
	took := time.Since(start)
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if s.Profile != "" {
		f, err := os.Create(s.Profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	if err := ready(scaleReady{m.HeapAlloc, took}); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func scaleWebhook(caFile string) (*publishers.Webhook, error) {
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", caFile)
	}
	loopback := egress.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	return publishers.NewWebhook(publishers.Options{TrustRoots: roots, DialControl: loopback.Control})
}

// madeRecords are the records as if they had been put long ago: the first one
// hears the events, each of the others a subject of its own.
type madeRecords struct {
	scaleSettings
	created time.Time
	told    chan struct{} // closed when all are
	once    sync.Once
}

func (m *madeRecords) id(n int) string { return fmt.Sprintf("record-%d", n) }

func (m *madeRecords) value(n int) []byte {
	subject, members := fmt.Sprintf("orders.customer%d.>", n), ""
	if n == 0 {
		subject, members = m.Subject, fmt.Sprintf(`,"maxInFlight":%d`, inFlight)
	}
	return fmt.Appendf(nil, `{"targetURL":%q,"subjects":[%q]%s}`, m.URL, subject, members)
}

// Watch implements bridge.Records.
func (m *madeRecords) Watch(ctx context.Context, fn func(protocol.Revision), caughtUp func(), missing func(bool)) error {
	missing(false)
	for n := range m.Records {
		fn(protocol.Revision{Key: m.id(n), Revision: uint64(n) + 1, Bucket: m.created.UnixNano(), Time: m.created,
			Value: m.value(n)})
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	caughtUp()
	m.once.Do(func() { close(m.told) })
	<-ctx.Done()
	return ctx.Err()
}

// Census implements bridge.Records.
func (m *madeRecords) Census(_ context.Context, was protocol.Census) (protocol.Census, *protocol.Listing, error) {
	return was, nil, nil
}

// Latest implements bridge.Records.
func (m *madeRecords) Latest(context.Context, string) (protocol.Revision, error) {
	return protocol.Revision{}, protocol.ErrNotFound
}

// Through implements bridge.Records.
func (m *madeRecords) Through(ctx context.Context) error {
	select {
	case <-m.told:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// madeLedger is the ledger of a bus that does not hold the status entries of the
// made records.
type madeLedger struct{ *store.Ledger }

// Holds implements bridge.Ledger.
func (l madeLedger) Holds(b protocol.Bucket, keys iter.Seq[string]) {
	if b != protocol.BucketStatus {
		l.Ledger.Holds(b, keys)
	}
}

// madeStatuses are the status entries of the made records.
type madeStatuses struct {
	records *madeRecords
	bridge.Statuses
}

// Watch implements bridge.Statuses: what is really there comes after what is made.
func (m *madeStatuses) Watch(ctx context.Context, began func(), fn func(key string, value []byte), caughtUp func()) error {
	return m.Statuses.Watch(ctx, func() {
		began()
		for n := range m.records.Records {
			value, err := json.Marshal(protocol.Status{State: protocol.StateActive, Revision: uint64(n) + 1,
				Since:      m.records.created,
				Generation: uint64(n) + 1, Bucket: m.records.created.UnixNano(), Active: true, Valid: true, Anchor: 1})
			if err != nil {
				panic(err)
			}
			fn(m.records.id(n), value)
		}
	}, fn, caughtUp)
}

// waitFor asks again until the answer is yes.
func waitFor(ctx context.Context, yes func() bool) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
