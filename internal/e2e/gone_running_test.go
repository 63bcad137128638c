package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// A record goes in each way there is while an attempt of it runs and an order of
// it is held; then the attempt fails, and the record is put again. The process
// goes on: others are served, and so is the record once it is back.
func TestRecordGoneWhileItsAttemptRuns(t *testing.T) {
	t.Parallel()
	expire := func(t *testing.T, js jetstream.JetStream, value string) {
		m := &nats.Msg{Subject: "$KV.subscriptions.s", Data: []byte(value), Header: nats.Header{"Nats-TTL": {"1s"}}}
		if _, err := js.PublishMsg(within(t, 10*time.Second), m); err != nil {
			t.Fatal(err)
		}
	}
	marked := func(remove func(kv jetstream.KeyValue) error) func(*testing.T, jetstream.JetStream, string) {
		return func(t *testing.T, js jetstream.JetStream, _ string) {
			kv, err := js.KeyValue(within(t, 10*time.Second), "subscriptions")
			if err != nil {
				t.Fatal(err)
			}
			if err := remove(kv); err != nil {
				t.Fatal(err)
			}
		}
	}
	bucketGone := func(t *testing.T, js jetstream.JetStream, _ string) {
		if err := js.DeleteKeyValue(within(t, 10*time.Second), "subscriptions"); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		marker time.Duration // 0: the bucket is made by the bridge
		remove func(*testing.T, jetstream.JetStream, string)
		state  protocol.State
	}{
		"purged":         {0, marked(func(kv jetstream.KeyValue) error { return kv.Purge(within(t, 10*time.Second), "s") }), protocol.StateDeleted},
		"deleted":        {0, marked(func(kv jetstream.KeyValue) error { return kv.Delete(within(t, 10*time.Second), "s") }), protocol.StateDeleted},
		"expired":        {time.Second, expire, protocol.StateInvalid},
		"bucket deleted": {0, bucketGone, protocol.StateInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bus := lab.ListenBus(t)
			js := jetStream(t, bus.URL())
			if c.marker > 0 {
				config := jetstream.KeyValueConfig{Bucket: "subscriptions", History: 64, LimitMarkerTTL: c.marker}
				if _, err := js.CreateKeyValue(within(t, 10*time.Second), config); err != nil {
					t.Fatal(err)
				}
			}
			release := make(chan struct{})
			slow := receive(t, func(*lab.Hit) int { <-release; return http.StatusServiceUnavailable })
			good := receive(t, nil)
			p := serving(t, bus.URL())
			value := recordFor(slow, quickRetries)
			subscribe(t, js, "good", recordFor(good))
			subscribe(t, js, "s", value)
			for n := range 3 {
				publishOne(t, js, "a", n+1)
				publishOne(t, js, "b", n+1)
			}
			slow.came(t, 2) // a and b run, the others wait for them
			good.came(t, 6)
			c.remove(t, js, value)
			if name != "bucket deleted" { // a bucket that is gone says nothing of its records
				verdict(t, js, "s", 0, c.state)
			}
			close(release)
			if name == "bucket deleted" {
				if _, err := js.CreateKeyValue(within(t, 10*time.Second), jetstream.KeyValueConfig{Bucket: "subscriptions", History: 64}); err != nil {
					t.Fatal(err)
				}
				subscribe(t, js, "good", recordFor(good))
			}
			verdict(t, js, "s", put(t, js, "s", recordFor(good)), protocol.StateActive, protocol.StateReading)
			at := good.Count()
			publishOne(t, js, "c", 1)
			await(t, 20*time.Second, "both get what is published then", func() bool {
				n := 0
				for _, h := range good.Since(at) {
					if strings.Contains(string(h.Body), `"c"`) {
						n++
					}
				}
				return n >= 2
			})
			p.stop()
			if strings.Contains(p.Output(), "panic") {
				t.Error("it panicked")
			}
		})
	}
}
