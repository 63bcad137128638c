package e2e

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"orderbridge/internal/lab"
)

// A publisher of one tenant speaks as another in every way that an event knows.
func TestAttackSpeakAsAnotherTenant(t *testing.T) {
	attack(t)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	acme, globex, wide, any := receive(t, nil), receive(t, nil), receive(t, nil), receive(t, nil)
	p := serving(t, bus.URL())
	subscribe(t, js, "acme", recordFor(acme, `"tenant":"acme"`))
	subscribe(t, js, "globex", recordFor(globex, `"tenant":"globex"`))
	subscribe(t, js, "wide", recordFor(wide, `"tenant":"globex","subjects":["orders.acme.>","orders.>"]`))
	subscribe(t, js, "any", recordFor(any))
	claims := nats.Header{"ce-tenant": {"globex"}, "Ce-Tenant": {"globex"}, "CE-TENANT": {"globex"}, "tenant": {"globex"}}
	bodies := []string{`{"tenant":"globex","orderId":"1"}`, `{"specversion":"1.0","tenant":"globex","type":"T","data":{"tenant":"globex"}}`, `{"tenant":"acme","tenant":"globex"}`}
	of := 0
	total := 0
	for _, subject := range []string{"orders.acme.x", "orders.acme.OrderAccepted.1", "orders.acme.a.b.c", "orders.acme.globex.globex.globex",
		"orders.acme", "orders.created", "orders.Globex.x.y", "orders.globe\u0445.x.y"} {
		for _, body := range bodies {
			publishMsg(t, js, &nats.Msg{Subject: subject, Header: claims, Data: []byte(body)})
			total++
			if strings.HasPrefix(subject, "orders.acme.") {
				of++
			}
		}
	}
	publishMsg(t, js, &nats.Msg{Subject: "orders.globex.last.1", Data: []byte(`{"last":true}`)})
	await(t, 30*time.Second, "all events at the record without tenant", func() bool { return any.Delivered() == total+1 })
	await(t, 30*time.Second, "acme's events", func() bool { return acme.Delivered() == of })
	await(t, 30*time.Second, "globex's own", func() bool { return globex.Delivered() >= 1 && wide.Delivered() >= 1 })
	for name, e := range map[string]*receiver{"globex": globex, "globex, whose subjects reach into acme's": wide} {
		for _, h := range e.Journal() {
			if !strings.Contains(string(h.Body), `"last"`) {
				t.Errorf("%s got %s", name, h.Body)
			}
		}
	}
	p.said(10*time.Second, `event is of no tenant: only records without tenant hear it.*why="its subject is not of the form`)
	await(t, 10*time.Second, "six events of no tenant in the metrics", func() bool { return p.figure(t, "events_without_tenant_total") == 6 })
}

// A publisher gives its event the id of another's: two events, two deliveries.
func TestAttackTakeAnothersEventID(t *testing.T) {
	attack(t)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, nil)
	serving(t, bus.URL())
	subscribe(t, js, "all", recordFor(e))
	const n = 4
	for i, tenant := range []string{"acme", "globex", "acme", "globex"} {
		header := nats.Header{"ce-id": {"4711"}}
		if i > 1 {
			header = nil
		}
		publishMsg(t, js, &nats.Msg{Subject: "orders." + tenant + ".OrderAccepted.1", Header: header,
			Data: []byte(fmt.Sprintf(`{"specversion":"1.0","id":"4711","type":"T","data":{"n":%d}}`, i))})
	}
	await(t, 30*time.Second, "all four", func() bool { return e.Delivered() == n })
	ids := map[string]bool{}
	for _, h := range e.Journal() {
		ids[h.Header.Get("Webhook-Id")] = true
		if h.Header.Get("Webhook-Id") != h.Header.Get("Idempotency-Key") || h.Header.Get("X-Event-Id") != "4711" {
			t.Errorf("delivery %v", h.Header)
		}
	}
	if len(ids) != n {
		t.Errorf("%d events have %d delivery ids", n, len(ids))
	}
	// The command gives an id of the tenant's own, so that nobody else's can stand in its way.
	for _, tenant := range []string{"acme", "globex"} {
		out, code := command(t, bus.URL(), `{"by":"command"}`, "publish", "--subject", "orders."+tenant+".OrderAccepted.2", "--id", "4711")
		if code != 0 || strings.Contains(out, "known already") {
			t.Errorf("publish for %s: %d, %s", tenant, code, out)
		}
	}
	await(t, 30*time.Second, "both of the command", func() bool { return e.Delivered() == n+2 })
}

// Types, ids and patterns of a length that nobody needs: the neighbour is served
// meanwhile, and whoever asked for them learns why nothing comes.
func TestAttackLongValues(t *testing.T) {
	attack(t)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	neighbour, plain, typed, notified, ordered := receive(t, nil), receive(t, nil), receive(t, nil), receive(t, nil), receive(t, nil)
	p := serving(t, bus.URL())
	subscribe(t, js, "neighbour", recordFor(neighbour, `"tenant":"globex"`))
	subscribe(t, js, "plain", recordFor(plain, `"tenant":"acme"`))
	subscribe(t, js, "typed", recordFor(typed, `"tenant":"acme","eventTypes":["aaa*"]`))
	subscribe(t, js, "notified", recordFor(notified, `"tenant":"acme","payload":"notification"`))
	subscribe(t, js, "ordered", fmt.Sprintf(`{"targetURL":"%s/{orderId}","tenant":"acme","retry":{"schedule":["PT1S"]}}`, ordered.URL))
	// 160 records of 64 patterns each; those that are too many are refused, the others are matched.
	for i := range 160 {
		var types []string
		for k := range 64 {
			types = append(types, fmt.Sprintf(`"%s%d"`, strings.Repeat("a*", 8), i*64+k))
		}
		put(t, js, fmt.Sprint("hostile", i), recordFor(plain, `"tenant":"acme"`, `"eventTypes":[`+strings.Join(types, ",")+`]`))
	}
	await(t, 60*time.Second, "the last record's verdict", func() bool { return entry(t, js, "subscription_status", "hostile159") != nil })
	before := p.resident()
	long := strings.Repeat("a", 900<<10)
	for i := range 10 {
		publishMsg(t, js, &nats.Msg{Subject: "orders.acme.x", Data: []byte(fmt.Sprintf(`{"eventType":"%s","orderId":"%d"}`, long, i))})
		publishMsg(t, js, &nats.Msg{Subject: "orders.acme.x", Data: []byte(fmt.Sprintf(`{"eventType":"aaab","orderId":"%s%d"}`, long, i))})
		publishMsg(t, js, &nats.Msg{Subject: "orders.acme.x", Data: []byte(`{"eventType":"T","legacyOrderId":"` + long + `","tenant":"` + long[:1000] + `"}`)})
	}
	start := time.Now()
	publishMsg(t, js, &nats.Msg{Subject: "orders.globex.OrderAccepted.1", Data: []byte(`{}`)})
	await(t, 30*time.Second, "the neighbour's event", func() bool { return neighbour.Delivered() == 1 })
	lab.Promise(t, "the neighbour's wait", time.Since(start), 5*time.Second)
	await(t, time.Minute, "all at the record that wants no more than the event", func() bool { return plain.Delivered() == 30 })
	await(t, time.Minute, "those with a type that matches", func() bool { return typed.Delivered() == 10 })
	for id, reason := range map[string]string{
		"typed":    "the event's event type has 921600 bytes; at most 512 are used",
		"notified": "at most 512 are used",
		"ordered":  "the event's orderId has 921601 bytes; at most 512 are used",
	} {
		await(t, time.Minute, "a dead letter of "+id, func() bool {
			out, _ := command(t, bus.URL(), "", "dead-letters", "list", id)
			return strings.Contains(out, reason)
		})
	}
	bounded(t, "memory that the program takes more", p.resident()-before, 250<<20)
	p.said(10*time.Second, `event tells a value that is too long: it counts as not told`)
	await(t, 10*time.Second, "thirty events with long values in the metrics", func() bool { return p.figure(t, "events_overlong_total") == 30 })
	for _, h := range append(plain.Journal(), typed.Journal()...) {
		if len(h.Header.Get("X-Order-Id")) > 512 || len(h.Header.Get("X-Event-Type")) > 512 {
			t.Error("a long value went out in a header")
		}
	}
}

// Events that cost much to read: deep, compressed, full of headers.
func TestAttackEventsThatCostMuch(t *testing.T) {
	attack(t)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	neighbour, filtered := receive(t, nil), receive(t, nil)
	p := serving(t, bus.URL())
	subscribe(t, js, "neighbour", recordFor(neighbour, `"tenant":"globex"`))
	subscribe(t, js, "filtered", recordFor(filtered, `"tenant":"acme","filter":"event.a.b == 1 || size(headers) > 0 && headers.x == event.n"`))
	zip := func(text string) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write([]byte(text))
		z.Close()
		return b.Bytes()
	}
	bomb := zip(strings.Repeat(" ", 1<<30))
	headers := nats.Header{}
	for i := range 5_000 { // as many as the server takes
		headers[fmt.Sprint("h", i)] = []string{""}
	}
	deep := func(open, end string, n int) []byte {
		return []byte(`{"a":` + strings.Repeat(open, n) + strings.Repeat(end, n) + `}`)
	}
	n := 0
	for range 3 {
		for _, m := range []*nats.Msg{
			{Header: nats.Header{"Content-Encoding": {"gzip"}}, Data: bomb[:min(len(bomb), 900<<10)]},
			{Header: nats.Header{"Content-Encoding": {"gzip"}}, Data: zip(`{"a":"` + strings.Repeat("a", 1<<20) + `"}`)},
			{Header: nats.Header{"Content-Encoding": {"gzip, gzip, gzip"}}, Data: bomb[:1000]},
			{Header: headers, Data: []byte(`{}`)},
			{Data: deep("[", "]", 400_000)},
			{Data: deep(`{"a":`, "}", 9_000)},
			{Data: []byte(`{"n":1e999999999,"a":{"b":1e-999999999}}`)},
			{Data: []byte(`{"n":` + strings.Repeat("9", 900<<10) + `}`)},
			{Data: []byte(`{` + strings.Repeat(`"a":{"b":0},`, 60_000) + `"a":{"b":2}}`)},
			{Data: []byte(`{"specversion":"1.0","data_base64":"` + strings.Repeat("QUFB", 200_000) + `"}`)},
			{Data: []byte(`{"` + strings.Repeat(`order.`, 100_000) + `":1}`)},
		} {
			m.Subject = "orders.acme.x"
			publishMsg(t, js, m)
			n++
		}
	}
	start := time.Now()
	publishMsg(t, js, &nats.Msg{Subject: "orders.globex.OrderAccepted.1", Data: []byte(`{}`)})
	await(t, 30*time.Second, "the neighbour's event", func() bool { return neighbour.Delivered() == 1 })
	lab.Promise(t, "the neighbour's wait", time.Since(start), 5*time.Second)
	await(t, time.Minute, "a verdict on each", func() bool {
		return p.figure(t, "dead_letters_total")+p.figure(t, "deliveries_filtered_total")+filtered.Delivered() == n
	})
	bounded(t, "resident memory", p.resident(), 400<<20)
}

// 100 records with a filter and 10 events of 1 MB, of small values only.
func TestAttackFiltersFillTheMemory(t *testing.T) {
	attack(t)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e, neighbour := receive(t, nil), receive(t, nil)
	p := serving(t, bus.URL(), "GOMEMLIMIT=400MiB")
	for i := range 100 {
		filter := fmt.Sprintf("size(event) < %d", i)
		if i%2 == 1 { // costs too much
			filter = fmt.Sprintf("event.exists(x, x > %d)", i)
		}
		put(t, js, fmt.Sprint("hog", i), recordFor(e, `"tenant":"acme","maxInFlight":100`, fmt.Sprintf(`"filter":%q`, filter)))
	}
	subscribe(t, js, "neighbour", recordFor(neighbour, `"tenant":"globex","filter":"event.n > 0"`))
	await(t, time.Minute, "all records", func() bool { return entry(t, js, "subscription_status", "hog99") != nil })
	peak := int64(0)
	data := []byte(`[0` + strings.Repeat(",0", 500_000) + `]`)
	for range 10 {
		publishMsg(t, js, &nats.Msg{Subject: "orders.acme.OrderAccepted.1", Data: data})
	}
	var waits []time.Duration
	for i := range 20 {
		start := time.Now()
		publishMsg(t, js, &nats.Msg{Subject: "orders.globex.OrderAccepted.1", Data: fmt.Appendf(nil, `{"n":%d}`, i+1)})
		await(t, 30*time.Second, "the neighbour's event", func() bool {
			peak = max(peak, p.resident())
			return neighbour.Delivered() == i+1
		})
		waits = append(waits, time.Since(start))
	}
	await(t, 3*time.Minute, "a verdict on each", func() bool {
		peak = max(peak, p.resident())
		return p.figure(t, "dead_letters_total")+p.figure(t, "deliveries_filtered_total") >= 1000
	})
	worst := slices.Max(waits)
	t.Logf("at most %d MiB resident, the neighbour waited %s at most", peak>>20, worst)
	bounded(t, "resident memory", peak, 300<<20)
	slices.Sort(waits)
	lab.Promise(t, "nine in ten waits of the neighbour", waits[len(waits)*9/10], 2*time.Second)
	lab.Promise(t, "the neighbour's longest wait", worst, 10*time.Second)
	if out, _ := command(t, bus.URL(), "", "dead-letters", "list", "hog1"); !strings.Contains(out, "costs more than 100000 units") {
		t.Errorf("no reason in the dead letters: %s", out)
	}
}
