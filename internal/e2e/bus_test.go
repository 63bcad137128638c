package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

func jetStream(t testing.TB, url string) jetstream.JetStream {
	t.Helper()
	return lab.JetStream(t, lab.Dial(t, url))
}

// record is a subscription record; more are members, as JSON.
func recordFor(e *receiver, more ...string) string {
	return `{"targetURL":"` + e.URL + `/hook"` + strings.Join(append([]string{""}, more...), ",") + `}`
}

// quickRetries are ten that come at once, and some for a slow machine.
const quickRetries = `"retry":{"schedule":["PT0.2S","PT0.2S","PT0.2S","PT0.2S","PT0.2S","PT0.2S","PT0.2S","PT0.2S","PT0.2S","PT0.2S",` +
	`"PT2S","PT5S","PT10S","PT10S","PT10S","PT10S","PT10S","PT10S","PT10S","PT10S","PT10S","PT10S","PT10S","PT10S"]}`

// subscribe puts a record as `nats kv put` does and waits for its verdict.
func subscribe(t testing.TB, js jetstream.JetStream, id, value string) uint64 {
	t.Helper()
	revision := put(t, js, id, value)
	verdict(t, js, id, revision, protocol.StateActive)
	return revision
}

func put(t testing.TB, js jetstream.JetStream, id, value string) uint64 {
	t.Helper()
	ctx := within(t, 10*time.Second)
	records, err := js.KeyValue(ctx, "subscriptions")
	if err != nil {
		t.Fatal(err)
	}
	revision, err := records.PutString(ctx, id, value)
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

// verdict waits until the status of a subscription speaks of the revision and
// says one of the states.
func verdict(t testing.TB, js jetstream.JetStream, id string, revision uint64, states ...protocol.State) (s protocol.Status, took time.Duration) {
	t.Helper()
	var got string
	start := time.Now()
	for time.Since(start) < lab.Patience {
		var st protocol.Status
		if value := entry(t, js, "subscription_status", id); value != nil {
			if err := json.Unmarshal(value, &st); err != nil {
				t.Fatal(err)
			}
			got = string(value)
			if st.Revision >= revision && slices.Contains(states, st.State) {
				return st, time.Since(start)
			}
		}
		<-time.After(5 * time.Millisecond)
	}
	t.Fatalf("status of %s is %s, want one of %v of revision %d", id, got, states, revision)
	return s, 0
}

// entry is a value of a bucket, nil if it is absent or the bus does not answer.
func entry(t testing.TB, js jetstream.JetStream, bucket, key string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	kv, err := js.KeyValue(ctx, bucket)
	if err != nil {
		return nil
	}
	e, err := kv.Get(ctx, key)
	if err != nil {
		return nil
	}
	return e.Value()
}

// owedKeys are the keys of the ledger, fences left out.
func owedKeys(t testing.TB, js jetstream.JetStream) []string {
	t.Helper()
	ctx := within(t, 10*time.Second)
	kv, err := js.KeyValue(ctx, "owed")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := kv.Keys(ctx)
	if err != nil && !errors.Is(err, jetstream.ErrNoKeysFound) {
		t.Fatal(err)
	}
	return slices.DeleteFunc(keys, func(k string) bool { return strings.Contains(k, "fence.") })
}

// floor is what is acknowledged on the bus: the floor of the feed's durable.
func floor(t testing.TB, js jetstream.JetStream) uint64 {
	t.Helper()
	ctx := within(t, 10*time.Second)
	stream, err := js.Stream(ctx, "ORDERS")
	if err != nil {
		t.Fatal(err)
	}
	most := uint64(0)
	for c := range stream.ListConsumers(ctx).Info() {
		if strings.HasPrefix(c.Name, "orderbridge-") {
			most = max(most, c.AckFloor.Stream, max(c.Config.OptStartSeq, 1)-1)
		}
	}
	return most
}

// acknowledged waits until everything up to seq is acknowledged.
func acknowledged(t testing.TB, js jetstream.JetStream, seq uint64) {
	t.Helper()
	await(t, 30*time.Second, fmt.Sprintf("event %d is acknowledged", seq), func() bool { return floor(t, js) >= seq })
}

// nothingOwed waits until the ledger is empty.
func nothingOwed(t testing.TB, js jetstream.JetStream) {
	t.Helper()
	await(t, 30*time.Second, "nothing is owed", func() bool { return len(owedKeys(t, js)) == 0 })
}

// deadLetters is how many are stored.
func deadLetters(t testing.TB, js jetstream.JetStream) uint64 {
	t.Helper()
	letters, err := js.Stream(within(t, 10*time.Second), "DEAD_LETTERS")
	if err != nil {
		t.Fatal(err)
	}
	return letters.CachedInfo().State.Msgs
}

// change is the nth change of an order.
func change(order string, n int) *nats.Msg {
	return &nats.Msg{Subject: "orders.acme.OrderChanged." + order, Header: nats.Header{"Nats-Msg-Id": {fmt.Sprintf("e-%s-%d", order, n)}},
		Data: []byte(fmt.Sprintf(`{"orderId":%q,"eventType":"OrderChanged","n":%d}`, order, n))}
}

// publishOne publishes the nth change of an order and returns its sequence; it
// is tried until it is confirmed.
func publishOne(t testing.TB, js jetstream.JetStream, order string, n int) uint64 {
	t.Helper()
	return publishMsg(t, js, change(order, n))
}

func publishMsg(t testing.TB, js jetstream.JetStream, m *nats.Msg) uint64 {
	t.Helper()
	deadline := time.Now().Add(lab.Patience)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second) // who has no id is stored twice if it is too short
		ack, err := js.PublishMsg(ctx, m)
		cancel()
		if err == nil {
			return ack.Sequence
		}
		if time.Now().After(deadline) {
			t.Fatalf("publish: %v", err)
		}
		<-time.After(20 * time.Millisecond)
	}
}
