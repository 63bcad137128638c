package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// With 10,000 subscriptions the console draws a page of them, and soon; a flood of
// attempts leaves it as small as it was, and in the reader's hands.
func TestConsoleManyAndFast(t *testing.T) {
	t.Parallel()
	browserTools(t)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	p := serving(t, bus.URL(), apiTokens)
	subscribe(t, js, "flooded", recordFor(receive(t, lab.Always(http.StatusOK)), `"subjects":["orders.none.>"]`))
	const n = 10_000
	verdict(t, js, "broken", put(t, js, "broken", `{"targetURL":"not a url"}`), protocol.StateInvalid)
	more := map[int]string{n - 1: `,"tenant":"rare"`, n - 2: `,"labels":{"team":"last"}`}
	for i := range n {
		text := fmt.Sprintf(`{"targetURL":"https://h.example.com/"%s}`, more[i])
		if _, err := js.PublishAsync(fmt.Sprintf("$KV.subscriptions.many-%05d", i), []byte(text), jetstream.WithStallWait(lab.Patience)); err != nil {
			t.Fatal(err)
		}
	}
	verdict(t, js, fmt.Sprintf("many-%05d", n-1), n+2, protocol.StateActive)

	// 1,000 entries of the delivery log a second, as a bridge writes them.
	ctx, stop := context.WithCancel(t.Context())
	flooded := make(chan struct{})
	go func() {
		defer close(flooded)
		floodLog(ctx, js)
	}()
	t.Cleanup(func() {
		stop()
		<-flooded
	})
	out := tell(t, "many.mjs", map[string]any{"url": "http://" + p.http() + "/", "tokens": map[string]string{"operator": operator}})
	var took map[string]int
	out = bytes.TrimSpace(out)
	if err := json.Unmarshal(out[bytes.LastIndexByte(out, '\n')+1:], &took); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	for _, promised := range []struct {
		name, what string
		most       int
	}{
		{"paint", "milliseconds until the first paint with 10,000 subscriptions", 300},
		{"paintAgain", "milliseconds until it in a browser that knows the page", 300},
		{"overview", "milliseconds until the overview stands", 1000},
		{"list", "milliseconds until the list of them stands", 500},
		{"frame", "milliseconds that the slowest frame takes at 1,000 attempts a second", 250},
		{"nodes", "nodes of a page then", 20_000},
		{"megabytes", "MiB of its heap then", 32},
	} {
		measured, ok := took[promised.name]
		if !ok {
			t.Fatalf("the story tells no %q: %s", promised.name, out)
		}
		lab.Promise(t, promised.what, measured, promised.most)
	}
}

// floodLog writes attempts into the delivery log, 100 each 100 ms, until it is stopped.
func floodLog(ctx context.Context, js jetstream.JetStream) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for range 100 {
			i++
			text, _ := json.Marshal(map[string]any{"time": time.Now().UTC(), "subscription": "flooded", "order": fmt.Sprint(i % 100), "sequence": i,
				"eventId": fmt.Sprint("e", i), "eventType": "OrderChanged", "deliveryId": fmt.Sprint("d", i), "attempt": 1, "kind": "live", "outcome": "delivered", "status": 200, "shard": 0})
			_, _ = js.PublishAsync(fmt.Sprintf("attempts.flooded.o%d", i%100), text)
		}
	}
}
