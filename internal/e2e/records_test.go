package e2e

import (
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

// numbers are the n of what was delivered, in order.
func numbers(e *receiver) (out []int) {
	for _, h := range e.Journal() {
		if h.Status/100 == 2 {
			out = append(out, h.N)
		}
	}
	return out
}

// remove deletes a record as `nats kv del` does and returns the marker's revision.
func remove(t testing.TB, js jetstream.JetStream, id string) uint64 {
	t.Helper()
	ctx := within(t, 10*time.Second)
	ack, err := js.PublishMsg(ctx, &nats.Msg{Subject: "$KV.subscriptions." + id, Header: nats.Header{"KV-Operation": {"DEL"}}})
	if err != nil {
		t.Fatal(err)
	}
	return ack.Sequence
}

// A bucket that is gone is not a deletion; one that is recreated counts from its
// own beginning.
func TestRecordsBucketMadeAnew(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e, other := receive(t, nil), receive(t, nil)
	p := serving(t, bus.URL())
	for range 3 {
		put(t, js, "s", recordFor(e))
	}
	subscribe(t, js, "s", recordFor(e))
	ctx := within(t, 60*time.Second)
	if err := js.DeleteKeyValue(ctx, "subscriptions"); err != nil {
		t.Fatal(err)
	}
	p.complains("bucket of the subscription records is missing")
	publishOne(t, js, "a", 1)
	e.came(t, 1)
	if _, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "subscriptions", History: 64}); err != nil {
		t.Fatal(err)
	}
	p.leads()
	put(t, js, "new", recordFor(other))
	verdict(t, js, "new", 0, protocol.StateActive)
	put(t, js, "s", recordFor(e, `"method":"PUT"`)) // a lower revision than the last one of the old bucket
	await(t, 20*time.Second, "the update is in force", func() bool {
		publishMsg(t, js, &nats.Msg{Subject: "orders.x", Data: []byte(`{"orderId":"b","n":1}`)})
		j := e.Journal()
		return len(j) > 0 && j[len(j)-1].Method == "PUT"
	})
	other.came(t, 1)
}

// strangeEvent is one that not every subscription can have.
type strangeEvent struct {
	name, data string
	header     nats.Header
	get, order string // of the GET's URL, X-Order-Id; "": dead-lettered
	dead       int    // subscriptions that cannot have it
}

func strangeEvents() []strangeEvent {
	id := func(order string) string { return fmt.Sprintf(`{"orderId":%s,"eventType":"OrderAccepted"}`, order) }
	long := strings.Repeat("x", 1000)
	return []strangeEvent{
		{"not JSON", "hello", nil, "", "", 2},
		{"binary", "\x00\xff\xfe\x01", nil, "", "", 2},
		{"empty", "", nil, "", "", 2},
		{"no order id", `{"eventType":"OrderAccepted"}`, nil, "", "", 2},
		{"id .", id(`"."`), nil, "", ".", 1},
		{"id ..", id(`".."`), nil, "", "..", 1},
		{"id with *", id(`"a*b.>"`), nil, "/o/a%2Ab.%3E", "a*b.>", 0},
		{"id with /", id(`"../a/b?c#d"`), nil, "", "../a/b?c#d", 1},
		{"id with spaces", id(`" a b "`), nil, "/o/%20a%20b%20", "%20a%20b%20", 0},
		{"id with CR LF", id(`"a\r\nX-Evil: 1"`), nil, "/o/a%0D%0AX-Evil%3A%201", "a%0D%0AX-Evil:%201", 0},
		{"long id", id(`"` + long + `"`), nil, "", "", 2},
		{"non-ASCII id", id(`"Größe-ü"`), nil, "/o/Gr%C3%B6%C3%9Fe-%C3%BC", "Gr%C3%B6%C3%9Fe-%C3%BC", 0},
		{"repeated headers", id(`"h"`), nats.Header{"X-A": {"1", "2"}, "traceparent": {"a", "b"}}, "/o/h", "h", 0},
		{"publisher's headers", id(`"p"`), nats.Header{"Nats-Msg-Id": {"m-1"}, "Nats-Expected-Stream": {"ORDERS"}}, "/o/p", "p", 0},
		{"1 MB", `{"orderId":"big","eventType":"OrderAccepted","x":"` + strings.Repeat("y", 1_000_000) + `"}`, nil, "/o/big", "big", 0},
	}
}

// What cannot be rendered is dead-lettered for that subscription only.
func TestStrangeEvents(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	get, note, plain := receive(t, nil), receive(t, nil), receive(t, nil)
	serving(t, bus.URL())
	subscribe(t, js, "get", `{"targetURL":"`+get.URL+`/o/{orderId}","method":"GET"}`)
	subscribe(t, js, "note", recordFor(note, `"payload":"notification"`))
	subscribe(t, js, "plain", recordFor(plain))
	events := strangeEvents()
	dead, gets, notes := 0, 0, 0
	var last uint64
	for _, ev := range events {
		last = publishMsg(t, js, &nats.Msg{Subject: "orders", Data: []byte(ev.data), Header: ev.header})
		dead += ev.dead
		if ev.get != "" {
			gets++
		}
		if ev.order != "" {
			notes++
		}
	}
	acknowledged(t, js, last)
	await(t, 20*time.Second, "all are delivered where they can be", func() bool {
		return plain.Delivered() == len(events) && get.Delivered() == gets && note.Delivered() == notes
	})
	if got := int(deadLetters(t, js)); got != dead {
		t.Errorf("%d dead letters, want %d", got, dead)
	}
	arrivedUnharmed(t, events, get, plain)
}

// arrivedUnharmed checks what the endpoints of GET and POST got.
func arrivedUnharmed(t *testing.T, events []strangeEvent, get, plain *receiver) {
	t.Helper()
	uris, orders, bodies := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, h := range get.Journal() {
		uris[h.URI] = true
		if len(h.Body) > 0 || h.Header.Get("X-Evil") != "" {
			t.Errorf("GET %s with body %q, headers %v", h.URI, h.Body, h.Header)
		}
	}
	for _, h := range plain.Journal() {
		bodies[string(h.Body)] = true
		orders[h.Header.Get("X-Order-Id")] = true
	}
	for _, ev := range events {
		if ev.get != "" && !uris[ev.get] {
			t.Errorf("%s: no GET of %.80s", ev.name, ev.get)
		}
		if ev.order != "" && !orders[ev.order] {
			t.Errorf("%s: no X-Order-Id %.80q", ev.name, ev.order)
		}
		if !bodies[ev.data] {
			t.Errorf("%s: the bytes did not arrive unchanged", ev.name)
		}
	}
	if t.Failed() {
		t.Logf("GETs %.2000v\norders %.2000v", uris, orders)
	}
}

// The Nats-* headers of a publisher neither lose a delivery nor come out.
func TestHeadersOfThePublisher(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	ctx := within(t, 60*time.Second)
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders", "orders.>"}, AllowMsgTTL: true}); err != nil {
		t.Fatal(err)
	}
	bad, good := receive(t, lab.Always(http.StatusBadRequest)), receive(t, nil)
	serving(t, bus.URL())
	subscribe(t, js, "bad", recordFor(bad, `"retry":{"schedule":[]}`))
	subscribe(t, js, "good", recordFor(good))
	for i, h := range []nats.Header{
		{"Nats-Msg-Id": {"same"}}, {"Nats-Expected-Stream": {"ORDERS"}}, {"Nats-TTL": {"1h"}}, {"Nats-Msg-Id": {"same"}}, // the last is a duplicate
	} {
		publishMsg(t, js, &nats.Msg{Subject: fmt.Sprintf("orders.x.%d", i), Header: h, Data: []byte(`{"orderId":"a"}`)})
	}
	await(t, 20*time.Second, "three deliveries and three dead letters", func() bool {
		s, err := js.Stream(ctx, "DEAD_LETTERS")
		return err == nil && s.CachedInfo().State.Msgs == 3 && good.Delivered() == 3
	})
	for _, h := range good.Journal() {
		for k := range h.Header {
			if strings.HasPrefix(k, "Nats") {
				t.Errorf("%s: %s went out", k, h.Header.Get(k))
			}
		}
	}
}

// The same order id in two tenants is two orders.
func TestSameOrderIDInTwoTenants(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, func(h *lab.Hit) int {
		if strings.Contains(string(h.Body), "acme") {
			return http.StatusServiceUnavailable
		}
		return http.StatusOK
	})
	acme := receive(t, nil)
	serving(t, bus.URL())
	subscribe(t, js, "all", recordFor(e))
	subscribe(t, js, "acme", recordFor(acme, `"tenant":"acme"`))
	for _, tenant := range []string{"acme", "bolt"} {
		for n := range 2 {
			publishMsg(t, js, &nats.Msg{Subject: "orders." + tenant + ".OrderChanged.4711",
				Data: []byte(fmt.Sprintf(`{"orderId":"4711","by":%q,"n":%d}`, tenant, n+1))})
		}
	}
	await(t, 20*time.Second, "bolt's changes pass acme's", func() bool { return e.Delivered() == 2 && acme.Delivered() == 2 })
	tried := 0
	for _, h := range e.Journal() {
		if strings.Contains(string(h.Body), "acme") {
			tried++
		}
	}
	if tried != 1 {
		t.Errorf("%d attempts of acme's order, want the first one only", tried)
	}
	for _, h := range acme.Journal() {
		if !strings.Contains(string(h.Body), "acme") {
			t.Errorf("acme hears %s", h.Body)
		}
	}
}
