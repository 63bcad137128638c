package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge"
	"orderbridge/internal/lab"
)

// X4, X5 and R12: one record through its life. Each change has its verdict and
// takes effect within a second (the median of all, for busy machines).
func TestLifeOfARecord(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e, other, neighbour := receive(t, nil), receive(t, nil), receive(t, nil)
	serving(t, bus.URL())
	subscribe(t, js, "neighbour", record(neighbour))
	n := 0
	var took []time.Duration
	// published says what one event more is expected to do.
	published := func() uint64 { n++; return publishOne(t, js, "a", n) }
	delivered := func(e *receiver, what string, want ...int) {
		t.Helper()
		await(t, 20*time.Second, what, func() bool { return len(numbers(e)) >= len(want) })
		if got := numbers(e); !slices.Equal(got, want) {
			t.Fatalf("%s: delivered %v, want %v", what, got, want)
		}
	}
	state := func(value string, want bridge.State) bridge.Status {
		t.Helper()
		var revision uint64
		if value == "" {
			revision = remove(t, js, "s")
		} else {
			revision = put(t, js, "s", value)
		}
		s, d := verdict(t, js, "s", revision, want)
		took = append(took, d)
		return s
	}
	// What is published within the two seconds that clocks may differ belongs
	// to the time before and after a change alike.
	apart := func() { <-time.After(2500 * time.Millisecond) }

	// A record that never was valid hears nothing of the time before it is.
	s := state(`{"targetURL":"ftp://x","colour":"red","method":"PATCH"}`, bridge.StateInvalid)
	fields := []string{}
	for _, p := range s.Errors {
		fields = append(fields, p.Field)
	}
	if slices.Sort(fields); !slices.Equal(fields, []string{"colour", "method", "targetURL"}) {
		t.Errorf("errors of %v, want colour, method and targetURL", fields)
	}
	published() // 1: for nobody
	apart()
	state(record(e), bridge.StateActive)
	published()
	delivered(e, "valid", 2)

	// It turns invalid: what it would have heard comes when it is mended.
	state(`{"targetURL":`, bridge.StateInvalid)
	published()
	published()
	await(t, 20*time.Second, "the neighbour hears everything", func() bool { return len(numbers(neighbour)) == 4 })
	if got := numbers(e); len(got) != 1 {
		t.Errorf("delivered %v under an invalid record", got)
	}
	state(record(e), bridge.StateActive)
	delivered(e, "mended", 2, 3, 4)

	// Deactivated: what was owed before comes after, what was published meanwhile does not.
	e.Reply(lab.Always(http.StatusServiceUnavailable))
	published() // 5 fails
	e.came(t, 4)
	apart()
	state(record(e, `"status":"deactivated"`), bridge.StateDeactivated)
	e.Reply(nil)
	apart()
	published() // 6: not for us
	apart()
	state(record(e), bridge.StateActive)
	published() // 7
	await(t, 20*time.Second, "what was owed", func() bool { return len(numbers(e)) >= 5 })
	if got := numbers(e); !slices.Equal(got, []int{2, 3, 4, 5, 7}) {
		t.Fatalf("activated again: delivered %v, want 2 3 4 5 7", got)
	}

	// Deleted and put again for the same endpoint: the same generation goes on.
	before := s.Generation
	apart()
	s = state("", bridge.StateDeleted)
	apart()
	published() // 8: for nobody
	apart()
	s = state(record(e), bridge.StateActive)
	if s.Generation != before {
		t.Errorf("generation %d after it was put again, want %d", s.Generation, before)
	}
	published()
	delivered(e, "put again", 2, 3, 4, 5, 7, 9)

	// Deleted with a debt and put again for another endpoint: nothing of the old one's goes there.
	e.Reply(lab.Always(http.StatusServiceUnavailable))
	published() // 10 fails
	await(t, 20*time.Second, "a failure", func() bool { return len(owedKeys(t, js)) > 0 })
	apart()
	state("", bridge.StateDeleted)
	apart()
	s = state(record(other), bridge.StateActive)
	if s.Generation == before {
		t.Error("the same generation for another endpoint")
	}
	tries := e.Count()
	published()
	delivered(other, "another endpoint", 11)
	if e.Count() > tries {
		t.Error("the old endpoint is still tried")
	}
	await(t, 20*time.Second, "the old debts are dropped", func() bool { return len(owedKeys(t, js)) == 0 })

	slices.Sort(took)
	if median := took[len(took)/2]; median > time.Second {
		t.Errorf("verdicts took %v", took)
	}
	delivered(neighbour, "nobody else noticed", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
}

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
		put(t, js, "s", record(e))
	}
	subscribe(t, js, "s", record(e))
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
	put(t, js, "new", record(other))
	verdict(t, js, "new", 0, bridge.StateActive)
	put(t, js, "s", record(e, `"method":"PUT"`)) // a lower revision than the last one of the old bucket
	await(t, 20*time.Second, "the update is in force", func() bool {
		publishMsg(t, js, &nats.Msg{Subject: "orders.x", Data: []byte(`{"orderId":"b","n":1}`)})
		j := e.Journal()
		return len(j) > 0 && j[len(j)-1].Method == "PUT"
	})
	other.came(t, 1)
}

// What cannot be rendered is dead-lettered for that subscription only.
func TestStrangeEvents(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	get, note, plain := receive(t, nil), receive(t, nil), receive(t, nil)
	serving(t, bus.URL())
	subscribe(t, js, "get", `{"targetURL":"`+get.URL+`/o/{orderId}","method":"GET"}`)
	subscribe(t, js, "note", record(note, `"payload":"notification"`))
	subscribe(t, js, "plain", record(plain))
	id := func(order string) string { return fmt.Sprintf(`{"orderId":%s,"eventType":"OrderAccepted"}`, order) }
	long := strings.Repeat("x", 1000)
	type want struct{ get, order string } // "": dead-lettered
	events := []struct {
		name, data string
		header     nats.Header
		want       want
		dead       int // subscriptions that cannot have it
	}{
		{"not JSON", "hello", nil, want{}, 2},
		{"binary", "\x00\xff\xfe\x01", nil, want{}, 2},
		{"empty", "", nil, want{}, 2},
		{"no order id", `{"eventType":"OrderAccepted"}`, nil, want{}, 2},
		{"id .", id(`"."`), nil, want{"", "."}, 1},
		{"id ..", id(`".."`), nil, want{"", ".."}, 1},
		{"id with *", id(`"a*b.>"`), nil, want{"/o/a%2Ab.%3E", "a*b.>"}, 0},
		{"id with /", id(`"../a/b?c#d"`), nil, want{"", "../a/b?c#d"}, 1},
		{"id with spaces", id(`" a b "`), nil, want{"/o/%20a%20b%20", "%20a%20b%20"}, 0},
		{"id with CR LF", id(`"a\r\nX-Evil: 1"`), nil, want{"/o/a%0D%0AX-Evil%3A%201", "a%0D%0AX-Evil:%201"}, 0},
		{"long id", id(`"` + long + `"`), nil, want{}, 2},
		{"non-ASCII id", id(`"Größe-ü"`), nil, want{"/o/Gr%C3%B6%C3%9Fe-%C3%BC", "Gr%C3%B6%C3%9Fe-%C3%BC"}, 0},
		{"repeated headers", id(`"h"`), nats.Header{"X-A": {"1", "2"}, "traceparent": {"a", "b"}}, want{"/o/h", "h"}, 0},
		{"publisher's headers", id(`"p"`), nats.Header{"Nats-Msg-Id": {"m-1"}, "Nats-Expected-Stream": {"ORDERS"}}, want{"/o/p", "p"}, 0},
		{"1 MB", `{"orderId":"big","eventType":"OrderAccepted","x":"` + strings.Repeat("y", 1_000_000) + `"}`, nil, want{"/o/big", "big"}, 0},
	}
	dead, gets, notes := 0, 0, 0
	var last uint64
	for _, ev := range events {
		last = publishMsg(t, js, &nats.Msg{Subject: "orders", Data: []byte(ev.data), Header: ev.header})
		dead += ev.dead
		if ev.want.get != "" {
			gets++
		}
		if ev.want.order != "" {
			notes++
		}
	}
	acknowledged(t, js, last)
	await(t, 20*time.Second, "all are delivered where they can be", func() bool {
		return plain.Delivered() == len(events) && get.Delivered() == gets && note.Delivered() == notes
	})
	letters, err := js.Stream(within(t, 10*time.Second), "DEAD_LETTERS")
	if err != nil {
		t.Fatal(err)
	}
	if got := int(letters.CachedInfo().State.Msgs); got != dead {
		t.Errorf("%d dead letters, want %d", got, dead)
	}
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
		if ev.want.get != "" && !uris[ev.want.get] {
			t.Errorf("%s: no GET of %.80s", ev.name, ev.want.get)
		}
		if ev.want.order != "" && !orders[ev.want.order] {
			t.Errorf("%s: no X-Order-Id %.80q", ev.name, ev.want.order)
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
	subscribe(t, js, "bad", record(bad, `"retry":{"schedule":[]}`))
	subscribe(t, js, "good", record(good))
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
	subscribe(t, js, "all", record(e))
	subscribe(t, js, "acme", record(acme, `"tenant":"acme"`))
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

// A delivery that is given up, and put back by an operator.
func TestDeadLettersAndRedrive(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e, other := receive(t, lab.Always(http.StatusInternalServerError)), receive(t, nil)
	serving(t, bus.URL())
	retries := `"retry":{"schedule":["PT0.1S","PT0.1S"]}`
	subscribe(t, js, "s", record(e, retries))
	publishOne(t, js, "a", 1)
	ctx := within(t, 90*time.Second)
	letters := func() uint64 {
		s, err := js.Stream(ctx, "DEAD_LETTERS")
		if err != nil {
			t.Fatal(err)
		}
		return s.CachedInfo().State.Msgs
	}
	await(t, 20*time.Second, "a dead letter", func() bool { return letters() == 1 })
	if got := e.Count(); got != 3 {
		t.Errorf("%d attempts, the schedule allows 3", got)
	}
	first := e.Journal()[0]
	run := func(code int, args ...string) string {
		t.Helper()
		out, got := command(t, bus.URL(), "", args...)
		if got != code {
			t.Errorf("%v: exit code %d, want %d:\n%s", args, got, code, out)
		}
		return out
	}
	if out := run(0, "dead-letters", "list"); !strings.Contains(out, "500 Internal Server Error") {
		t.Errorf("list:\n%s", out)
	}
	if out := run(0, "dead-letters", "show", "1"); !strings.Contains(out, `"deliveryId": "`+first.Header.Get("Webhook-Id")+`"`) || !strings.Contains(out, `"publisherId": "e-a-1"`) {
		t.Errorf("show:\n%s", out)
	}
	run(0, "owed", "list")

	// It fails for good once more: a new letter takes its place.
	run(0, "dead-letters", "redrive", "1")
	await(t, 20*time.Second, "a new letter instead of the old one", func() bool {
		s, err := js.Stream(ctx, "DEAD_LETTERS")
		return err == nil && s.CachedInfo().State.Msgs == 1 && s.CachedInfo().State.LastSeq == 2
	})
	e.Reply(nil)
	tries := e.Count()
	run(0, "dead-letters", "redrive", "2")
	again := e.came(t, tries+1)
	if again.Header.Get("X-Redrive") != "true" || again.Header.Get("Webhook-Id") != first.Header.Get("Webhook-Id") || again.Header.Get("X-Attempt") != "1" {
		t.Errorf("redriven with %v, first came %v", again.Header, first.Header)
	}
	await(t, 20*time.Second, "the letter is gone", func() bool { return letters() == 0 && len(owedKeys(t, js)) == 0 })
	if out := run(1, "dead-letters", "redrive", "2"); !strings.Contains(out, "2") {
		t.Errorf("second redrive:\n%s", out)
	}
	if got := e.Count(); got != tries+1 {
		t.Errorf("%d attempts after the redrive, want 1", got-tries)
	}

	// A letter of a former generation is not for the new endpoint.
	e.Reply(lab.Always(http.StatusInternalServerError))
	publishOne(t, js, "a", 2)
	await(t, 20*time.Second, "a dead letter", func() bool { return letters() == 1 })
	verdict(t, js, "s", remove(t, js, "s"), bridge.StateDeleted)
	subscribe(t, js, "s", record(other, retries))
	if out := run(1, "dead-letters", "redrive", "3"); !strings.Contains(out, "generation") {
		t.Errorf("redrive of another generation's letter:\n%s", out)
	}
	if letters() != 1 {
		t.Errorf("%d letters are left", letters())
	}
	for _, h := range other.Journal() { // it hears of events of the last two seconds for itself
		if h.Header.Get("X-Redrive") != "" || h.Header.Get("X-Attempt") != "1" {
			t.Errorf("the new endpoint got what was owed to the old one: %v", h.Header)
		}
	}
}
