package subscribers

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// Feeds of several shards on one stream: each has durables, a floor and a keeper of
// its own, also where it has the number 1 and another the number 10.
func TestFeedsOfShards(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	makeStream(t, js)
	publishMany(t, js, 1, 10, 0)
	prefixes := []string{"orderbridge-", "orderbridge-g1s1-", "orderbridge-g1s10-"}
	var feeds []*JetStream
	for i, p := range prefixes {
		f := newTestFeed(t, js, Options{DurablePrefix: p})
		if err := f.Open(testContext(t), uint64(i+1), event.Ref{}); err != nil {
			t.Fatal(err)
		}
		if err := f.Keep(testContext(t), uint64(i+2)); err != nil {
			t.Fatal(err)
		}
		feeds = append(feeds, f)
	}
	msgs, err := feeds[1].Subscribe(testContext(t), "")
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); seq <= 4; seq++ {
		nextSeq(t, msgs, seq).Ack()
	}
	eventuallyFloor(t, js, "orderbridge-g1s1-2-1", 4)
	for name, want := range map[string]uint64{"orderbridge-1-1": 0, "orderbridge-g1s10-3-1": 0,
		"orderbridge-keep-2": 1, "orderbridge-g1s1-keep-3": 2, "orderbridge-g1s10-keep-4": 3} {
		if got, there := floors(t, js)[name]; !there || got != want {
			t.Errorf("%s: floor %d, there: %t", name, got, there)
		}
	}
	for i, want := range []uint64{0, 4, 0} {
		if got, found, err := newTestFeed(t, js, Options{DurablePrefix: prefixes[i]}).Floor(testContext(t), 1<<53); got != want || !found || err != nil {
			t.Errorf("floor of %s: %d, %t, %v; want %d", prefixes[i], got, found, err, want)
		}
	}

	// The next epoch of one shard deletes its own former durable only.
	open(t, newTestFeed(t, js, Options{DurablePrefix: prefixes[1]}), 7, 0, 4)
	now := floors(t, js)
	if _, there := now["orderbridge-g1s1-2-1"]; there || len(now) != 6 {
		t.Errorf("durables: %v", now)
	}

	// The durable that keeps out builds that know of no shards concerns nobody else.
	if _, err := js.CreateConsumer(testContext(t), "ORDERS", jetstream.ConsumerConfig{Durable: "orderbridge-18446744073709551615-1"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := newTestFeed(t, js, Options{}).Floor(testContext(t), 1<<53); !errors.Is(err, protocol.ErrDeposed) {
		t.Errorf("generation 0: %v", err)
	}
	if _, _, err := newTestFeed(t, js, Options{DurablePrefix: prefixes[2]}).Floor(testContext(t), 9); err != nil {
		t.Errorf("a shard: %v", err)
	}
}

// A stream that is edited to interest retention keeps an event until the feeds of
// all shards have acknowledged it.
func TestInterestRetentionWithShards(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	s := makeStream(t, js)
	publishMany(t, js, 1, 10, 0)
	var feeds []*JetStream
	for _, p := range []string{"orderbridge-g1s0-", "orderbridge-g1s1-"} {
		f := newTestFeed(t, js, Options{DurablePrefix: p})
		if err := f.Open(testContext(t), 1, event.Ref{}); err != nil {
			t.Fatal(err)
		}
		feeds = append(feeds, f)
	}
	c := s.CachedInfo().Config
	c.Retention = jetstream.InterestPolicy
	if _, err := js.UpdateStream(testContext(t), c); err != nil {
		t.Fatal(err)
	}
	settle := func(f *JetStream, upTo uint64) {
		t.Helper()
		msgs, err := f.Subscribe(testContext(t), "")
		if err != nil {
			t.Fatal(err)
		}
		for seq := uint64(1); seq <= upTo; seq++ {
			nextSeq(t, msgs, seq).Ack()
		}
		if err := f.Confirm(testContext(t)); err != nil {
			t.Fatal(err)
		}
	}
	first := func() uint64 {
		info, err := s.Info(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		return info.State.FirstSeq
	}
	settle(feeds[0], 8)
	eventuallyFloor(t, js, "orderbridge-g1s0-1-1", 8)
	if got := first(); got != 1 {
		t.Errorf("the stream begins at %d: the other shard still needs it", got)
	}
	settle(feeds[1], 5)
	lab.Eventually(t, "what both have settled goes", func() bool { return first() == 6 })
}
