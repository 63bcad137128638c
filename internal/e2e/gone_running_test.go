package e2e

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// goneRecord is a way in which a record goes.
type goneRecord struct {
	marker time.Duration // of the bucket; 0: the bridge makes the bucket
	remove func(t *testing.T, js jetstream.JetStream, value string)
	state  protocol.State // what its status says then; "": a bucket that is gone says nothing of its records
}

// A record goes in each way there is while an attempt of it runs and an order of
// it is held; then the attempt fails, and the record is put again. The process
// goes on: others are served, and so is the record once it is back.
func TestRecordGoneWhileItsAttemptRuns(t *testing.T) {
	t.Parallel()
	for name, g := range map[string]goneRecord{
		"purged":         {0, marked(jetstream.KeyValue.Purge), protocol.StateDeleted},
		"deleted":        {0, marked(jetstream.KeyValue.Delete), protocol.StateDeleted},
		"expired":        {time.Second, expired, protocol.StateInvalid},
		"bucket deleted": {0, bucketDeleted, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g.goesAndComesBack(t)
		})
	}
}

// marked removes the record so that its bucket tells it.
func marked(remove func(jetstream.KeyValue, context.Context, string, ...jetstream.KVDeleteOpt) error) func(*testing.T, jetstream.JetStream, string) {
	return func(t *testing.T, js jetstream.JetStream, _ string) {
		kv, err := js.KeyValue(within(t, 10*time.Second), "subscriptions")
		if err != nil {
			t.Fatal(err)
		}
		if err := remove(kv, within(t, 10*time.Second), "s"); err != nil {
			t.Fatal(err)
		}
	}
}

// expired puts the record once more, for a second.
func expired(t *testing.T, js jetstream.JetStream, value string) {
	m := &nats.Msg{Subject: "$KV.subscriptions.s", Data: []byte(value), Header: nats.Header{"Nats-TTL": {"1s"}}}
	if _, err := js.PublishMsg(within(t, 10*time.Second), m); err != nil {
		t.Fatal(err)
	}
}

func bucketDeleted(t *testing.T, js jetstream.JetStream, _ string) {
	if err := js.DeleteKeyValue(within(t, 10*time.Second), "subscriptions"); err != nil {
		t.Fatal(err)
	}
}

func makeRecords(t *testing.T, js jetstream.JetStream, marker time.Duration) {
	t.Helper()
	config := jetstream.KeyValueConfig{Bucket: "subscriptions", History: 64, LimitMarkerTTL: marker}
	if _, err := js.CreateKeyValue(within(t, 10*time.Second), config); err != nil {
		t.Fatal(err)
	}
}

func (g goneRecord) goesAndComesBack(t *testing.T) {
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	if g.marker > 0 {
		makeRecords(t, js, g.marker)
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
	g.remove(t, js, value)
	if g.state != "" {
		verdict(t, js, "s", 0, g.state)
	}
	close(release)
	if g.state == "" {
		makeRecords(t, js, 0)
		subscribe(t, js, "good", recordFor(good))
	}
	verdict(t, js, "s", put(t, js, "s", recordFor(good)), protocol.StateActive, protocol.StateReading, protocol.StateRetrying)
	at := good.Count()
	publishOne(t, js, "c", 1)
	await(t, 20*time.Second, "both get what is published then", func() bool {
		n := 0
		for _, h := range good.Since(at) {
			if h.Order == "c" {
				n++
			}
		}
		return n >= 2
	})
	p.stop()
	if strings.Contains(p.Output(), "panic") {
		t.Error("it panicked")
	}
}
