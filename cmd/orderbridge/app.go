package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"orderbridge/bridge"
	"orderbridge/bridge/record"
	"orderbridge/config"
	"orderbridge/internal/api"
	"orderbridge/internal/audit"
	"orderbridge/internal/automation"
	"orderbridge/internal/bus"
	"orderbridge/internal/callers"
	"orderbridge/internal/console"
	"orderbridge/internal/embedded"
	"orderbridge/internal/health"
	"orderbridge/internal/limits"
	"orderbridge/internal/process"
	"orderbridge/internal/secrets"
	"orderbridge/internal/store"
	"orderbridge/internal/telemetry"
	"orderbridge/internal/tracing"
	"orderbridge/publishers"
)

// app is the running program, its parts in the order in which they start.
type app struct {
	cfg         *config.Config
	log         *slog.Logger
	metrics     *prometheus.Registry
	named       *prometheus.Registry // of metrics that name subscriptions
	stream      *telemetry.Stream
	health      *health.Server
	secrets     *secrets.Store
	webhook     *publishers.Webhook
	policy      record.Policy // of the operator, for records
	refused     secrets.Refused
	file        *automation.File // nil: none is configured
	server      *embedded.Server // nil with a bus of the user's own
	link        bus.Link
	nc          *nats.Conn
	js          jetstream.JetStream
	fitness     bus.Fitness // of the servers
	names       store.Names
	auditKey    store.Key // signs who acts through the management API
	audit       *audit.Auditor
	tester      *store.Tester          // also explains
	tracer      *tracing.Tracer        // nil: nothing is traced
	attempts    *publishers.AttemptLog // nil: there is none
	endAttempts func()                 // ends it
	index       *store.Index           // of the records
	records     *store.Records
	states      *store.States // of the subscriptions
	source      *jetstream.StreamInfo
	asked       <-chan os.Signal // for a trace
	tokens      []api.Token      // that the API began with

	// What /readyz and requests read while the program starts; nil: not there yet.
	waits  atomic.Pointer[[]string] // what the start waits for
	inside atomic.Pointer[embedded.Server]
	upkeep atomic.Pointer[store.Upkeep]
	bridge atomic.Pointer[bridge.Replica]
	api    atomic.Pointer[api.API]
}

// run starts everything, calls started once the bridge stands by or leads, and
// stops everything in reverse order.
func (a *app) run(ctx context.Context, started func()) (err error) {
	var stopAsking func()
	a.asked, stopAsking = process.Asked() // from now on the signal does not kill
	defer stopAsking()
	a.metrics, a.named = telemetry.Registry(), prometheus.NewRegistry()
	a.waiting("starting")
	a.health, err = health.Listen(health.Options{Listen: a.cfg.HTTPListen, Readiness: a.readiness, Metrics: a.metrics, Named: a.named,
		Log:  a.log,
		Else: http.HandlerFunc(a.serveAPI), Hosts: callers.NewHosts(hostNames(a.cfg)), Insider: a.insider})
	if err != nil {
		return err
	}
	a.log.Info("starting", "http", a.health.Addr().String())
	healthCtx, stopHealth := context.WithCancel(context.WithoutCancel(ctx))
	healthDone := make(chan error, 1)
	go func() { healthDone <- a.health.Run(healthCtx) }()
	defer func() {
		stopHealth()
		err = errors.Join(err, <-healthDone)
	}()

	defer a.close()
	if err := a.wire(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // stopped before it had begun
		}
		return err
	}
	a.log.Info("orderbridge is up", "version", telemetry.Version().Version, "http", a.health.Addr().String(),
		"stream", a.names.Stream, "subscriptions", a.names.Subscriptions)
	a.upkeep.Load().Look(ctx)
	return a.work(ctx, started)
}

// wire makes the parts, from the bus to the endpoint.
func (a *app) wire(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		a.openEndpoints, // first: bad settings end the start, with or without a bus
		a.connect,
		a.openState,
		a.newBridge,
		a.newAPI,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// work runs the parts until ctx ends or one of them fails.
func (a *app) work(ctx context.Context, started func()) error {
	g, ctx := errgroup.WithContext(ctx)
	b := a.bridge.Load()
	run := func(part func(context.Context) error) { g.Go(func() error { return part(ctx) }) }
	run(b.Run)
	run(a.audit.Run)
	run(store.Commands{Conn: a.nc, Names: a.names, Bridge: b, Witness: a.audit, Parse: a.parse, Log: a.log,
		Version:   telemetry.Version().Version,
		Explainer: a.tester.Explainer, Tester: a.tester}.Run)
	run(a.records.Feed)
	run(a.states.Run)
	run(func(ctx context.Context) error { return quota(a.cfg).Watch(ctx, a.index, a.metrics, a.log) })
	run(func(ctx context.Context) error { return a.tokenSource().Follow(ctx, a.api.Load(), a.tokens) })
	run(func(ctx context.Context) error { return a.upkeep.Load().Run(ctx, b) })
	run(func(ctx context.Context) error { return a.refused.Watch(ctx, a.webhook.Check, b.Reread, a.log) })
	run(func(ctx context.Context) error { return bus.LeaveDeafServers(ctx, a.nc, a.log, a.askLease) })
	run(func(ctx context.Context) error {
		<-ctx.Done()
		a.api.Load().EndStreams()
		return nil
	})
	run(a.stream.Run)
	run(a.link.UntilClosed)
	run(a.traceWhenAsked)
	run(a.sayWhatIsNext)
	if a.file != nil {
		run(func(ctx context.Context) error { return a.file.Run(byFile(ctx), a.records) })
	}
	if a.server == nil { // its own server is of this build
		run(func(ctx context.Context) error { return a.fitness.Watch(ctx, a.nc, a.log, a.streamsFit) })
	}
	a.tellStart()
	started()
	return g.Wait()
}

// openEndpoints makes what delivers, and reads the automation file.
func (a *app) openEndpoints(ctx context.Context) (err error) {
	holder, _ := a.holder()
	if a.tracer, err = tracing.New(ctx, telemetry.Version().Version, holder, a.log); err != nil {
		return err
	}
	var tracer bridge.Tracer
	if a.tracer != nil {
		tracer = a.tracer
	}
	if a.webhook, a.secrets, err = newWebhook(a.cfg, tracer, a.log); err != nil {
		return err
	}
	a.policy = recordPolicy(a.cfg)
	if a.cfg.WebhookFile != "" {
		o := automationOptions(a.cfg, a.secrets, a.webhook, a.cfg.WebhookFile, a.cfg.WebhookID)
		o.Logger, o.Changed = a.log, func() { a.fileChanged(ctx) }
		if a.file, err = automation.Open(o); err != nil {
			return err
		}
	}
	warnOfSettings(a.cfg, a.secrets, a.log)
	return nil
}

// connect starts the embedded server, if the user has no bus, and connects.
func (a *app) connect(ctx context.Context) (err error) {
	o := busOptions(a.cfg, a.log)
	if o.URL == "" {
		a.waiting("starting the embedded server")
		if a.server, err = embedded.Await(ctx, embeddedOptions(a.cfg, a.log), a.waiting); err != nil {
			return err
		}
		a.inside.Store(a.server)
		o.InProcess, o.Nkey, o.Sign = a.server, a.server.Nkey(), a.server.Sign
		tellEmbedded(a.cfg, a.log, a.server)
	}
	a.waiting("connecting to the bus")
	a.names = storeOptions(a.cfg, a.log).Names()
	o.Link, o.Spared = &a.link, slices.Concat(audit.Spared(a.names), store.Spared(a.names), logSubjects(a.names))
	if a.nc, err = bus.Connect(ctx, o); err != nil {
		return err
	}
	a.js, err = bus.JetStream(a.nc, o, limits.CommandCallTime)
	return err
}

// openState makes and checks the streams and buckets, and opens what is in them.
func (a *app) openState(ctx context.Context) (err error) {
	if err := a.fitness.Await(ctx, a.log,
		func(ctx context.Context) error { return bus.FitAccount(ctx, a.js) }); err != nil {
		return err
	}
	o := storeOptions(a.cfg, a.log)
	if a.server != nil {
		o.Storage = a.server.MaxStore()
	}
	a.upkeep.Store(store.NewUpkeep(a.js, o))
	a.waiting("checking the streams and buckets")
	if a.names, err = a.upkeep.Load().Ensure(ctx, a.waiting); err != nil {
		return err
	}
	if err := a.fitness.Await(ctx, a.log, a.streamsFit); err != nil {
		return err
	}
	a.index = store.NewIndex()
	a.records = store.NewRecords(a.js, a.names.Subscriptions, a.log).WithIndex(a.index)
	a.records.Key = &a.auditKey
	a.states = store.NewStates(store.NewStatuses(a.js, a.names, a.log))
	if err := a.newAudit(ctx); err != nil {
		return err
	}
	if a.file != nil { // its record is up to date before anything is delivered
		a.waiting("writing the record of the automation file")
		if err := a.file.Start(byFile(ctx), a.records); err != nil {
			return err
		}
	}
	stream, err := a.js.Stream(ctx, a.names.Stream)
	if err != nil {
		return fmt.Errorf("open stream %q: %w", a.names.Stream, store.Explain(err))
	}
	a.source = stream.CachedInfo()
	return nil
}

func (a *app) newAudit(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, limits.CommandCallTime)
	defer cancel()
	if err := a.auditKey.Load(ctx, a.js, a.names); err != nil {
		a.log.Debug("the key of the audit is not there yet", "error", err)
	}
	holder, _ := a.holder()
	a.audit, err = audit.New(audit.Options{
		JetStream: a.js, Names: a.names, Key: &a.auditKey, Holder: holder, Metrics: a.metrics, Logger: a.log,
		Leading: func() bool {
			b := a.bridge.Load()
			return b != nil && b.LeadsFirst()
		},
	})
	return err
}

func (a *app) newAPI(context.Context) (err error) {
	if a.tokens, err = a.tokenSource().Open(); err != nil {
		return err
	}
	a.tester = &store.Tester{
		Explainer: &store.Explainer{Catalog: a.catalog(), Bridge: a.bridge.Load(), Parse: a.parse},
		Attempt:   a.attemptTest, Preview: a.webhook.Preview, Now: time.Now,
	}
	provider, err := newProvider(a.cfg, a.log)
	if err != nil {
		return err
	}
	m, err := api.New(api.Options{
		Provider:  provider,
		Derive:    a.auditKey.Derive,
		NoTenants: len(a.cfg.ConfineTenants()) == 0,
		Catalog:   a.catalog(),
		Audit: func(ctx context.Context, q audit.Query) (audit.Found, error) {
			return audit.Read(ctx, a.js, a.names, q)
		},
		Quota:  quota(a.cfg),
		Parse:  a.parse,
		Probe:  a.webhook.Probe,
		Tester: a.tester,
		Seal: func(_ context.Context, id string, record []byte) ([]byte, error) {
			return a.secrets.SealRecord(id, record)
		},
		Tokens:         a.tokens,
		Hosts:          hostNames(a.cfg),
		Proxies:        callers.Proxies(a.cfg.APIProxies),
		Busy:           health.Busy,
		Denials:        a.link.Without,
		Remedy:         "set ORDERBRIDGE_API_TOKENS or ORDERBRIDGE_API_TOKENS_FILE",
		TenantSubjects: a.cfg.ConfineTenants(),
		Docs:           console.ServeHTTP,
		Version:        telemetry.Version().Version,
		Metrics:        a.metrics,
		Log:            a.log,
	})
	a.api.Store(m)
	return err
}

// catalog reads and changes the state on behalf of others.
func (a *app) catalog() *store.Catalog {
	return store.NewCatalog(a.js, a.names, publishers.ParseDeadLetter).SignedBy(&a.auditKey).WithIndex(a.index).WithStates(a.states).
		WithEvents(decoder(a.cfg, a.names.Stream, a.source.Created))
}

func (a *app) tokenSource() *api.TokenSource {
	return &api.TokenSource{Set: func() ([]api.Token, error) { return tokensSet(a.cfg) }, File: a.cfg.APITokensFile,
		Dir: a.cfg.DataDir, Log: a.log}
}

// fileChanged brings the status of the automation file's subscription up to date.
func (a *app) fileChanged(ctx context.Context) {
	b := a.bridge.Load()
	if b == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, limits.CommandCallTime)
	defer cancel()
	if err := b.Reread(ctx, a.cfg.WebhookID); err != nil && !errors.Is(err, context.Canceled) {
		a.log.Warn("automation file: the status of its subscription is not up to date", "error", err)
	}
}

// byFile is who changes the record that a configuration file makes.
func byFile(ctx context.Context) context.Context {
	return store.WithActor(ctx, store.Actor{Via: "bridge", Name: "webhook file"})
}

func (a *app) streamsFit(ctx context.Context) error {
	return bus.FitStreams(ctx, a.js, "KV_"+a.names.Lease, "KV_"+a.names.Owed, "KV_"+a.names.Status)
}

// askLease asks the leader of the lease's bucket for something.
func (a *app) askLease(ctx context.Context) error {
	_, _, err := store.NewLeases(a.js, a.names, nil, a.log).Layout().Get(ctx)
	return err
}

// waiting says in /readyz what the start waits for.
func (a *app) waiting(what ...string) { a.waits.Store(&what) }

// close stops what run has started, in reverse order.
func (a *app) close() {
	if a.webhook != nil {
		if err := a.webhook.Close(); err != nil {
			a.log.Warn("close connections to endpoints", "error", err)
		}
	}
	if a.endAttempts != nil {
		a.endAttempts()
	}
	a.tracer.Close()
	if a.nc != nil {
		drained := make(chan struct{})
		a.nc.SetClosedHandler(func(*nats.Conn) { close(drained) })
		if err := a.nc.Drain(); err == nil {
			select {
			case <-drained:
			case <-time.After(5 * time.Second):
			}
		}
		a.nc.Close()
	}
	if a.server != nil {
		a.server.Stop()
	}
}
