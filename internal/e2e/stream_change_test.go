package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/health"
	"orderbridge/internal/lab"
)

// The stream ORDERS recreated, restored, rolled back, purged (R15): nothing of
// what is there is passed over, what is gone and was owed is told.

// remake deletes the stream ORDERS and recreates it.
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
	for _, h := range e.Journal() {
		if h.Status/100 == 2 {
			m[fmt.Sprintf("%s %d", h.Order, h.N)]++
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
	notTwice(t, e)
	inOrder(t, e)
}

func notTwice(t testing.TB, e *receiver) {
	t.Helper()
	for name, n := range got(e) {
		if n != 1 && leasesLost(t) == 0 {
			t.Errorf("%s came %d times", name, n)
		}
	}
}

func inOrder(t testing.TB, e *receiver) {
	t.Helper()
	last, seen := map[string]int{}, map[string]bool{}
	for _, h := range e.Journal() {
		name := fmt.Sprintf("%s %d", h.Order, h.N)
		if h.Status/100 != 2 || seen[name] {
			continue
		}
		seen[name] = true
		if h.N < last[h.Order] {
			t.Errorf("%s came after %d", name, last[h.Order])
		}
		last[h.Order] = h.N
	}
}

// toldChange waits until /readyz, still 200, and the alerts tell a change.
func toldChange(t testing.TB, p *program, js jetstream.JetStream, text string) {
	t.Helper()
	await(t, 30*time.Second, "/readyz tells "+text, func() bool {
		r, status := p.readyz()
		return status == http.StatusOK && r.Role == health.RoleLeader && strings.Contains(strings.Join(r.Reasons, "\n"), text)
	})
	await(t, 20*time.Second, "an alert of kind stream-changed", func() bool {
		for _, a := range alerts(t, js) {
			if a.Kind == protocol.AlertStreamChanged && strings.Contains(a.Text, text) {
				return true
			}
		}
		return false
	})
	if n := p.figure(t, "stream_changes_open"); n < 1 {
		t.Errorf("orderbridge_stream_changes_open is %d", n)
	}
}

func alerts(t testing.TB, js jetstream.JetStream) (list []protocol.Alert) {
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
		var e struct{ Data protocol.Alert }
		if err := json.Unmarshal(m.Data, &e); err != nil {
			t.Fatal(err)
		}
		list = append(list, e.Data)
	}
	return list
}

func letters(t testing.TB, js jetstream.JetStream) (list []protocol.DeadLetter) {
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
		var d protocol.DeadLetter
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
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, nil)
	p := serving(t, bus.URL())
	subscribe(t, js, "s", recordFor(e))
	publishSome(t, js, someOrders, 1, 100)
	gets(t, e, someOrders, 1, 100)
	acknowledged(t, js, 300)
	remake(t, js)
	publishSome(t, js, someOrders, 101, 150) // while the bridge does not know yet
	gets(t, e, someOrders, 101, 150)
	publishSome(t, js, someOrders, 151, 300) // past the former end
	gets(t, e, someOrders, 151, 300)
	once(t, e)
	toldChange(t, p, js, "recreated")
}

func TestStreamMadeAnewWhileTheBridgeIsAway(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ before, after int }{{5, 3}, {2, 3}, {3, 3}, {0, 3}} {
		t.Run(fmt.Sprintf("%d then %d", tt.before, tt.after), func(t *testing.T) {
			t.Parallel()
			bus := lab.ListenBus(t)
			js := jetStream(t, bus.URL())
			e := receive(t, nil)
			p := serving(t, bus.URL())
			subscribe(t, js, "s", recordFor(e))
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

// Held orders and a reading of the former stream: what is not there any more
// becomes dead letters that say so, the orders go on in the new stream.
func TestStreamMadeAnewWithDebts(t *testing.T) {
	t.Parallel()
	for _, away := range []bool{false, true} {
		t.Run(map[bool]string{false: "in flow", true: "while away"}[away], func(t *testing.T) {
			t.Parallel()
			bus := lab.ListenBus(t)
			js := jetStream(t, bus.URL())
			held := receive(t, func(h *lab.Hit) int { // order a fails in the former stream
				if h.Order == "a" && h.N <= 20 {
					return http.StatusBadRequest
				}
				return http.StatusOK
			})
			down := receive(t, lab.Always(http.StatusServiceUnavailable))
			p := serving(t, bus.URL())
			subscribe(t, js, "held", recordFor(held, `"retry":{"schedule":["PT1H"]}`))
			subscribe(t, js, "down", recordFor(down, `"retry":{"schedule":["PT1H"]}`, `"ordering":"none"`))
			publishSome(t, js, someOrders, 1, 20)
			gets(t, held, []string{"b", "c"}, 1, 20)
			await(t, 20*time.Second, "order a waits, the other subscription reads", func() bool {
				keys := owedKeys(t, js)
				return slices.Contains(keys, "down") && slices.ContainsFunc(keys, func(k string) bool { return strings.HasPrefix(k, "held.") })
			})
			acknowledged(t, js, 60)
			<-time.After(1500 * time.Millisecond) // the second in which a crash may repeat
			if away {
				p.stop()
			}
			remake(t, js)
			publishSome(t, js, someOrders, 21, 40)
			down.Reply(nil)
			if away {
				p = serving(t, bus.URL())
			}
			gets(t, held, someOrders, 21, 40)
			gets(t, down, someOrders, 21, 40)
			once(t, held)
			notTwice(t, down) // its record asks for no order
			toldChange(t, p, js, "recreated")
			n, ranged := 0, false
			for _, d := range letters(t, js) {
				if !d.Vanished || !strings.Contains(d.Reason, "vanished") || d.Sequence == 0 {
					t.Errorf("dead letter %+v", d)
				}
				if d.Subscription == "held" {
					n++
				}
				ranged = ranged || d.Subscription == "down" && d.Through > d.Sequence
			}
			if n != 20 || !ranged {
				t.Errorf("%d dead letters of the held order, want 20; one of the reading subscription's events: %v", n, ranged)
			}
			st, _ := verdict(t, js, "down", 0, protocol.StateActive, protocol.StateReading)
			if st.Expired == 0 {
				t.Error("the status of the reading subscription does not tell what vanished")
			}
		})
	}
}

// What the former build left on the bus names no messages: it is judged as far
// as it can be, and nothing is passed over.
func TestStreamMadeAnewUnderTheFormerBuild(t *testing.T) {
	t.Parallel()
	former := formerBuild(t)
	for _, tt := range []struct{ before, after int }{{5, 3}, {3, 9}} {
		t.Run(fmt.Sprintf("%d then %d", tt.before, tt.after), func(t *testing.T) {
			t.Parallel()
			bus := lab.ListenBus(t)
			js := jetStream(t, bus.URL())
			e := receive(t, func(h *lab.Hit) int {
				if h.Order == "a" && h.N == tt.before {
					return http.StatusBadRequest
				}
				return http.StatusOK
			})
			p := launchBinary(t, former, "ORDERBRIDGE_NATS_URL="+bus.URL())
			p.leads()
			subscribe(t, js, "s", recordFor(e, `"retry":{"schedule":["PT1H"]}`))
			publishSome(t, js, someOrders, 1, tt.before)
			gets(t, e, []string{"b", "c"}, 1, tt.before)
			p.stop()
			remake(t, js)
			publishSome(t, js, someOrders, tt.before+1, tt.before+tt.after)
			p = serving(t, bus.URL())
			gets(t, e, someOrders, tt.before+1, tt.before+tt.after)
			once(t, e)
			toldChange(t, p, js, "the source stream has changed")
			if n := len(letters(t, js)); n != 1 {
				t.Errorf("%d dead letters, want 1 of the order that waited", n)
			}
		})
	}
}

// Two replicas; the leader and the new stream are killed and made again and again.
func TestStreamMadeAnewBeneathReplicas(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, nil)
	p := serving(t, bus.URL())
	subscribe(t, js, "s", recordFor(e))
	other := launch(t, "ORDERBRIDGE_NATS_URL="+bus.URL())
	other.said(30*time.Second, "standing by")
	for i := range 4 {
		publishSome(t, js, someOrders, 40*i+1, 40*i+20)
		gets(t, e, someOrders, 40*i+1, 40*i+20)
		remake(t, js)
		publishSome(t, js, someOrders, 40*i+21, 40*i+40)
		if i == 2 {
			p.kill()
		}
		gets(t, e, someOrders, 40*i+21, 40*i+40)
	}
	inOrder(t, e)
	toldChange(t, other, js, "recreated")
}
