package e2e

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
	"orderbridge/internal/store"
)

// A build that knows of no shards takes a closed lease for a free one. It is
// deposed before it has written or delivered anything, again and again, and the
// lease can be closed again.
func TestFormerBuildIsKeptOutOfAClosedShard(t *testing.T) {
	t.Parallel()
	old := formerBuild(t)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, nil)
	was := launchBinary(t, old, "ORDERBRIDGE_NATS_URL="+bus.URL())
	was.leads()
	subscribe(t, js, "s", recordFor(e))
	publishOne(t, js, "o", 1)
	await(t, 20*time.Second, "the former build delivers", func() bool { return e.Delivered() == 1 })
	was.stop()

	names := store.Options{}.Names()
	leases := store.NewLeases(js, names, nil, nil)
	closeLease := func() error {
		value, revision, err := leases.Shard(protocol.Shard{}).Get(within(t, 10*time.Second))
		if err != nil {
			return err
		}
		entry := protocol.Closed(protocol.Sight(value, revision).Entry)
		_, err = leases.Shard(protocol.Shard{}).Put(within(t, 10*time.Second), protocol.Encode(entry), revision, nats.NewInbox())
		return err
	}
	if err := closeLease(); err != nil {
		t.Fatal(err)
	}
	if err := leases.CloseFences(within(t, 20*time.Second), protocol.Shard{}); err != nil {
		t.Fatal(err)
	}
	publishOne(t, js, "o", 2)
	stopped := lastSequences(t, js, names)

	again := launchBinary(t, old, "ORDERBRIDGE_NATS_URL="+bus.URL())
	again.said(30*time.Second, `(newer epoch)`)
	await(t, 20*time.Second, "it has taken the lease", func() bool {
		err := leases.CloseFences(within(t, 10*time.Second), protocol.Shard{})
		return errors.Is(err, bridge.ErrNotClosed)
	})
	again.kill()
	if n := e.Delivered(); n != 1 {
		t.Errorf("%d deliveries", n)
	}
	if now := lastSequences(t, js, names); now != stopped {
		t.Errorf("the state has changed: %v, before %v", now, stopped)
	}
	if err := closeLease(); err != nil {
		t.Fatal(err)
	}
	if err := leases.CloseFences(within(t, 20*time.Second), protocol.Shard{}); err != nil {
		t.Error(err)
	}
}

// lastSequences are those of the state buckets.
func lastSequences(t *testing.T, js jetstream.JetStream, n store.Names) (last [2]uint64) {
	t.Helper()
	for i, bucket := range []string{n.Status, n.Owed} {
		s, err := js.Stream(within(t, 10*time.Second), "KV_"+bucket)
		if err != nil {
			t.Fatal(err)
		}
		last[i] = s.CachedInfo().State.LastSeq
	}
	return last
}
