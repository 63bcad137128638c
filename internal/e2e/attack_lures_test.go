package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// A publisher has the word that its event is stored sent to a record, to the
// lease, to a command. The events are stored, and nothing else happens.
func TestAttackPublisherHasItsAcknowledgementSent(t *testing.T) {
	attack(t)
	bus := guardedWith(t, shippedAccounts, watched)
	p := launch(t, bus.env("bridge")...)
	p.leads()
	e := receive(t, nil)
	revision := put(t, bus.jetStream(t, "manager"), "globex", recordFor(e))
	nc := bus.dial(t, "publisher")
	lured := []string{"$KV.subscriptions.globex", "ORD.API.$KV.subscriptions.globex", "$KV.lease.leader", "$KV.subscription_status.globex", "$KV.owed.globex", "orderbridge.stream", "orders.globex.x", "dead-letters.globex.x"}
	for i, reply := range lured {
		if err := nc.PublishRequest("orders.acme.x", reply, fmt.Appendf(nil, `{"orderId":"o%d"}`, i)); err != nil {
			t.Fatal(err)
		}
	}
	e.came(t, len(lured))
	watcher := bus.jetStream(t, "watcher")
	state := busState(t, watcher)
	if !strings.Contains(state["ORDERS"], fmt.Sprintf("sequence %d,", len(lured))) {
		t.Errorf("%d events were published: %s", len(lured), state["ORDERS"])
	}
	if !strings.Contains(state["KV_subscriptions"], fmt.Sprintf("sequence %d,", revision)) {
		t.Errorf("the record had revision %d: %s", revision, state["KV_subscriptions"])
	}
	// The lease is looked at every second or two: a deposed leader would say so.
	publishOne(t, bus.jetStream(t, "publisher"), "last", 1)
	e.came(t, len(lured)+1)
	p.stop()
	if n := strings.Count(p.Output(), "lease won"); n != 1+len(p.losses()) {
		t.Errorf("the lease was won %d times", n)
	}
}

// A manager writes records whose bytes are requests, and has them sent to the
// JetStream API, to another record, to the events, and a reply to the bridge.
func TestAttackManagerHasARecordSent(t *testing.T) {
	attack(t)
	bus := guardedWith(t, shippedAccounts, watched)
	p := launch(t, bus.env("bridge")...)
	p.leads()
	e := receive(t, nil)
	manager := bus.jetStream(t, "manager")
	subscribe(t, manager, "good", recordFor(e))
	publishOne(t, bus.jetStream(t, "publisher"), "o1", 1)
	e.came(t, 1)
	loot := look(t, manager.Conn(), "manager", "_INBOX_manager.loot")
	for id, bytes := range map[string]string{
		"consumer": `{"stream_name":"ORDERS","config":{"name":"spy","deliver_subject":"_INBOX_manager.loot","ack_policy":"none"}}`,
		"stream":   `{"name":"SPY","subjects":["spy"],"sources":[{"name":"ORDERS"}],"republish":{"src":">","dest":"_INBOX_manager.loot"}}`,
		"empty":    `{}`,
		"ack":      `+ACK`,
		"event":    `{"orderId":"forged"}`,
	} {
		verdict(t, manager, id, put(t, manager, id, bytes), protocol.StateInvalid)
	}
	watcher := bus.jetStream(t, "watcher")
	before := settledState(t, watcher)
	nc := manager.Conn()
	for _, to := range []string{
		"$JS.API.CONSUMER.CREATE.ORDERS.spy", "$JS.API.CONSUMER.CREATE.ORDERS", "$JS.API.STREAM.CREATE.SPY", "$JS.API.STREAM.PURGE.DEAD_LETTERS", "$JS.API.STREAM.PURGE.ORDERS", "$JS.API.STREAM.DELETE.ALERTS",
		"orders.globex.x", "$KV.subscription_status.good", "$KV.lease.leader", "$KV.lease.layout", "$KV.subscriptions.good", "orderbridge.redrive", "orderbridge.stream", "orderbridge.shards", "dead-letters.good.x", "$JS.ACK.ORDERS.orderbridge-1.1.1.1.1.0",
	} {
		for _, id := range []string{"consumer", "stream", "empty", "ack", "event"} {
			for _, m := range []*nats.Msg{
				{Subject: "ORD.API.DIRECT.GET.KV_subscriptions.$KV.subscriptions." + id},
				{Subject: "ORD.API.DIRECT.GET.KV_subscriptions", Data: []byte(`{"last_by_subj":"$KV.subscriptions.` + id + `"}`)},
				{Subject: "ORD.API.STREAM.MSG.GET.KV_subscriptions", Data: []byte(`{"last_by_subj":"$KV.subscriptions.` + id + `"}`)},
				{Subject: "orderbridge.judge", Data: []byte(`{"id":"` + id + `","record":"e30="}`)},
			} {
				m.Reply = to
				if err := nc.PublishMsg(m); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := nc.FlushTimeout(lab.Patience); err != nil {
		t.Fatal(err)
	}
	publishOne(t, bus.jetStream(t, "publisher"), "o2", 1)
	e.came(t, 2)
	loot.nothing(t, "manager", "loot")
	after := busState(t, watcher)
	before["ORDERS"] = strings.Replace(before["ORDERS"], "sequence 1, messages 1", "sequence 2, messages 2", 1)
	delete(before, "ATTEMPTS") // the delivery of the event is written there, a little later
	for name := range before {
		if before[name] != after[name] {
			t.Errorf("%s has changed\nfrom %s\nto   %s", name, before[name], after[name])
		}
	}
	p.stop()
	if n := strings.Count(p.Output(), "lease won"); n != 1+len(p.losses()) {
		t.Errorf("the lease was won %d times", n)
	}
}

// With the file of the build before, in which all users share one account, the
// program works as it did, and an answer goes wherever the asker wants it: this
// is what that file does not protect from.
func TestAttackFormerAccounts(t *testing.T) {
	attack(t)
	bus := guardedWith(t, formerAccounts, watched)
	p := launch(t, bus.env("bridge")...)
	p.leads()
	e := receive(t, nil)
	manager := bus.jetStream(t, "manager")
	subscribe(t, manager, "good", recordFor(e))
	if _, ok := bus.run(t, "publisher", `{"orderId":"o1"}`, "publish", "-"); !ok {
		t.Error("publish does not work")
	}
	e.came(t, 1)
	for _, args := range [][]string{{"subscriptions", "list"}, {"owed", "list"}, {"dead-letters", "list"}, {"stream", "status"}} {
		if out, ok := bus.run(t, "operator", "", args...); !ok {
			t.Errorf("%s: %s", strings.Join(args, " "), out)
		}
	}
	stolen := look(t, bus.dial(t, "watcher"), "bridge's account", "orders.globex.x")
	if err := manager.Conn().PublishRequest("$JS.API.DIRECT.GET.KV_subscriptions.$KV.subscriptions.good", "orders.globex.x", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := stolen.sub.NextMsg(lab.Patience); err != nil {
		t.Errorf("an answer no longer reaches foreign subjects within an account (%v): the warning in docs/deploy.md can go", err)
	}
	p.stop()
}
