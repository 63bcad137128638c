package main

import (
	"context"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge"
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
	if err := a.newAttemptLog(); err != nil {
		return err
	}
	leases := store.NewLeases(a.js, a.names, store.NewMaker(a.js, storeOptions(a.cfg, a.log)), a.log)
	holder, successor := a.holder()
	named := telemetry.NewNamed(int(a.cfg.MetricsSubscriptions))
	b, err := bridge.New(bridge.Options{
		Seat:            a.seats(leases),
		Layout:          store.Guarded{Lease: leases.Layout(), Unfit: a.fitness.Problem},
		Shards:          leases,
		ShardCount:      shardCount(a.cfg),
		Records:         a.records,
		Statuses:        store.NewStatuses(a.js, a.names, a.log),
		DeadLetters:     letters,
		Replays:         store.NewReplays(a.js, a.names),
		Alerts:          audit.Alerts{Alerts: alerts, Audit: a.audit},
		AttemptLog:      a.attemptLog(),
		LogFailures:     a.cfg.AttemptLog == config.AttemptsFailures,
		AlertFeed:       a.alertFeed(),
		Clock:           boottime.Clock{},
		Decoder:         decoder(a.cfg, a.names.Stream, a.source.Created),
		Parse:           a.parseNoted,
		Filter:          filter.New(),
		Publisher:       a.webhook,
		Preview:         a.webhook.Preview,
		Middleware:      []message.HandlerMiddleware{telemetry.NewAttempts(a.metrics, named).Middleware},
		Connection:      bus.Present(a.nc),
		Holder:          holder,
		Successor:       successor,
		Window:          a.cfg.Window,
		MaxEventBytes:   maxEventBytes(a.cfg, a.nc),
		ShutdownTimeout: a.cfg.ShutdownTimeout.Duration,
		TraceDir:        traceDir(a.cfg),
		Build:           thisBuild(),
		Wanted:          named.Wanted,
		Logger:          a.log,
	})
	if err != nil {
		return err
	}
	a.stream = telemetry.NewStream(a.metrics, a.streamInfo)
	telemetry.RegisterBridge(a.metrics, b.Condition, a.stream)
	if named != nil {
		telemetry.RegisterNamed(a.named, named, b.Condition, a.stream)
	}
	a.bridge.Store(b)
	return nil
}

// alertFeed brings the alerts back for the records that hear them.
func (a *app) alertFeed() bridge.AlertFeed {
	return subscribers.NewAlerts(subscribers.AlertsOptions{JetStream: a.js, Stream: a.names.Alerts,
		Prefix: a.names.DurablePrefix + "alerts-", Logger: a.log})
}

// streamInfo asks the leader of the source stream for its state.
func (a *app) streamInfo(ctx context.Context) (*jetstream.StreamInfo, error) {
	s, err := a.js.Stream(ctx, a.names.Stream)
	if err != nil {
		return nil, err
	}
	return s.CachedInfo(), nil
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
