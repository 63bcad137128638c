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

	"orderbridge/internal/lab"
)

// D8: a legacy order carries legacyOrderId and no version; both forms pass, by
// POST as they are, by GET with the id that the URL asks for.
func TestContractD8LegacyOrdersPassAsTheyAre(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	post, get := receive(t, nil), receive(t, nil)
	serving(t, bus.URL())
	subscribe(t, js, "post", recordFor(post))
	subscribe(t, js, "get", `{"targetURL":"`+get.URL+`/o/{legacyOrderId}","method":"GET"}`)
	bodies := []string{
		`{"eventName":"OrderLinesChanged","legacyOrderId":"L 1","lines":[{"position":"00010","quantity":3}]}`,
		`{"eventName":"OrderLinesChanged","orderId":"4711","legacyOrderId":"L2","version":3,"lines":[]}`,
		`{"eventName":"OrderLinesChanged","orderId":"4712","version":1,"lines":[]}`,
	}
	for i, body := range bodies {
		publishMsg(t, js, &nats.Msg{Subject: "orders.changes", Data: []byte(body)})
		if h := post.came(t, i+1); string(h.Body) != body {
			t.Errorf("came as %s, published as %s", h.Body, body)
		}
	}
	for i, want := range []string{"/o/L%201", "/o/L2"} {
		if h := get.came(t, i+1); h.URI != want {
			t.Errorf("GET %s, want %s", h.URI, want)
		}
	}
	await(t, 20*time.Second, "the order without a legacy id is a dead letter of the GET", func() bool {
		out, _ := command(t, bus.URL(), "", "dead-letters", "list")
		return strings.Count(out, "the event has no legacyOrderId") == 1
	})
	if get.Count() != 2 || post.Count() != 3 {
		t.Errorf("%d GETs and %d POSTs, want 2 and 3", get.Count(), post.Count())
	}
	// A legacy order keeps the order of its changes like any other.
	if h := post.Journal()[0]; h.Header.Get("X-Order-Id") != "" {
		t.Errorf("a legacy order came with X-Order-Id %q", h.Header.Get("X-Order-Id"))
	}
}

// D11: events come for new and changed orders and order responses, to buyer or
// supplier; subjects and eventTypes say which of them a subscription hears.
func TestContractD11SubjectsAndEventTypesSelect(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	p := serving(t, bus.URL(), "ORDERBRIDGE_SUBJECT_LAYOUT=orders.*.{eventType}.{orderId}")
	type want struct {
		record string
		hears  []string
	}
	wants := map[string]want{
		"all":       {``, []string{"buyer.OrderCreated", "buyer.OrderChanged", "buyer.OrderResponseCreated", "supplier.OrderCreated", "supplier.OrderResponseChanged"}},
		"buyer":     {`"subjects":["orders.buyer.>"]`, []string{"buyer.OrderCreated", "buyer.OrderChanged", "buyer.OrderResponseCreated"}},
		"new":       {`"eventTypes":["OrderCreated"]`, []string{"buyer.OrderCreated", "supplier.OrderCreated"}},
		"responses": {`"eventTypes":["OrderResponse*"]`, []string{"buyer.OrderResponseCreated", "supplier.OrderResponseChanged"}},
		"narrow":    {`"subjects":["orders.supplier.*.*"],"eventTypes":["OrderResponse*"]`, []string{"supplier.OrderResponseChanged"}},
		"none":      {`"subjects":["orders.carrier.>"]`, nil},
	}
	endpoints := map[string]*receiver{}
	for id, w := range wants {
		endpoints[id] = receive(t, nil)
		more := []string{w.record}
		if w.record == "" {
			more = nil
		}
		subscribe(t, js, id, recordFor(endpoints[id], more...))
	}
	var last uint64
	for i, what := range wants["all"].hears {
		last = publishMsg(t, js, &nats.Msg{Subject: fmt.Sprintf("orders.%s.o%d", what, i), Data: fmt.Appendf(nil, `{"what":%q}`, what)})
	}
	acknowledged(t, js, last)
	nothingOwed(t, js)
	for id, w := range wants {
		var got []string
		for _, h := range endpoints[id].Journal() {
			got = append(got, strings.Split(string(h.Body), `"`)[3])
		}
		slices.Sort(got)
		slices.Sort(w.hears)
		if !slices.Equal(got, w.hears) {
			t.Errorf("%s heard %v, want %v", id, got, w.hears)
		}
	}
	p.stop()
}

// contractX3 is a bridge whose endpoint answers what it is told to.
type contractX3 struct {
	bus     *lab.Bus
	js      jetstream.JetStream
	e       *receiver
	answers chan int
}

// X3: nothing is acknowledged but on success or when it stands in the ledger; a
// ledger entry goes only by a success or a stored dead letter; a crash may
// deliver once more, with the same id, a graceful stop nothing.
func TestContractX3AcknowledgedOnlyOnSuccess(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	s := contractX3{bus: bus, js: jetStream(t, bus.URL()), answers: make(chan int)}
	s.e = receive(t, func(h *lab.Hit) int {
		select {
		case status := <-s.answers:
			return status
		case <-h.Gone:
			return lab.Hang
		}
	})
	p := serving(t, bus.URL())
	subscribe(t, s.js, "s", recordFor(s.e, `"retry":{"schedule":["PT0.2S","PT0.2S"]}`))
	s.acknowledgedWhenOwed(t)
	s.owedUntilBuried(t)
	p = s.sameIDAfterACrash(t, p)
	s.nothingAgainAfterAStop(t, p)
}

// acknowledgedWhenOwed: not before there is an answer; after a failure it stands
// in the ledger, and goes from there by the success.
func (s contractX3) acknowledgedWhenOwed(t *testing.T) {
	first := publishOne(t, s.js, "a", 1)
	s.e.came(t, 1)
	if got, keys := floor(t, s.js), owedKeys(t, s.js); got >= first && len(keys) == 0 {
		t.Errorf("acknowledged up to %d without an answer and without an entry", got)
	}
	s.answers <- http.StatusInternalServerError
	acknowledged(t, s.js, first)
	if keys := owedKeys(t, s.js); len(keys) != 1 {
		t.Errorf("acknowledged after a failure, in the ledger stands %v", keys)
	}
	s.e.came(t, 2)
	if keys := owedKeys(t, s.js); len(keys) != 1 {
		t.Errorf("during the second attempt the ledger holds %v", keys)
	}
	s.answers <- http.StatusOK
	nothingOwed(t, s.js)
}

// owedUntilBuried: the entry goes by a dead letter that is stored.
func (s contractX3) owedUntilBuried(t *testing.T) {
	seq := publishOne(t, s.js, "b", 1)
	for range 3 {
		s.answers <- http.StatusInternalServerError // taken by the attempt that waits
	}
	nothingOwed(t, s.js)
	if n := deadLetters(t, s.js); n != 1 {
		t.Errorf("the entry is gone and %d dead letters are stored", n)
	}
	acknowledged(t, s.js, seq) // else the crash may repeat it
}

// sameIDAfterACrash: killed while the answer is on its way, it comes once more.
func (s contractX3) sameIDAfterACrash(t *testing.T, p *program) *program {
	n := s.e.Count()
	publishOne(t, s.js, "c", 1)
	lost := s.e.came(t, n+1)
	p.kill()
	p = serving(t, s.bus.URL())
	again := s.e.came(t, n+2)
	if again.Order != "c" || again.ID() != lost.ID() {
		t.Errorf("after the crash came %s as %s, before %s", again.Order, again.ID(), lost.ID())
	}
	s.answers <- http.StatusOK
	return p
}

func (s contractX3) nothingAgainAfterAStop(t *testing.T, p *program) {
	n := s.e.Count()
	last := publishOne(t, s.js, "d", 1)
	s.e.came(t, n+1)
	s.answers <- http.StatusOK
	await(t, 20*time.Second, "it is delivered", func() bool { return s.e.Journal()[n].Status == http.StatusOK })
	p.stop()
	acknowledged(t, s.js, last)
	serving(t, s.bus.URL())
	publishOne(t, s.js, "e", 1)
	if h := s.e.came(t, n+2); h.Order != "e" {
		t.Errorf("after a graceful stop %s came again", h.Order)
	}
	s.answers <- http.StatusOK
	await(t, 20*time.Second, "it is delivered", func() bool { return s.e.Journal()[n+1].Status == http.StatusOK })
	if s.e.Count() != n+2 {
		t.Errorf("%d requests, want %d", s.e.Count(), n+2)
	}
}
