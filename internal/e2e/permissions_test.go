package e2e

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// TestPermissions holds deploy/nats to its word: each user may do its job and
// nothing else. The program runs as the user bridge and must not even try what
// it may not do.
func TestPermissions(t *testing.T) {
	t.Parallel()
	bus := guarded(t)
	letsNoStrangerIn(t, bus)
	p := launch(t, append(bus.env("bridge"), apiTokens)...)
	p.leads()
	e := receive(t, shakyOnce())
	good, bad := receive(t, nil), receive(t, lab.Always(500))
	manager := bus.jetStream(t, "manager")
	publisher := bus.jetStream(t, "publisher")

	// Their jobs.
	subscribe(t, manager, "acme", recordFor(e, quickRetries))
	subscribe(t, manager, "good", recordFor(good))
	subscribe(t, manager, "bad", recordFor(bad, `"retry":{"schedule":[]}`, `"subjects":["orders.dead"]`))
	publishOne(t, publisher, "o1", 1)
	e.came(t, 2) // by the ledger
	good.came(t, 1)
	ctx := within(t, 30*time.Second)
	if _, err := publisher.PublishMsg(ctx, &nats.Msg{Subject: "orders.dead", Data: []byte(`{"orderId":"d1"}`)}); err != nil {
		t.Fatal(err)
	}
	doTheirJobs(t, bus, good)
	await(t, 20*time.Second, "the second event arrives", func() bool { return good.Delivered() >= 2 })
	areToldWhatTheyMayNot(t, bus)
	theAPIAnswers(t, p, publisher, bad)
	// A deactivated subscription reads: a consumer of its own on the stream.
	subscribeState(t, manager, "good", recordFor(good, `"status":"deactivated"`), protocol.StateDeactivated)
	p.stop()
	if log := p.Output(); strings.Contains(strings.ToLower(log), "permission") {
		t.Errorf("the bridge lacks a permission; put it into deploy/nats/accounts.conf, and into the table below:\n%s", log)
	}

	mayPublish(t, bus)
	maySubscribe(t, bus)
}

func letsNoStrangerIn(t *testing.T, bus *guardedBus) {
	t.Helper()
	if nc, err := nats.Connect(bus.url, bus.dialing(t, "stranger")...); err == nil {
		nc.Close()
		t.Error("a stranger whose certificate is good is let in")
	}
	if nc := bus.dial(t, "bridge", nats.UserInfo("publisher", "")); !deniedPublish(t, nc, "orders.acme") {
		t.Error("who shows the certificate of the bridge and the name of the publisher may publish")
	}
}

// doTheirJobs runs the commands of each user.
func doTheirJobs(t *testing.T, bus *guardedBus, good *receiver) {
	t.Helper()
	for _, c := range []struct {
		user, stdin, want string
		args              []string
	}{
		{"publisher", `{"orderId":"o2","eventType":"OrderChanged","n":1}`, "published 1", []string{"publish", "-"}},
		{"manager", recordFor(good), "third: active", []string{"subscriptions", "put", "third", "-"}},
		{"manager", "", `"targetURL"`, []string{"subscriptions", "get", "third"}},
		{"manager", "", "third", []string{"subscriptions", "list"}},
		{"manager", "", "third: deactivated", []string{"subscriptions", "deactivate", "third"}},
		{"manager", "", "third: ", []string{"subscriptions", "activate", "third"}},
		{"manager", "", "", []string{"subscriptions", "delete", "third"}},
		{"operator", "", "acme", []string{"subscriptions", "list"}},
		{"operator", "", "", []string{"owed", "list"}},
		{"operator", "", "bad", []string{"dead-letters", "list"}},
		{"operator", "", "bad", []string{"dead-letters", "list", "bad"}},
		{"operator", "", `"reason"`, []string{"dead-letters", "show", "1"}},
		{"operator", "", `"targetURL"`, []string{"subscriptions", "get", "acme"}},
		{"operator", "", "stream     ORDERS", []string{"stream", "status"}},
		{"operator", "", "", []string{"dead-letters", "redrive", "1"}},
		{"operator", "", "removed 1", []string{"dead-letters", "purge", "2"}},
		{"operator", "", "would be sent", []string{"replay", "acme", "--from-seq", "1", "--dry-run"}},
		{"operator", "", "has begun", []string{"replay", "acme", "--from-seq", "1"}},
		{"operator", "", "acme", []string{"replays", "list"}},
		{"operator", "", "would be owed again", []string{"rewind", "acme", "--to-seq", "1", "--dry-run"}},
		{"operator", "", "acme: deactivated", []string{"subscriptions", "deactivate", "acme"}},
		{"operator", "", "acme: ", []string{"subscriptions", "activate", "acme"}},
		{"operator", "", "removed 0", []string{"dead-letters", "purge", "--all", "--yes"}},
		{"operator", "", "done: 3 shards", []string{"shards", "set", "3", "--wait"}},
		{"operator", "", "leader", []string{"shards"}},
		{"operator", "", "ORDERS", []string{"status"}},
	} {
		out, ok := "", false
		deadline := time.Now().Add(lab.Patience)
		for !ok && time.Now().Before(deadline) { // the dead letter may still be on its way
			out, ok = bus.run(t, c.user, c.stdin, c.args...)
			ok = ok && strings.Contains(out, c.want)
		}
		if !ok {
			t.Errorf("%s: %s: %s", c.user, strings.Join(c.args, " "), out)
		}
	}
}

// areToldWhatTheyMayNot at once, and by its name.
func areToldWhatTheyMayNot(t *testing.T, bus *guardedBus) {
	t.Helper()
	for _, c := range []struct {
		user, want string
		args       []string
	}{
		{"publisher", `may not publish to "ORD.API.STREAM.INFO.KV_subscriptions"`, []string{"subscriptions", "list"}},
		{"publisher", `may not publish to "`, []string{"dead-letters", "list"}},
		{"manager", `may not publish to "ORD.API.STREAM.INFO.KV_owed"`, []string{"owed", "list"}},
		{"manager", `may not publish to "ORD.API.STREAM.INFO.DEAD_LETTERS"`, []string{"dead-letters", "list"}},
		{"manager", `may not publish to "ORD.API.STREAM.MSG.GET.KV_lease"`, []string{"stream", "status"}},
		{"manager", `may not publish to "orderbridge.shards"`, []string{"shards", "set", "2"}},
		{"manager", `may not publish to "orders"`, []string{"publish", "-"}},
		{"operator", `may not publish to "orders"`, []string{"publish", "-"}},
		{"auditor", `may not publish to "orderbridge.shards"`, []string{"shards", "set", "2"}},
		{"auditor", `may not publish to "ORD.API.STREAM.INFO.KV_subscriptions"`, []string{"subscriptions", "list"}},
	} {
		begun := time.Now()
		out, ok := bus.run(t, c.user, `{"orderId":"o3"}`, c.args...)
		if ok || !strings.Contains(out, c.want) || !strings.Contains(out, "ORDERBRIDGE_NATS_CERT") {
			t.Errorf("%s: %s: %s", c.user, strings.Join(c.args, " "), out)
		}
		lab.Promise(t, c.user+": "+strings.Join(c.args, " "), time.Since(begun), 5*time.Second)
	}
}

// theAPIAnswers on every route, also of a dead letter.
func theAPIAnswers(t *testing.T, p *program, publisher jetstream.JetStream, bad *receiver) {
	t.Helper()
	api := bearer(t, p, operator)
	id := api.call("POST", webhooks, recordFor(bad, `"retry":{"schedule":[]}`, `"subjects":["orders.dead"]`)).is(t, 200).json(t)["id"].(string)
	if _, err := publisher.PublishMsg(within(t, 10*time.Second), &nats.Msg{Subject: "orders.dead", Data: []byte(`{"orderId":"d2"}`)}); err != nil {
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
}

// subjectPublishers are the users that may publish to a subject; the other users of
// guardedUsers may not.
var subjectPublishers = []struct {
	subject string
	allowed []string
}{
	{"orders.acme.OrderAccepted.1", []string{"publisher"}},
	{"orders", []string{"publisher"}},
	{"other.subject", nil},
	{"$KV.subscriptions.x", []string{"bridge"}},
	{"$KV.subscriptions.x.y", nil},
	{"ORD.API.$KV.subscriptions.x", []string{"manager", "operator"}},
	{"ORD.API.$KV.subscriptions.x.y", nil},
	{"$KV.subscription_status.x", []string{"bridge"}},
	{"ORD.API.$KV.subscription_status.x", nil},
	{"$KV.owed.x", []string{"bridge"}},
	{"$KV.lease.leader", []string{"bridge"}},
	{"ORD.API.$KV.lease.leader", nil},
	{"$KV.other.x", nil},
	{"dead-letters.acme.o1", []string{"bridge"}},
	{"alerts.suspended.acme", []string{"bridge"}},
	{"audit.put.acme", []string{"bridge"}},
	{"orderbridge.redrive", []string{"operator", "bridge"}},
	{"orderbridge.retry-now", []string{"operator", "bridge"}},
	{"orderbridge.skip", []string{"operator", "bridge"}},
	{"orderbridge.replay", []string{"operator", "bridge"}},
	{"orderbridge.shards", []string{"operator", "bridge"}},
	{"orderbridge.judge", []string{"manager", "operator", "bridge"}},
	{"orderbridge.ids", []string{"manager", "operator", "bridge"}},
	{"orderbridge.explain", []string{"manager", "operator", "auditor", "bridge"}},
	{"orderbridge.overview", []string{"operator", "auditor", "bridge"}},
	{"orderbridge.replays", []string{"operator", "auditor", "bridge"}},
	{"orderbridge.stream-report", []string{"operator", "auditor", "bridge"}},
	{"orderbridge.stream", []string{"operator", "bridge"}},
	{"orderbridge.x.y", nil},
	{"$SRV.INFO.orderbridge", []string{"manager", "operator", "auditor"}},
	{"_INBOX_bridge.x", nil}, {"_INBOX_manager.x", nil}, {"_INBOX.x", nil},
	{"$JS.ACK.ORDERS.x.1.1.1.1.0", []string{"bridge"}},
	{"$JS.ACK.ALERTS.x.1.1.1.1.0", []string{"bridge"}},
	{"$JS.ACK.KV_owed.x.1.1.1.1.0", nil},
	{"$SYS.REQ.SERVER.PING", nil},
	{"$SYS.REQ.ACCOUNT.PING.CONNZ", nil},
}

// apiUsers are those that may use a subject of the JetStream API: the bridge its
// own, the others by the prefix of their account.
var apiUsers = []struct {
	subject string
	bridge  bool
	others  []string
}{
	{"INFO", true, []string{"operator"}},
	{"STREAM.NAMES", true, []string{"operator"}},
	{"STREAM.LIST", false, []string{"operator"}},
	{"STREAM.CREATE.ORDERS", true, nil},
	{"STREAM.CREATE.AUDIT", true, nil},
	{"STREAM.CREATE.ATTEMPTS", true, nil},
	{"STREAM.CREATE.OTHER", false, nil},
	{"STREAM.UPDATE.ORDERS", false, nil},
	{"STREAM.UPDATE.KV_owed", false, nil},
	{"STREAM.DELETE.ORDERS", false, nil},
	{"STREAM.DELETE.AUDIT", false, nil},
	{"STREAM.DELETE.KV_subscriptions", false, nil},
	{"STREAM.DELETE.KV_owed", false, nil},
	{"STREAM.PURGE.ORDERS", false, nil},
	{"STREAM.PURGE.AUDIT", false, nil},
	{"STREAM.PURGE.ATTEMPTS", false, nil},
	{"STREAM.PURGE.KV_subscriptions", false, nil},
	{"STREAM.PURGE.DEAD_LETTERS", true, []string{"operator"}},
	{"STREAM.MSG.DELETE.ORDERS", false, nil},
	{"STREAM.MSG.DELETE.AUDIT", false, nil},
	{"STREAM.MSG.DELETE.KV_owed", false, nil},
	{"STREAM.MSG.DELETE.DEAD_LETTERS", true, []string{"operator"}},
	{"STREAM.SNAPSHOT.ORDERS", false, nil},
	{"STREAM.RESTORE.ORDERS", false, nil},
	{"STREAM.LEADER.STEPDOWN.ORDERS", false, nil},
	{"STREAM.PEER.REMOVE.ORDERS", false, nil},
	{"META.LEADER.STEPDOWN", false, nil},
	{"STREAM.MSG.GET.ORDERS", true, []string{"operator", "auditor"}},
	{"STREAM.MSG.GET.KV_subscriptions", true, []string{"manager", "operator"}},
	{"STREAM.MSG.GET.KV_owed", true, []string{"operator", "auditor"}},
	{"STREAM.MSG.GET.AUDIT", true, []string{"operator", "auditor"}},
	{"STREAM.MSG.GET.ATTEMPTS", true, []string{"operator", "auditor"}},
	{"STREAM.MSG.GET.ALERTS", true, []string{"operator", "auditor"}},
	{"STREAM.MSG.GET.OTHER", false, nil},
	{"DIRECT.GET.ORDERS", false, nil},
	{"DIRECT.GET.KV_subscriptions.$KV.subscriptions.x", true, []string{"manager", "operator"}},
	{"DIRECT.GET.KV_owed.$KV.owed.x", false, []string{"operator", "auditor"}},
	{"CONSUMER.CREATE.ORDERS.x", true, nil},
	{"CONSUMER.CREATE.KV_subscriptions.x.$KV.subscriptions.>", true, nil},
	{"CONSUMER.CREATE.DEAD_LETTERS.x", true, nil},
	{"CONSUMER.CREATE.AUDIT.x", true, nil},
	{"CONSUMER.CREATE.ATTEMPTS.x", true, nil},
	{"CONSUMER.CREATE.ALERTS.x", true, nil},
	{"CONSUMER.CREATE.KV_other.x", false, nil},
	{"CONSUMER.DURABLE.CREATE.ORDERS.x", false, nil},
	{"CONSUMER.DELETE.ORDERS.x", true, nil},
	{"CONSUMER.PAUSE.ORDERS.x", false, nil},
	{"CONSUMER.RESET.ORDERS.x", false, nil},
	{"CONSUMER.INFO.ORDERS.x", true, []string{"operator"}},
	{"CONSUMER.MSG.NEXT.ORDERS.x", true, nil},
}

// mayPublish: these subjects, and nothing else. What is $JS.API for the bridge
// is ORD.API for the others, and nothing of $JS.API is theirs.
func mayPublish(t *testing.T, bus *guardedBus) {
	t.Helper()
	conns := map[string]*nats.Conn{}
	for _, user := range guardedUsers {
		conns[user] = bus.dial(t, user)
	}
	check := func(subject string, allowed []string) {
		for _, user := range guardedUsers {
			if denied, want := deniedPublish(t, conns[user], subject), !slices.Contains(allowed, user); denied != want {
				t.Errorf("%s publishes to %s: refused is %t, want %t", user, subject, denied, want)
			}
		}
	}
	for _, tt := range subjectPublishers {
		check(tt.subject, tt.allowed)
	}
	for _, tt := range apiUsers {
		own := []string{}
		if tt.bridge {
			own = []string{"bridge"}
		}
		check("$JS.API."+tt.subject, own)
		check(bus.prefix+"."+tt.subject, tt.others)
	}
}

// maySubscribe: each to an inbox of its own, and to what is meant for it.
func maySubscribe(t *testing.T, bus *guardedBus) {
	for _, tt := range []struct {
		subject string
		allowed []string
	}{
		{"_INBOX_publisher.x.*", []string{"publisher"}},
		{"_INBOX_manager.x.*", []string{"manager"}},
		{"_INBOX_operator.x.*", []string{"operator"}},
		{"_INBOX_auditor.x.*", []string{"auditor"}},
		{"_INBOX_bridge.x.*", []string{"bridge"}},
		{"_INBOX.>", nil}, {">", nil}, {"*.>", nil},
		{"orders.>", nil}, {"$KV.>", nil}, {"$KV.owed.>", nil}, {"dead-letters.>", nil},
		{"$KV.subscriptions.*", []string{"bridge"}},
		{"$KV.subscription_status.*", []string{"operator"}},
		{"audit.>", []string{"operator", "auditor"}},
		{"$JS.API.>", nil}, {"ORD.API.>", nil}, {"alerts.>", []string{"operator", "auditor"}}, {"$JS.EVENT.ADVISORY.>", nil}, {"$SYS.>", nil},
		{"orderbridge.redrive", []string{"bridge"}}, {"$SRV.PING", []string{"bridge"}},
	} {
		for _, user := range guardedUsers {
			nc := bus.dial(t, user)
			if denied, want := deniedSubscribe(t, nc, tt.subject), !slices.Contains(tt.allowed, user); denied != want {
				t.Errorf("%s subscribes to %s: refused is %t, want %t", user, tt.subject, denied, want)
			}
			nc.Close()
		}
	}
}

// shakyOnce answers the first request with 503.
func shakyOnce() func(*lab.Hit) int {
	return func(h *lab.Hit) int {
		if h.Header.Get("X-Attempt") == "1" {
			return 503
		}
		return 200
	}
}

func subscribeState(t testing.TB, js jetstream.JetStream, id, value string, state protocol.State) {
	t.Helper()
	verdict(t, js, id, put(t, js, id, value), state)
}

func deniedPublish(t testing.TB, nc *nats.Conn, subject string) bool {
	t.Helper()
	return denied(t, nc, `Publish to "`+subject+`"`, func() error { return nc.Publish(subject, []byte("{}")) })
}

func deniedSubscribe(t testing.TB, nc *nats.Conn, subject string) bool {
	t.Helper()
	return denied(t, nc, `Subscription to "`+subject+`"`, func() error {
		_, err := nc.SubscribeSync(subject)
		return err
	})
}

// denied tells whether the server says no, in these words, to what do sends. It
// answers in order: after the flush its no, if there is one, has come.
func denied(t testing.TB, nc *nats.Conn, words string, do func() error) bool {
	t.Helper()
	if err := do(); err != nil {
		t.Fatal(err)
	}
	if err := nc.FlushTimeout(lab.Patience); err != nil {
		t.Fatal(err)
	}
	err := nc.LastError()
	return errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), words)
}

// With the permissions of the release before the console all of the API answers; what
// they lack is named at once, and is no reason to take the bridge for unready.
func TestFormerPermissions(t *testing.T) {
	t.Parallel()
	const lacks = `"$JS.API.STREAM.MSG.GET.ALERTS"`
	bus := guardedWith(t, shippedAccounts, func(text string) string {
		rest := strings.Replace(text, "\n            "+lacks, "", 1)
		if rest == text {
			t.Error("the bridge's permission for alerts was not found")
		}
		return rest
	})
	p := launch(t, append(bus.env("bridge"), apiTokens)...)
	p.leads()
	bad := receive(t, lab.Always(500))
	subscribe(t, bus.jetStream(t, "manager"), "bad", recordFor(bad, `"retry":{"schedule":[]}`))
	publishOne(t, bus.jetStream(t, "publisher"), "o1", 1)
	api := bearer(t, p, operator)
	await(t, lab.Patience, "a dead letter, which is an alert", func() bool {
		return len(api.call("GET", "/api/v1/dead-letters", "").is(t, 200).json(t)["items"].([]any)) > 0
	})
	await(t, lab.Patience, "what is lacking is named", func() bool {
		got := api.call("GET", "/api/v1/alerts", "")
		return got.status == 503 && strings.Contains(got.body, "$JS.API.STREAM.MSG.GET.ALERTS") && strings.Contains(got.body, "accounts.conf")
	})
	for _, path := range []string{"overview", "statuses", "statuses?state=suspended", "owed", "attempts", "figures", "figures/subscriptions?ids=bad",
		"events", "dead-letters", "audit", "replays", "orders/o1"} {
		if got := api.call("GET", "/api/v1/"+path, ""); got.status != 200 {
			t.Errorf("GET %s: %d %s", path, got.status, got.body)
		}
	}
	(caller{t, "http://" + p.http(), ""}).call("GET", "/readyz", "").is(t, 200)
	p.stop()
	if n := strings.Count(p.Output(), "a permission is missing"); n != 1 {
		t.Errorf("what is missing was logged %d times, want once:\n%s", n, p.Output())
	}
}
