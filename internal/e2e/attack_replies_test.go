package e2e

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// A server answers to any reply subject, whatever the asker may publish to.
// These tests have it answer to what is not the asker's: records, leases,
// events, the JetStream API, commands, the inboxes of others.

// watched adds a user to the bridge's account who sees everything there.
func watched(text string) string {
	return strings.Replace(text, "users: [", "users: [\n      { user: \"watcher\" }\n", 1)
}

// unlimited takes the users' permissions away, so that only the accounts hold.
func unlimited(text string) string {
	var kept strings.Builder
	depth := 0 // of the braces since "permissions:"
	for line := range strings.Lines(watched(text)) {
		head, _, limited := strings.Cut(line, ", permissions: {")
		switch {
		case limited && !strings.Contains(head, `"bridge"`):
			depth = 1
			kept.WriteString(head)
		case depth > 0:
			depth += strings.Count(line, "{") - strings.Count(line, "}")
			if depth < 0 {
				kept.WriteString(" }\n")
				depth = 0
			}
		default:
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// busState is what must not change: of each stream its configuration, its last
// sequence, its messages and its consumers. The lease is renewed all the time:
// of it the leader and the epoch.
func busState(t testing.TB, js jetstream.JetStream) map[string]string {
	t.Helper()
	state := map[string]string{}
	names := js.StreamNames(within(t, 10*time.Second))
	for name := range names.Name() {
		s, err := js.Stream(within(t, 10*time.Second), name)
		if err != nil {
			t.Fatal(err)
		}
		info := s.CachedInfo()
		config, err := json.Marshal(info.Config)
		if err != nil {
			t.Fatal(err)
		}
		var consumers []string
		for c := range s.ConsumerNames(within(t, 10*time.Second)).Name() {
			if drawnName.MatchString(c) { // made again when the machine is slow
				c = "ordered"
			}
			consumers = append(consumers, c)
		}
		slices.Sort(consumers)
		state[name] = fmt.Sprintf("made %s, config %s, consumers %q", info.Created, config, consumers)
		if name == "KV_lease" {
			m, err := s.GetLastMsgForSubject(within(t, 10*time.Second), "$KV.lease.leader")
			if err != nil {
				t.Fatal(err)
			}
			var lease struct{ Holder, Epoch any }
			if err := json.Unmarshal(m.Data, &lease); err != nil {
				t.Errorf("the lease is %q now", m.Data)
			}
			state[name] += fmt.Sprintf(", %v", lease)
			continue
		}
		state[name] += fmt.Sprintf(", sequence %d, messages %d", info.State.LastSeq, info.State.Msgs)
	}
	if err := names.Err(); err != nil {
		t.Fatal(err)
	}
	return state
}

// drawnName is the name of a consumer that had none given.
var drawnName = regexp.MustCompile(`^[A-Za-z0-9]{8}$`)

// settledState is the state when nothing changes by itself any more.
func settledState(t testing.TB, js jetstream.JetStream) map[string]string {
	t.Helper()
	settled, since := busState(t, js), time.Now()
	await(t, time.Minute, "nothing changes by itself", func() bool {
		if now := busState(t, js); !maps.Equal(settled, now) {
			settled, since = now, time.Now()
		}
		return time.Since(since) > 3*time.Second
	})
	return settled
}

// sameState tells what has changed.
func sameState(t testing.TB, js jetstream.JetStream, before map[string]string, who string) {
	t.Helper()
	after := busState(t, js)
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if after[name] != before[name] {
			t.Errorf("%s has changed %s\nfrom %s\nto   %s", who, name, before[name], after[name])
			if s, err := js.Stream(briefly(t, 10*time.Second), name); err == nil {
				if m, err := s.GetMsg(briefly(t, 10*time.Second), s.CachedInfo().State.LastSeq); err == nil {
					t.Logf("the last message there: %s %v %.500s", m.Subject, m.Header, m.Data)
				}
			}
		}
	}
	for name := range after {
		if _, known := before[name]; !known {
			t.Errorf("%s has made %s", who, name)
		}
	}
}

// lures are where an attacker would like to have an answer sent; mark tells
// whose they are. What ends with the mark is seen if it arrives.
func lures(mark string) []string {
	list := []string{
		"$KV.lease.leader", "$KV.subscriptions.good", "$KV.subscription_status.good", "$KV.owed.good", "$KV.owed.good.x",
		"$JS.API.STREAM.PURGE.ORDERS", "$JS.API.STREAM.PURGE.KV_subscriptions", "$JS.API.STREAM.DELETE.ALERTS", "$JS.API.STREAM.PURGE.DEAD_LETTERS",
		"$JS.API.STREAM.MSG.DELETE.ORDERS", "$JS.API.CONSUMER.CREATE.ORDERS.spy", "$JS.API.CONSUMER.CREATE.KV_subscriptions.spy",
		"$JS.API.CONSUMER.DURABLE.CREATE.ORDERS.spy", "$JS.API.CONSUMER.DELETE.ORDERS.orderbridge-1", "$JS.API.STREAM.CREATE.SPY", "$JS.API.STREAM.UPDATE.ORDERS",
		"orderbridge.redrive", "orderbridge.retry-now", "orderbridge.skip", "orderbridge.stream", "orderbridge.shards", "orderbridge.judge",
		"orderbridge.explain", "$SRV.PING", "$SRV.STATS.orderbridge",
		"$JS.ACK.ORDERS.orderbridge-1.1.1.1.1.0", "$SYS.REQ.SERVER.PING", "_R_.x.y", "_GR_.x.y",
	}
	for _, in := range []string{"orders", "$KV.subscriptions", "$KV.subscription_status", "$KV.owed", "$KV.lease", "orderbridge", "$SRV", "$SRV.PING",
		"dead-letters", "alerts", "audit", "$JS.FC.ORDERS.x", "$JS.EVENT.ADVISORY", "_INBOX", "_INBOX_bridge", "_INBOX_operator", "_INBOX_manager", "_INBOX_publisher", "_INBOX_auditor"} {
		list = append(list, in+"."+mark)
	}
	for _, name := range slices.Clone(list) {
		if rest, ok := strings.CutPrefix(name, "$JS.API."); ok {
			list = append(list, "ORD.API."+rest)
		}
		if strings.HasPrefix(name, "$KV.") {
			list = append(list, "ORD.API."+name)
		}
	}
	return list
}

// permitted are the subjects that a user may publish to, with something for
// each wildcard.
func (b *guardedBus) permitted(t testing.TB, user string) []string {
	t.Helper()
	opts, err := server.ProcessConfigFile(b.accounts) // the file as it is, whatever a test has changed
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range opts.Users {
		if u.Username != user {
			continue
		}
		var list []string
		for _, s := range u.Permissions.Publish.Allow {
			for _, part := range []struct{ pattern, known string }{
				{"DIRECT.GET.KV_subscriptions.>", "DIRECT.GET.KV_subscriptions.$KV.subscriptions.bait"},
				{"DIRECT.GET.KV_subscription_status.>", "DIRECT.GET.KV_subscription_status.$KV.subscription_status.good"},
				{"INFO.*.*", "INFO.ORDERS.x"}, {"NAMES.*", "NAMES.ORDERS"}, {"LIST.*", "LIST.ORDERS"},
				{"orderbridge.*", "orderbridge.redrive"}, {"$SRV.>", "$SRV.INFO.orderbridge"}, {"*", "own"}, {">", "own"},
			} {
				s = strings.Replace(s, part.pattern, part.known, 1)
			}
			list = append(list, s)
		}
		return list
	}
	t.Fatalf("no user %s", user)
	return nil
}

// seen is what has come to a connection on subjects that hold the mark.
type seen struct {
	sub  *nats.Subscription
	user string
}

func look(t testing.TB, nc *nats.Conn, user, subject string) seen {
	t.Helper()
	sub, err := nc.SubscribeSync(subject)
	if err == nil {
		err = sub.SetPendingLimits(1<<20, 1<<30)
	}
	if err == nil {
		err = nc.FlushTimeout(lab.Patience)
	}
	if err != nil {
		t.Fatal(err)
	}
	return seen{sub, user}
}

// nothing fails for each message that has come because of the attacker.
func (s seen) nothing(t testing.TB, attacker, mark string) {
	t.Helper()
	for {
		m, err := s.sub.NextMsg(200 * time.Millisecond)
		if err != nil {
			return
		}
		if strings.Contains(m.Subject, mark) {
			t.Errorf("%s has had the server send to %s of %s: %.200q", attacker, m.Subject, s.user, m.Data)
		}
	}
}

// refused is a header because of which no stream takes the message: what
// changes all the same has another cause.
func refusedByStreams() nats.Header {
	return nats.Header{nats.ExpectedLastSeqHdr: []string{"999999999"}}
}

// aim sends each subject with each lure for a reply, with several contents.
func aim(t testing.TB, nc *nats.Conn, subjects, own []string, mark string) (sent int) {
	t.Helper()
	for _, subject := range subjects {
		for _, reply := range lures(mark) {
			if slices.Contains(own, reply) {
				continue // what it may ask for it may also have asked for
			}
			for _, body := range []string{"", `{}`, `{"seq":1}`, `{"last_by_subj":"$KV.subscriptions.bait","filter":"none.>"}`} {
				m := &nats.Msg{Subject: subject, Reply: reply, Data: []byte(body), Header: refusedByStreams()}
				if strings.Contains(subject, "STREAM.PURGE.") && body != "" {
					m.Data = []byte(`{"filter":"none.at.all"}`) // a purge is this user's right
				} else if strings.Contains(subject, "STREAM.PURGE.") {
					continue
				}
				if strings.Contains(subject, "MSG.DELETE.") {
					m.Data = []byte(`{"seq":999999}`)
				}
				if strings.Contains(subject, "$KV.") || subject == "orders" || strings.HasPrefix(subject, "orders.") {
					m.Data = []byte(`{"orderId":"lure"}`)
				}
				if strings.Contains(subject, ".API.") && !strings.Contains(subject, "$KV.") {
					m.Header = nil // the JetStream API knows no headers
				}
				if err := nc.PublishMsg(m); err != nil {
					t.Fatal(err)
				}
				sent++
			}
		}
	}
	if err := nc.FlushTimeout(lab.Patience); err != nil {
		t.Fatal(err)
	}
	return sent
}

// repliesAttack runs the bridge, and has each of the users try all that it may
// publish (beyond: what anybody may) with replies to all that it may not.
func repliesAttack(t *testing.T, bus *guardedBus, beyond bool, users ...string) {
	p := launch(t, bus.env("bridge")...)
	p.leads()
	good, bad := receive(t, nil), receive(t, lab.Always(500))
	manager := bus.jetStream(t, "manager")
	subscribe(t, manager, "good", recordFor(good))
	subscribe(t, manager, "bad", recordFor(bad, `"retry":{"schedule":[]}`))
	// A record whose bytes would make a consumer, a stream, a purge.
	put(t, manager, "bait", `{"stream_name":"ORDERS","config":{"name":"spy","deliver_subject":"_INBOX_manager.spy","ack_policy":"none"},"name":"SPY","subjects":["spy"]}`)
	verdict(t, manager, "bait", 1, protocol.StateInvalid)
	publisher := bus.jetStream(t, "publisher")
	for n := range 3 {
		publishOne(t, publisher, fmt.Sprintf("o%d", n), 1)
	}
	good.came(t, 3)
	watcher := bus.jetStream(t, "watcher")
	await(t, 20*time.Second, "dead letters and alerts have come", func() bool {
		s, err := watcher.Stream(briefly(t, 5*time.Second), "DEAD_LETTERS")
		return err == nil && s.CachedInfo().State.Msgs == 3
	})
	if err := manager.Conn().LastError(); err != nil {
		t.Fatal(err)
	}
	if out, ok := bus.run(t, "manager", "", "subscriptions", "delete", "bad"); !ok { // the status of it would change by itself
		t.Fatal(out)
	}
	settled := settledState(t, watcher)
	for _, user := range users {
		mark := "mark" + rand.Text()
		eyes := []seen{look(t, watcher.Conn(), "bridge's account", ">")}
		for _, other := range guardedUsers {
			if other != user {
				eyes = append(eyes, look(t, bus.dial(t, other), other, "_INBOX_"+other+".>"))
			}
		}
		nc := bus.dial(t, user)
		own := bus.permitted(t, user)
		subjects := own
		if beyond {
			subjects = nil
			for _, any := range guardedUsers {
				subjects = append(subjects, bus.permitted(t, any)...)
			}
		}
		sent := aim(t, nc, subjects, own, mark)
		for _, e := range eyes {
			e.nothing(t, user, mark)
		}
		sameState(t, watcher, settled, user)
		t.Logf("%s: %d messages", user, sent)
	}
	if n := strings.Count(p.Output(), "lease won"); n != 1+len(p.losses()) {
		t.Errorf("the leader was deposed: the lease was won %d times", n)
	}
	p.stop()
}

// Every subject that a user may publish to, with replies to everything that is
// not its own: nothing changes, nothing arrives.
func TestAttackRepliesOfEachUser(t *testing.T) {
	attack(t)
	repliesAttack(t, guardedWith(t, shippedAccounts, watched), false, "publisher", "manager", "operator", "auditor")
}

// The same where the users' permissions are left out: the accounts alone hold.
// Each user tries what the others may, the bridge included.
func TestAttackRepliesBeyondPermissions(t *testing.T) {
	attack(t)
	bus := guardedWith(t, shippedAccounts, unlimited)
	for _, u := range bus.options.Users {
		if limited := u.Permissions != nil; limited != (u.Username == "bridge") {
			t.Fatalf("permissions of %s: %v", u.Username, u.Permissions)
		}
	}
	repliesAttack(t, bus, true, "publisher", "manager", "operator", "auditor")
}
