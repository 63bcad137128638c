package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/lab"
)

// What servers and clients leave in the stream for themselves is not an event: a
// marker is not delivered, a schedule only when it is due, neither by the feed
// nor by a reader, and both are counted.
func TestMessagesThatAreNoEvents(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	if _, err := js.CreateStream(within(t, 10*time.Second), jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}, MaxAge: 24 * time.Hour,
		Storage: jetstream.FileStorage, AllowMsgTTL: true, SubjectDeleteMarkerTTL: 3 * time.Second, AllowRollup: true, AllowMsgSchedules: true, AllowAtomicPublish: true}); err != nil {
		t.Fatal(err)
	}
	post, get, late := receive(t, nil), receive(t, nil), receive(t, nil)
	p := serving(t, bus.URL())
	subscribe(t, js, "post", recordFor(post))
	subscribe(t, js, "get", `{"targetURL":"`+get.URL+`/orders/{orderId}","method":"GET"}`)

	publishOddMessages(t, js)
	last := publishMsg(t, js, orderWith("end", nil))
	acknowledged(t, js, last)

	// A reader comes to all of it too.
	subscribe(t, js, "late", recordFor(late, `"startFrom":"all"`))
	for name, e := range map[string]*receiver{"post": post, "get": get, "late": late} {
		getsEventsOnly(t, name, e)
	}
	metric := ""
	await(t, 20*time.Second, "they are counted", func() bool {
		metric = scrape(t, p)
		return strings.Contains(metric, "orderbridge_messages_not_events_total 4\n")
	})
	if !strings.Contains(p.Output(), `kind="delete marker"`) || !strings.Contains(p.Output(), "kind=schedule") {
		t.Error("the log does not tell what was passed over")
	}
}

// orderWith is an event of an order with headers.
func orderWith(order string, header nats.Header) *nats.Msg {
	return &nats.Msg{Subject: "orders.acme.OrderChanged." + order, Header: header, Data: []byte(fmt.Sprintf(`{"orderId":%q}`, order))}
}

// publishOddMessages publishes what looks like events to a consumer, and waits
// until the server has added its own.
func publishOddMessages(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	publishMsg(t, js, orderWith("short", nats.Header{"Nats-TTL": {"1s"}})) // the server leaves its marker after 3 s
	plan := orderWith("due", nats.Header{"Nats-Schedule": {"@at " + time.Now().Add(2*time.Second).UTC().Format(time.RFC3339)},
		"Nats-Schedule-Target": {"orders.acme.OrderChanged.due"}})
	plan.Subject = "orders.acme.OrderChanged.plan"
	publishMsg(t, js, plan)
	publishMsg(t, js, &nats.Msg{Subject: "orders.acme.OrderChanged.gone", Header: nats.Header{"KV-Operation": {"PURGE"}, "Nats-Rollup": {"sub"}}})
	publishMsg(t, js, orderWith("rolled", nats.Header{"Nats-Rollup": {"sub"}}))
	far := orderWith("far", nats.Header{"Nats-Schedule": {"@at 2100-01-01T00:00:00Z"}, "Nats-Schedule-Target": {"orders.acme.OrderChanged.due"}})
	far.Subject = "orders.acme.OrderChanged.far"
	publishMsg(t, js, far)
	stream, err := js.Stream(within(t, 10*time.Second), "ORDERS")
	if err != nil {
		t.Fatal(err)
	}
	await(t, 20*time.Second, "the marker lies in the stream and the plan is due", func() bool {
		marker, err := stream.GetLastMsgForSubject(briefly(t, 5*time.Second), "orders.acme.OrderChanged.short")
		due, err2 := stream.GetLastMsgForSubject(briefly(t, 5*time.Second), "orders.acme.OrderChanged.due")
		return err == nil && err2 == nil && marker.Header.Get("Nats-Marker-Reason") == "MaxAge" && due.Sequence > 0
	})
}

func getsEventsOnly(t *testing.T, name string, e *receiver) {
	t.Helper()
	want := map[string]bool{"due": true, "rolled": true, "end": true}
	if name != "late" {
		want["short"] = true // while it was there
	}
	await(t, 20*time.Second, name+" has all events", func() bool { return e.Delivered() >= len(want) })
	for _, h := range e.Journal() {
		order := strings.TrimPrefix(h.URI, "/orders/")
		if h.Method == http.MethodPost {
			order = h.Order
		}
		if !want[order] {
			t.Errorf("%s got %s %s %q, headers %v", name, h.Method, h.URI, h.Body, h.Header)
		}
	}
	if e.Count() != len(want) {
		t.Errorf("%s got %d requests, want %d", name, e.Count(), len(want))
	}
}
