package e2e

import (
	"fmt"
	"hash/fnv"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

const patientRetries = `"retry":{"schedule":["PT1S","PT1S","PT1S","PT1S","PT1S","PT1S","PT1S","PT1S","PT1S","PT1S","PT1S","PT1S","PT1S","PT1S","PT1S","PT1S","PT1S","PT1S","PT1S","PT1S","PT1S","PT1S","PT1S","PT1S","PT1S","PT1S","PT1S","PT1S","PT1S","PT1S"]}`

// timesAlerted counts the alerts of a kind about a subscription.
func timesAlerted(t *testing.T, js jetstream.JetStream, kind, id string) uint64 {
	t.Helper()
	stream, err := js.Stream(within(t, 10*time.Second), "ALERTS")
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(within(t, 10*time.Second), jetstream.WithSubjectFilter("alerts.>"))
	if err != nil {
		t.Fatal(err)
	}
	return info.State.Subjects["alerts."+kind+"."+id]
}

// successes counts, for the orders that which names, the events that got through.
func successes(e *receiver, which func(order string) bool) int {
	got := map[string]bool{}
	for _, h := range e.Journal() {
		if h.Status/100 == 2 && which(h.Order) {
			got[h.Header.Get("Webhook-Id")] = true
		}
	}
	return len(got)
}

// A poisoned order is a matter of its lane: however it fails, and whether it is
// one of twenty or every other one, the healthy orders get all of their events
// while it still fails, and the subscription is never suspended. Once it is
// mended nothing of it is missing, and its order is kept.
func TestPoisonedOrders(t *testing.T) {
	t.Parallel()
	const orders, changes = 60, 10
	for name, tt := range map[string]struct {
		every int // which of the orders is poisoned
		reply int
		more  []string
	}{
		"half of them, 500":         {2, http.StatusInternalServerError, nil},
		"three of them, 503":        {20, http.StatusServiceUnavailable, nil},
		"half of them, 422":         {2, http.StatusUnprocessableEntity, nil},
		"half of them, reset":       {2, lab.Reset, nil},
		"three of them, timeout":    {20, lab.Hang, []string{`"timeout":"PT1S"`, `"maxInFlight":4`}},
		"half of them, no ordering": {2, http.StatusBadGateway, []string{`"ordering":"none"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bus := lab.ListenBus(t)
			js := jetStream(t, bus.URL())
			bad := map[string]bool{}
			for i := range orders {
				bad[fmt.Sprint("o", i)] = i%tt.every == 0
			}
			healthy := func(order string) bool { return !bad[order] }
			e := receive(t, func(h *lab.Hit) int {
				if bad[h.Order] {
					return tt.reply
				}
				return http.StatusOK
			})
			p := serving(t, bus.URL())
			subscribe(t, js, "s", recordFor(e, append(tt.more, patientRetries)...))
			var last uint64
			f := &flow{count: map[string]int{}, stop: func() {}, done: make(chan struct{})}
			close(f.done)
			well := 0
			for n := 1; n <= changes; n++ {
				for i := range orders {
					order := fmt.Sprint("o", i)
					last = publishOne(t, js, order, n)
					f.count[order] = n
					if healthy(order) {
						well++
					}
				}
			}
			await(t, 25*time.Second, "all events of the healthy orders", func() bool { return successes(e, healthy) == well })
			if got := successes(e, func(order string) bool { return bad[order] }); got != 0 {
				t.Errorf("%d events of poisoned orders got through", got)
			}
			// The very first answers may all be of poisoned orders: then nothing tells yet that others are healthy.
			allowed := uint64(0)
			first := p.said(lab.Patience, `(?s)^(.*?)first delivery of the subscription`)
			if strings.Contains(first, "suspended: the endpoint fails") {
				allowed = 1
			}
			if n := timesAlerted(t, js, protocol.AlertSuspended, "s"); n > allowed {
				t.Errorf("suspended %d times, %d before anything had succeeded, though %d of %d orders were healthy", n, allowed, well/changes, orders)
			}
			e.Reply(nil)
			f.arrives(t, e)
			acknowledged(t, js, last)
			if len(tt.more) == 0 { // events of one order come one after another
				notAgain(t, f.check(t, e), p)
			}
			p.stop()
		})
	}
}

// An endpoint that fails one request in five gets everything, and is not suspended.
func TestEndpointThatFailsNowAndThen(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, func(h *lab.Hit) int {
		d := fnv.New32a()
		fmt.Fprint(d, h.Order, h.N, h.Header.Get("X-Attempt"))
		if d.Sum32()%5 == 0 {
			return http.StatusInternalServerError
		}
		return http.StatusOK
	})
	p := serving(t, bus.URL())
	subscribe(t, js, "s", recordFor(e, quickRetries))
	f := publishFlow(t, js, 200, 50)
	e.came(t, 2000)
	f.arrives(t, e)
	notAgain(t, f.check(t, e), p)
	if n := timesAlerted(t, js, protocol.AlertSuspended, "s"); n != 0 {
		t.Errorf("suspended %d times", n)
	}
}

// An endpoint that fails as a whole is suspended after few requests, however it
// fails and whether it ever worked; when it is back all arrives.
func TestDeadEndpointIsSuspendedSoon(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		reply int
		most  int // requests: those that were under way together, and the first probes
	}{
		"500":   {http.StatusInternalServerError, 60},
		"404":   {http.StatusNotFound, 60},
		"reset": {lab.Reset, 60},
		"hangs": {lab.Hang, 60},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bus := lab.ListenBus(t)
			js := jetStream(t, bus.URL())
			e := receive(t, nil)
			serving(t, bus.URL())
			revision := subscribe(t, js, "s", recordFor(e, `"timeout":"PT1S"`, patientRetries))
			for i := range 100 {
				publishOne(t, js, fmt.Sprint("w", i), 1)
			}
			await(t, 20*time.Second, "it works", func() bool { return e.Delivered() == 100 })
			e.Reply(lab.Always(tt.reply))
			for i := range 500 {
				publishOne(t, js, fmt.Sprint("o", i), 1)
			}
			verdict(t, js, "s", revision, protocol.StateSuspended)
			if got := e.Count() - 100; got > tt.most {
				t.Errorf("%d requests to a dead endpoint until it was suspended, want at most %d", got, tt.most)
			}
			e.Reply(nil)
			await(t, 60*time.Second, "all is delivered", func() bool { return e.Delivered() == 600 })
		})
	}
}
