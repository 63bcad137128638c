package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/lab"
)

// What one delivery may allocate in the whole program, from the bus to the
// endpoint's answer and the acknowledgement, lease, metrics and all that goes on
// beside it included. docs/performance.md tells what for; what is measured at rest
// is some 12 % below. Who needs more says why there.
const (
	budgetObjects = 44
	budgetBytes   = 5200

	// Beside that, with a delivery log of all attempts.
	loggedObjects = 3
	loggedBytes   = 900
)

// allocated is what a program has allocated since it began.
func (p *program) allocated(t testing.TB) (objects, size float64) {
	t.Helper()
	req, err := http.NewRequestWithContext(within(t, 30*time.Second), http.MethodGet, "http://"+p.http()+"/metrics", nil)
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
	for name, to := range map[string]*float64{"mallocs_total": &objects, "alloc_bytes_total": &size} {
		m := regexp.MustCompile(`(?m)^go_memstats_` + name + ` (\S+)$`).FindSubmatch(text)
		if m == nil {
			t.Fatalf("no metric go_memstats_%s", name)
		}
		if *to, err = strconv.ParseFloat(string(m[1]), 64); err != nil {
			t.Fatal(err)
		}
	}
	return objects, size
}

// The program, a bus and an endpoint behind TLS: whole deliveries. Of some rounds
// the best counts: whatever else a busy machine makes a program do, it adds.
func TestAllocationsOfADelivery(t *testing.T) {
	t.Parallel()
	for log, most := range map[string]struct{ objects, bytes float64 }{"off": {budgetObjects, budgetBytes}, "all": {budgetObjects + loggedObjects, budgetBytes + loggedBytes}} {
		t.Run(log, func(t *testing.T) {
			t.Parallel()
			deliveryAllocates(t, log, most.objects, most.bytes)
		})
	}
}

// deliveryAllocates holds it under a setting of the delivery log.
func deliveryAllocates(t *testing.T, log string, mostObjects, mostBytes float64) {
	t.Helper()
	const rounds, events, atOnce = 5, 4000, 100
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, nil)
	p := serving(t, bus.URL(), "ORDERBRIDGE_ATTEMPT_LOG="+log)
	subscribe(t, js, "s", recordFor(e))
	var pad [400]byte
	body := func(n int) []byte {
		return fmt.Appendf(nil, `{"orderId":"o%d","eventType":"OrderChanged","note":"%s"}`, n%500, bytes.ReplaceAll(pad[:], pad[:1], []byte("x")))
	}
	sent := 0
	deliver := func() {
		for n := range events {
			if n%atOnce == 0 { // more than that and it is slow, on a busy machine, and reads the stream for itself
				await(t, time.Minute, "what was sent is delivered", func() bool { return e.Count() >= sent })
			}
			sent++
			m := &nats.Msg{Subject: "orders.acme.OrderChanged.o" + strconv.Itoa(sent%500), Data: body(sent)}
			if _, err := js.PublishMsgAsync(m, jetstream.WithStallWait(lab.Patience)); err != nil {
				t.Fatal(err)
			}
		}
		await(t, time.Minute, "all are delivered", func() bool { return e.Count() >= sent })
	}
	deliver() // connections are made
	objects, size := 1e9, 1e9
	for range rounds {
		n, b := p.allocated(t)
		deliver()
		n2, b2 := p.allocated(t)
		objects, size = min(objects, (n2-n)/events), min(size, (b2-b)/events)
		t.Logf("%.1f objects, %.0f bytes", (n2-n)/events, (b2-b)/events)
	}
	lab.Promise(t, "objects that a delivery allocates", objects, mostObjects)
	lab.Promise(t, "bytes that a delivery allocates", size, mostBytes)
	if objects > 2*mostObjects || size > 2*mostBytes { // what goes on beside it counts the more the slower the machine is
		t.Errorf("a delivery allocates %.1f objects and %.0f bytes; the budget is %.0f and %.0f (docs/performance.md)",
			objects, size, mostObjects, mostBytes)
	}
}
