package e2e

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge"
	"orderbridge/internal/lab"
)

// `nats kv purge` and `nats kv del` of a record harm nobody else, whatever of it
// is under way: an attempt, a held lane, a dead letter that cannot be stored, a
// reading, coalescing, a redriven letter, a graceful stop.
func TestRecordPurgedWhileBusy(t *testing.T) {
	t.Parallel()
	remove := map[string]func(*testing.T, jetstream.KeyValue, string) error{
		"purged": func(t *testing.T, kv jetstream.KeyValue, id string) error {
			return kv.Purge(within(t, 10*time.Second), id)
		},
		"deleted": func(t *testing.T, kv jetstream.KeyValue, id string) error {
			return kv.Delete(within(t, 10*time.Second), id)
		},
	}
	for how, remove := range remove {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			bus := lab.ListenBus(t)
			js := jetStream(t, bus.URL())
			release := make(chan struct{})
			var once sync.Once
			defer once.Do(func() { close(release) })
			slow := receive(t, func(*lab.Hit) int { <-release; return http.StatusServiceUnavailable })
			bad, dead, good := receive(t, lab.Always(http.StatusServiceUnavailable)), receive(t, lab.Always(http.StatusBadRequest)), receive(t, nil)
			p := serving(t, bus.URL())
			records := map[string]string{
				"running":  record(slow, quickRetries),
				"coalesce": `{"targetURL":"` + slow.URL + `/{orderId}","method":"GET","coalesce":true,` + quickRetries + `}`,
				"last":     record(slow, `"retry":{"schedule":[]}`),
				"strict":   record(slow, `"ordering":"strict"`, quickRetries),
				"limited":  record(slow, `"rateLimit":{"requests":2,"per":"PT1S"}`, quickRetries),
				"held":     record(bad, slowRetries),
				"letters":  record(dead, `"retry":{"schedule":[]}`),
				"reads":    record(slow, `"startFrom":"all"`, `"maxInFlight":1`),
				"filtered": record(slow, `"filter":"event.n > 1"`, quickRetries),
				"good":     record(good),
			}
			publishOne(t, js, "before", 1)
			for id, value := range records {
				verdict(t, js, id, put(t, js, id, value), bridge.StateActive, bridge.StateReading)
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
			kv, err := js.KeyValue(within(t, 10*time.Second), "subscriptions")
			if err != nil {
				t.Fatal(err)
			}
			for id := range records {
				if id != "good" {
					if err := remove(t, kv, id); err != nil {
						t.Fatal(err)
					}
				}
			}
			for id := range records {
				if id != "good" {
					verdict(t, js, id, 0, bridge.StateDeleted)
				}
			}
			once.Do(func() { close(release) }) // now the running attempts fail
			at := good.Count()
			for n := range 4 {
				publishOne(t, js, "d", n+1)
			}
			good.came(t, at+4)
			p.stop()
			if strings.Contains(p.Output(), "panic") {
				t.Error("it panicked")
			}
			p = serving(t, bus.URL())
			for id, value := range records {
				verdict(t, js, id, put(t, js, id, value), bridge.StateActive, bridge.StateReading, bridge.StateRetrying, bridge.StateSuspended)
			}
			p.stop()
		})
	}
}

// A record that vanished without anybody deleting it: what is published
// meanwhile comes when it is put again, whether it vanished before a restart,
// after it, or both.
func TestRecordVanishedWithoutMarker(t *testing.T) {
	t.Parallel()
	purge := func(t *testing.T, js jetstream.JetStream) {
		s, err := js.Stream(within(t, 10*time.Second), "KV_subscriptions")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Purge(within(t, 10*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	ttl := func(value string, d time.Duration) func(t *testing.T, js jetstream.JetStream) {
		return func(t *testing.T, js jetstream.JetStream) {
			m := &nats.Msg{Subject: "$KV.subscriptions.s", Data: []byte(value), Header: nats.Header{"Nats-TTL": {d.String()}}}
			if _, err := js.PublishMsg(within(t, 10*time.Second), m); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, marker := range map[string]time.Duration{"purge of the bucket": -1, "TTL": 0, "TTL with marker": time.Second} {
		for restarted, stop := range map[string]string{"running": "", "stopped": "stop", "seen, then restarted": "restart"} {
			t.Run(name+"/"+restarted, func(t *testing.T) {
				t.Parallel()
				bus := lab.ListenBus(t)
				js := jetStream(t, bus.URL())
				e := receive(t, nil)
				value := record(e)
				if _, err := js.CreateKeyValue(within(t, 10*time.Second), jetstream.KeyValueConfig{Bucket: "subscriptions", History: 64, LimitMarkerTTL: max(marker, time.Second)}); err != nil {
					t.Fatal(err)
				}
				if marker == 0 { // TTLs, but no markers
					s, err := js.Stream(within(t, 10*time.Second), "KV_subscriptions")
					if err != nil {
						t.Fatal(err)
					}
					cfg := s.CachedInfo().Config
					cfg.SubjectDeleteMarkerTTL = 0
					if _, err := js.UpdateStream(within(t, 10*time.Second), cfg); err != nil {
						t.Skipf("the server keeps its markers: %v", err)
					}
				}
				p := serving(t, bus.URL())
				subscribe(t, js, "s", value)
				publishOne(t, js, "a", 1)
				e.came(t, 1)
				vanish := purge
				if marker >= 0 {
					vanish = ttl(value, 2*time.Second)
				}
				if stop == "stop" {
					if marker >= 0 {
						vanish(t, js)
						verdict(t, js, "s", 2, bridge.StateActive)
					}
					p.stop()
					if marker < 0 {
						vanish(t, js)
					} else {
						await(t, 20*time.Second, "the record is gone", func() bool {
							return entry(t, js, "subscriptions", "s") == nil || string(entry(t, js, "subscriptions", "s")) != value || revisionOf(t, js, "s") < 2
						})
					}
					p = serving(t, bus.URL())
				} else {
					vanish(t, js)
				}
				st, _ := verdict(t, js, "s", 0, bridge.StateInvalid)
				if !strings.Contains(st.Reason, "not in the bucket") {
					t.Errorf("status: %+v", st)
				}
				if stop == "restart" {
					p.stop()
					p = serving(t, bus.URL())
				}
				n := e.Count()
				for i := range 3 {
					publishOne(t, js, "a", i+2)
				}
				if stop == "restart" {
					p.kill()
					p = serving(t, bus.URL())
				}
				verdict(t, js, "s", 0, bridge.StateInvalid)
				if got := e.Count(); got != n {
					t.Errorf("%d deliveries for a record that is not there", got-n)
				}
				put(t, js, "s", value)
				await(t, 20*time.Second, "what was published meanwhile has come", func() bool { return e.Delivered() >= 4 })
				verdict(t, js, "s", 0, bridge.StateActive)
				for i, h := range e.Journal() {
					if h.N != i+1 {
						t.Errorf("request %d is change %d", i+1, h.N)
					}
				}
				p.stop()
			})
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
