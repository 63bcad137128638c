package e2e

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"orderbridge/internal/lab"
	"orderbridge/internal/natstools"
)

// The program nats as each user of deploy/nats, as docs/deploy.md says: under
// the API prefix everything works that makes no consumer, and what a user may
// not do is refused by its name.
func TestAccountsWithTheProgramNats(t *testing.T) {
	t.Parallel()
	natstools.Find(t, natstools.CLI)
	bus := guarded(t)
	p := launch(t, bus.env("bridge")...)
	p.leads()
	bad := receive(t, lab.Always(500))
	subscribe(t, bus.jetStream(t, "manager"), "bad", recordFor(bad, `"retry":{"schedule":[]}`))
	publishOne(t, bus.jetStream(t, "publisher"), "o1", 1)
	bad.came(t, 1)
	await(t, 20*time.Second, "a dead letter", func() bool {
		out, _ := bus.nats(t, "operator", "stream get DEAD_LETTERS 1")
		return strings.Contains(out, "500 Internal Server Error")
	})
	natsDoesTheirJobs(t, bus)
	natsIsRefused(t, bus)
	changesAreHeard(t, bus)
	p.stop()
}

// nats runs a line of the program nats as a user.
func (bus *guardedBus) nats(t *testing.T, user, line string) (out string, good bool) {
	t.Helper()
	return bus.natsWithin(t, time.Minute, user, line)
}

// natsWithin is nats with the time in which an answer must come.
func (bus *guardedBus) natsWithin(t *testing.T, patience time.Duration, user, line string) (out string, good bool) {
	t.Helper()
	args := []string{"-s", bus.url, "--tlscert", bus.file(user + ".crt"), "--tlskey", bus.file(user + ".key"), "--tlsca", bus.file("ca.crt"),
		"--inbox-prefix", "_INBOX_" + user, "--js-api-prefix", bus.prefix, "--timeout", patience.String()}
	cmd := exec.CommandContext(within(t, 20*time.Second), natstools.Find(t, natstools.CLI), append(args, strings.Fields(line)...)...)
	cmd.Env = append(environment(t), "HOME="+bus.dir, "XDG_CONFIG_HOME="+bus.dir)
	text, err := cmd.CombinedOutput()
	return string(text), err == nil
}

func natsDoesTheirJobs(t *testing.T, bus *guardedBus) {
	t.Helper()
	for _, c := range []struct{ user, line, want string }{
		{"manager", `kv put subscriptions x {"a":1}`, `{"a":1}`},
		{"manager", "kv get subscriptions x --raw", `{"a":1}`},
		{"manager", "kv create subscriptions y {}", "{}"},
		{"manager", "kv del subscriptions x -f", ""},
		{"manager", "kv purge subscriptions y -f", ""},
		{"manager", "kv status subscriptions", "History Kept: 64"},
		{"manager", "kv get subscription_status bad --raw", `"state"`},
		{"operator", "kv get subscriptions bad --raw", "targetURL"},
		{"operator", "kv ls", "subscription_status"},
		{"operator", "stream ls -n", "DEAD_LETTERS"},
		{"operator", "stream info ORDERS", "order change events"},
		{"operator", "stream subjects DEAD_LETTERS", "dead-letters.bad"},
		{"operator", "stream get ORDERS 1", "o1"},
		{"operator", "consumer ls ORDERS", "orderbridge"},
		{"operator", "consumer report ORDERS", "orderbridge"},
		{"operator", "stream get ALERTS 1", "orderbridge.alert"},
		{"operator", "stream rmm DEAD_LETTERS 1 -f", ""},
		{"operator", "stream purge DEAD_LETTERS -f", "Messages: 0"},
		{"operator", "micro ls", "orderbridge"},
		{"operator", "micro stats orderbridge", "redrive"},
		{"operator", `req orderbridge.redrive {"subscription":"x","generation":1,"sequence":9}`, "Nats-Service-Error-Code: 409"},
		{"manager", "micro info orderbridge", "orderbridge.explain"},
		{"manager", `req orderbridge.explain {"sequence":1,"subscription":"bad"}`, `"outcome":"sent"`},
		{"auditor", "micro ping orderbridge", "orderbridge"},
		{"auditor", `req orderbridge.explain {"sequence":1}`, `"subscription":"bad"`},
		{"auditor", `req orderbridge.explain {"sequence":99}`, "Nats-Service-Error-Code: 404"},
		{"auditor", "kv get subscription_status bad --raw", `"state"`},
		{"auditor", "stream get ORDERS 1", "o1"},
		{"auditor", "stream get ALERTS 1", "orderbridge.alert"},
		{"publisher", `req orders {"orderId":"a"}`, `"stream":"ORDERS"`},
		{"publisher", `pub orders.acme.x {"orderId":"a"} --jetstream`, "Stored in Stream: ORDERS"},
	} {
		if out, good := bus.nats(t, c.user, c.line); !good || !strings.Contains(out, c.want) {
			t.Errorf("%s: nats %s: %s", c.user, c.line, out)
		}
	}
}

func natsIsRefused(t *testing.T, bus *guardedBus) {
	t.Helper()
	for _, c := range []struct{ user, line, lacks string }{
		{"operator", "kv watch subscriptions", "CONSUMER.CREATE"}, // nats sub instead
		{"operator", "stream purge ALERTS -f", "STREAM.PURGE.ALERTS"},
		{"publisher", "kv put subscriptions x {}", "STREAM.INFO.KV_subscriptions"},
		{"auditor", "kv get subscriptions bad", "STREAM.INFO.KV_subscriptions"}, // its secrets
		{"auditor", "req orderbridge.redrive {}", "orderbridge.redrive"},
		{"manager", "req orderbridge.stream {}", "orderbridge.stream"},
	} {
		told, out := false, ""
		for patience := 2 * time.Second; !told && patience < lab.Patience; patience *= 5 { // who is refused gets no answer
			var good bool
			out, good = bus.natsWithin(t, patience, c.user, c.line)
			good = good && !strings.HasPrefix(c.line, "req ") // which may end well when nothing has come
			told = !good && strings.Contains(out, "Permissions Violation") && strings.Contains(out, c.lacks)
		}
		if !told {
			t.Errorf("%s: nats %s: %s", c.user, c.line, out)
		}
	}
}

// changesAreHeard: instead of a watch, what the bridge says of a record is heard
// live. The bridge hears who has changed it; the server says so, whatever the
// user does.
func changesAreHeard(t *testing.T, bus *guardedBus) {
	t.Helper()
	heard := look(t, bus.dial(t, "operator"), "operator", "$KV.subscription_status.*")
	told := look(t, bus.dial(t, "bridge"), "bridge", "$KV.subscriptions.*")
	if out, good := bus.nats(t, "manager", "kv put subscriptions z {}"); !good {
		t.Error(out)
	}
	if m, err := heard.sub.NextMsg(lab.Patience); err != nil || m.Subject != "$KV.subscription_status.z" {
		t.Errorf("heard %v, %v", m, err)
	}
	forged := &natsgo.Msg{Subject: "ORD.API.$KV.subscriptions.z", Data: []byte("{}"), Header: natsgo.Header{"Nats-Request-Info": []string{`{"acc":"ORDERS","user":"bridge"}`}}}
	if err := bus.dial(t, "manager").PublishMsg(forged); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		m, err := told.sub.NextMsg(lab.Patience)
		if err != nil || !strings.Contains(m.Header.Get("Nats-Request-Info"), `"acc":"MANAGERS","user":"manager"`) {
			t.Errorf("told %v, %v", m, err)
		}
	}
}

// The accounts of the build before are replaced under a running bridge, by a
// server that starts again with the others, as docs/deploy.md says: nothing is lost, nothing comes twice, and who has not
// changed its settings yet is told which one it is.
func TestAccountsAreReplacedUnderARunningBridge(t *testing.T) {
	t.Parallel()
	bus := guardedWith(t, formerAccounts, nil)
	p := launch(t, bus.env("bridge")...)
	p.leads()
	e := receive(t, shakyOnce())
	subscribe(t, bus.jetStream(t, "manager"), "acme", recordFor(e, quickRetries))
	publisher := bus.jetStream(t, "publisher")
	publishOne(t, publisher, "o1", 1)
	e.came(t, 2)
	bus.take(t)
	former := &guardedBus{dir: bus.dir, url: bus.url, accounts: formerAccounts} // settings as before
	await(t, 20*time.Second, "publishers go on", func() bool {
		_, good := former.run(t, "publisher", `{"orderId":"o2"}`, "publish", "--id", "o2", "-")
		return good
	})
	await(t, 20*time.Second, "it arrives", func() bool { return e.Delivered() == 2 })
	if out, good := former.run(t, "manager", "", "subscriptions", "list"); good || !strings.Contains(out, "ORDERBRIDGE_JETSTREAM_API_PREFIX") {
		t.Errorf("a manager without the prefix: %s", out)
	}
	if out, good := bus.run(t, "manager", "", "subscriptions", "list"); !good || !strings.Contains(out, "acme") {
		t.Errorf("a manager with the prefix: %s", out)
	}
	if out, good := bus.run(t, "operator", "", "dead-letters", "list"); !good {
		t.Errorf("an operator with the prefix: %s", out)
	}
	p.stop()
	if n := e.Delivered(); n != 2 {
		t.Errorf("%d deliveries", n)
	}
	if n := strings.Count(p.Output(), "lease won"); n != 1+len(p.losses()) {
		t.Errorf("the lease was won %d times", n)
	}
}
