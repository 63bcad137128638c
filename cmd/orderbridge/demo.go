package main

import (
	"bytes"
	"context"
	"crypto/tls"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"orderbridge/bridge/protocol"
	"orderbridge/config"
	"orderbridge/internal/limits"
	"orderbridge/internal/localca"
	"orderbridge/internal/store"
	"orderbridge/internal/telemetry"
)

// demoEvents are order events in the shapes of all four contracts, one a line.
//
//go:embed demo-events.ndjson
var demoEvents []byte

func newDemo() *cobra.Command {
	var keep bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See it work: a bus, the bridge and a receiver, all on this machine",
		Long: `Start an embedded NATS server, the bridge and a local receiver over TLS in a
temporary directory on free ports, put three subscriptions, publish order events
and print each delivery as it arrives. Nothing is left behind.`,
		Example: `  orderbridge demo
  orderbridge demo --keep                            stay up, to try more`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDemo(cmd, keep)
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "stay up until interrupted, go on publishing orders to watch in the console, and print what to try next")
	return cmd
}

// demoSecret signs what crm gets.
const demoSecret = "whsec_ZGVtby1zZWNyZXQtb2Ytb3JkZXJicmlkZ2UtMQ==" //nolint:gosec // it protects nothing

// demoSubscriptions are put one after the other; %s is the receiver's URL.
var demoSubscriptions = []struct{ id, record, about string }{
	{"lookup", `{"targetURL":"%s/lookup?orderId={orderId}","method":"GET"}`, "told which order changed"},
	{"crm", `{"targetURL":"%s/crm/events","signing":{"secrets":["` + demoSecret +
		`"]},"retry":{"schedule":["PT1S","PT2S","PT5S"]}}`, "gets each event as it was published; fails twice first"},
	{"warehouse", `{"targetURL":"%s/orders/{orderId}","method":"PUT"}`, "gets each event under its order"},
}

func runDemo(cmd *cobra.Command, keep bool) (err error) {
	ctx, stop := context.WithCancel(cmd.Context())
	defer stop()
	out := cmd.OutOrStdout()
	dir, err := os.MkdirTemp("", "orderbridge-demo-")
	if err != nil {
		return fmt.Errorf("make a temporary directory: %w", err)
	}
	defer os.RemoveAll(dir)

	receiver, err := startDemoReceiver(dir, out)
	if err != nil {
		return err
	}
	defer receiver.close()

	a := &app{cfg: demoConfig(dir), log: telemetry.Logger(cmd.ErrOrStderr(), demoLogLevel(), "text")}
	up, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- a.run(ctx, func() { close(up) }) }()
	defer func() {
		stop()
		if e := <-done; err == nil {
			err = e
		}
	}()
	select {
	case <-up:
	case e := <-done:
		done <- nil
		return e
	}

	d := &demo{app: a, cmd: cmd, receiver: receiver}
	if keep {
		fmt.Fprintf(out, "Watch it at %s\n\n", d.consoleURL())
	}
	fmt.Fprintf(out, "%s\n\n", bold(cmd, "A NATS server, the bridge and a receiver with TLS, all in this process"))
	demoCtx, cancel := context.WithTimeout(ctx, limits.DemoTime)
	defer cancel()
	if err := d.play(demoCtx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	if keep {
		d.tryNext()
		d.flow(ctx)
	}
	return nil
}

// demoConfig is not read from the environment: the demo touches nothing of the user's.
func demoConfig(dir string) *config.Config {
	return &config.Config{
		NATS:                config.NATS{Listen: "127.0.0.1:0"},
		DataDir:             filepath.Join(dir, "data"),
		EmbeddedSync:        config.SyncInterval,
		Stream:              "ORDERS",
		Subjects:            config.List{"orders", "orders.>"},
		SubscriptionsBucket: "subscriptions",
		HTTPListen:          "127.0.0.1:0",
		TrustRoots:          filepath.Join(dir, "ca.pem"),
		Dev:                 true,
		Window:              4096,
		ShutdownTimeout:     config.Duration{Duration: 5 * time.Second},
	}
}

// demoLogLevel keeps the log out of the picture, unless it is asked for.
func demoLogLevel() slog.Level {
	level := slog.LevelError
	if text := os.Getenv(config.Prefix + "_LOG_LEVEL"); text != "" {
		_ = level.UnmarshalText([]byte(text)) // a bad one leaves the level as it is
	}
	return level
}

// demo plays the events against a running app.
type demo struct {
	app      *app
	cmd      *cobra.Command
	receiver *demoReceiver
}

func (d *demo) play(ctx context.Context) error {
	out := d.cmd.OutOrStdout()
	s := newSession(d.app.cfg, d.app.log, d.app.nc, d.app.js, nil)
	fmt.Fprintf(out, "%s, put into the bucket %q:\n", count(len(demoSubscriptions), "subscription"), s.names.Subscriptions)
	for _, x := range demoSubscriptions {
		record := fmt.Sprintf(x.record, d.receiver.url)
		revision, err := s.putRecord(ctx, x.id, []byte(record), store.AnyRevision)
		if err != nil {
			return err
		}
		verdict, err := s.awaitStatus(ctx, x.id, revision)
		if err != nil {
			return err
		}
		if verdict == nil || verdict.State == protocol.StateInvalid {
			return fmt.Errorf("subscription %q did not become active", x.id)
		}
		fmt.Fprintf(out, "  %-10s %s\n  %-10s %s\n", x.id, record, "", x.about)
	}

	events, err := splitEvents(demoEvents)
	if err != nil {
		return fmt.Errorf("demo events: %w", err)
	}
	fmt.Fprintf(out, "\n%s of %d orders, published to %q; each attempt as it arrives at the receiver:\n",
		count(len(events), "event"), 5, "orders")
	d.receiver.header()
	for _, event := range events {
		if _, err := s.publishOne(ctx, &nats.Msg{Subject: "orders", Data: event}, nil); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
	}
	return d.summary(ctx, len(events))
}

// summary waits until nothing is owed any more and adds up.
func (d *demo) summary(ctx context.Context, published int) error {
	b := d.app.bridge.Load()
	expected := uint64(published * len(demoSubscriptions))
	var f protocol.Figures
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		f = b.Condition().Figures
		if f.Delivered+f.Dead >= expected && f.Owed == 0 && f.Held == 0 {
			tick.Stop()
			break
		}
		select {
		case <-ctx.Done():
			tick.Stop()
			return fmt.Errorf("the demo did not finish: %d of %d deliveries", f.Delivered+f.Dead, expected)
		case <-tick.C:
		}
	}
	out := d.cmd.OutOrStdout()
	fmt.Fprintf(out, "\n%s\n", bold(d.cmd, "What it adds up to"))
	fmt.Fprintf(out, "  %4d events published\n", published)
	fmt.Fprintf(out, "  %4d deliveries matched: each event by %d subscriptions\n", f.Matched, len(demoSubscriptions))
	fmt.Fprintf(out, "  %4d delivered, of them %d after a retry: its order waited, the others went on\n", f.Delivered,
		min(f.Retried, 1))
	fmt.Fprintf(out, "  %4d attempts failed, %d retried\n", f.Failed, f.Retried)
	fmt.Fprintf(out, "  %4d dead letters\n", f.Dead)
	d.signature()
	if f.Matched != expected || f.Delivered+f.Dead != f.Matched || f.Failed != f.Retried+f.Dead {
		return errors.New("these figures do not add up")
	}
	return nil
}

// signature shows a signed request, and how a receiver verifies it.
func (d *demo) signature() {
	d.receiver.mu.Lock()
	defer d.receiver.mu.Unlock()
	out := d.cmd.OutOrStdout()
	fmt.Fprintf(out, "\n%s, signed with %s\n", bold(d.cmd, "A request that crm got"), demoSecret)
	fmt.Fprintf(out, "  POST /crm/events\n")
	for _, name := range []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"} {
		fmt.Fprintf(out, "  %s: %s\n", name, d.receiver.signed.Get(name))
	}
	fmt.Fprintf(out, "\n  %s\n", bytes.TrimSpace(d.receiver.body))
	_, _ = io.WriteString(out, `
The signature is "v1," and this, where key is the secret behind whsec_, decoded from base64:
  Go          mac := hmac.New(sha256.New, key); fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body)
              base64.StdEncoding.EncodeToString(mac.Sum(nil))
  JavaScript  createHmac("sha256", key).update(`+"`${id}.${timestamp}.`"+`).update(body).digest("base64")
  Python      b64encode(hmac.digest(key, f"{id}.{timestamp}.".encode() + body, "sha256"))
docs/webhook-contract.md has the whole of it, and all else that a receiver needs to know.
`)
}

// consoleURL opens the console, logged in: what stands behind # a browser keeps to
// itself.
func (d *demo) consoleURL() string {
	at := d.httpURL() + "/"
	if len(d.app.tokens) > 0 {
		at += "#token=" + url.QueryEscape(d.app.tokens[0].Secret.Reveal())
	}
	return at
}

func (d *demo) tryNext() {
	self := "go run ./cmd/orderbridge"
	if path, err := os.Executable(); err == nil && !strings.Contains(path, "go-build") {
		self = path
	}
	environment := "ORDERBRIDGE_NATS_URL=" + d.app.server.URL()
	fmt.Fprintf(d.cmd.OutOrStdout(), `
%s, until Ctrl-C, and every two seconds an order changes: flow-1, flow-2, …
Each tenth fails twice at crm and waits, while the others go on. They are not printed here: watch them in the console,
%s

In another terminal:
  export %s
  %s subscriptions list
  %s dead-letters list
  echo '{"orderId":"4711","eventType":"OrderAccepted"}' | %s publish -
  curl -s %s/readyz
  curl -s %s/metrics | grep orderbridge_
With the nats command line (the bucket is %q, the verdict shows in %q):
  nats -s %s kv put %s mine '{"targetURL":"%s/mine/{orderId}","method":"PUT"}'
  nats -s %s kv get %s mine --raw
`, bold(d.cmd, "It stays up"), d.consoleURL(), environment, self, self, self, d.httpURL(), d.httpURL(),
		d.app.names.Subscriptions, d.app.names.Status,
		d.app.server.URL(), d.app.names.Subscriptions, d.receiver.url, d.app.server.URL(), d.app.names.Status)
}

// demoReceiver is an endpoint that prints what it gets.
type demoReceiver struct {
	url    string
	server *http.Server
	out    io.Writer
	start  time.Time

	mu    sync.Mutex
	fails int // answers of 503 that are left for the first order of crm
	order string

	signed http.Header // of the last request of crm
	body   []byte
}

// startDemoReceiver listens with a certificate of an authority made for this
// run, which it leaves as ca.pem in dir.
func startDemoReceiver(dir string, out io.Writer) (*demoReceiver, error) {
	ca, err := localca.New(24 * time.Hour)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), ca.PEM(), 0o600); err != nil {
		return nil, fmt.Errorf("write the authority's certificate: %w", err)
	}
	cert, err := ca.Issue("127.0.0.1", "localhost")
	if err != nil {
		return nil, err
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0",
		&tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	if err != nil {
		return nil, fmt.Errorf("listen for the demo's receiver: %w", err)
	}
	r := &demoReceiver{url: "https://" + listener.Addr().String(), out: out, start: time.Now(), fails: 2}
	r.server = &http.Server{Handler: r, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	go func() {
		if err := r.server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) &&
			!errors.Is(err, net.ErrClosed) {
			fmt.Fprintf(out, "receiver: %v\n", err)
		}
	}()
	return r, nil
}

func (r *demoReceiver) close() { _ = r.server.Close() }

func (r *demoReceiver) header() {
	r.start = time.Now()
	fmt.Fprintf(r.out, "  %7s  %-6s %-52s %7s  %-6s  %s\n", "SECONDS", "METHOD", "URL", "ATTEMPT", "ANSWER", "ID")
}

func (r *demoReceiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, 1<<20))
	if err != nil {
		return
	}
	status := http.StatusNoContent
	order := req.Header.Get("X-Order-Id")
	r.mu.Lock()
	defer r.mu.Unlock()
	note := ""
	if n, ok := flowOrder(order); ok { // nobody wants to read these without end
		if strings.HasPrefix(req.URL.Path, "/crm/") {
			status = flowStatus(n, req.Header.Get("X-Attempt"))
		}
		w.WriteHeader(status)
		return
	}
	if strings.HasPrefix(req.URL.Path, "/crm/") {
		r.signed, r.body = req.Header, body
		if r.order == "" {
			r.order = order
		}
		if order == r.order && r.fails > 0 {
			r.fails--
			status = http.StatusServiceUnavailable
			note = "  (fails on purpose: this order waits, the others go on)"
		} else if bytes.Contains(body, []byte(r.order)) && r.fails == 0 && req.Header.Get("X-Attempt") != "1" {
			note = "  (the same id again, and now what waited behind it)"
		}
	}
	w.WriteHeader(status)
	fmt.Fprintf(r.out, "  %7.3f  %-6s %-52s %7s  %-6d  %s%s\n", time.Since(r.start).Seconds(), req.Method,
		req.URL.RequestURI(),
		req.Header.Get("X-Attempt"), status, req.Header.Get("Webhook-Id"), note)
}

// httpURL is where the program answers.
func (d *demo) httpURL() string {
	address := d.app.health.Addr().String()
	if _, port, err := net.SplitHostPort(address); err == nil {
		address = net.JoinHostPort("127.0.0.1", port)
	}
	return "http://" + address
}
