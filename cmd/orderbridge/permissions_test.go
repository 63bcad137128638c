package main

import (
	"crypto/tls"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge"
	"orderbridge/internal/testbus"
	"orderbridge/internal/testcert"
)

// guardedBus is one server with the configuration of deploy/nats, and the
// files of its users.
type guardedBus struct {
	dir string // holds tls/
	url string
}

// guarded starts it. The configuration names files as seen from the working
// directory and takes variables from the environment: no test runs beside it.
func guarded(t *testing.T) *guardedBus {
	t.Helper()
	conf, err := filepath.Abs("../../deploy/nats/nats.conf")
	if err != nil {
		t.Fatal(err)
	}
	b := &guardedBus{dir: t.TempDir()}
	ca, err := authority()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(b.dir, "tls"), 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(b.dir, "tls", name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("ca.crt", ca.PEM())
	for name, host := range map[string]string{"nats": "127.0.0.1", "publisher": "publisher", "manager": "manager", "operator": "operator", "bridge": "bridge", "stranger": "stranger"} {
		issued, err := ca.Issue(host)
		if err != nil {
			t.Fatal(err)
		}
		cert, key, err := testcert.PEMPair(issued)
		if err != nil {
			t.Fatal(err)
		}
		write(name+".crt", cert)
		write(name+".key", key)
	}

	t.Chdir(b.dir)
	t.Setenv("SERVER_NAME", "nats-1")
	t.Setenv("STORE_DIR", t.TempDir())
	opts, err := server.ProcessConfigFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	// One server, on free ports.
	opts.Host, opts.Port, opts.HTTPPort = "127.0.0.1", server.RANDOM_PORT, 0
	opts.Cluster, opts.Routes = server.ClusterOpts{}, nil
	opts.NoSigs, opts.NoLog = true, true
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(15 * time.Second) {
		t.Fatal("the server is not ready")
	}
	b.url = "tls://" + s.Addr().String()
	return b
}

func (b *guardedBus) file(name string) string { return filepath.Join(b.dir, "tls", name) }

// env is the environment of the program for a user of the bus.
func (b *guardedBus) env(user string) []string {
	return []string{"ORDERBRIDGE_NATS_URL=" + b.url, "ORDERBRIDGE_NATS_CA=" + b.file("ca.crt"),
		"ORDERBRIDGE_NATS_CERT=" + b.file(user+".crt"), "ORDERBRIDGE_NATS_KEY=" + b.file(user+".key"), "ORDERBRIDGE_NATS_INBOX=_INBOX_" + user}
}

func (b *guardedBus) options(t testing.TB, user string) []nats.Option {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(b.file(user+".crt"), b.file(user+".key"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := authority()
	if err != nil {
		t.Fatal(err)
	}
	return []nats.Option{nats.Secure(&tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: ca.Pool(), MinVersion: tls.VersionTLS12}),
		nats.CustomInboxPrefix("_INBOX_" + user)}
}

func (b *guardedBus) dial(t testing.TB, user string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	return testbus.Dial(t, b.url, append(b.options(t, user), opts...)...)
}

// run runs a command of the program as a user.
func (b *guardedBus) run(t testing.TB, user, stdin string, args ...string) (out string, good bool) {
	t.Helper()
	cmd := exec.Command("orderbridge", args...)
	cmd.Env = environment(t, b.env(user)...)
	cmd.Stdin = strings.NewReader(stdin)
	printed, err := cmd.CombinedOutput()
	return string(printed), err == nil
}

// TestPermissions holds deploy/nats to its word: each user may do its job and
// nothing else. The program runs as the user bridge and must not even try what
// it may not do.
func TestPermissions(t *testing.T) {
	bus := guarded(t)
	if nc, err := nats.Connect(bus.url, bus.options(t, "stranger")...); err == nil {
		nc.Close()
		t.Error("a stranger whose certificate is good is let in")
	}
	if nc := bus.dial(t, "bridge", nats.UserInfo("publisher", "")); !deniedPublish(t, nc, "orders.acme") {
		t.Error("who shows the certificate of the bridge and the name of the publisher may publish")
	}

	p := launch(t, append(bus.env("bridge"), apiTokens)...)
	p.leads()
	e := receive(t, shakyOnce())
	good, bad := receive(t, nil), receive(t, always(500))
	manager := testbus.JetStream(t, bus.dial(t, "manager"))
	publisher := testbus.JetStream(t, bus.dial(t, "publisher"))

	// Their jobs.
	subscribe(t, manager, "acme", record(e, quickRetries))
	subscribe(t, manager, "good", record(good))
	subscribe(t, manager, "bad", record(bad, `"retry":{"schedule":[]}`, `"subjects":["orders.dead"]`))
	publishOne(t, publisher, "o1", 1)
	e.came(t, 2) // by the ledger
	good.came(t, 1)
	ctx := within(t, 30*time.Second)
	if _, err := publisher.PublishMsg(ctx, &nats.Msg{Subject: "orders.dead", Data: []byte(`{"orderId":"d1"}`)}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		user, stdin, want string
		args              []string
	}{
		{"publisher", `{"orderId":"o2","eventType":"OrderChanged","n":1}`, "published 1", []string{"publish", "-"}},
		{"manager", record(good), "third: active", []string{"subscriptions", "put", "third", "-"}},
		{"manager", "", `"targetURL"`, []string{"subscriptions", "get", "third"}},
		{"manager", "", "third", []string{"subscriptions", "list"}},
		{"manager", "", "third: deactivated", []string{"subscriptions", "deactivate", "third"}},
		{"manager", "", "third: ", []string{"subscriptions", "activate", "third"}},
		{"manager", "", "", []string{"subscriptions", "delete", "third"}},
		{"operator", "", "acme", []string{"subscriptions", "list"}},
		{"operator", "", "", []string{"owed", "list"}},
		{"operator", "", "bad", []string{"dead-letters", "list"}},
		{"operator", "", "", []string{"dead-letters", "redrive", "1"}},
		{"operator", "", "removed 1", []string{"dead-letters", "purge", "2"}},
		{"operator", "", "acme: deactivated", []string{"subscriptions", "deactivate", "acme"}},
		{"operator", "", "acme: ", []string{"subscriptions", "activate", "acme"}},
	} {
		out, ok := "", false
		deadline := time.Now().Add(20 * time.Second)
		for !ok && time.Now().Before(deadline) { // the dead letter may still be on its way
			out, ok = bus.run(t, c.user, c.stdin, c.args...)
			ok = ok && strings.Contains(out, c.want)
		}
		if !ok {
			t.Errorf("%s: %s: %s", c.user, strings.Join(c.args, " "), out)
		}
	}
	await(t, 20*time.Second, "the second event arrives", func() bool { return good.delivered() >= 2 })
	// What they may not do is told at once, and by its name.
	for _, c := range []struct {
		user, want string
		args       []string
	}{
		{"publisher", `may not publish to "$JS.API.STREAM.INFO.KV_subscription_status"`, []string{"subscriptions", "list"}},
		{"publisher", `may not publish to "`, []string{"dead-letters", "list"}},
		{"manager", `may not publish to "$JS.API.STREAM.INFO.KV_owed"`, []string{"owed", "list"}},
		{"manager", `may not publish to "orders"`, []string{"publish", "-"}},
		{"operator", `may not publish to "orders"`, []string{"publish", "-"}},
	} {
		begun := time.Now()
		out, ok := bus.run(t, c.user, `{"orderId":"o3"}`, c.args...)
		if ok || !strings.Contains(out, c.want) || !strings.Contains(out, "ORDERBRIDGE_NATS_CERT") {
			t.Errorf("%s: %s: %s", c.user, strings.Join(c.args, " "), out)
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("%s: %s took %s", c.user, strings.Join(c.args, " "), took)
		}
	}
	api := bearer(t, p, operator)
	id := api.call("POST", webhooks, record(bad, `"retry":{"schedule":[]}`, `"subjects":["orders.dead"]`)).is(t, 200).json(t)["id"].(string)
	if _, err := publisher.PublishMsg(ctx, &nats.Msg{Subject: "orders.dead", Data: []byte(`{"orderId":"d2"}`)}); err != nil {
		t.Fatal(err)
	}
	letter := uint64(0)
	await(t, 20*time.Second, "a dead letter", func() bool {
		for _, item := range api.call("GET", "/api/v1/dead-letters?subscription="+id, "").is(t, 200).json(t)["items"].([]any) {
			letter = uint64(item.(map[string]any)["deadLetter"].(float64))
		}
		return letter > 0
	})
	for _, r := range routes(t, api) {
		if r.gateway {
			api = basic(t, p, gatewayToken)
		} else {
			api = bearer(t, p, operator)
		}
		if got := api.call(r.method, r.with(id, letter), r.body()); got.status >= 500 {
			t.Errorf("API: %s %s: %d %s", r.method, r.path, got.status, got.body)
		}
	}
	// A deactivated subscription reads: a consumer of its own on the stream.
	subscribeState(t, manager, "good", record(good, `"status":"deactivated"`), bridge.StateDeactivated)
	p.stop()
	if log := p.log.String(); strings.Contains(strings.ToLower(log), "permission") {
		t.Errorf("the bridge lacks a permission; put it into deploy/nats/accounts.conf, and into the table below:\n%s", log)
	}

	// And nothing else.
	all := []string{"publisher", "manager", "operator", "bridge"}
	for _, tt := range []struct {
		subject string
		allowed []string
	}{
		{"orders.acme.OrderAccepted.1", []string{"publisher"}},
		{"orders", []string{"publisher"}},
		{"other.subject", nil},
		{"$KV.subscriptions.x", []string{"manager", "operator", "bridge"}},
		{"$KV.subscriptions.x.y", nil},
		{"$KV.subscription_status.x", []string{"bridge"}},
		{"$KV.owed.x", []string{"bridge"}},
		{"$KV.lease.leader", []string{"bridge"}},
		{"$KV.other.x", nil},
		{"dead-letters.acme.o1", []string{"bridge"}},
		{"alerts.suspended.acme", []string{"bridge"}},
		{"orderbridge.cmd.redrive", []string{"operator", "bridge"}},
		{"orderbridge.cmd.judge", []string{"manager", "operator", "bridge"}},
		{"_INBOX_bridge.x", nil}, {"_INBOX_manager.x", nil}, {"_INBOX.x", nil},
		{"$JS.API.INFO", []string{"operator", "bridge"}},
		{"$JS.API.STREAM.NAMES", []string{"operator", "bridge"}},
		{"$JS.API.STREAM.CREATE.ORDERS", []string{"bridge"}},
		{"$JS.API.STREAM.CREATE.OTHER", nil},
		{"$JS.API.STREAM.UPDATE.ORDERS", nil},
		{"$JS.API.STREAM.UPDATE.KV_owed", nil},
		{"$JS.API.STREAM.DELETE.ORDERS", nil},
		{"$JS.API.STREAM.DELETE.KV_subscriptions", nil},
		{"$JS.API.STREAM.DELETE.KV_owed", nil},
		{"$JS.API.STREAM.PURGE.ORDERS", nil},
		{"$JS.API.STREAM.PURGE.KV_subscriptions", nil},
		{"$JS.API.STREAM.PURGE.DEAD_LETTERS", []string{"operator"}},
		{"$JS.API.STREAM.MSG.DELETE.ORDERS", nil},
		{"$JS.API.STREAM.MSG.DELETE.KV_owed", nil},
		{"$JS.API.STREAM.MSG.DELETE.DEAD_LETTERS", []string{"operator", "bridge"}},
		{"$JS.API.STREAM.SNAPSHOT.ORDERS", nil},
		{"$JS.API.STREAM.RESTORE.ORDERS", nil},
		{"$JS.API.STREAM.LEADER.STEPDOWN.ORDERS", nil},
		{"$JS.API.STREAM.PEER.REMOVE.ORDERS", nil},
		{"$JS.API.META.LEADER.STEPDOWN", nil},
		{"$JS.API.STREAM.MSG.GET.ORDERS", []string{"operator", "bridge"}},
		{"$JS.API.STREAM.MSG.GET.KV_subscriptions", []string{"manager", "operator", "bridge"}},
		{"$JS.API.STREAM.MSG.GET.KV_owed", []string{"operator", "bridge"}},
		{"$JS.API.STREAM.MSG.GET.OTHER", []string{"operator"}},
		{"$JS.API.DIRECT.GET.ORDERS", []string{"operator"}},
		{"$JS.API.DIRECT.GET.KV_subscriptions.$KV.subscriptions.x", []string{"manager", "operator", "bridge"}},
		{"$JS.API.DIRECT.GET.KV_owed.$KV.owed.x", []string{"operator"}},
		{"$JS.API.CONSUMER.CREATE.ORDERS.x", []string{"bridge"}},
		{"$JS.API.CONSUMER.CREATE.KV_subscriptions.x.$KV.subscriptions.>", []string{"operator", "bridge"}},
		{"$JS.API.CONSUMER.CREATE.DEAD_LETTERS.x", []string{"operator", "bridge"}},
		{"$JS.API.CONSUMER.CREATE.KV_other.x", nil},
		{"$JS.API.CONSUMER.DURABLE.CREATE.ORDERS.x", nil},
		{"$JS.API.CONSUMER.DELETE.ORDERS.x", []string{"bridge"}},
		{"$JS.API.CONSUMER.PAUSE.ORDERS.x", nil},
		{"$JS.API.CONSUMER.RESET.ORDERS.x", nil},
		{"$JS.API.CONSUMER.MSG.NEXT.ORDERS.x", []string{"bridge"}},
		{"$JS.ACK.ORDERS.x.1.1.1.1.0", []string{"bridge"}},
		{"$JS.ACK.KV_owed.x.1.1.1.1.0", nil},
		{"$SYS.REQ.SERVER.PING", nil},
		{"$SYS.REQ.ACCOUNT.PING.CONNZ", nil},
	} {
		for _, user := range all {
			nc := bus.dial(t, user)
			if denied, want := deniedPublish(t, nc, tt.subject), !slices.Contains(tt.allowed, user); denied != want {
				t.Errorf("%s publishes to %s: refused is %t, want %t", user, tt.subject, denied, want)
			}
			nc.Close()
		}
	}
	for _, tt := range []struct {
		subject string
		allowed []string
	}{
		{"_INBOX_publisher.x.*", []string{"publisher"}},
		{"_INBOX_manager.x.*", []string{"manager"}},
		{"_INBOX_operator.x.*", []string{"operator"}},
		{"_INBOX_bridge.x.*", []string{"bridge"}},
		{"_INBOX.>", nil}, {">", nil}, {"*.>", nil},
		{"orders.>", nil}, {"$KV.subscriptions.>", nil}, {"$KV.owed.>", nil}, {"dead-letters.>", nil},
		{"$JS.API.>", nil}, {"alerts.>", []string{"operator"}}, {"$JS.EVENT.ADVISORY.>", nil}, {"$SYS.>", nil},
		{"orderbridge.cmd.redrive", []string{"bridge"}},
	} {
		for _, user := range all {
			nc := bus.dial(t, user)
			if denied, want := deniedSubscribe(t, nc, tt.subject), !slices.Contains(tt.allowed, user); denied != want {
				t.Errorf("%s subscribes to %s: refused is %t, want %t", user, tt.subject, denied, want)
			}
			nc.Close()
		}
	}
}

// shakyOnce answers the first request with 503.
func shakyOnce() func(*hit) int {
	return func(h *hit) int {
		if h.header.Get("X-Attempt") == "1" {
			return 503
		}
		return 200
	}
}

func subscribeState(t testing.TB, js jetstream.JetStream, id, value string, state bridge.State) {
	t.Helper()
	verdict(t, js, id, put(t, js, id, value), state)
}

func deniedPublish(t testing.TB, nc *nats.Conn, subject string) bool {
	t.Helper()
	return denied(t, nc, func() error { return nc.Publish(subject, []byte("{}")) })
}

func deniedSubscribe(t testing.TB, nc *nats.Conn, subject string) bool {
	t.Helper()
	return denied(t, nc, func() error {
		_, err := nc.SubscribeSync(subject)
		return err
	})
}

// denied tells whether the server says no to what do sends. The server answers
// in order: after the flush its no, if there is one, has come.
func denied(t testing.TB, nc *nats.Conn, do func() error) bool {
	t.Helper()
	if err := do(); err != nil {
		t.Fatal(err)
	}
	if err := nc.FlushTimeout(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	return errors.Is(nc.LastError(), nats.ErrPermissionViolation)
}
