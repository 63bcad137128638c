package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge"
	"orderbridge/internal/health"
	"orderbridge/internal/testbus"
)

// The stream ORDERS made anew, restored, rolled back, purged (R15): nothing of
// what is there is passed over, what is gone and was owed is told.

// remake deletes the stream ORDERS and makes it anew.
func remake(t testing.TB, js jetstream.JetStream) {
	t.Helper()
	ctx := within(t, 20*time.Second)
	s, err := js.Stream(ctx, "ORDERS")
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	if err := js.DeleteStream(ctx, "ORDERS"); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(ctx, cfg); err != nil {
		t.Fatal(err)
	}
}

// publishSome publishes the changes from to to of each order.
func publishSome(t testing.TB, js jetstream.JetStream, orders []string, from, to int) {
	t.Helper()
	for n := from; n <= to; n++ {
		for _, o := range orders {
			publishOne(t, js, o, n)
		}
	}
}

// got counts the requests with a 2xx for each change of an order.
func got(e *receiver) map[string]int {
	m := map[string]int{}
	for _, h := range e.journal() {
		if h.status/100 == 2 {
			m[fmt.Sprintf("%s %d", h.order, h.n)]++
		}
	}
	return m
}

// gets waits until all changes of the orders have arrived.
func gets(t testing.TB, e *receiver, orders []string, from, to int) {
	t.Helper()
	missing := ""
	defer func() {
		if t.Failed() {
			t.Logf("missing: %s", missing)
		}
	}()
	await(t, 40*time.Second, fmt.Sprintf("changes %d to %d of %v arrive", from, to, orders), func() bool {
		have := got(e)
		missing = ""
		for _, o := range orders {
			for n := from; n <= to; n++ {
				if name := fmt.Sprintf("%s %d", o, n); have[name] == 0 {
					missing += name + ", "
				}
			}
		}
		return missing == ""
	})
}

// once checks that nothing came twice and that the first successes of each
// order came in their order.
func once(t testing.TB, e *receiver) {
	t.Helper()
	for name, n := range got(e) {
		if n != 1 {
			t.Errorf("%s came %d times", name, n)
		}
	}
	inOrder(t, e)
}

func inOrder(t testing.TB, e *receiver) {
	t.Helper()
	last, seen := map[string]int{}, map[string]bool{}
	for _, h := range e.journal() {
		name := fmt.Sprintf("%s %d", h.order, h.n)
		if h.status/100 != 2 || seen[name] {
			continue
		}
		seen[name] = true
		if h.n < last[h.order] {
			t.Errorf("%s came after %d", name, last[h.order])
		}
		last[h.order] = h.n
	}
}

// toldChange waits until /readyz, still 200, and the alerts tell a change.
func toldChange(t testing.TB, p *program, js jetstream.JetStream, text string) {
	t.Helper()
	await(t, 30*time.Second, "/readyz tells "+text, func() bool {
		r, status := p.readyz()
		return status == http.StatusOK && r.Role == health.RoleLeader && strings.Contains(strings.Join(r.Reasons, "\n"), text)
	})
	await(t, 10*time.Second, "an alert of kind stream-changed", func() bool {
		for _, a := range alerts(t, js) {
			if a.Kind == bridge.AlertStreamChanged && strings.Contains(a.Text, text) {
				return true
			}
		}
		return false
	})
	if n := p.figure(t, "stream_changes_open"); n < 1 {
		t.Errorf("orderbridge_stream_changes_open is %d", n)
	}
}

func alerts(t testing.TB, js jetstream.JetStream) (list []bridge.Alert) {
	t.Helper()
	ctx := within(t, 10*time.Second)
	s, err := js.Stream(ctx, "ALERTS")
	if err != nil {
		t.Fatal(err)
	}
	info := s.CachedInfo().State
	for seq := max(info.FirstSeq, 1); seq <= info.LastSeq; seq++ {
		m, err := s.GetMsg(ctx, seq)
		if err != nil {
			continue
		}
		var e struct{ Data bridge.Alert }
		if err := json.Unmarshal(m.Data, &e); err != nil {
			t.Fatal(err)
		}
		list = append(list, e.Data)
	}
	return list
}

func letters(t testing.TB, js jetstream.JetStream) (list []bridge.DeadLetter) {
	t.Helper()
	ctx := within(t, 10*time.Second)
	s, err := js.Stream(ctx, "DEAD_LETTERS")
	if err != nil {
		t.Fatal(err)
	}
	info := s.CachedInfo().State
	for seq := max(info.FirstSeq, 1); seq <= info.LastSeq; seq++ {
		m, err := s.GetMsg(ctx, seq)
		if err != nil {
			continue
		}
		var d bridge.DeadLetter
		if err := json.Unmarshal(m.Data, &d); err != nil {
			t.Fatal(err)
		}
		list = append(list, d)
	}
	return list
}

var someOrders = []string{"a", "b", "c"}

func TestStreamMadeAnewInFlow(t *testing.T) {
	t.Parallel()
	bus := testbus.Listen(t)
	js := jetStream(t, bus.URL())
	e := receive(t, nil)
	p := serving(t, bus.URL())
	subscribe(t, js, "s", record(e))
	publishSome(t, js, someOrders, 1, 100)
	gets(t, e, someOrders, 1, 100)
	acknowledged(t, js, 300)
	remake(t, js)
	publishSome(t, js, someOrders, 101, 150) // while the bridge does not know yet
	gets(t, e, someOrders, 101, 150)
	publishSome(t, js, someOrders, 151, 300) // past the former end
	gets(t, e, someOrders, 151, 300)
	once(t, e)
	toldChange(t, p, js, "made anew")
}

func TestStreamMadeAnewWhileTheBridgeIsAway(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ before, after int }{{5, 3}, {2, 3}, {3, 3}, {0, 3}} {
		t.Run(fmt.Sprintf("%d then %d", tt.before, tt.after), func(t *testing.T) {
			t.Parallel()
			bus := testbus.Listen(t)
			js := jetStream(t, bus.URL())
			e := receive(t, nil)
			p := serving(t, bus.URL())
			subscribe(t, js, "s", record(e))
			publishSome(t, js, someOrders, 1, tt.before)
			gets(t, e, someOrders, 1, tt.before)
			p.stop()
			remake(t, js)
			publishSome(t, js, someOrders, tt.before+1, tt.before+tt.after)
			p = serving(t, bus.URL())
			gets(t, e, someOrders, tt.before+1, tt.before+tt.after)
			once(t, e)
			if tt.before > 0 {
				toldChange(t, p, js, "the source stream has changed")
			}
		})
	}
}
