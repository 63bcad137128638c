package e2e

import (
	"io"
	"net/http"
	"regexp"
	"strconv"
	"testing"
	"time"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// figure is the value of a metric without labels, -1 if there is none.
func (p *program) figure(t testing.TB, name string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(within(t, 10*time.Second), http.MethodGet, "http://"+p.http()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return -1
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return -1
	}
	m := regexp.MustCompile(`(?m)^orderbridge_` + name + ` (\S+)$`).FindSubmatch(text)
	if m == nil {
		return -1
	}
	v, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return int(v)
}

// An outage shows in the metrics: what is owed stands in the ledger and in the
// stream, and is owed all the same; also to the next process.
func TestFiguresOfAnOutage(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e, healthy := receive(t, lab.Always(http.StatusServiceUnavailable)), receive(t, nil)
	p := serving(t, bus.URL())
	is := func(name string, want int) {
		t.Helper()
		got := 0
		start := time.Now()
		for got = p.figure(t, name); got != want; got = p.figure(t, name) {
			if time.Since(start) > lab.Patience {
				t.Fatalf("%s is %d, want %d", name, got, want)
			}
			<-time.After(50 * time.Millisecond)
		}
	}
	subscribe(t, js, "broken", recordFor(e, `"subjects":["orders.acme.>"]`))
	subscribe(t, js, "healthy", recordFor(healthy))
	revision := subscribe(t, js, "short", recordFor(healthy, `"subjects":["orders.none"]`))
	is("subscriptions", 3)
	verdict(t, js, "short", max(revision, remove(t, js, "short")), protocol.StateDeleted)
	is("subscriptions", 2)

	const n = 100
	for i := 1; i <= n; i++ {
		publishOne(t, js, "o"+strconv.Itoa(i), 1)
	}
	await(t, 20*time.Second, "the healthy one has all", func() bool { return healthy.Delivered() == n })
	await(t, 20*time.Second, "some failures", func() bool { return e.Count() >= 5 })
	is("deliveries_owed", n)
	is("events_unsettled", n)
	is("deliveries_matched_total", 2*n)

	p.stop()
	p = serving(t, bus.URL())
	is("deliveries_owed", n)
	is("events_unsettled", n)
	is("subscriptions", 2)

	for i := 1; i <= n; i++ {
		publishOne(t, js, "p"+strconv.Itoa(i), 1)
	}
	is("deliveries_owed", 2*n)

	// What a deleted record owed is kept for a day, and not owed.
	verdict(t, js, "broken", remove(t, js, "broken"), protocol.StateDeleted)
	is("deliveries_owed", 0)
	is("events_unsettled", 0)
	is("owed_oldest_seconds", 0)
	is("subscriptions_suspended", 0)
	is("deliveries_kept", 2*n)
	put(t, js, "broken", recordFor(e, `"subjects":["orders.acme.>"]`))
	is("deliveries_owed", 2*n)
	is("deliveries_kept", 0)

	e.Reply(nil)
	await(t, 60*time.Second, "all are delivered", func() bool { return e.Delivered() == 2*n })
	is("deliveries_owed", 0)
	is("events_unsettled", 0)
	is("subscriptions_suspended", 0)
}

// One that answered 410 is suspended as well.
func TestFiguresOfA410(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, lab.Always(http.StatusGone))
	p := serving(t, bus.URL())
	subscribe(t, js, "gone", recordFor(e))
	publishOne(t, js, "o", 1)
	await(t, 20*time.Second, "suspended", func() bool { return p.figure(t, "subscriptions_suspended") == 1 })
}
