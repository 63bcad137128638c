package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

func priced(order string, n int, total string) *nats.Msg {
	return &nats.Msg{Subject: "orders.acme.OrderChanged." + order, Header: nats.Header{"Nats-Msg-Id": {fmt.Sprintf("e-%s-%d", order, n)}},
		Data: []byte(fmt.Sprintf(`{"orderId":%q,"n":%d,"total":%s}`, order, n, total))}
}

// What a filter rejects is settled without a request and without a trace in the
// ledger; what it cannot judge is a dead letter of that subscription only.
func TestFilterSendsOnlyWhatItWants(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	all, dear := receive(t, nil), receive(t, nil)
	p := serving(t, bus.URL())
	subscribe(t, js, "all", recordFor(all))
	subscribe(t, js, "dear", recordFor(dear, `"filter":"event.total > 100 && subject.startsWith('orders.acme.')"`))

	const events = 200
	var last uint64
	for i := range events {
		total := "7"
		if i%20 == 0 {
			total = "700"
		}
		last = publishMsg(t, js, priced(fmt.Sprint("o", i%3), i/3+1, total))
	}
	acknowledged(t, js, last)
	// On a busy machine some may have been parked first.
	await(t, 20*time.Second, "all are delivered", func() bool { return all.Delivered() == events && len(owedKeys(t, js)) == 0 })
	if all.Delivered() != events || dear.Delivered() != events/20 || dear.Count() != events/20 {
		t.Errorf("%d and %d (%d requests) were delivered, want %d and %d", all.Delivered(), dear.Delivered(), dear.Count(), events, events/20)
	}
	for _, h := range dear.Journal() {
		if !strings.Contains(string(h.Body), `"total":700`) {
			t.Errorf("the filter let %s pass", h.Body)
		}
	}
	await(t, 20*time.Second, "the metric counts what was filtered", func() bool {
		return strings.Contains(scrape(t, p), fmt.Sprintf("orderbridge_deliveries_filtered_total %d\n", events-events/20))
	})

	for _, m := range []*nats.Msg{
		{Subject: "orders.acme.OrderChanged.x", Data: []byte("not JSON")},
		{Subject: "orders.acme.OrderChanged.x", Data: []byte(`{"orderId":"x"}`)},
	} {
		last = publishMsg(t, js, m)
	}
	acknowledged(t, js, last)
	await(t, 20*time.Second, "the others get them", func() bool { return all.Count() == events+2 })
	out := ""
	await(t, 20*time.Second, "two dead letters", func() bool {
		out, _ = command(t, bus.URL(), "", "dead-letters", "list", "-o", "json")
		return strings.Count(out, `"subscription"`) == 2
	})
	for _, want := range []string{"filter: the event is not JSON", "filter: no such key: total"} {
		if !strings.Contains(out, want) {
			t.Errorf("dead letters are %s, want one with %q", out, want)
		}
	}
	if dear.Count() != events/20 {
		t.Error("an event that the filter cannot judge was sent")
	}
}

// scrape is the text of /metrics.
func scrape(t testing.TB, p *program) string {
	t.Helper()
	req, err := http.NewRequestWithContext(within(t, 10*time.Second), http.MethodGet, "http://"+p.http()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A wrong filter is told with its place; the record before it stays owed.
func TestFilterIsCheckedWhenTheRecordIsRead(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, nil)
	serving(t, bus.URL())
	revision := put(t, js, "f", recordFor(e, `"filter":"event.total > 1 &&\n  evnt.urgent == true"`))
	status, took := verdict(t, js, "f", revision, protocol.StateInvalid)
	text, err := json.Marshal(status)
	if err != nil || len(status.Errors) != 1 || status.Errors[0].Field != "filter" || !strings.Contains(status.Errors[0].Message, "line 2, column 3: undeclared reference to 'evnt'") {
		t.Errorf("status is %s, %v", text, err)
	}
	t.Logf("told after %s", took)
	revision = put(t, js, "f", recordFor(e, `"filter":"event.total"`))
	if status, _ = verdict(t, js, "f", revision, protocol.StateInvalid); !strings.Contains(status.Reason, "must be true or false") {
		t.Errorf("status is %+v", status)
	}
	if out, code := command(t, bus.URL(), recordFor(e, `"filter":"1 +"`), "subscriptions", "validate", "-"); code != exitFailed || !strings.Contains(out, "filter: line 1, column") {
		t.Errorf("validate ends with %d: %s", code, out)
	}
}

// An endpoint that failed is found to be back although the filter rejects what
// would have probed it, and what it rejects uses up no rate.
func TestFilteredEventsDoNotProbe(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, lab.Always(http.StatusInternalServerError))
	serving(t, bus.URL())
	revision := subscribe(t, js, "f", recordFor(e, `"filter":"event.total > 100"`, `"rateLimit":{"requests":5,"per":"PT1S"}`, quickRetries))
	for i := range 5 {
		publishMsg(t, js, priced(fmt.Sprint("broken", i), 1, "700"))
	}
	verdict(t, js, "f", revision, protocol.StateSuspended)
	var last uint64
	for i := range 300 {
		last = publishMsg(t, js, priced(fmt.Sprint("cheap", i), 1, "7"))
	}
	for i := range 5 {
		last = publishMsg(t, js, priced(fmt.Sprint("dear", i), 1, "700"))
	}
	e.Reply(nil)
	await(t, 40*time.Second, "the endpoint is used again", func() bool { return e.Delivered() == 10 })
	verdict(t, js, "f", revision, protocol.StateActive)
	acknowledged(t, js, last)
	for _, h := range e.Journal() {
		if strings.HasPrefix(h.Order, "cheap") {
			t.Fatalf("%s was sent", h.Body)
		}
	}
}
