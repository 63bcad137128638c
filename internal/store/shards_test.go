package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// Generation 0 has the names that it always had; a name tells its shard.
func TestShardNames(t *testing.T) {
	t.Parallel()
	n := Options{Prefix: "acme."}.Names()
	first, other := protocol.Shard{}, protocol.Shard{Layout: 12, Number: 3}
	for _, tt := range []struct{ got, want string }{
		{leaseKeyOf(first), "leader"}, {fenceKeyOf(first, 7), "=fence.7"}, {sealKeyOf(first), "=fence.complete"},
		{DurablePrefix(n, first), "acme_orderbridge-"},
		{leaseKeyOf(other), "leader.12.3"}, {fenceKeyOf(other, 7), "=fence.g12s3.7"},
		{sealKeyOf(other), "=fence.g12s3.complete"}, {DurablePrefix(n, other), "acme_orderbridge-g12s3-"},
	} {
		if tt.got != tt.want {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
	for _, s := range []protocol.Shard{first, other, {Layout: 1}} {
		for what, tell := range map[string]func() (protocol.Shard, bool){
			"lease":   func() (protocol.Shard, bool) { return leaseShard(leaseKeyOf(s)) },
			"fence":   func() (protocol.Shard, bool) { return fenceShard(fenceKeyOf(s, 63)) },
			"seal":    func() (protocol.Shard, bool) { return fenceShard(sealKeyOf(s)) },
			"durable": func() (protocol.Shard, bool) { return durableShard(n, DurablePrefix(n, s)+"5-1") },
			"keeper":  func() (protocol.Shard, bool) { return durableShard(n, DurablePrefix(n, s)+"keep-9") },
		} {
			if got, ok := tell(); !ok || got != s {
				t.Errorf("%s of %+v: %+v, %t", what, s, got, ok)
			}
		}
	}
	for _, key := range []string{"leader.1", "leader.01.2", "leader.0.0", "leader.1.2.3", "layout", "leaders", "replica.x"} {
		if s, ok := leaseShard(key); ok {
			t.Errorf("lease %q: %+v", key, s)
		}
	}
	for _, key := range []string{"=fence.64", "=fence.x", "=fence.g1s2", "=fence.g1s02.3", "=fence.g0s0.1", "=fence.g1s1.1.1", "s.lane"} {
		if s, ok := fenceShard(key); ok {
			t.Errorf("fence %q: %+v", key, s)
		}
	}
	for _, name := range []string{"acme_orderbridge-g1s1", "acme_orderbridge-mine-1", "orderbridge-1-1", "x"} {
		if s, ok := durableShard(n, name); ok {
			t.Errorf("durable %q: %+v", name, s)
		}
	}
	for _, name := range []string{"host.example/12/ABC", "=", "", "ä b"} {
		if got, ok := nameOfToken(nameToken(name)); !ok || got != name {
			t.Errorf("name %q: %q, %t", name, got, ok)
		}
	}
}

var (
	two   = protocol.Layout{Generation: 1, Shards: 2, Former: 1}
	three = protocol.Layout{Generation: 2, Shards: 3, Former: 2}
)

// fenced is a ledger that has fenced both buckets.
func fenced(t *testing.T, js jetstream.JetStream, n Names, l protocol.Layout, k int, epoch uint64) *Ledger {
	t.Helper()
	ledger := NewLedger(js, n, l, k, NewMaker(js, Options{}))
	for _, b := range []protocol.Bucket{protocol.BucketStatus, protocol.BucketOwed} {
		if _, err := ledger.Fence(testContext(t), b, epoch, fmt.Sprintf("T%d", epoch)); err != nil {
			t.Fatal(err)
		}
	}
	return ledger
}

// closeLease is what a replica does with the lease of a former shard.
func closeLease(t *testing.T, leases *Leases, s protocol.Shard) {
	t.Helper()
	ctx := testContext(t)
	_, rev, err := leases.Shard(s).Get(ctx)
	if err != nil {
		t.Fatal(err)
	}
	value := protocol.Encode(protocol.Closed(protocol.LeaseEntry{Epoch: 1, Holder: "x"}))
	if _, err := leases.Shard(s).Put(ctx, value, rev, fmt.Sprintf("close:%v:%d", s, rev)); err != nil {
		t.Fatal(err)
	}
}

// owned are subscriptions of each shard of n.
func owned(n int) []string {
	ids := make([]string, n)
	for i, left := 0, n; left > 0; i++ {
		id := fmt.Sprintf("s%d", i)
		if k := protocol.ShardOf(id, n); ids[k] == "" {
			ids[k] = id
			left--
		}
	}
	return ids
}

// No write of a closed shard is stored: not one that is under way from a leader
// that stood still, not one that it sends afterwards, and it cannot fence again,
// whatever epoch it has.
func TestLateWritesOfAClosedShard(t *testing.T) {
	t.Parallel()
	for name, nodes := range map[string]func(*testing.T) []jetstream.JetStream{
		"one server": func(t *testing.T) []jetstream.JetStream {
			b := lab.StartBus(t)
			return []jetstream.JetStream{b.JetStream(), b.JetStream()}
		},
		"cluster": func(t *testing.T) []jetstream.JetStream {
			if testing.Short() {
				t.Skip("waits for a cluster")
			}
			return lab.ClusterOf(t)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			js := nodes(t)
			n := ensure(t, js[0], Options{})
			ctx := testContext(t)
			leases := NewLeases(js[1], n, NewMaker(js[1], Options{}), nil)
			for g, layout := range []protocol.Layout{only, two} {
				shard := layout.Shard(layout.Shards - 1)
				old := fenced(t, js[0], n, layout, shard.Number, 4)
				key := owned(layout.Shards)[shard.Number] + ".lane"
				if err := old.Write(ctx, protocol.Write{Bucket: protocol.BucketOwed, Key: key, Value: []byte("v"), ID: fmt.Sprintf("T4:4:%d", g)}); err != nil {
					t.Fatal(err)
				}
				if err := leases.CloseFences(ctx, shard); !errors.Is(err, bridge.ErrNotClosed) {
					t.Fatalf("fences of a lease that is not closed: %v", err)
				}
				closeLease(t, leases, shard)
				for range 2 { // it may be done again
					if err := leases.CloseFences(ctx, shard); err != nil {
						t.Fatal(err)
					}
				}
				f := fenceOf(key)
				late := msgTo(bucketSubject(n.Owed, key))
				late.Data = []byte("late")
				if _, err := js[0].PublishMsg(ctx, late, jetstream.WithExpectLastSequenceForSubject(old.buckets[protocol.BucketOwed].fences[f].seq, bucketSubject(n.Owed, fenceKeyOf(shard, f)))); errorCode(err) != codeWrongLastSequence {
					t.Errorf("generation %d: a write under way: %v", g, err)
				}
				for _, b := range []protocol.Bucket{protocol.BucketStatus, protocol.BucketOwed} {
					if err := old.Write(ctx, protocol.Write{Bucket: b, Key: key, ID: fmt.Sprintf("T4:4:late%d", g)}); !errors.Is(err, protocol.ErrDeposed) {
						t.Errorf("generation %d: a write afterwards: %v", g, err)
					}
					for _, epoch := range []uint64{4, 5, maxTracedEpoch} {
						if _, err := old.Fence(ctx, b, epoch, "late"); !errors.Is(err, protocol.ErrDeposed) {
							t.Errorf("generation %d: a fencing with epoch %d: %v", g, epoch, err)
						}
					}
				}
				if m, err := old.last(ctx, old.buckets[protocol.BucketOwed], key); err != nil || string(m.Data) != "v" {
					t.Errorf("generation %d: the entry: %v, %v", g, m, err)
				}
			}
		})
	}
}

// Also in a bucket that was deleted meanwhile: what the former leader has under
// way to fence a new one comes too late.
func TestCloseFencesOfAGoneBucket(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	n := ensure(t, js, Options{})
	ctx := testContext(t)
	leases := NewLeases(js, n, NewMaker(js, Options{}), nil)
	fenced(t, js, n, two, 1, 4)
	closeLease(t, leases, two.Shard(1))
	for _, bucket := range []string{n.Status, n.Owed} {
		if err := js.DeleteStream(ctx, bucketStream(bucket)); err != nil {
			t.Fatal(err)
		}
	}
	if err := leases.CloseFences(ctx, two.Shard(1)); err != nil {
		t.Fatal(err)
	}
	for _, bucket := range []string{n.Status, n.Owed} {
		for i := range fences {
			late := msgTo(bucketSubject(bucket, fenceKeyOf(two.Shard(1), i)))
			late.Data = []byte("4")
			if _, err := js.PublishMsg(ctx, late, jetstream.WithExpectLastSequencePerSubject(0)); errorCode(err) != codeWrongLastSequence {
				t.Fatalf("fence %d of a new bucket %s: %v", i, bucket, err)
			}
		}
	}
}

// Of replicas that close a lease at the same time one does it, and a leader that
// would win it does not.
func TestClosingRace(t *testing.T) {
	t.Parallel()
	b := lab.StartBus(t)
	n := ensure(t, b.JetStream(), Options{})
	for round := range 10 {
		s := protocol.Shard{Layout: 1, Number: round}
		value := protocol.Encode(protocol.LeaseEntry{Epoch: 3, Holder: "old", Free: true})
		rev, err := NewLeases(b.JetStream(), n, nil, nil).Shard(s).Put(testContext(t), value, 0, fmt.Sprint("old:", round))
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var wg sync.WaitGroup
		won := 0
		for c := range 6 {
			leases := NewLeases(b.JetStream(), n, nil, nil)
			wg.Go(func() {
				x := protocol.LeaseEntry{Epoch: 4, Holder: fmt.Sprint(c)} // wins it
				if c > 0 {
					x = protocol.Closed(protocol.LeaseEntry{Epoch: 3, Holder: "old"})
				}
				_, err := leases.Shard(s).Put(testContext(t), protocol.Encode(x), rev, fmt.Sprintf("%d:%d", round, c))
				if err != nil && !errors.Is(err, protocol.ErrDeposed) {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won++
				}
			})
		}
		wg.Wait()
		if won != 1 {
			t.Fatalf("round %d: %d", round, won)
		}
	}
}

// The layout is created once and changed by one at a time; a repeat of a change
// whose answer was lost is known for one.
func TestLayoutKey(t *testing.T) {
	t.Parallel()
	b := lab.StartBus(t)
	n := ensure(t, b.JetStream(), Options{})
	ctx := testContext(t)
	one := NewLeases(b.JetStream(), n, NewMaker(b.JetStream(), Options{}), nil).Layout()
	rev := uint64(0)
	for round := range 5 {
		var mu sync.Mutex
		var wg sync.WaitGroup
		won := map[string]uint64{}
		for c := range 6 {
			l := NewLeases(b.JetStream(), n, nil, nil).Layout()
			id := fmt.Sprintf("%d:%d", round, c)
			wg.Go(func() {
				r, err := l.Put(testContext(t), []byte(id), rev, id)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					won[id] = r
				case !errors.Is(err, protocol.ErrDeposed):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(won) != 1 {
			t.Fatalf("round %d: %v", round, won)
		}
		for id, r := range won {
			if again, err := one.Put(ctx, []byte(id), rev, id); err != nil || again != r {
				t.Errorf("repeat: %d, %v; want %d", again, err, r)
			}
			rev = r
		}
	}
	if err := b.JetStream().DeleteStream(ctx, bucketStream(n.Lease)); err != nil {
		t.Fatal(err)
	}
	if v, rev, err := one.Get(ctx); v != nil || rev != 0 || err != nil {
		t.Errorf("of a bucket that is gone: %q, %d, %v", v, rev, err)
	}
	if _, err := one.Put(ctx, []byte("x"), 0, "x"); err != nil {
		t.Errorf("into a bucket that is gone: %v", err)
	}
}

// What the former shards have sealed, new ones have sealed by their first fences,
// and it stays so when those of the former ones are gone.
func TestSealsOfFormerShards(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	n := ensure(t, js, Options{})
	ctx := testContext(t)
	const b = protocol.BucketOwed
	fence := func(l protocol.Layout, k int) protocol.Made {
		t.Helper()
		made, err := NewLedger(js, n, l, k, nil).Fence(ctx, b, 7, "T7")
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	if made := fence(two, 0); made.Sealed || !made.Unfenced {
		t.Errorf("nobody has sealed it: %+v", made)
	}
	if err := fenced(t, js, n, two, 0, 8).Seal(ctx, b); err != nil {
		t.Fatal(err)
	}
	if made := fence(three, 0); made.Sealed || !made.Unfenced {
		t.Errorf("only one of the two former shards has sealed it: %+v", made)
	}
	if err := fenced(t, js, n, two, 1, 8).Seal(ctx, b); err != nil {
		t.Fatal(err)
	}
	for k := range three.Shards {
		if made := fence(three, k); !made.Sealed || made.Unfenced {
			t.Errorf("shard %d, sealed before: %+v", k, made)
		}
	}
	leases := NewLeases(js, n, nil, nil)
	if err := leases.Remove(ctx, three.Generation); err != nil {
		t.Fatal(err)
	}
	for k := range three.Shards {
		if made := fence(three, k); !made.Sealed || made.Unfenced {
			t.Errorf("shard %d, when the former ones are gone: %+v", k, made)
		}
	}
	s, err := js.Stream(ctx, bucketStream(n.Owed))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(ctx); err != nil {
		t.Fatal(err)
	}
	if made := fence(three, 1); made.Sealed || !made.Unfenced {
		t.Errorf("purged: %+v", made)
	}
}

// A shard reads its own entries, notices what others do to them, and takes no
// notice of what they do to those of other shards.
func TestLedgerAmongShards(t *testing.T) {
	t.Parallel()
	b := lab.StartBus(t)
	js := b.JetStream()
	n := ensure(t, js, Options{})
	ctx := testContext(t)
	layout := protocol.Layout{Generation: 1, Shards: 2}
	ids := owned(2)
	const bucket = protocol.BucketOwed
	others := NewOthers(js, nil)
	ledgers := make([]*Ledger, 2)
	for k := range ledgers {
		ledgers[k] = fenced(t, js, n, layout, k, uint64(20+k)).Among(others)
	}
	check := func(k int) error { return ledgers[k].Check(ctx, bucket) }
	write := func(k, i int) {
		t.Helper()
		for _, key := range []string{ids[k], fmt.Sprintf("%s.l%d", ids[k], i)} {
			w := protocol.Write{Bucket: bucket, Key: key, Value: []byte("v"), ID: fmt.Sprintf("T%d:%d:%s%d", 20+k, 20+k, key, i)}
			if err := ledgers[k].Write(ctx, w); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range 30 {
		write(i%2, i)
		if err := errors.Join(check(0), check(1)); err != nil {
			t.Fatalf("only writes of leaders: %v", err)
		}
	}
	for k, id := range ids {
		got := load(t, ledgers[k], bucket)
		if len(got) != 16 || slices.ContainsFunc(slices.Collect(maps.Keys(got)), func(key string) bool { return ownerOf(key) != id }) {
			t.Errorf("shard %d loads %v", k, got)
		}
	}

	if _, err := js.Publish(ctx, bucketSubject(n.Owed, ids[1]+".l1"), []byte("x")); err != nil {
		t.Fatal(err)
	}
	write(0, 100)
	lab.Eventually(t, "the stranger shows", func() bool { return errors.Is(check(1), protocol.ErrMeddled) })
	if err := errors.Join(check(0), check(1)); err != nil {
		t.Errorf("it is no concern of shard 0, and told once: %v", err)
	}

	s, err := js.Stream(ctx, bucketStream(n.Owed))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(ctx, jetstream.WithPurgeSubject(bucketSubject(n.Owed, ids[0]+".l2"))); err != nil {
		t.Fatal(err)
	}
	for _, l := range ledgers {
		x := l.buckets[bucket]
		x.mu.Lock()
		x.scanned = time.Time{}
		x.mu.Unlock()
	}
	if err := check(0); !errors.Is(err, protocol.ErrMeddled) {
		t.Errorf("a removed entry: %v", err)
	}
	if err := check(1); err != nil {
		t.Errorf("a removed entry of another shard: %v", err)
	}
	write(0, 2)
	if err := check(0); err != nil {
		t.Errorf("mended: %v", err)
	}
}

// Traces of a shard are its own, and where it is the first layout, entries of its
// subscriptions.
func TestTracesOfShards(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	n := ensure(t, js, Options{})
	ctx := testContext(t)
	first := protocol.Layout{Generation: 1, Shards: 2}
	if _, err := js.Publish(ctx, bucketSubject(n.Status, owned(2)[1]), []byte("{}")); err != nil {
		t.Fatal(err)
	}
	any := func(l protocol.Layout, k int) bool {
		t.Helper()
		got, err := Traces(ctx, js, n, l, k)
		if err != nil {
			t.Fatal(err)
		}
		return got.Any
	}
	if any(first, 0) || !any(first, 1) || !any(only, 0) {
		t.Error("an entry of shard 1 is one of shard 1 and of a bridge without shards")
	}
	if any(two, 1) {
		t.Error("entries count for those shards that wrote them: a former layout did")
	}
	fenced(t, js, n, two, 1, 6)
	if _, err := js.CreateConsumer(ctx, n.Stream, jetstream.ConsumerConfig{Durable: DurablePrefix(n, two.Shard(0)) + "9-2", Metadata: DurableMetadata(n, two)}); err != nil {
		t.Fatal(err)
	}
	for k, want := range []protocol.Traces{{Epoch: 9, Any: true, PresentIDs: true}, {Epoch: 6, Any: true}} {
		if got, err := Traces(ctx, js, n, two, k); err != nil || got != want {
			t.Errorf("shard %d: %+v, %v; want %+v", k, got, err, want)
		}
	}
	if got, err := Traces(ctx, js, n, only, 0); err != nil || got != (protocol.Traces{Any: true}) {
		t.Errorf("generation 0: %+v, %v", got, err)
	}
}

// What former layouts left goes, all that is of the present one stays; what is left
// tells the layout.
func TestRemoveFormerLayouts(t *testing.T) {
	t.Parallel()
	b := lab.StartBus(t)
	js := b.JetStream()
	n := ensure(t, js, Options{})
	ctx := testContext(t)
	leases := NewLeases(js, n, NewMaker(js, Options{}), nil)
	if l, found, err := leases.Seen(ctx); found || err != nil {
		t.Fatalf("on a new bus: %+v, %v", l, err)
	}
	durable := func(l protocol.Layout, k int) string {
		name := DurablePrefix(n, l.Shard(k)) + "4-1"
		if _, err := js.CreateConsumer(ctx, n.Stream, jetstream.ConsumerConfig{Durable: name, Metadata: DurableMetadata(n, l)}); err != nil {
			t.Fatal(err)
		}
		return name
	}
	var stay []string
	for _, l := range []protocol.Layout{only, two, three} {
		for k := range l.Shards {
			fenced(t, js, n, l, k, 4)
			if stay = append(stay, durable(l, k)); l.Generation < three.Generation {
				stay = stay[:0]
				closeLease(t, leases, l.Shard(k))
				if err := leases.CloseFences(ctx, l.Shard(k)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got, found, err := leases.Seen(ctx); err != nil || !found || got.Generation != l.Generation || got.Shards != l.Shards || got.Former != l.Former || got.Done != (l.Former == 0) {
			t.Errorf("seen of %+v: %+v, %v", l, got, err)
		}
	}
	last := three.Shard(2)
	value := protocol.Encode(protocol.LeaseEntry{Epoch: 4, Holder: "x"})
	if _, err := leases.Shard(last).Put(ctx, value, 0, "x"); err != nil {
		t.Fatal(err)
	}
	if got, err := leases.Leases(ctx); err != nil || len(got) != 4 || string(got[protocol.Shard{Layout: 2, Number: 2}].Value) != string(value) {
		t.Errorf("leases: %v, %v", got, err)
	}
	for range 2 {
		if err := leases.Remove(ctx, three.Generation); err != nil {
			t.Fatal(err)
		}
		if got, err := leases.Leases(ctx); err != nil || len(got) != 1 {
			t.Errorf("leases: %v, %v", got, err)
		}
		for _, bucket := range []string{n.Status, n.Owed} {
			left, err := leases.fencesLeft(ctx, bucket)
			if err != nil || len(left) != three.Shards*fences {
				t.Errorf("%d fences left in %s, %v", len(left), bucket, err)
			}
		}
		if got, found, err := leases.Seen(ctx); err != nil || !found || !got.Done || got.Generation != 2 || got.Shards != 3 {
			t.Errorf("seen: %+v, %v", got, err)
		}
	}
	s, err := js.Stream(ctx, n.Stream)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range s.ConsumerNames(ctx).Name() {
		names = append(names, name)
	}
	slices.Sort(names)
	if want := append([]string{barrier(n)}, stay...); !slices.Equal(names, want) {
		t.Errorf("durables %q, want %q", names, want)
	}
	if c, err := s.Consumer(ctx, barrier(n)); err != nil || c.CachedInfo().NumPending != 0 {
		t.Errorf("the barrier: %v", err)
	}
}

// fencesLeft are the fences that are there.
func (l *Leases) fencesLeft(ctx context.Context, bucket string) (left []string, err error) {
	keys, err := fenceKeys(ctx, l.js, bucket)
	for _, key := range keys {
		if e, err := readEntry(ctx, l.js, bucket, key); err == nil {
			left = append(left, e.Key)
		}
	}
	return left, err
}

// The bucket is read through one consumer, however many keys are watched, and who
// comes later hears what stands there.
func TestLeasesAreWatchedTogether(t *testing.T) {
	t.Parallel()
	b := lab.StartBus(t)
	js := b.JetStream()
	n := ensure(t, js, Options{})
	ctx := testContext(t)
	leases := NewLeases(js, n, nil, nil)
	var mu sync.Mutex
	seen := map[string]string{}
	follow := func(l *Lease) {
		watch(t, func(ctx context.Context) error {
			return l.Watch(ctx, func(v []byte, _ uint64) { mu.Lock(); seen[l.key] = string(v); mu.Unlock() })
		})
	}
	has := func(key, v string) func() bool {
		return func() bool { mu.Lock(); defer mu.Unlock(); got, ok := seen[key]; return ok && got == v }
	}
	rev, err := leases.Shard(two.Shard(0)).Put(ctx, []byte("a"), 0, "1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := leases.Layout().Put(ctx, []byte("l"), 0, "2"); err != nil {
		t.Fatal(err)
	}
	follow(leases.Shard(two.Shard(0)))
	lab.Eventually(t, "the first", has("leader.1.0", "a"))
	follow(leases.Layout())
	lab.Eventually(t, "who comes later", has("layout", "l"))
	for k := range 8 {
		follow(leases.Shard(protocol.Shard{Layout: 3, Number: k}))
	}
	if err := leases.Beat(ctx, "host/1/A", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, "a heartbeat", func() bool {
		got, err := leases.Beats(ctx)
		return err == nil && len(got) == 1 && got[0].Holder == "host/1/A" && string(got[0].Value) == "{}"
	})
	s, err := js.Stream(ctx, bucketStream(n.Lease))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.CachedInfo().State.Consumers; got != 1 {
		t.Errorf("%d consumers", got)
	}
	if m, err := s.GetLastMsgForSubject(ctx, bucketSubject(n.Lease, "replica.host=2f1=2fA")); err != nil || m.Header.Get(jetstream.MsgTTLHeader) == "" {
		t.Errorf("it does not go by itself: %v", err)
	}
	if _, err := leases.Shard(two.Shard(0)).Put(ctx, []byte("b"), rev, "3"); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, "a change", has("leader.1.0", "b"))

	from, err := NewLeases(js, n, nil, nil).Beats(ctx) // without a watch: from the bus
	if err != nil || len(from) != 1 {
		t.Errorf("heartbeats: %v, %v", from, err)
	}
	if err := leases.EndBeat(ctx, "host/1/A"); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, "its end", func() bool { got, err := leases.Beats(ctx); return err == nil && len(got) == 0 })

	if err := js.DeleteStream(ctx, bucketStream(n.Lease)); err != nil {
		t.Fatal(err)
	}
	made := NewLeases(js, n, NewMaker(js, Options{}), nil)
	if _, err := made.Layout().Put(ctx, []byte("new"), 0, "4"); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, "of a bucket that was made again", has("layout", "new"))
}

// As many shards as the stream has room for while both layouts have a durable.
func TestShardsFit(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	ctx := testContext(t)
	for _, tt := range []struct {
		name   string
		c      jetstream.StreamConfig
		shards int
		want   bool
	}{
		{"no bound", jetstream.StreamConfig{}, 64, true},
		{"room", jetstream.StreamConfig{MaxConsumers: 6}, 4, true},
		{"no room", jetstream.StreamConfig{MaxConsumers: 6}, 5, false},
		{"back to one", jetstream.StreamConfig{MaxConsumers: 3}, 1, true},
		{"back to one, no room", jetstream.StreamConfig{MaxConsumers: 2}, 1, false},
		{"a work queue", jetstream.StreamConfig{Retention: jetstream.WorkQueuePolicy}, 2, false},
	} {
		tt.c.Name, tt.c.Subjects = "ORDERS", []string{"orders.>"}
		if _, err := js.CreateStream(ctx, tt.c); err != nil {
			t.Fatal(err)
		}
		if _, err := js.CreateConsumer(ctx, "ORDERS", jetstream.ConsumerConfig{Durable: "orderbridge-3-1"}); err != nil {
			t.Fatal(err)
		}
		layout := only
		if tt.shards == 1 {
			layout = protocol.Layout{Generation: 1, Shards: 2, Former: 1, Done: true}
		}
		err := NewLeases(js, Options{}.Names(), nil, nil).Fits(ctx, layout, tt.shards)
		if (err == nil) != tt.want {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err := js.DeleteStream(ctx, "ORDERS"); err != nil {
			t.Fatal(err)
		}
	}
}
