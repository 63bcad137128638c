package main

import (
	"context"

	"github.com/ThreeDotsLabs/watermill/message"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/config"
	"orderbridge/internal/audit"
	"orderbridge/internal/boottime"
	"orderbridge/internal/bus"
	"orderbridge/internal/filter"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
	"orderbridge/internal/telemetry"
	"orderbridge/publishers"
	"orderbridge/subscribers"
)

// newBridge makes the replica, which stands by for each shard.
func (a *app) newBridge(context.Context) error {
	letters, err := publishers.NewDeadLetters(publishers.DeadLettersOptions{JetStream: a.js, Stream: a.names.DeadLetters,
		Subject: a.names.DeadLetterSubject, MaxPayload: int(a.nc.MaxPayload()), Logger: a.log})
	if err != nil {
		return err
	}
	alerts, err := publishers.NewAlerts(publishers.AlertsOptions{JetStream: a.js, Subject: a.names.AlertSubject})
	if err != nil {
		return err
	}
	leases := store.NewLeases(a.js, a.names, store.NewMaker(a.js, storeOptions(a.cfg, a.log)), a.log)
	holder, successor := a.holder()
	b, err := bridge.New(bridge.Options{
		Seat:        a.seats(leases),
		Layout:      store.Guarded{Lease: leases.Layout(), Unfit: a.fitness.Problem},
		Shards:      leases,
		ShardCount:  shardCount(a.cfg),
		Records:     a.records,
		Statuses:    store.NewStatuses(a.js, a.names, a.log),
		DeadLetters: letters,
		Alerts:      audit.Alerts{Alerts: alerts, Audit: a.audit},
		Clock:       boottime.Clock{},
		Decoder: &event.Decoder{Stream: a.names.Stream, Created: a.source.Created, SubjectLayout: a.cfg.SubjectLayout,
			TenantSubjects: a.cfg.TenantSubjects,
			OrderIDPaths:   a.cfg.OrderIDPaths, LegacyOrderIDPaths: a.cfg.LegacyOrderIDPaths,
			TypePaths: a.cfg.EventTypePaths, TenantPaths: a.cfg.TenantPaths},
		Parse:           a.parseNoted,
		Filter:          filter.New(),
		Publisher:       a.webhook,
		Middleware:      []message.HandlerMiddleware{telemetry.NewAttempts(a.metrics).Middleware},
		Connection:      bus.Present(a.nc),
		Holder:          holder,
		Successor:       successor,
		Window:          a.cfg.Window,
		MaxEventBytes:   maxEventBytes(a.cfg, a.nc),
		ShutdownTimeout: a.cfg.ShutdownTimeout.Duration,
		TraceDir:        traceDir(a.cfg),
		Build:           thisBuild(),
		Logger:          a.log,
	})
	if err != nil {
		return err
	}
	telemetry.RegisterBridge(a.metrics, b.Condition)
	a.bridge.Store(b)
	return nil
}

// seats makes what each shard has for itself.
func (a *app) seats(leases *store.Leases) func(l protocol.Layout, number int) bridge.Parts {
	others := store.NewOthers(a.js, a.log)
	maker := store.NewMaker(a.js, storeOptions(a.cfg, a.log))
	return func(l protocol.Layout, number int) bridge.Parts {
		s := l.Shard(number)
		recent := &subscribers.Recent{Of: l.Shards}
		return bridge.Parts{
			Feed: func() (bridge.Feed, error) {
				return subscribers.NewFeed(subscribers.Options{JetStream: a.js, Stream: a.names.Stream,
					DurablePrefix: store.DurablePrefix(a.names, s), Window: a.cfg.Window, WindowBytes: protocol.DefaultBounds().For(l.Shards).WindowBytes,
					Metadata: store.DurableMetadata(a.names, l), Recent: recent, Logger: a.log})
			},
			Source: subscribers.NewSource(subscribers.SourceOptions{JetStream: a.js, Stream: a.names.Stream, Recent: recent,
				Readers: max(2, limits.ReaderConsumers/max(l.Shards, 1)), Logger: a.log}),
			Ledger: store.NewLedger(a.js, a.names, l, number, maker).Among(others),
			Lease:  store.Guarded{Lease: leases.Shard(s), Unfit: a.fitness.Problem},
			Traces: func(ctx context.Context) (protocol.Traces, error) { return store.Traces(ctx, a.js, a.names, l, number) },
		}
	}
}

// shardCount is the setting; 0: nobody has said anything.
func shardCount(cfg *config.Config) int {
	for _, v := range config.Table() {
		if v.Name == config.Prefix+"_SHARDS" && v.Set {
			return cfg.Shards
		}
	}
	return 0
}
