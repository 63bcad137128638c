package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"orderbridge/bridge"
	"orderbridge/config"
	"orderbridge/internal/api"
	"orderbridge/internal/audit"
	"orderbridge/internal/automation"
	"orderbridge/internal/boottime"
	"orderbridge/internal/bus"
	"orderbridge/internal/callers"
	"orderbridge/internal/egress"
	"orderbridge/internal/embedded"
	"orderbridge/internal/filter"
	"orderbridge/internal/health"
	"orderbridge/internal/limits"
	"orderbridge/internal/secrets"
	"orderbridge/internal/store"
	"orderbridge/internal/telemetry"
	"orderbridge/publishers"
	"orderbridge/subscribers"
)

// app is the running program, its parts in the order in which they start.
type app struct {
	cfg     *config.Config
	log     *slog.Logger
	metrics *prometheus.Registry
	health  *health.Server
	server  *embedded.Server // nil with a bus of the user's own
	nc      *nats.Conn
	link    bus.Link
	js      jetstream.JetStream
	names   store.Names
	audit   *audit.Auditor
	// auditKey signs who acts through the management API.
	auditKey store.Key
	secrets  *secrets.Store
	webhook  *publishers.Webhook
	records  *store.Records
	index    *store.Index // of the records
	refused  refusals
	file     *automation.File // nil: none is configured
	api      atomic.Pointer[api.API]
	callers  []api.Token // that it began with
	bridge   atomic.Pointer[bridge.Bridge]
	inside   atomic.Pointer[embedded.Server] // server, for /readyz
	parseAs  func(id string, record []byte) (*bridge.Subscription, bridge.Problems)
	unfit    atomic.Pointer[string]   // why the bus is too old, nil if it is not
	waits    atomic.Pointer[[]string] // what the start waits for
	sight    atomic.Pointer[sight]    // what is wrong with the streams and buckets
}

// serve runs the program until ctx ends; then it hands over and returns nil.
func serve(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	if cfg.NATS.URL.Reveal() == "" {
		defer boundMemory()()
	}
	a := &app{cfg: cfg, log: log}
	return a.run(ctx, func() {})
}

// run starts everything, calls started once the bridge stands by or leads, and
// stops everything in reverse order.
func (a *app) run(ctx context.Context, started func()) (err error) {
	a.metrics = telemetry.Registry()
	a.waiting("starting")
	a.health, err = health.Listen(health.Options{Listen: a.cfg.HTTPListen, Readiness: a.readiness, Metrics: a.metrics, Log: a.log,
		Else: http.HandlerFunc(a.manage), Hosts: callers.NewHosts(a.hostNames()), Insider: a.insider})
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
	b, err := a.wire(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil // stopped before it had begun
		}
		return err
	}
	a.bridge.Store(b)
	a.log.Info("orderbridge is up", "version", telemetry.Version().Version, "http", a.health.Addr().String(), "stream", a.names.Stream, "subscriptions", a.names.Subscriptions)

	watch := a.firstLook(ctx)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return b.Run(ctx) })
	g.Go(func() error { return a.audit.Run(ctx) })
	g.Go(func() error { return a.takeCommands(ctx, b) })
	g.Go(func() error { return a.judgeRecords(ctx, a.parseAs) })
	g.Go(func() error { return a.records.Feed(ctx) })
	g.Go(func() error { return a.watchQuotas(ctx) })
	g.Go(func() error { return a.followTokens(ctx, a.api.Load()) })
	g.Go(func() error { return a.sayWhatIsNext(ctx, b) })
	if a.file != nil {
		g.Go(func() error { return a.file.Run(byFile(ctx), a.records) })
	}
	g.Go(func() error { return a.watchAssets(ctx, b, watch) })
	g.Go(func() error { return a.watchRefusals(ctx, b) })
	g.Go(func() error { return a.leaveDeafServers(ctx) })
	g.Go(func() error { return a.watchFit(ctx) })
	g.Go(func() error { return a.untilClosed(ctx) })
	a.tellStart()
	started()
	return g.Wait()
}

// wire makes the parts, from the bus to the endpoint.
func (a *app) wire(ctx context.Context) (*bridge.Bridge, error) {
	var err error
	if a.webhook, err = a.newWebhook(); err != nil {
		return nil, err
	}
	if err := a.openFile(ctx); err != nil { // first: a bad one ends the start, with or without a bus
		return nil, err
	}
	a.sayUnbound()
	a.sayWide()
	if err := a.connect(ctx); err != nil {
		return nil, err
	}
	if err := a.awaitFit(ctx, a.accountFits); err != nil {
		return nil, err
	}
	if err := a.ensure(ctx); err != nil {
		return nil, err
	}
	if err := a.awaitFit(ctx, a.streamsFit); err != nil {
		return nil, err
	}
	a.index = store.NewIndex()
	a.records = store.NewRecords(a.js, a.names.Subscriptions, a.log).WithIndex(a.index)
	a.records.Key = &a.auditKey
	if err := a.newAudit(ctx); err != nil {
		return nil, err
	}
	if err := a.startFile(byFile(ctx)); err != nil {
		return nil, err
	}
	stream, err := a.js.Stream(ctx, a.names.Stream)
	if err != nil {
		return nil, fmt.Errorf("open stream %q: %w", a.names.Stream, explain(err))
	}
	info := stream.CachedInfo()

	recent := &subscribers.Recent{}
	source := subscribers.NewSource(subscribers.SourceOptions{JetStream: a.js, Stream: a.names.Stream, Recent: recent, Logger: a.log})
	letters, err := publishers.NewDeadLetters(publishers.DeadLettersOptions{JetStream: a.js, Stream: a.names.DeadLetters,
		Subject: a.names.DeadLetterSubject, MaxPayload: int(a.nc.MaxPayload()), Logger: a.log})
	if err != nil {
		return nil, err
	}
	alerts, err := publishers.NewAlerts(publishers.AlertsOptions{JetStream: a.js, Subject: a.names.AlertSubject})
	if err != nil {
		return nil, err
	}
	holder, successor := a.holder()
	parse := a.parse(info.Config)
	a.parseAs = parse
	b, err := bridge.New(bridge.Options{
		Feed: func() (bridge.Feed, error) {
			return subscribers.NewFeed(subscribers.Options{JetStream: a.js, Stream: a.names.Stream, DurablePrefix: a.names.DurablePrefix,
				Window: a.cfg.Window, Metadata: store.DurableMetadata(a.names), Recent: recent, Logger: a.log})
		},
		Source:      source,
		Ledger:      store.NewLedger(a.js, a.names, store.NewMaker(a.js, storeOptions(a.cfg, a.log))),
		Lease:       a.newLease(a.js),
		Traces:      func(ctx context.Context) (bridge.Traces, error) { return store.Traces(ctx, a.js, a.names) },
		Records:     a.records,
		DeadLetters: letters,
		Alerts:      auditedAlerts{alerts, a.audit},
		Clock:       boottime.Clock{},
		Decoder: &bridge.Decoder{Stream: a.names.Stream, Created: info.Created, SubjectLayout: a.cfg.SubjectLayout, TenantSubjects: a.cfg.TenantSubjects,
			OrderIDPaths: a.cfg.OrderIDPaths, LegacyOrderIDPaths: a.cfg.LegacyOrderIDPaths, TypePaths: a.cfg.EventTypePaths, TenantPaths: a.cfg.TenantPaths},
		Parse:           a.read(parse),
		Filter:          filter.New(),
		Publisher:       a.webhook,
		Middleware:      []message.HandlerMiddleware{telemetry.NewAttempts(a.metrics).Middleware},
		Connection:      bus.Present(a.nc),
		Holder:          holder,
		Successor:       successor,
		Window:          a.cfg.Window,
		MaxEventBytes:   a.maxEventBytes(),
		ShutdownTimeout: a.cfg.ShutdownTimeout.Duration,
		Logger:          a.log,
	})
	if err != nil {
		return nil, err
	}
	telemetry.RegisterBridge(a.metrics, b.Condition)
	manage, err := a.newAPI(parse)
	if err != nil {
		return nil, err
	}
	a.api.Store(manage)
	return b, nil
}

// sparedOf are the subjects of the audit: with the permissions of a former build
// there is none, and everything else goes on.
func sparedOf(n store.Names) []string {
	spared := []string{n.AuditSubject + ".", "$KV." + n.Subscriptions + ".*"}
	for _, verb := range []string{"STREAM.INFO.", "STREAM.CREATE.", "STREAM.MSG.GET.", "CONSUMER.CREATE."} {
		spared = append(spared, jetstream.DefaultAPIPrefix+verb+n.Audit)
	}
	return spared
}

// connect starts the embedded server, if the user has no bus, and connects.
func (a *app) connect(ctx context.Context) (err error) {
	o := busOptions(a.cfg, a.log)
	if o.URL == "" {
		if a.server, err = a.startEmbedded(ctx); err != nil {
			return err
		}
		o.InProcess, o.Nkey, o.Sign = a.server, a.server.Nkey(), a.server.Sign
		a.tellEmbedded()
	}
	a.waiting("connecting to the bus")
	o.Link, o.Spared = &a.link, sparedOf(storeOptions(a.cfg, a.log).Names())
	if a.nc, err = bus.Connect(ctx, o); err != nil {
		return err
	}
	a.js, err = bus.JetStream(a.nc, o, limits.CommandCallTime)
	return err
}

func (a *app) newWebhook() (*publishers.Webhook, error) {
	a.secrets = secrets.New(secrets.Options{Dir: a.cfg.SecretsDir, IdentityFile: a.cfg.SealingKeyFile})
	o := publishers.Options{
		Version:       telemetry.Version().Version,
		AllowHTTP:     a.cfg.AllowHTTP,
		AllowTrustAll: a.cfg.AllowTrustAll,
		Dev:           a.cfg.Dev,
		NetHTTP:       a.cfg.HTTPClient == config.ClientNetHTTP,
		Logger:        a.log,
		MaxIdleConns:  idleConnections(),
		Proxy:         strings.TrimSuffix(strings.TrimPrefix(a.cfg.EgressProxy.Reveal(), "http://"), "/"),
		DialControl:   egressPolicy(a.cfg).Control,
		Internal:      func(addr netip.Addr) bool { return egress.Class(addr) != egress.Public },
		Secrets:       a.secrets,
	}
	if a.cfg.TrustRoots != "" {
		pem, err := os.ReadFile(a.cfg.TrustRoots)
		if err != nil {
			return nil, fmt.Errorf("read ORDERBRIDGE_TRUST_ROOTS: %w", err)
		}
		if o.TrustRoots, err = x509.SystemCertPool(); err != nil {
			o.TrustRoots = x509.NewCertPool()
		}
		if !o.TrustRoots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ORDERBRIDGE_TRUST_ROOTS: %s holds no PEM certificate", a.cfg.TrustRoots)
		}
	}
	return publishers.NewWebhook(o)
}

// parse reads records under the operator's policy and warns of subjects that
// the stream does not carry, of schedules that last longer than it keeps events,
// and of secrets and files that are not there.
func (a *app) parse(source jetstream.StreamConfig) func(string, []byte) (*bridge.Subscription, bridge.Problems) {
	policy := recordPolicy(a.cfg)
	return func(id string, data []byte) (*bridge.Subscription, bridge.Problems) {
		s, problems := bridge.ParseSubscription(id, data, policy)
		if s != nil {
			problems = append(problems, s.CheckSubjects(a.names.Stream, source.Subjects)...)
			problems = append(problems, s.CheckMaxAge(a.names.Stream, source.MaxAge)...)
			problems = append(problems, a.webhook.Check(s)...)
			problems = append(problems, a.fileProblem(id)...)
			problems = append(problems, a.quotaProblem(s)...)
		}
		return s, problems
	}
}

// maxEventBytes leaves room for the envelope of a dead letter.
func (a *app) maxEventBytes() int {
	if a.cfg.MaxEventBytes > 0 {
		return a.cfg.MaxEventBytes
	}
	return int(a.nc.MaxPayload()) - 16<<10
}

// holder names this replica. The lock on the data directory proves that an
// embedded server's former bridge is gone.
func (a *app) holder() (name string, successor bool) {
	if a.server != nil {
		return "embedded", true
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), rand.Text()[:6]), false
}

// takeCommands answers what operators ask the leader over the bus.
func (a *app) takeCommands(ctx context.Context, b *bridge.Bridge) error {
	sub, err := a.nc.Subscribe(a.names.Commands+".redrive", func(m *nats.Msg) {
		if b.Condition().Role == bridge.RoleStandby {
			return // the leader answers
		}
		ctx, cancel := context.WithTimeout(ctx, limits.CommandCallTime)
		defer cancel()
		answer := store.RedriveAnswer{}
		var request store.RedriveRequest
		if err := json.Unmarshal(m.Data, &request); err != nil {
			answer.Reason = "the request is not readable: " + err.Error()
		} else if err := b.Redrive(ctx, request.Subscription, request.Generation, request.Sequence); errors.Is(err, bridge.ErrNotLeader) {
			return
		} else if err != nil {
			answer.Reason = err.Error()
		} else {
			answer.Accepted = true
			a.tellRedrive(m, request, answer.Reason)
		}
		if data, err := json.Marshal(answer); err == nil {
			if err := m.Respond(data); err != nil {
				a.log.Warn("command could not be answered", "subject", m.Subject, "error", err)
			}
		}
	})
	if err != nil {
		return fmt.Errorf("subscribe to commands: %w", err)
	}
	streams, err := a.nc.Subscribe(a.names.Commands+".stream", func(m *nats.Msg) { a.answerStream(ctx, b, m) })
	if err != nil {
		return fmt.Errorf("subscribe to commands: %w", err)
	}
	defer streams.Unsubscribe() //nolint:errcheck // the connection ends with the program
	notes, err := a.nc.Subscribe(a.names.Commands+".audit", func(m *nats.Msg) { a.takeNote(b, m) })
	if err != nil {
		return fmt.Errorf("subscribe to commands: %w", err)
	}
	defer notes.Unsubscribe() //nolint:errcheck // likewise
	<-ctx.Done()
	if err := sub.Unsubscribe(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		a.log.Debug("unsubscribe from commands", "error", err)
	}
	return nil
}

// close stops what run has started, in reverse order.
func (a *app) close() {
	if a.webhook != nil {
		if err := a.webhook.Close(); err != nil {
			a.log.Warn("close connections to endpoints", "error", err)
		}
	}
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

// httpURL is where the program answers; for people and the demo.
func (a *app) httpURL() string {
	_, port, err := net.SplitHostPort(a.health.Addr().String())
	if err != nil {
		return "http://" + a.health.Addr().String()
	}
	return "http://" + net.JoinHostPort("127.0.0.1", port)
}
