package telemetry

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

// names are the subscriptions that are in.
func names(list []told) string {
	var all []string
	for _, x := range list {
		all = append(all, x.Subscription)
	}
	return strings.Join(all, " ")
}

// TestNamed: who is in trouble comes in, whoever else has more attempts; who is in
// stays, unless another one matters twice as much.
func TestNamed(t *testing.T) {
	t.Parallel()
	n := NewNamed(2)
	busy := func(id string, attempts int) {
		for range attempts {
			n.attempted(id, protocol.Delivered)
		}
	}
	healthy := func(ids ...string) (list []protocol.Debtor) {
		for _, id := range ids {
			list = append(list, protocol.Debtor{Subscription: id, State: protocol.StateActive})
		}
		return list
	}
	now := time.Now()
	later := func(list []protocol.Debtor) {
		now = now.Add(limits.NamedRefresh)
		n.refresh(now, list)
	}
	in := func(list []protocol.Debtor, want string) {
		t.Helper()
		if got := names(n.tell(list)); got != want {
			t.Errorf("named are %q, want %q", got, want)
		}
	}
	busy("a", 100)
	busy("b", 100)
	all := healthy("a", "b", "c", "d")
	later(all)
	in(all, "a b")
	for range 10 { // a little more does not matter
		busy("a", 100)
		busy("b", 100)
		busy("c", 105)
		later(all)
	}
	in(all, "a b")
	for range 10 {
		busy("a", 100)
		busy("c", 1000)
		later(all)
	}
	in(all, "a c")
	all[3] = protocol.Debtor{Subscription: "d", State: protocol.StateSuspended, Owed: 3}
	for range 3 {
		busy("a", 100)
		busy("c", 1000)
		later(all)
	}
	in(all, "c d")
	all[3] = protocol.Debtor{Subscription: "d", State: protocol.StateActive}
	for range 3 { // it stays for a while
		busy("a", 100)
		later(all)
	}
	in(all, "c d")
	if others := len(n.others); others > limits.NamedCandidates {
		t.Errorf("%d candidates", others)
	}
	for i := range 100_000 {
		n.attempted(fmt.Sprint("x", i), protocol.Retry)
	}
	if others := len(n.others); others > limits.NamedCandidates || others == 0 {
		t.Errorf("%d candidates", others)
	}
	if w := (*Named)(nil).Wanted(); w.Most != 0 {
		t.Error("nobody is named, but somebody wanted")
	}
}

// TestStreamLagAndRetention: ages come from what was seen when.
func TestStreamLagAndRetention(t *testing.T) {
	t.Parallel()
	info := &jetstream.StreamInfo{Config: jetstream.StreamConfig{MaxAge: 100 * time.Second, MaxMsgs: 1000},
		State: jetstream.StreamState{Msgs: 10, LastSeq: 10, Bytes: 100}}
	s := NewStream(prometheus.NewRegistry(), func(context.Context) (*jetstream.StreamInfo, error) { return info, nil })
	if n, age := s.lag(time.Now(), event.Ref{}); n != 0 || age != 0 {
		t.Errorf("nothing is known, but %d wait for %s", n, age)
	}
	s.look(t.Context())
	at := s.marks[0].at
	if n, age := s.lag(at.Add(time.Minute), event.Ref{Seq: 10}); n != 0 || age != 0 {
		t.Errorf("%d wait for %s", n, age)
	}
	if n, age := s.lag(at, event.Ref{Seq: 4, Time: at.Add(-time.Hour).UnixNano()}); n != 6 || age.Round(time.Second) != time.Hour {
		t.Errorf("%d wait for %s: they came before the first look", n, age)
	}
	info.State.LastSeq = 12
	s.look(t.Context())
	if n, age := s.lag(at.Add(7*time.Second), event.Ref{Seq: 10, Time: at.Add(-time.Hour).UnixNano()}); n != 2 || age != 7*time.Second {
		t.Errorf("%d wait for %s: the feed was up to date at the first look", n, age)
	}
	for _, x := range []struct {
		seq  uint64
		age  time.Duration
		want float64
	}{{0, 0, 0}, {3, 50 * time.Second, 0.5}, {3, 0, 0.01}, {3, time.Hour, 1}} {
		if got := s.used(at, event.Ref{Seq: x.seq, Time: at.Add(-x.age).UnixNano()}); got != x.want {
			t.Errorf("message %d, %s old, is at %v, want %v", x.seq, x.age, got, x.want)
		}
	}
}

// attempt is a message of a delivery.
func attempt(ctx context.Context, id string, n int, published time.Time) *message.Message {
	ev := &event.Event{}
	ev.Seq, ev.Time = 1, published
	m := message.NewMessage("id", nil)
	m.SetContext(bridge.WithDelivery(ctx, &protocol.Delivery{Subscription: &record.Subscription{ID: id}, Event: ev, Attempt: n}))
	return m
}

// TestAttempts counts by outcome and status, and measures from the publication on.
func TestAttempts(t *testing.T) {
	t.Parallel()
	r := prometheus.NewRegistry()
	named := NewNamed(10)
	a := NewAttempts(r, named)
	ok := a.Middleware(func(*message.Message) ([]*message.Message, error) { return nil, nil })
	for n := range 3 {
		if _, err := ok(attempt(t.Context(), "s", n+1, time.Now().Add(-time.Hour))); err != nil {
			t.Fatal(err)
		}
	}
	for _, again := range []protocol.Delivery{{Replay: "r"}, {Redrive: true}} { // late because somebody asked for it late
		m := attempt(t.Context(), "s", 1, time.Now().Add(-24*time.Hour))
		d := bridge.DeliveryOf(m.Context())
		d.Replay, d.Redrive = again.Replay, again.Redrive
		if _, err := ok(m); err != nil {
			t.Fatal(err)
		}
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]uint64{}
	for _, f := range families {
		if f.GetName() == "orderbridge_attempts_total" {
			for _, m := range f.GetMetric() {
				counts[m.GetLabel()[0].GetValue()] += uint64(m.GetCounter().GetValue())
			}
		}
		if f.GetName() == "orderbridge_delivery_seconds" {
			for _, m := range f.GetMetric() {
				h := m.GetHistogram()
				counts[m.GetLabel()[0].GetValue()] = h.GetSampleCount()
				if h.Schema == nil || len(h.GetBucket()) == 0 {
					t.Error("it is not both native and classic")
				}
				if n := h.GetSampleCount(); n > 0 && h.GetSampleSum()/float64(n) < 3500 {
					t.Errorf("it took %v s on average, want an hour", h.GetSampleSum()/float64(n))
				}
			}
		}
	}
	if counts["first"] != 1 || counts["later"] != 2 || counts["delivered"] != 5 || counts["retry"] != 0 {
		t.Errorf("got %v", counts)
	}
	if list := named.tell([]protocol.Debtor{{Subscription: "s"}}); len(list) != 1 || list[0].delivered.Load() != 5 {
		t.Errorf("named are %v", list)
	}
}

// TestExemplars: a histogram tells the traces that are told, and no others.
func TestExemplars(t *testing.T) {
	t.Parallel()
	h := prometheus.NewHistogram(histogram("seconds", "Seconds.", 1, 2))
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	observe(h, time.Second/2, nil)
	observe(h, time.Second/2, &bridge.Trace{ID: strings.Repeat("0", 32)})
	observe(h, 3*time.Second/2, &bridge.Trace{ID: id, Sampled: true})
	var m dto.Metric
	if err := h.Write(&m); err != nil {
		t.Fatal(err)
	}
	got := m.GetHistogram()
	one, two := got.GetBucket()[0].GetExemplar(), got.GetBucket()[1].GetExemplar()
	if one != nil || two.GetLabel()[0].GetValue() != id || two.GetValue() != 1.5 || len(got.GetExemplars()) != 1 || got.GetSampleCount() != 3 {
		t.Errorf("got %v", got)
	}
}

// BenchmarkAttempts is what metrics cost an attempt, on all processors at once.
func BenchmarkAttempts(b *testing.B) {
	a := NewAttempts(prometheus.NewRegistry(), NewNamed(100))
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		m := attempt(b.Context(), "s", 1, time.Now().Add(-10*time.Millisecond))
		start := time.Now()
		for p.Next() {
			a.ended(m, start)
		}
	})
}
