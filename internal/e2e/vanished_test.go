package e2e

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// `nats kv purge` and `nats kv del` of a record harm nobody else, whatever of it
// is under way: an attempt, a held lane, a dead letter that cannot be stored, a
// reading, coalescing, a redriven letter, a graceful stop.
func TestRecordPurgedWhileBusy(t *testing.T) {
	t.Parallel()
	for how, remove := range map[string]func(jetstream.KeyValue, context.Context, string, ...jetstream.KVDeleteOpt) error{
		"purged": jetstream.KeyValue.Purge, "deleted": jetstream.KeyValue.Delete,
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			bus := lab.ListenBus(t)
			b := makeBusy(t, bus)
			b.removeAllBut(t, "good", remove)
			b.release() // now the running attempts fail
			at := b.good.Count()
			for n := range 4 {
				publishOne(t, b.js, "d", n+1)
			}
			b.good.came(t, at+4)
			b.p.stop()
			if strings.Contains(b.p.Output(), "panic") {
				t.Error("it panicked")
			}
			p := serving(t, bus.URL())
			for id, value := range b.records {
				verdict(t, b.js, id, put(t, b.js, id, value), protocol.StateActive, protocol.StateReading, protocol.StateRetrying, protocol.StateSuspended)
			}
			p.stop()
		})
	}
}

// busy is a bridge whose subscriptions all have something under way.
type busy struct {
	js      jetstream.JetStream
	p       *program
	good    *receiver
	records map[string]string
	release func() // lets the running attempts end
}

func makeBusy(t *testing.T, bus *lab.Bus) busy {
	t.Helper()
	js := jetStream(t, bus.URL())
	released := make(chan struct{})
	release := sync.OnceFunc(func() { close(released) })
	slow := receive(t, func(*lab.Hit) int { <-released; return http.StatusServiceUnavailable })
	t.Cleanup(release) // before the endpoint is closed
	bad, dead, good := receive(t, lab.Always(http.StatusServiceUnavailable)), receive(t, lab.Always(http.StatusBadRequest)), receive(t, nil)
	p := serving(t, bus.URL())
	records := map[string]string{
		"running":  recordFor(slow, quickRetries),
		"coalesce": `{"targetURL":"` + slow.URL + `/{orderId}","method":"GET","coalesce":true,` + quickRetries + `}`,
		"last":     recordFor(slow, `"retry":{"schedule":[]}`),
		"strict":   recordFor(slow, `"ordering":"strict"`, quickRetries),
		"limited":  recordFor(slow, `"rateLimit":{"requests":2,"per":"PT1S"}`, quickRetries),
		"held":     recordFor(bad, slowRetries),
		"letters":  recordFor(dead, `"retry":{"schedule":[]}`),
		"reads":    recordFor(slow, `"startFrom":"all"`, `"maxInFlight":1`),
		"filtered": recordFor(slow, `"filter":"event.n > 1"`, quickRetries),
		"good":     recordFor(good),
	}
	publishOne(t, js, "before", 1)
	for id, value := range records {
		verdict(t, js, id, put(t, js, id, value), protocol.StateActive, protocol.StateReading, protocol.StateRetrying, protocol.StateSuspended)
	}
	for n := range 4 {
		for _, order := range []string{"a", "b", "c"} {
			publishOne(t, js, order, n+1)
		}
	}
	good.came(t, 12)
	slow.came(t, 6)
	await(t, 20*time.Second, "orders are held", func() bool { return len(owedKeys(t, js)) > 2 })
	if out, code := command(t, bus.URL(), "", "dead-letters", "redrive", "1"); code != exitGood {
		t.Logf("redrive: %s", out)
	}
	return busy{js, p, good, records, release}
}

// removeAllBut removes the other records and waits until that is known.
func (b busy) removeAllBut(t *testing.T, kept string, remove func(jetstream.KeyValue, context.Context, string, ...jetstream.KVDeleteOpt) error) {
	t.Helper()
	kv, err := b.js.KeyValue(within(t, 10*time.Second), "subscriptions")
	if err != nil {
		t.Fatal(err)
	}
	for id := range b.records {
		if id != kept {
			if err := remove(kv, within(t, 10*time.Second), id); err != nil {
				t.Fatal(err)
			}
		}
	}
	for id := range b.records {
		if id != kept {
			verdict(t, b.js, id, 0, protocol.StateDeleted)
		}
	}
}

// A record that vanished without anybody deleting it: what is published
// meanwhile comes when it is put again, whether it vanished before a restart,
// after it, or both.
func TestRecordVanishedWithoutMarker(t *testing.T) {
	t.Parallel()
	for name, marker := range map[string]time.Duration{"purge of the bucket": -1, "TTL": 0, "TTL with marker": time.Second} {
		for restarted, stop := range map[string]string{"running": "", "stopped": "stop", "seen, then restarted": "restart"} {
			t.Run(name+"/"+restarted, func(t *testing.T) {
				t.Parallel()
				v := vanishing{marker: marker, bus: lab.ListenBus(t), e: receive(t, nil)}
				v.js, v.value = jetStream(t, v.bus.URL()), recordFor(v.e)
				v.makeBucket(t)
				v.p = serving(t, v.bus.URL())
				subscribe(t, v.js, "s", v.value)
				publishOne(t, v.js, "a", 1)
				v.e.came(t, 1)
				v.vanishes(t, stop == "stop")
				v.isMissed(t, stop == "restart")
				v.comesBack(t)
				v.p.stop()
			})
		}
	}
}

// vanishing is a record that vanishes without a marker of its deletion.
type vanishing struct {
	marker time.Duration // how it vanishes: -1: by a purge of its bucket, 0: by its TTL, else by its TTL with a marker
	bus    *lab.Bus
	js     jetstream.JetStream
	e      *receiver
	p      *program
	value  string
}

func (v *vanishing) makeBucket(t *testing.T) {
	t.Helper()
	if _, err := v.js.CreateKeyValue(within(t, 10*time.Second), jetstream.KeyValueConfig{Bucket: "subscriptions", History: 64, LimitMarkerTTL: max(v.marker, time.Second)}); err != nil {
		t.Fatal(err)
	}
	if v.marker != 0 {
		return
	}
	s, err := v.js.Stream(within(t, 10*time.Second), "KV_subscriptions")
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	cfg.SubjectDeleteMarkerTTL = 0 // TTLs, but no markers
	if _, err := v.js.UpdateStream(within(t, 10*time.Second), cfg); err != nil {
		t.Skipf("the server keeps its markers: %v", err)
	}
}

// purge purges the bucket; expire puts the record again for two seconds.
func (v *vanishing) purge(t *testing.T) {
	t.Helper()
	s, err := v.js.Stream(within(t, 10*time.Second), "KV_subscriptions")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
}

func (v *vanishing) expire(t *testing.T) {
	t.Helper()
	m := &nats.Msg{Subject: "$KV.subscriptions.s", Data: []byte(v.value), Header: nats.Header{"Nats-TTL": {"2s"}}}
	if _, err := v.js.PublishMsg(within(t, 10*time.Second), m); err != nil {
		t.Fatal(err)
	}
}

// vanishes lets the record vanish, under the running bridge or while it is away.
func (v *vanishing) vanishes(t *testing.T, away bool) {
	t.Helper()
	switch {
	case !away && v.marker < 0:
		v.purge(t)
	case !away:
		v.expire(t)
	case v.marker < 0:
		v.p.stop()
		v.purge(t)
	default:
		v.expire(t)
		verdict(t, v.js, "s", 2, protocol.StateActive)
		v.p.stop()
		await(t, 20*time.Second, "the record is gone", func() bool {
			return entry(t, v.js, "subscriptions", "s") == nil || string(entry(t, v.js, "subscriptions", "s")) != v.value || revisionOf(t, v.js, "s") < 2
		})
	}
	if away {
		v.p = serving(t, v.bus.URL())
	}
}

// isMissed: its status says so, and nothing is delivered for it, also after a
// restart and a crash.
func (v *vanishing) isMissed(t *testing.T, restart bool) {
	t.Helper()
	st, _ := verdict(t, v.js, "s", 0, protocol.StateInvalid)
	if !strings.Contains(st.Reason, "not in the bucket") {
		t.Errorf("status: %+v", st)
	}
	if restart {
		v.p.stop()
		v.p = serving(t, v.bus.URL())
	}
	n := v.e.Count()
	for i := range 3 {
		publishOne(t, v.js, "a", i+2)
	}
	if restart {
		v.p.kill()
		v.p = serving(t, v.bus.URL())
	}
	verdict(t, v.js, "s", 0, protocol.StateInvalid)
	if got := v.e.Count(); got != n {
		t.Errorf("%d deliveries for a record that is not there", got-n)
	}
}

// comesBack: what was published meanwhile comes when it is put again, in order.
func (v *vanishing) comesBack(t *testing.T) {
	t.Helper()
	put(t, v.js, "s", v.value)
	await(t, 20*time.Second, "what was published meanwhile has come", func() bool { return v.e.Delivered() >= 4 })
	verdict(t, v.js, "s", 0, protocol.StateActive)
	for i, h := range v.e.Journal() {
		if h.N != i+1 {
			t.Errorf("request %d is change %d", i+1, h.N)
		}
	}
}

func revisionOf(t *testing.T, js jetstream.JetStream, key string) uint64 {
	t.Helper()
	kv, err := js.KeyValue(within(t, 10*time.Second), "subscriptions")
	if err != nil {
		t.Fatal(err)
	}
	e, err := kv.Get(within(t, 10*time.Second), key)
	if err != nil {
		return 0
	}
	return e.Revision()
}
