package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// edit changes the configuration of a stream as `nats stream edit` does.
func edit(t testing.TB, js jetstream.JetStream, name string, change func(*jetstream.StreamConfig)) {
	t.Helper()
	s, err := js.Stream(within(t, 10*time.Second), name)
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	change(&c)
	if _, err := js.UpdateStream(within(t, 10*time.Second), c); err != nil {
		t.Fatal(err)
	}
}

// complainsSoon is complains, and a few seconds are promised.
func (p *program) complainsSoon(text string) {
	p.t.Helper()
	begun := time.Now()
	p.complains(text)
	lab.Promise(p.t, fmt.Sprintf("until /readyz says %q", text), time.Since(begun), 6*time.Second)
}

// alerted tells whether an alert of the kind says the text.
func alerted(t testing.TB, js jetstream.JetStream, kind, text string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s, err := js.Stream(ctx, "ALERTS")
	if err != nil {
		return false
	}
	for seq := s.CachedInfo().State.FirstSeq; seq <= s.CachedInfo().State.LastSeq; seq++ {
		if m, err := s.GetMsg(ctx, seq); err == nil && strings.HasPrefix(m.Subject, "alerts."+kind+".") && strings.Contains(string(m.Data), text) {
			return true
		}
	}
	return false
}

// Retention edited to interest under the bridge: seen within seconds and named,
// and whatever an endpoint is owed is among the dead letters, with its event as
// far as the server had left it, or counted as lost; nothing is passed over.
func TestRetentionEditedWhileRunning(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	down := receive(t, lab.Always(http.StatusInternalServerError))
	stuck := receive(t, lab.Always(lab.Hang))
	up := receive(t, nil)
	p := serving(t, bus.URL())
	subscribe(t, js, "down", recordFor(down))
	subscribe(t, js, "stuck", recordFor(stuck, `"maxInFlight":4,"timeout":"PT3S"`))
	subscribe(t, js, "up", recordFor(up))
	const before, after = 300, 100
	for n := range before {
		publishOne(t, js, fmt.Sprintf("o%d", n%50), n/50+1)
	}
	await(t, 20*time.Second, "the healthy endpoint got all", func() bool { return up.Delivered() == before })
	acknowledged(t, js, before)
	await(t, 20*time.Second, "what is owed is kept", func() bool { return len(keepers(t, js)) == 1 })

	edit(t, js, "ORDERS", func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy })
	p.complainsSoon("stream ORDERS: its retention is interest")
	for n := range after { // one after another: what waits when the bridge looks is copied too
		publishOne(t, js, fmt.Sprintf("p%d", n), 1)
		await(t, 20*time.Second, "the healthy endpoint gets what comes", func() bool { return up.Delivered() == before+n+1 })
	}
	await(t, 20*time.Second, "an alert", func() bool { return alerted(t, js, protocol.AlertBus, "retention is interest") })
	for _, id := range []string{"down", "stuck"} {
		await(t, 60*time.Second, "everything that "+id+" is owed is among the dead letters", func() bool { return len(wholeLetters(t, js, id)) == before+after })
		for seq, whole := range wholeLetters(t, js, id) {
			if !whole {
				t.Errorf("%s: the dead letter of event %d holds no event", id, seq)
			}
		}
		var st protocol.Status
		if err := json.Unmarshal(entry(t, js, "subscription_status", id), &st); err != nil || st.Expired != 0 {
			t.Errorf("%s: %d events are said to be lost, %v", id, st.Expired, err)
		}
	}

	edit(t, js, "ORDERS", func(c *jetstream.StreamConfig) { c.Retention = jetstream.LimitsPolicy })
	p.leads()
	came := up.Delivered()
	publishOne(t, js, "q", 1)
	await(t, 20*time.Second, "it goes on", func() bool { return up.Delivered() == came+1 })
}

// Orders that wait for their next attempt are references into the stream: what
// they wait for is not deleted by the edit, and copied.
func TestRetentionEditedWhileOrdersWait(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, func(h *lab.Hit) int {
		if h.Order == "o1" || h.Order == "o2" {
			return http.StatusInternalServerError
		}
		return http.StatusOK
	})
	p := serving(t, bus.URL())
	subscribe(t, js, "s", recordFor(e, `"retry":{"schedule":["PT1H"]}`))
	const orders, changes = 50, 6
	for n := range orders * changes {
		publishOne(t, js, fmt.Sprintf("o%d", n%orders), n/orders+1)
	}
	const large = 100 // so that the bridge no longer has the others in memory
	for n := range large {
		publishMsg(t, js, &nats.Msg{Subject: "orders.acme.OrderChanged.large", Data: fmt.Appendf(nil, `{"orderId":"l%d","note":%q}`, n, strings.Repeat("x", 100<<10))})
	}
	acknowledged(t, js, orders*changes+large)
	await(t, 20*time.Second, "what is owed is kept", func() bool { return len(keepers(t, js)) == 1 })
	edit(t, js, "ORDERS", func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy })
	p.complainsSoon("its retention is interest")
	await(t, 20*time.Second, "what waited is among the dead letters", func() bool { return len(wholeLetters(t, js, "s")) == 2*changes })
	for seq, whole := range wholeLetters(t, js, "s") {
		if !whole {
			t.Errorf("the dead letter of event %d holds no event", seq)
		}
	}
	edit(t, js, "ORDERS", func(c *jetstream.StreamConfig) { c.Retention = jetstream.LimitsPolicy })
	p.leads()
	await(t, 30*time.Second, "nothing is kept any more", func() bool { return len(keepers(t, js)) == 0 })
	p.stop()
}

// keepers are the consumers that keep what is owed.
func keepers(t testing.TB, js jetstream.JetStream) (names []string) {
	t.Helper()
	s, err := js.Stream(within(t, 10*time.Second), "ORDERS")
	if err != nil {
		t.Fatal(err)
	}
	for name := range s.ConsumerNames(within(t, 10*time.Second)).Name() {
		if strings.HasPrefix(name, "orderbridge-keep-") {
			names = append(names, name)
		}
	}
	return names
}

// wholeLetters are the sequences of a subscription's dead letters, and whether they
// hold the event.
func wholeLetters(t testing.TB, js jetstream.JetStream, id string) map[uint64]bool {
	t.Helper()
	s, err := js.Stream(within(t, 10*time.Second), "DEAD_LETTERS")
	if err != nil {
		t.Fatal(err)
	}
	found := map[uint64]bool{}
	for seq := uint64(1); seq <= s.CachedInfo().State.LastSeq; seq++ {
		m, err := s.GetMsg(within(t, 10*time.Second), seq)
		if err != nil || !strings.HasPrefix(m.Subject, "dead-letters."+id+".") {
			continue
		}
		var l struct {
			Sequence uint64
			Event    *struct{ Data *string }
		}
		if err := json.Unmarshal(m.Data, &l); err != nil {
			t.Fatal(err)
		}
		found[l.Sequence] = l.Event != nil && l.Event.Data != nil
	}
	return found
}

// A bridge that starts where the retention is wrong stays up, so that the
// remedy has the embedded server to talk to, and goes on when it is mended.
func TestEmbeddedServerStaysForTheRemedy(t *testing.T) {
	t.Parallel()
	listen := freeAddress(t)
	env := []string{"ORDERBRIDGE_NATS_LISTEN=" + listen, "ORDERBRIDGE_DATA_DIR=" + t.TempDir()}
	p := launch(t, env...)
	p.leads()
	js := jetStream(t, "nats://"+listen)
	edit(t, js, "ORDERS", func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy })
	p.complainsSoon("its retention is interest")
	p.stop()
	p = launch(t, env...)
	p.complains("its retention is interest")
	await(t, 20*time.Second, "the remedy works", func() bool {
		s, err := js.Stream(briefly(t, 10*time.Second), "ORDERS")
		if err != nil {
			return false
		}
		c := s.CachedInfo().Config
		c.Retention = jetstream.LimitsPolicy
		_, err = js.UpdateStream(briefly(t, 10*time.Second), c)
		return err == nil
	})
	p.leads()
	p.stop()
}

// The stream of the events is deleted: /readyz says so within seconds, it is
// not made by the bridge; recreated by its owner, it is used again.
func TestSourceStreamDeleted(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, nil)
	p := serving(t, bus.URL())
	subscribe(t, js, "s", recordFor(e))
	publishOne(t, js, "a", 1)
	e.came(t, 1)
	if err := js.DeleteStream(within(t, 10*time.Second), "ORDERS"); err != nil {
		t.Fatal(err)
	}
	p.complainsSoon("stream ORDERS: it is gone")
	await(t, 20*time.Second, "an alert", func() bool { return alerted(t, js, protocol.AlertBus, "it is gone") })
	story := func(wants ...string) {
		t.Helper()
		for out, code := command(t, bus.URL(), "", "order", "a"); len(wants) > 0; wants = wants[1:] {
			if code != 0 || !strings.Contains(out, wants[0]) {
				t.Errorf("order a: exit code %d, want %q:\n%s", code, wants[0], out)
			}
		}
	}
	story("delivered to s", "there is no stream")
	stream(t, js, jetstream.StreamConfig{})
	if seq := publishOne(t, js, "b", 1); seq != 1 {
		t.Fatalf("the new stream begins at %d", seq)
	}
	await(t, 30*time.Second, "the event of the new stream", func() bool { return e.Delivered() == 2 })
	story("delivered to s", "not in the stream any more") // its sequence is another event's now
}

// What others do to streams and buckets shows: once in the log and as an alert.
func TestChangesOfTheBusAreTold(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		stream string
		change func(*jetstream.StreamConfig)
		says   string
		ready  bool
	}{
		"shorter":        {"ORDERS", func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, "max_age) has shrunk from 168h0m0s to 1h0m0s", true},
		"fewer":          {"ORDERS", func(c *jetstream.StreamConfig) { c.MaxMsgs = 10 }, "max_msgs) has shrunk from no limit to 10", true},
		"smaller":        {"ORDERS", func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 }, "max_bytes) has shrunk from no limit to 1048576", true},
		"discards new":   {"ORDERS", func(c *jetstream.StreamConfig) { c.MaxMsgs, c.Discard = 1000, jetstream.DiscardNew }, "discard", true},
		"fewer subjects": {"ORDERS", func(c *jetstream.StreamConfig) { c.Subjects = []string{"orders"} }, "no longer hears orders.", true},
		"sealed":         {"ORDERS", func(c *jetstream.StreamConfig) { c.Sealed = true }, "it is sealed", true},
		"no confirmation": {"ORDERS", func(c *jetstream.StreamConfig) { c.NoAck = true },
			"confirms nothing to publishers", true},
		"debts expire":   {"KV_owed", func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, "bucket owed: its entries expire after 1h0m0s", false},
		"status is deaf": {"KV_subscription_status", func(c *jetstream.StreamConfig) { c.Subjects = []string{"elsewhere"} }, "bucket subscription_status: it does not hear", false},
		"letters sealed": {"DEAD_LETTERS", func(c *jetstream.StreamConfig) { c.Sealed = true }, "stream DEAD_LETTERS: it is sealed", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bus := lab.ListenBus(t)
			js := jetStream(t, bus.URL())
			p := serving(t, bus.URL())
			edit(t, js, tt.stream, tt.change)
			await(t, 20*time.Second, "an alert", func() bool { return alerted(t, js, protocol.AlertBus, tt.says) })
			if !tt.ready {
				p.complains(tt.says)
			} else if r, status := p.readyz(); status != http.StatusOK {
				t.Errorf("not ready: %v", r.Reasons)
			}
		})
	}
}

// An empty server takes the place of the former one: the bridge works again
// without a restart.
func TestServerReplacedByAnEmptyOne(t *testing.T) {
	t.Parallel()
	bus := lab.ConfigureBus(t, "")
	js := jetStream(t, bus.URL())
	e := receive(t, nil)
	p := serving(t, bus.URL())
	subscribe(t, js, "s", recordFor(e))
	publishOne(t, js, "a", 1)
	e.came(t, 1)
	bus.Replace()
	p.said(40*time.Second, `an empty server has taken the place of the former one.*what="bucket subscriptions"`)
	p.leads()
	subscribe(t, js, "s", recordFor(e))
	publishOne(t, js, "b", 1)
	await(t, 20*time.Second, "the event on the new server", func() bool { return e.Delivered() == 2 })
}

// Somebody pauses the feed's consumer, or gives it a filter: it is recreated.
func TestFeedConsumerEditedByOthers(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(context.Context, jetstream.JetStream, jetstream.ConsumerConfig) error{
		"paused": func(ctx context.Context, js jetstream.JetStream, c jetstream.ConsumerConfig) error {
			_, err := js.PauseConsumer(ctx, "ORDERS", c.Durable, time.Now().Add(time.Hour))
			return err
		},
		"a filter": func(ctx context.Context, js jetstream.JetStream, c jetstream.ConsumerConfig) error {
			c.FilterSubject = "orders.other"
			_, err := js.UpdateConsumer(ctx, "ORDERS", c)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bus := lab.ListenBus(t)
			js := jetStream(t, bus.URL())
			e := receive(t, nil)
			p := serving(t, bus.URL())
			subscribe(t, js, "s", recordFor(e))
			publishOne(t, js, "a", 1)
			e.came(t, 1)
			acknowledged(t, js, 1)
			names, err := js.Stream(within(t, 10*time.Second), "ORDERS")
			if err != nil {
				t.Fatal(err)
			}
			for c := range names.ListConsumers(within(t, 10*time.Second)).Info() {
				if strings.HasPrefix(c.Name, "orderbridge-") {
					if err := change(within(t, 10*time.Second), js, c.Config); err != nil {
						t.Fatal(err)
					}
				}
			}
			p.said(15*time.Second, "somebody has")
			publishOne(t, js, "b", 1)
			await(t, 15*time.Second, "the event after it", func() bool { return e.Delivered() == 2 })
		})
	}
}

// The bucket of the records is a mirror: its records are followed all the same,
// and a warning says what that means.
func TestRecordsInAMirror(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	origin, err := js.CreateKeyValue(within(t, 10*time.Second), jetstream.KeyValueConfig{Bucket: "origin", History: 64})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateKeyValue(within(t, 10*time.Second), jetstream.KeyValueConfig{Bucket: "subscriptions", History: 64,
		Mirror: &jetstream.StreamSource{Name: "KV_origin"}}); err != nil {
		t.Fatal(err)
	}
	e := receive(t, nil)
	p := serving(t, bus.URL())
	p.said(time.Second, `it is a mirror of \\"KV_origin\\"`)
	revision, err := origin.PutString(within(t, 10*time.Second), "s", recordFor(e))
	if err != nil {
		t.Fatal(err)
	}
	verdict(t, js, "s", revision, protocol.StateActive)
	publishOne(t, js, "a", 1)
	e.came(t, 1)
	if out, code := command(t, bus.URL(), "", "subscriptions", "get", "s"); code != exitGood || !strings.Contains(out, e.URL) {
		t.Errorf("get: %d %s", code, out)
	}
}

// Two bridges with different prefixes and the same records send everything
// twice: both say so, and work.
func TestTwoPrefixesWithTheSameRecords(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	a := serving(t, bus.URL(), "ORDERBRIDGE_PREFIX=a-")
	b := serving(t, bus.URL(), "ORDERBRIDGE_PREFIX=b-")
	other := serving(t, bus.URL(), "ORDERBRIDGE_PREFIX=c-", "ORDERBRIDGE_SUBSCRIPTIONS_BUCKET=others")
	for p, rival := range map[*program]string{a: "b-", b: "a-"} {
		await(t, 30*time.Second, "the other one is named", func() bool {
			r, status := p.readyz()
			return status == http.StatusOK && strings.Contains(strings.Join(r.Reasons, "\n"), fmt.Sprintf("another bridge, with ORDERBRIDGE_PREFIX=%q", rival))
		})
	}
	for _, p := range []*program{a, b, other} {
		r, _ := p.readyz()
		if all := strings.Join(r.Reasons, "\n"); strings.Contains(all, `"c-" (this`) || p == other && all != "" {
			t.Errorf("reasons %q", all)
		}
	}
}
