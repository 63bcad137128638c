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

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// X4, X5 and R12: one record through its life. Each change has its verdict and
// takes effect within a second (the median of all, for busy machines).
func TestLifeOfARecord(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	l := &recordLife{t: t, js: jetStream(t, bus.URL()), e: receive(t, nil), other: receive(t, nil), neighbour: receive(t, nil)}
	serving(t, bus.URL())
	subscribe(t, l.js, "neighbour", recordFor(l.neighbour))
	generation := l.becomesValid()
	l.turnsInvalidAndIsMended()
	l.isDeactivatedAndActivated()
	l.isDeletedAndPutAgain(generation)
	l.isPutForAnotherEndpoint(generation)

	slices.Sort(l.took)
	if median := l.took[len(l.took)/2]; median > time.Second {
		t.Errorf("verdicts took %v", l.took)
	}
	l.delivered(l.neighbour, "nobody else noticed", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
}

// recordLife is a record that changes while events are published.
type recordLife struct {
	t                   *testing.T
	js                  jetstream.JetStream
	e, other, neighbour *receiver
	n                   int             // events published
	took                []time.Duration // until each verdict
}

func (l *recordLife) published() { l.n++; publishOne(l.t, l.js, "a", l.n) }

// delivered waits until the endpoint has got as many events; they must be these.
func (l *recordLife) delivered(e *receiver, what string, want ...int) {
	l.t.Helper()
	await(l.t, 20*time.Second, what, func() bool { return len(numbers(e)) >= len(want) })
	if got := numbers(e); !slices.Equal(got, want) {
		l.t.Fatalf("%s: delivered %v, want %v", what, got, want)
	}
}

// becomes changes the record, "" removes it, and waits for its verdict.
func (l *recordLife) becomes(value string, want protocol.State) protocol.Status {
	l.t.Helper()
	var revision uint64
	if value == "" {
		revision = remove(l.t, l.js, "s")
	} else {
		revision = put(l.t, l.js, "s", value)
	}
	s, took := verdict(l.t, l.js, "s", revision, want)
	l.took = append(l.took, took)
	return s
}

// apart lets the two seconds pass by which clocks may differ: what is published
// within them belongs to the time before and after a change alike.
func (l *recordLife) apart() { <-time.After(2500 * time.Millisecond) }

// becomesValid: a record that never was valid hears nothing of the time before
// it is.
func (l *recordLife) becomesValid() (generation uint64) {
	s := l.becomes(`{"targetURL":"ftp://x","colour":"red","method":"PATCH"}`, protocol.StateInvalid)
	fields := []string{}
	for _, p := range s.Errors {
		fields = append(fields, p.Field)
	}
	if slices.Sort(fields); !slices.Equal(fields, []string{"colour", "method", "targetURL"}) {
		l.t.Errorf("errors of %v, want colour, method and targetURL", fields)
	}
	l.published() // 1: for nobody
	l.apart()
	l.becomes(recordFor(l.e), protocol.StateActive)
	l.published()
	l.delivered(l.e, "valid", 2)
	return s.Generation
}

// turnsInvalidAndIsMended: what it would have heard comes when it is mended.
func (l *recordLife) turnsInvalidAndIsMended() {
	l.becomes(`{"targetURL":`, protocol.StateInvalid)
	l.published()
	l.published()
	await(l.t, 20*time.Second, "the neighbour hears everything", func() bool { return len(numbers(l.neighbour)) == 4 })
	if got := numbers(l.e); len(got) != 1 {
		l.t.Errorf("delivered %v under an invalid record", got)
	}
	l.becomes(recordFor(l.e), protocol.StateActive)
	l.delivered(l.e, "mended", 2, 3, 4)
}

// isDeactivatedAndActivated: what was owed before comes after, what was published
// meanwhile does not.
func (l *recordLife) isDeactivatedAndActivated() {
	l.e.Reply(lab.Always(http.StatusServiceUnavailable))
	l.published() // 5 fails
	l.e.came(l.t, 4)
	l.apart()
	l.becomes(recordFor(l.e, `"status":"deactivated"`), protocol.StateDeactivated)
	l.e.Reply(nil)
	l.apart()
	l.published() // 6: not for us
	l.apart()
	l.becomes(recordFor(l.e), protocol.StateActive)
	l.published() // 7
	l.delivered(l.e, "activated again", 2, 3, 4, 5, 7)
}

// isDeletedAndPutAgain for the same endpoint: the same generation goes on.
func (l *recordLife) isDeletedAndPutAgain(generation uint64) {
	l.apart()
	l.becomes("", protocol.StateDeleted)
	l.apart()
	l.published() // 8: for nobody
	l.apart()
	if s := l.becomes(recordFor(l.e), protocol.StateActive); s.Generation != generation {
		l.t.Errorf("generation %d after it was put again, want %d", s.Generation, generation)
	}
	l.published()
	l.delivered(l.e, "put again", 2, 3, 4, 5, 7, 9)
}

// isPutForAnotherEndpoint, deleted with a debt: nothing of the old one's goes there.
func (l *recordLife) isPutForAnotherEndpoint(generation uint64) {
	l.e.Reply(lab.Always(http.StatusServiceUnavailable))
	l.published() // 10 fails
	await(l.t, 20*time.Second, "a failure", func() bool { return len(owedKeys(l.t, l.js)) > 0 })
	l.apart()
	l.becomes("", protocol.StateDeleted)
	l.apart()
	if s := l.becomes(recordFor(l.other), protocol.StateActive); s.Generation == generation {
		l.t.Error("the same generation for another endpoint")
	}
	tries := l.e.Count()
	l.published()
	l.delivered(l.other, "another endpoint", 11)
	if l.e.Count() > tries {
		l.t.Error("the old endpoint is still tried")
	}
	nothingOwed(l.t, l.js)
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

// A delivery that is given up, and put back by an operator.
func TestDeadLettersAndRedrive(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	r := &redrive{t, bus, jetStream(t, bus.URL()), receive(t, lab.Always(http.StatusInternalServerError))}
	serving(t, bus.URL())
	subscribe(t, r.js, "s", recordFor(r.e, twoRetries))
	publishOne(t, r.js, "a", 1)
	await(t, 20*time.Second, "a dead letter", func() bool { return deadLetters(t, r.js) == 1 })
	first := r.isShown()
	r.failsAgainThenSucceeds(first)
	r.isNotForAnotherEndpoint()
}

const twoRetries = `"retry":{"schedule":["PT0.1S","PT0.1S"]}`

// redrive is a subscription whose events become dead letters.
type redrive struct {
	t   *testing.T
	bus *lab.Bus
	js  jetstream.JetStream
	e   *receiver
}

// run runs a command, which must end with the exit code.
func (r *redrive) run(code int, args ...string) string {
	r.t.Helper()
	out, got := command(r.t, r.bus.URL(), "", args...)
	if got != code {
		r.t.Errorf("%v: exit code %d, want %d:\n%s", args, got, code, out)
	}
	return out
}

// isShown returns the first attempt of what became a dead letter.
func (r *redrive) isShown() lab.Hit {
	if got := r.e.Count(); got != 3 {
		r.t.Errorf("%d attempts, the schedule allows 3", got)
	}
	first := r.e.Journal()[0]
	if out := r.run(0, "dead-letters", "list"); !strings.Contains(out, "500 Internal Server Error") {
		r.t.Errorf("list:\n%s", out)
	}
	if out := r.run(0, "dead-letters", "show", "1"); !strings.Contains(out, `"deliveryId": "`+first.Header.Get("Webhook-Id")+`"`) || !strings.Contains(out, `"publisherId": "e-a-1"`) {
		r.t.Errorf("show:\n%s", out)
	}
	r.run(0, "owed", "list")
	return first
}

// failsAgainThenSucceeds: when it fails for good once more, a new letter takes
// its place.
func (r *redrive) failsAgainThenSucceeds(first lab.Hit) {
	r.run(0, "dead-letters", "redrive", "1")
	await(r.t, 20*time.Second, "a new letter instead of the old one", func() bool {
		s, err := r.js.Stream(within(r.t, 10*time.Second), "DEAD_LETTERS")
		return err == nil && s.CachedInfo().State.Msgs == 1 && s.CachedInfo().State.LastSeq == 2
	})
	r.e.Reply(nil)
	tries := r.e.Count()
	r.run(0, "dead-letters", "redrive", "2")
	again := r.e.came(r.t, tries+1)
	if again.Header.Get("X-Redrive") != "true" || again.Header.Get("Webhook-Id") != first.Header.Get("Webhook-Id") || again.Header.Get("X-Attempt") != "1" {
		r.t.Errorf("redriven with %v, first came %v", again.Header, first.Header)
	}
	await(r.t, 20*time.Second, "the letter is gone", func() bool { return deadLetters(r.t, r.js) == 0 && len(owedKeys(r.t, r.js)) == 0 })
	if out := r.run(1, "dead-letters", "redrive", "2"); !strings.Contains(out, "2") {
		r.t.Errorf("second redrive:\n%s", out)
	}
	if got := r.e.Count(); got != tries+1 {
		r.t.Errorf("%d attempts after the redrive, want 1", got-tries)
	}
}

// isNotForAnotherEndpoint: a letter of a former generation is not for the new one.
func (r *redrive) isNotForAnotherEndpoint() {
	other := receive(r.t, nil)
	r.e.Reply(lab.Always(http.StatusInternalServerError))
	publishOne(r.t, r.js, "a", 2)
	await(r.t, 20*time.Second, "a dead letter", func() bool { return deadLetters(r.t, r.js) == 1 })
	verdict(r.t, r.js, "s", remove(r.t, r.js, "s"), protocol.StateDeleted)
	subscribe(r.t, r.js, "s", recordFor(other, twoRetries))
	if out := r.run(1, "dead-letters", "redrive", "3"); !strings.Contains(out, "generation") {
		r.t.Errorf("redrive of another generation's letter:\n%s", out)
	}
	if deadLetters(r.t, r.js) != 1 {
		r.t.Errorf("%d letters are left", deadLetters(r.t, r.js))
	}
	for _, h := range other.Journal() { // it hears of events of the last two seconds for itself
		if h.Header.Get("X-Redrive") != "" || h.Header.Get("X-Attempt") != "1" {
			r.t.Errorf("the new endpoint got what was owed to the old one: %v", h.Header)
		}
	}
}
