package e2e

import (
	"errors"
	"strings"
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

	// Nor does it hold up the shards that follow, though it takes the lease for ever.
	again = launchBinary(t, old, "ORDERBRIDGE_NATS_URL="+bus.URL())
	again.said(30*time.Second, `(newer epoch)`)
	_, revision, err := leases.Layout().Get(within(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	next := protocol.Encode(protocol.Layout{Generation: 1, Shards: 2, Former: 1})
	if _, err := leases.Layout().Put(within(t, 10*time.Second), next, revision, nats.NewInbox()); err != nil {
		t.Fatal(err)
	}
	launch(t, "ORDERBRIDGE_NATS_URL="+bus.URL())
	await(t, 40*time.Second, "the shards deliver", func() bool { return e.Delivered() == 2 })
	again.kill()
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

// The bus of a former build, four shards, one again, under a flow: nothing is lost,
// overtakes its predecessor or comes again, and the former build is kept out after
// that.
func TestUpgradeToShardsAndBack(t *testing.T) {
	t.Parallel()
	old := formerBuild(t)
	s := &sharded{bus: lab.ListenBus(t)}
	s.js = jetStream(t, s.bus.URL())
	was := launchBinary(t, old, "ORDERBRIDGE_NATS_URL="+s.bus.URL())
	was.leads()
	for _, id := range ofEachShard(4) {
		e := receive(t, shaky)
		subscribe(t, s.js, id, recordFor(e, quickRetries))
		s.endpoints = append(s.endpoints, e)
	}
	f := publishFlow(t, s.js, 60, 8)
	s.goesOn(t)
	was.stop()
	for range 2 {
		s.replicas = append(s.replicas, launch(t, "ORDERBRIDGE_NATS_URL="+s.bus.URL()))
	}
	s.goesOn(t)
	if l, ok := s.layout(t); !ok || l != (protocol.Layout{Shards: 1, Done: true}) {
		t.Errorf("the layout of a bus of a former build: %+v", l)
	}
	for g, n := range []int{4, 1} {
		s.reshard(t, s.bus.URL(), n)
		if l := s.led(t); l.Generation != uint64(g+1) || l.Shards != n {
			t.Errorf("layout %+v", l)
		}
		s.goesOn(t)
	}
	again := launchBinary(t, old, "ORDERBRIDGE_NATS_URL="+s.bus.URL())
	again.said(60*time.Second, `(newer epoch)`)
	s.goesOn(t)
	again.kill()
	for _, e := range s.endpoints {
		f.arrives(t, e)
		notAgain(t, f.check(t, e), append(s.replicas, was)...)
		for _, h := range e.Journal() {
			if h.Header.Get("Webhook-Id") == "" {
				t.Errorf("%s %d without an id", h.Order, h.N)
			}
		}
	}
}

// A former build that was left standing by takes what is handed over, and the
// change waits until it goes: nothing is lost meanwhile.
func TestShardsWaitForAFormerBuild(t *testing.T) {
	t.Parallel()
	old := formerBuild(t)
	s := &sharded{bus: lab.ListenBus(t)}
	s.js = jetStream(t, s.bus.URL())
	s.replicas = []*program{serving(t, s.bus.URL())}
	left := launchBinary(t, old, "ORDERBRIDGE_NATS_URL="+s.bus.URL())
	left.said(20*time.Second, "(standing by)")
	for _, id := range ofEachShard(2) {
		e := receive(t, nil) // what fails comes again under an id of the former build
		subscribe(t, s.js, id, recordFor(e, quickRetries))
		s.endpoints = append(s.endpoints, e)
	}
	f := publishFlow(t, s.js, 60, 8)
	s.goesOn(t)
	if out, status := command(t, s.bus.URL(), "", "shards", "set", "2"); status != 0 || !strings.Contains(out, "accepted") {
		t.Fatalf("shards set: exit %d\n%s", status, out)
	}
	s.goesOn(t)
	left.stop()
	if l := s.led(t); l.Generation != 1 || l.Shards != 2 {
		t.Errorf("layout %+v", l)
	}
	s.goesOn(t)
	for _, e := range s.endpoints {
		f.arrives(t, e)
		notAgain(t, f.check(t, e), append(s.replicas, left)...)
	}
}
