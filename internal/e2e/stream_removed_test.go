package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// What somebody removes from the stream while it is owed is counted and told.
func TestRemovedFromTheStream(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, func(h *lab.Hit) int {
		if h.Order == "a" {
			return http.StatusBadRequest
		}
		return http.StatusOK
	})
	p := serving(t, bus.URL())
	subscribe(t, js, "s", recordFor(e, `"retry":{"schedule":["PT3S","PT1H"]}`))
	first := publishOne(t, js, "a", 1)
	publishOne(t, js, "b", 1)
	e.came(t, 2)
	await(t, 20*time.Second, "order a waits", func() bool { return len(owedKeys(t, js)) > 0 })
	s, err := js.Stream(within(t, 5*time.Second), "ORDERS")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteMsg(within(t, 5*time.Second), first); err != nil {
		t.Fatal(err)
	}
	await(t, 20*time.Second, "a dead letter of the removed event", func() bool { return len(letters(t, js)) == 1 })
	if d := letters(t, js)[0]; d.Sequence != first || !strings.Contains(d.Reason, "removed from the source stream") || d.Order != "a" {
		t.Errorf("dead letter %+v", d)
	}
	await(t, 20*time.Second, "the status counts it", func() bool {
		st, _ := verdict(t, js, "s", 0, protocol.StateActive)
		return st.Expired == 1
	})
	await(t, 20*time.Second, "the metric counts it", func() bool { return p.figure(t, "deliveries_removed_total") == 1 })
	p.stop()
	p = missedWhileAway(t, bus, js, e, s, first)
	p.stop()
	purgedWhileAway(t, bus, js, e, s)
	toldAsMissed(t, js)
}

// missedWhileAway: events that nobody has seen, published and removed while the
// bridge is away.
func missedWhileAway(t *testing.T, bus *lab.Bus, js jetstream.JetStream, e *receiver, s jetstream.Stream, first uint64) *program {
	t.Helper()
	publishSome(t, js, []string{"c"}, 1, 10)
	for seq := first + 4; seq < first+7; seq++ {
		if err := s.DeleteMsg(within(t, 5*time.Second), seq); err != nil {
			t.Fatal(err)
		}
	}
	p := serving(t, bus.URL())
	gets(t, e, []string{"c"}, 8, 10)
	await(t, 20*time.Second, "the metric counts them", func() bool { return p.figure(t, "events_missed_total") == 3 })
	return p
}

// purgedWhileAway: a purge of the whole stream.
func purgedWhileAway(t *testing.T, bus *lab.Bus, js jetstream.JetStream, e *receiver, s jetstream.Stream) {
	t.Helper()
	publishSome(t, js, []string{"d"}, 1, 4)
	if err := s.Purge(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	publishSome(t, js, []string{"d"}, 5, 6)
	p := serving(t, bus.URL())
	gets(t, e, []string{"d"}, 5, 6)
	await(t, 20*time.Second, "the metric counts them", func() bool { return p.figure(t, "events_missed_total") == 4 })
}

// toldAsMissed: both times, and as no other stream.
func toldAsMissed(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	told := 0
	for _, a := range alerts(t, js) {
		switch a.Kind {
		case protocol.AlertMissed:
			told++
		case protocol.AlertStreamChanged:
			t.Errorf("a purge is not another stream: %s", a.Text)
		}
	}
	if told != 2 {
		t.Errorf("%d alerts tell of missed events, want 2", told)
	}
}

// The same for a subscription that has still to read.
func TestRemovedBeforeItWasRead(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, lab.Always(http.StatusServiceUnavailable))
	p := serving(t, bus.URL())
	subscribe(t, js, "s", recordFor(e, `"ordering":"none"`, quickRetries))
	publishSome(t, js, someOrders, 1, 10)
	verdict(t, js, "s", 0, protocol.StateSuspended)
	publishSome(t, js, someOrders, 11, 200)
	s, err := js.Stream(within(t, 5*time.Second), "ORDERS")
	if err != nil {
		t.Fatal(err)
	}
	acknowledged(t, js, 600)
	p.stop() // what is in memory it would deliver all the same
	for seq := uint64(551); seq <= 560; seq++ {
		if err := s.DeleteMsg(within(t, 5*time.Second), seq); err != nil {
			t.Fatal(err)
		}
	}
	e.Reply(nil)
	serving(t, bus.URL())
	gets(t, e, someOrders, 195, 200)
	await(t, 20*time.Second, "the status counts them", func() bool {
		st, _ := verdict(t, js, "s", 0, protocol.StateActive, protocol.StateReading, protocol.StateRetrying, protocol.StateSuspended)
		return st.Expired == 10
	})
}
