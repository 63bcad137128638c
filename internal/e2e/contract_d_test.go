package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

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
	subscribe(t, js, "post", record(post))
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
		subscribe(t, js, id, record(endpoints[id], more...))
	}
	var last uint64
	for i, what := range wants["all"].hears {
		last = publishMsg(t, js, &nats.Msg{Subject: fmt.Sprintf("orders.%s.o%d", what, i), Data: fmt.Appendf(nil, `{"what":%q}`, what)})
	}
	acknowledged(t, js, last)
	await(t, 20*time.Second, "nothing is owed", func() bool { return len(owedKeys(t, js)) == 0 })
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

// X3: nothing is acknowledged but on success or when it stands in the ledger; a
// ledger entry goes only by a success or a stored dead letter; a crash may
// deliver once more, with the same id, a graceful stop nothing.
func TestContractX3AcknowledgedOnlyOnSuccess(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	answers := make(chan int)
	e := receive(t, func(h *lab.Hit) int {
		select {
		case status := <-answers:
			return status
		case <-h.Gone:
			return lab.Hang
		}
	})
	p := serving(t, bus.URL())
	subscribe(t, js, "s", record(e, `"retry":{"schedule":["PT0.2S","PT0.2S"]}`))

	// Not before there is an answer.
	first := publishOne(t, js, "a", 1)
	e.came(t, 1)
	if got, keys := floor(t, js), owedKeys(t, js); got >= first && len(keys) == 0 {
		t.Errorf("acknowledged up to %d without an answer and without an entry", got)
	}
	answers <- http.StatusInternalServerError
	acknowledged(t, js, first)
	if keys := owedKeys(t, js); len(keys) != 1 {
		t.Errorf("acknowledged after a failure, in the ledger stands %v", keys)
	}
	// The entry goes by the success.
	e.came(t, 2)
	if keys := owedKeys(t, js); len(keys) != 1 {
		t.Errorf("during the second attempt the ledger holds %v", keys)
	}
	answers <- http.StatusOK
	await(t, 20*time.Second, "the entry goes", func() bool { return len(owedKeys(t, js)) == 0 })

	// Or by a dead letter that is stored.
	second := publishOne(t, js, "b", 1)
	for range 3 {
		answers <- http.StatusInternalServerError // taken by the attempt that waits
	}
	await(t, 20*time.Second, "the entry goes", func() bool { return len(owedKeys(t, js)) == 0 })
	letters, err := js.Stream(within(t, 10*time.Second), "DEAD_LETTERS")
	if err != nil {
		t.Fatal(err)
	}
	if n := letters.CachedInfo().State.Msgs; n != 1 {
		t.Errorf("the entry is gone and %d dead letters are stored", n)
	}

	acknowledged(t, js, second) // else the crash may repeat it

	// A crash while the answer is on its way: once more, under the same id.
	n := e.Count()
	publishOne(t, js, "c", 1)
	lost := e.came(t, n+1)
	p.kill()
	p = serving(t, bus.URL())
	again := e.came(t, n+2)
	if again.Order != "c" || again.Header.Get("Webhook-Id") != lost.Header.Get("Webhook-Id") {
		t.Errorf("after the crash came %s as %s, before %s", again.Order, again.Header.Get("Webhook-Id"), lost.Header.Get("Webhook-Id"))
	}
	answers <- http.StatusOK

	// A graceful stop: nothing comes again.
	last := publishOne(t, js, "d", 1)
	e.came(t, n+3)
	answers <- http.StatusOK
	await(t, 20*time.Second, "it is delivered", func() bool { return e.Journal()[n+2].Status == http.StatusOK })
	p.stop()
	acknowledged(t, js, last)
	serving(t, bus.URL())
	publishOne(t, js, "e", 1)
	if h := e.came(t, n+4); h.Order != "e" {
		t.Errorf("after a graceful stop %s came again", h.Order)
	}
	answers <- http.StatusOK
	await(t, 20*time.Second, "it is delivered", func() bool { return e.Journal()[n+3].Status == http.StatusOK })
	if e.Count() != n+4 {
		t.Errorf("%d requests, want %d", e.Count(), n+4)
	}
}
