package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// rollUp publishes one message that has the server remove all others of its stream.
func rollUp(t *testing.T, js jetstream.JetStream, subject, data string) error {
	t.Helper()
	_, err := js.PublishMsg(within(t, 10*time.Second), &nats.Msg{Subject: subject, Data: []byte(data), Header: nats.Header{"Nats-Rollup": {"all"}}})
	return err
}

// One message wipes all records. The bridge sees it within seconds, stands still
// for them, tells it, and goes on without loss when they are put again.
func TestAttackRollupOfTheRecords(t *testing.T) {
	attack(t)
	url := lab.ListenBus(t).URL()
	p := serving(t, url)
	js := jetStream(t, url)
	e := receive(t, nil)
	subscribe(t, js, "a", recordFor(e))
	subscribe(t, js, "b", recordFor(e))
	publishOne(t, js, "1", 1)
	e.came(t, 2)

	if err := rollUp(t, js, "$KV.subscriptions.x", recordFor(e)); err != nil {
		t.Fatal(err)
	}
	took := await(t, 30*time.Second, "the bridge sees that the records are gone", func() bool {
		return said(t, js, "a").Reason != "" && strings.Contains(said(t, js, "a").Reason, "not in the bucket") && strings.Contains(said(t, js, "b").Reason, "not in the bucket")
	})
	t.Logf("seen after %s", took)
	publishOne(t, js, "2", 2)
	e.came(t, 3) // x, which was put with the message, hears it
	await(t, 20*time.Second, "the audit tells", func() bool {
		out, code := command(t, url, "", "audit", "--action", "vanished")
		return code == 0 && strings.Contains(out, " a ") && strings.Contains(out, " b ")
	})
	subscribe(t, js, "a", recordFor(e))
	subscribe(t, js, "b", recordFor(e))
	e.came(t, 5) // what was published meanwhile
	if _, code := p.readyz(); code != http.StatusOK {
		t.Error("not ready")
	}
}

// A writer says, as only a server does, that a record ran out. No list shows it any
// more: so nothing is sent for it either, that is told, and all goes on when it is
// put again.
func TestAttackMarkersHideRecords(t *testing.T) {
	attack(t)
	url := lab.ListenBus(t).URL()
	p := serving(t, url)
	js := jetStream(t, url)
	e := receive(t, nil)
	subscribe(t, js, "a", recordFor(e))
	subscribe(t, js, "b", recordFor(e))
	publishOne(t, js, "1", 1)
	e.came(t, 2)

	hide := func(id, data string) {
		t.Helper()
		if _, err := js.PublishMsg(within(t, 10*time.Second), &nats.Msg{Subject: "$KV.subscriptions." + id, Data: []byte(data), Header: nats.Header{"Nats-Marker-Reason": {"MaxAge"}}}); err != nil {
			t.Fatal(err)
		}
	}
	hide("a", recordFor(e))
	hide("b", "")
	hidden := func() bool {
		return strings.Contains(said(t, js, "a").Reason, "not in the bucket") && strings.Contains(said(t, js, "b").Reason, "not in the bucket")
	}
	await(t, 30*time.Second, "the bridge sees that they are hidden", hidden)
	await(t, 20*time.Second, "the audit tells", func() bool {
		out, code := command(t, url, "", "audit", "--action", "vanished")
		return code == 0 && strings.Contains(out, " a ") && strings.Contains(out, " b ")
	})
	subscribe(t, js, "c", recordFor(receive(t, nil)))
	hide("c", "")
	await(t, 30*time.Second, "c is hidden", func() bool { return strings.Contains(said(t, js, "c").Reason, "not in the bucket") })
	if out, code := command(t, url, "", "subscriptions", "delete", "c"); code != 0 {
		t.Errorf("it cannot be deleted, as its status proposes: %s", out)
	}
	await(t, 20*time.Second, "c is deleted", func() bool { return said(t, js, "c").DeletedAt != nil })
	if out, code := command(t, url, "", "subscriptions", "delete", "c"); code != 1 || strings.Contains(out, `mean "c"`) {
		t.Errorf("deleted twice: %d, %s", code, out)
	}
	publishOne(t, js, "2", 2)
	<-time.After(2 * time.Second) // nothing tells that nothing comes
	if n := e.Delivered(); n != 2 {
		t.Errorf("%d deliveries for records that nobody sees", n)
	}
	p.kill()
	serving(t, url)
	<-time.After(6 * time.Second) // it counts every three seconds
	before := e.Delivered()
	publishOne(t, js, "3", 3)
	<-time.After(2 * time.Second)
	if n := e.Delivered(); n != before || !hidden() {
		t.Errorf("after a restart: %d deliveries more, a is %+v", n-before, said(t, js, "a"))
	}
	subscribe(t, js, "a", recordFor(e))
	subscribe(t, js, "b", recordFor(e))
	e.came(t, 6)
}

// The buckets that only the bridge writes take no such message; where one of an
// earlier version still does, the bridge writes again what it knows.
func TestAttackRollupOfTheState(t *testing.T) {
	attack(t)
	url := lab.ListenBus(t).URL()
	p := serving(t, url)
	js := jetStream(t, url)
	e := receive(t, nil)
	subscribe(t, js, "a", recordFor(e))
	for _, bucket := range []string{"subscription_status", "owed", "lease"} {
		if err := rollUp(t, js, "$KV."+bucket+".x", "{}"); err == nil {
			t.Errorf("%s takes it", bucket)
		}
		s, err := js.Stream(within(t, 10*time.Second), "KV_"+bucket)
		if err != nil {
			t.Fatal(err)
		}
		c := s.CachedInfo().Config
		c.AllowRollup = true
		if _, err := js.UpdateStream(within(t, 10*time.Second), c); err != nil {
			t.Fatalf("%s as it was made before: %v", bucket, err)
		}
	}
	failing := receive(t, lab.Always(500))
	subscribe(t, js, "b", recordFor(failing))
	publishOne(t, js, "1", 1)
	e.came(t, 1)
	await(t, 20*time.Second, "an order is owed", func() bool { return len(owedKeys(t, js)) > 0 })
	for _, bucket := range []string{"subscription_status", "owed", "lease"} {
		if err := rollUp(t, js, "$KV."+bucket+".x", "{}"); err != nil {
			t.Fatal(err)
		}
		await(t, 40*time.Second, bucket+" is whole again", func() bool {
			switch bucket {
			case "subscription_status":
				return said(t, js, "a").State == protocol.StateActive
			case "owed":
				return len(owedKeys(t, js)) > 1
			}
			_, code := p.readyz()
			return code == http.StatusOK && leaseThere(t, js)
		})
	}
	publishOne(t, js, "2", 2)
	e.came(t, 2)
	failing.Reply(lab.Always(200))
	await(t, 60*time.Second, "what is owed comes", func() bool { return failing.Delivered() >= 2 })
}

func leaseThere(t *testing.T, js jetstream.JetStream) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	kv, err := js.KeyValue(ctx, "lease")
	if err != nil {
		return false
	}
	_, err = kv.Get(ctx, "leader")
	return err == nil
}

// A consumer that somebody deletes under the bridge: what is put is still seen.
func TestAttackDeletedConsumers(t *testing.T) {
	attack(t)
	url := lab.ListenBus(t).URL()
	serving(t, url)
	js := jetStream(t, url)
	e := receive(t, nil)
	subscribe(t, js, "a", recordFor(e))
	for round := 1; round <= 3; round++ {
		for _, stream := range []string{"KV_subscriptions", "KV_lease", "KV_subscription_status", "ORDERS"} {
			s, err := js.Stream(within(t, 10*time.Second), stream)
			if err != nil {
				t.Fatal(err)
			}
			names := s.ConsumerNames(within(t, 10*time.Second))
			for name := range names.Name() {
				if err := s.DeleteConsumer(within(t, 10*time.Second), name); err != nil {
					t.Logf("delete %s of %s: %v", name, stream, err)
				}
			}
		}
		subscribe(t, js, "b", recordFor(e, `"description":"`+strings.Repeat("x", round)+`"`))
		publishOne(t, js, "1", round)
		await(t, 40*time.Second, "both hear it", func() bool { return e.Delivered() >= 2*round })
	}
}

// said is what the bridge says of a subscription, nothing if it says nothing.
func said(t *testing.T, js jetstream.JetStream, id string) (s protocol.Status) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	kv, err := js.KeyValue(ctx, "subscription_status")
	if err != nil {
		return s
	}
	if entry, err := kv.Get(ctx, id); err == nil {
		_ = json.Unmarshal(entry.Value(), &s) // then it says nothing
	}
	return s
}
