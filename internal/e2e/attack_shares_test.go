package e2e

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// tarpit takes connections and never says a word.
func tarpit(t *testing.T) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var taken []net.Conn
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			taken = append(taken, c)
			mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range taken {
			c.Close()
		}
	})
	return "https://" + l.Addr().String()
}

// of is the nth change of an order of a tenant, with a body of so many bytes.
func of(tenant, order string, n, size int) *nats.Msg {
	m := change(order, n)
	m.Subject = "orders." + tenant + ".OrderChanged." + fmt.Sprintf("%s-%d", tenant, n)
	m.Header.Set("Nats-Msg-Id", tenant+"-"+m.Header.Get("Nats-Msg-Id"))
	if pad := size - len(m.Data) - len(`,"pad":""`); pad > 0 {
		m.Data = []byte(strings.TrimSuffix(string(m.Data), "}") + `,"pad":"` + strings.Repeat("x", pad) + `"}`)
	}
	return m
}

// flowsOn publishes n events of a tenant one after the other, and tells how long each
// took to its endpoint.
func flowsOn(t *testing.T, js jetstream.JetStream, tenant string, e *receiver, n int) (took []time.Duration) {
	t.Helper()
	for range n {
		at := e.Delivered() + 1
		publishMsg(t, js, of(tenant, fmt.Sprintf("flow%d", at), 1000+at, 0))
		took = append(took, await(t, 20*time.Second, fmt.Sprintf("delivery %d of %s", at, tenant), func() bool { return e.Delivered() >= at }))
	}
	slices.Sort(took)
	return took
}

// A tenant's records on a tarpit take what slots they may have; the
// neighbours' deliveries begin at once all the same.
func TestAttackTarpit(t *testing.T) {
	attack(t)
	for name, size := range map[string]int{"small": 0, "large": 900 << 10} {
		t.Run(name, func(t *testing.T) {
			bus := lab.ListenBus(t)
			js := jetStream(t, bus.URL())
			p := serving(t, bus.URL())
			pit := tarpit(t)
			for i := range 40 {
				subscribe(t, js, fmt.Sprintf("pit%d", i), `{"targetURL":"`+pit+`/hook","tenant":"acme","maxInFlight":1000,"timeout":"PT10M","connectionTimeout":"PT10M","ordering":"none"}`)
			}
			globex, plain := receive(t, nil), receive(t, nil)
			subscribe(t, js, "globex", recordFor(globex, `"tenant":"globex"`))
			subscribe(t, js, "plain", recordFor(plain, `"subjects":["orders.initech.>"]`))
			before := flowsOn(t, js, "globex", globex, 5)
			events := 1200
			if size > 0 {
				events = 150
			}
			for i := range events {
				if _, err := js.PublishMsgAsync(of("acme", fmt.Sprintf("o%d", i), i, size), jetstream.WithStallWait(lab.Patience)); err != nil {
					t.Fatal(err)
				}
			}
			select {
			case <-js.PublishAsyncComplete():
			case <-time.After(lab.Patience):
				t.Fatal("not all events could be published")
			}
			running, since := 0, time.Now()
			await(t, 60*time.Second, "as many attempts hang as may", func() bool {
				now := p.figure(t, "attempts_running")
				if now != running {
					running, since = now, time.Now()
				}
				return time.Since(since) > 3*time.Second && (size > 0 || running >= 4500)
			})
			if r, _ := p.readyz(); size == 0 && !strings.Contains(strings.Join(r.Reasons, "\n"), `tenant "acme" has`) {
				t.Errorf("/readyz does not say who takes most: %v", r.Reasons)
			}
			took := append(flowsOn(t, js, "globex", globex, 10), flowsOn(t, js, "initech", plain, 10)...)
			slices.Sort(took)
			t.Logf("%d attempts of one tenant hang; the neighbours' deliveries took %s to %s, median %s; before, at most %s; memory %d MiB",
				running, took[0], took[len(took)-1], took[len(took)/2], before[len(before)-1], p.resident()>>20)
			lab.Promise(t, "the median of the neighbours' deliveries", took[len(took)/2], time.Second)
		})
	}
}

// stored is how many bytes a stream holds.
func stored(t *testing.T, js jetstream.JetStream, stream string) int {
	t.Helper()
	s, err := js.Stream(within(t, 10*time.Second), stream)
	if err != nil {
		t.Fatal(err)
	}
	return int(s.CachedInfo().State.Bytes)
}

// A tenant's events have order ids of 900 KB, and its endpoint refuses them. Neither
// the ledger nor the memory grows by that, and the neighbour notices nothing.
func TestAttackLedger(t *testing.T) {
	attack(t)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	p := serving(t, bus.URL())
	greedy, globex := receive(t, lab.Always(http.StatusUnprocessableEntity)), receive(t, nil)
	for i := range 3 {
		subscribe(t, js, fmt.Sprintf("acme%d", i), recordFor(greedy, `"tenant":"acme"`))
	}
	subscribe(t, js, "globex", recordFor(globex, `"tenant":"globex"`))
	flowsOn(t, js, "globex", globex, 3)
	before := p.resident()
	for i := range 120 {
		m := of("acme", fmt.Sprintf("%d-%s", i, strings.Repeat("x", 900<<10)), i, 0)
		m.Header.Set("Nats-Msg-Id", fmt.Sprint("long-", i))
		publishMsg(t, js, m)
		if i%10 == 0 {
			flowsOn(t, js, "globex", globex, 1)
		}
	}
	await(t, 60*time.Second, "the endpoint was asked for all", func() bool { return greedy.Count() >= 120 })
	took := flowsOn(t, js, "globex", globex, 5)
	bytes, after := stored(t, js, "KV_owed"), p.resident()
	t.Logf("the ledger holds %d bytes, memory went from %d to %d MiB, the neighbour's deliveries took %s at most", bytes, before>>20, after>>20, took[len(took)-1])
	if bytes > 2<<20 {
		t.Errorf("the ledger holds %d bytes", bytes)
	}
	if after > before+400<<20 {
		t.Errorf("memory grew from %d to %d bytes", before, after)
	}
	if strings.Contains(p.Output(), `msg="subscription reads" subscription_id=globex`) {
		t.Error("the neighbour read for itself")
	}
}

// A tenant fills its share of a small ledger with orders that fail for good. Its
// own subscriptions read for themselves; a neighbour's order still waits in the
// ledger. When the records are deleted their space is free at once.
func TestAttackLedgerShare(t *testing.T) {
	attack(t)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	serving(t, bus.URL()).stop()
	const room = 1 << 20
	s, err := js.Stream(within(t, 10*time.Second), "KV_owed")
	if err != nil {
		t.Fatal(err)
	}
	config := s.CachedInfo().Config
	config.MaxBytes = room
	if _, err := js.UpdateStream(within(t, 10*time.Second), config); err != nil {
		t.Fatal(err)
	}
	p := serving(t, bus.URL())
	greedy, globex := receive(t, lab.Always(http.StatusUnprocessableEntity)), receive(t, nil)
	const slow = `"retry":{"schedule":["PT10M","PT10M"]}`
	for i := range 4 {
		subscribe(t, js, fmt.Sprintf("acme%d", i), recordFor(greedy, `"tenant":"acme"`, slow))
	}
	globex.Reply(func(h *lab.Hit) int {
		if h.Order == "poisoned" {
			return http.StatusUnprocessableEntity
		}
		return http.StatusOK
	})
	revision := subscribe(t, js, "globex", recordFor(globex, `"tenant":"globex"`, slow))
	for i := range 1500 {
		if _, err := js.PublishMsgAsync(of("acme", fmt.Sprintf("o%d", i), i, 0), jetstream.WithStallWait(lab.Patience)); err != nil {
			t.Fatal(err)
		}
	}
	await(t, 60*time.Second, "the tenant has its share", func() bool { return stored(t, js, "KV_owed") > room/3 })
	publishMsg(t, js, of("globex", "poisoned", 1, 0))
	verdict(t, js, "globex", revision, protocol.StateRetrying)
	flowsOn(t, js, "globex", globex, 20)
	verdict(t, js, "globex", revision, protocol.StateRetrying)
	full := stored(t, js, "KV_owed")
	if full > room*8/10 {
		t.Errorf("the tenant took %d of %d bytes of the ledger", full, room)
	}
	if text := p.Output(); strings.Contains(text, `msg="subscription reads" subscription_id=globex`) || strings.Contains(text, "the ledger refuses") {
		t.Error("the neighbour read for itself, or an entry was refused")
	}
	for i := range 4 {
		remove(t, js, fmt.Sprintf("acme%d", i))
	}
	// Of each entry a marker stays for some minutes, and then nothing.
	waiting, left := 0, 0
	for start := time.Now(); time.Since(start) < lab.Patience; <-time.After(100 * time.Millisecond) {
		if waiting, left = len(owedKeys(t, js)), stored(t, js, "KV_owed"); waiting <= 10 && left < full*3/4 {
			break
		}
	}
	t.Logf("the tenant's orders took %d of %d bytes; %d in %d entries are left after its records were deleted", full, room, left, waiting)
	if waiting > 10 || left >= full*3/4 {
		t.Errorf("%d of %d bytes are left, in %d entries", left, full, waiting)
	}
}

// A record that wants to be tried again after a nanosecond is tried after a second.
func TestAttackHastySchedule(t *testing.T) {
	attack(t)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	serving(t, bus.URL())
	e := receive(t, lab.Always(http.StatusUnprocessableEntity))
	waits := strings.TrimSuffix(strings.Repeat(`"1ns",`, 64), ",")
	revision := put(t, js, "hasty", recordFor(e, `"retry":{"schedule":[`+waits+`]}`))
	st, _ := verdict(t, js, "hasty", revision, protocol.StateActive)
	if len(st.Warnings) == 0 || !strings.Contains(st.Warnings[0].Message, "1s") {
		t.Errorf("the status does not say that the wait was raised: %+v", st.Warnings)
	}
	publishOne(t, js, "o", 1)
	first := e.came(t, 1)
	third := e.came(t, 3)
	if took := third.At.Sub(begun(t, first)); took < 1800*time.Millisecond { // two waits, each with 10 % of chance
		t.Errorf("three attempts within %s", took)
	}
}
