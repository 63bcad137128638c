package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// only is the layout of a bridge without shards.
var only = protocol.Layout{Shards: 1}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), lab.Patience)
	t.Cleanup(cancel)
	return ctx
}

// short is the time of one try of what is tried until it works: a request whose
// answer went with its server is not answered any more.
func short(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func ensure(t *testing.T, js jetstream.JetStream, o Options) Names {
	t.Helper()
	if o.Subjects == nil {
		o.Subjects = []string{"orders", "orders.>"}
	}
	var n Names
	var found []Finding
	var err error
	// A node of a cluster that stalls is offline to the others for a moment.
	_ = lab.Until(testContext(t), "the nodes are there", func() bool {
		n, found, err = Ensure(testContext(t), js, o)
		return errorCode(err) != codeNoPeers
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if f.Severity != Note {
			t.Fatal(f)
		}
	}
	return n
}

func TestEnsureIsStable(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	n := ensure(t, js, Options{Prefix: "acme."})
	if n.Owed != "acme_owed" || n.DeadLetterSubject != "acme.dead-letters" {
		t.Errorf("names: %+v", n)
	}
	_, found, err := Ensure(testContext(t), js, Options{Prefix: "acme.", Subjects: []string{"orders"}})
	if err != nil || len(found) != 0 {
		t.Errorf("second time: %v, %v; want nothing", found, err)
	}
	// The buckets are buckets for everybody else too.
	kv, err := js.KeyValue(testContext(t), n.Subscriptions)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := kv.Status(testContext(t)); err != nil || s.History() != 64 {
		t.Errorf("history: %v, %v", s, err)
	}
}

func TestEnsureFindings(t *testing.T) {
	t.Parallel()
	opts := Options{Subjects: []string{"orders", "orders.>"}}
	tests := []struct {
		name     string
		stream   jetstream.StreamConfig
		severity Severity
		text     string
	}{
		{"subjects held", jetstream.StreamConfig{Name: "SHOP", Subjects: []string{"orders.>"}}, Error, "ORDERBRIDGE_STREAM=SHOP"},
		{"work queue", jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}, Retention: jetstream.WorkQueuePolicy}, Error, "--source ORDERS"},
		{"interest", jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}, Retention: jetstream.InterestPolicy}, Error, "--source ORDERS"},
		{"short", jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}, MaxAge: time.Hour}, Warning, "1h0m0s"},
		{"per subject", jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}, MaxMsgsPerSubject: 3}, Warning, "--max-msgs-per-subject=-1"},
		{"discard new", jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}, MaxBytes: 1 << 20, Discard: jetstream.DiscardNew}, Warning, "--discard old"},
		{"memory", jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}, Storage: jetstream.MemoryStorage}, Warning, "memory"},
		{"short history", jetstream.StreamConfig{Name: "KV_subscriptions", Subjects: []string{"$KV.subscriptions.>"}, MaxMsgsPerSubject: 5}, Warning, "--max-msgs-per-subject=64"},
		{"owed discards old", jetstream.StreamConfig{Name: "KV_owed", Subjects: []string{"$KV.owed.>"}, MaxMsgsPerSubject: 1, AllowMsgTTL: true}, Error, "--discard new"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			js := lab.StartBus(t).JetStream()
			if _, err := js.CreateStream(testContext(t), tt.stream); err != nil {
				t.Fatal(err)
			}
			_, found, err := Ensure(testContext(t), js, opts)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range found {
				if f.Severity == tt.severity && strings.Contains(f.Text, tt.text) {
					return
				}
			}
			t.Errorf("no %s with %q in %v", tt.severity, tt.text, found)
		})
	}
}

func newLedger(t *testing.T, js jetstream.JetStream, n Names, epoch uint64) *Ledger {
	t.Helper()
	l := NewLedger(js, n, only, 0, nil)
	if err := fenceBoth(testContext(t), l, epoch); err != nil {
		t.Fatal(err)
	}
	return l
}

func fenceBoth(ctx context.Context, l *Ledger, epoch uint64) error {
	for _, b := range []protocol.Bucket{protocol.BucketStatus, protocol.BucketOwed} {
		if _, err := l.Fence(ctx, b, epoch, fmt.Sprintf("term%d", epoch)); err != nil {
			return err
		}
	}
	return nil
}

func load(t *testing.T, l *Ledger, b protocol.Bucket) map[string]string {
	t.Helper()
	got := map[string]string{}
	if err := l.Load(testContext(t), b, func(k string, v []byte) error { got[k] = string(v); return nil }); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestLedgerWriteAndLoad(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	n := ensure(t, js, Options{})
	ctx := testContext(t)
	l := newLedger(t, js, n, 1)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			if err := l.Write(ctx, protocol.Write{Bucket: protocol.BucketOwed, Key: fmt.Sprintf("s%d.lane", i), Value: []byte("v"), ID: fmt.Sprintf("1:%d", i)}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	w := protocol.Write{Bucket: protocol.BucketOwed, Key: "s7.lane", ID: "1:900"}
	for range 2 { // a repeat is confirmed as well
		if err := l.Write(ctx, w); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Write(ctx, protocol.Write{Bucket: protocol.BucketOwed, Key: "fence.0", Value: []byte("a subscription called fence"), ID: "1:901"}); err != nil {
		t.Fatal(err)
	}
	got := load(t, newLedger(t, js, n, 2), protocol.BucketOwed)
	if len(got) != 200 || got["s8.lane"] != "v" || got["fence.0"] == "" {
		t.Errorf("%d entries, want 200", len(got))
	}
	if _, ok := got["s7.lane"]; ok {
		t.Error("removed entry is still there")
	}
	if got := load(t, l, protocol.BucketStatus); len(got) != 0 {
		t.Errorf("status: %v", got)
	}
	if err := l.Write(ctx, protocol.Write{Bucket: protocol.BucketOwed, Key: "s8.lane", ID: "1:902"}); !errors.Is(err, protocol.ErrDeposed) {
		t.Errorf("removal by a deposed writer: %v", err)
	}
	if err := fenceBoth(ctx, l, 1); !errors.Is(err, protocol.ErrDeposed) {
		t.Errorf("an older epoch fences: %v", err)
	}
	if got := load(t, newLedger(t, js, n, 3), protocol.BucketOwed); got["s8.lane"] != "v" {
		t.Error("the deposed writer removed an entry")
	}
}

func TestLedgerNeedsFence(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	l := NewLedger(js, ensure(t, js, Options{}), only, 0, nil)
	if err := l.Write(testContext(t), protocol.Write{Bucket: protocol.BucketOwed, Key: "s", Value: []byte("v"), ID: "1:1"}); err == nil {
		t.Error("written without a fence")
	}
	if err := l.Load(testContext(t), protocol.BucketOwed, nil); err == nil {
		t.Error("loaded without a fence")
	}
}

// Two epochs fence at the same time: the older one never comes out above.
func TestLedgerFenceRace(t *testing.T) {
	t.Parallel()
	b := lab.StartBus(t)
	n := ensure(t, b.JetStream(), Options{})
	for round := range uint64(10) {
		older, newer := NewLedger(b.JetStream(), n, only, 0, nil), NewLedger(b.JetStream(), n, only, 0, nil)
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := fenceBoth(testContext(t), older, 2*round+1); err != nil && !errors.Is(err, protocol.ErrDeposed) {
				t.Error(err)
			}
		})
		if err := fenceBoth(testContext(t), newer, 2*round+2); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		for i := range 100 {
			w := protocol.Write{Bucket: protocol.BucketOwed, Key: fmt.Sprintf("k%d", i), Value: []byte("v"), ID: fmt.Sprintf("%d:%d", round, i)}
			if err := newer.Write(testContext(t), w); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
	}
}

func TestLedgerFull(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	n := ensure(t, js, Options{OwedBytes: 256 << 10})
	ctx := testContext(t)
	l := newLedger(t, js, n, 1)
	id := 0
	write := func(key string, value []byte) error {
		id++
		return l.Write(ctx, protocol.Write{Bucket: protocol.BucketOwed, Key: key, Value: value, ID: fmt.Sprintf("1:%d", id)})
	}
	kilo := bytes.Repeat([]byte("x"), 1024)
	lanes := 0
	for ; ; lanes++ {
		err := write(fmt.Sprintf("s.lane%d", lanes), kilo)
		if errors.Is(err, protocol.ErrRefused) {
			break
		}
		if err != nil || lanes > 300 {
			t.Fatalf("lane %d: %v", lanes, err)
		}
	}
	if err := write("s.lane0", kilo); err != nil {
		t.Errorf("an entry that is there: %v", err)
	}
	if err := write("s", kilo); err != nil {
		t.Errorf("a mark: %v", err)
	}
	var err error
	for i := 0; err == nil && i < 100; i++ {
		err = write(fmt.Sprintf("mark%d", i), kilo)
	}
	if !errors.Is(err, protocol.ErrRefused) {
		t.Errorf("a mark beyond the bucket: %v", err)
	}
	if err := write("s.huge", make([]byte, 1<<20)); !errors.Is(err, protocol.ErrRefused) {
		t.Errorf("a value beyond the payload limit: %v", err)
	}
	if got := load(t, l, protocol.BucketOwed); len(got) < lanes {
		t.Errorf("%d entries, wrote %d", len(got), lanes)
	}
}

func TestLedgerWriteOverRestart(t *testing.T) {
	t.Parallel()
	b := lab.ListenBus(t)
	js := lab.JetStream(t, lab.Dial(t, b.URL()))
	n := ensure(t, js, Options{})
	l := newLedger(t, js, n, 1)
	b.Restart()
	w := protocol.Write{Bucket: protocol.BucketOwed, Key: "s.lane", Value: []byte("v"), ID: "1:1"}
	lab.Eventually(t, "write after a restart", func() bool {
		err := l.Write(short(t), w)
		if errors.Is(err, protocol.ErrDeposed) || errors.Is(err, protocol.ErrRefused) {
			t.Fatal(err)
		}
		return err == nil
	})
	if got := load(t, l, protocol.BucketOwed); !maps.Equal(got, map[string]string{"s.lane": "v"}) {
		t.Errorf("loaded %v", got)
	}
}

func TestLease(t *testing.T) {
	t.Parallel()
	b := lab.StartBus(t)
	js := b.JetStream()
	n := ensure(t, js, Options{})
	ctx := testContext(t)
	mine, other := NewLeases(js, n, nil, nil).Shard(protocol.Shard{}), NewLeases(b.JetStream(), n, nil, nil).Shard(protocol.Shard{})
	if v, rev, err := mine.Get(ctx); v != nil || rev != 0 || err != nil {
		t.Fatalf("absent: %q, %d, %v", v, rev, err)
	}
	rev1, err := mine.Put(ctx, []byte("a"), 0, "a:1")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := mine.Put(ctx, []byte("a"), 0, "a:1"); err != nil || again != rev1 {
		t.Errorf("repeat: %d, %v; want %d", again, err, rev1)
	}
	if _, err := other.Put(ctx, []byte("b"), 0, "b:1"); !errors.Is(err, protocol.ErrDeposed) {
		t.Errorf("absent expected, present: %v", err)
	}
	rev2, err := other.Put(ctx, []byte("b"), rev1, "b:2")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mine.Put(ctx, []byte("a"), rev1, "a:2"); !errors.Is(err, protocol.ErrDeposed) {
		t.Errorf("old revision: %v", err)
	}
	if v, rev, err := mine.Get(ctx); string(v) != "b" || rev != rev2 || err != nil {
		t.Errorf("get: %q, %d, %v", v, rev, err)
	}
	kv, err := js.KeyValue(ctx, n.Lease)
	if err != nil {
		t.Fatal(err)
	}
	if err := kv.Delete(ctx, leaseKey); err != nil {
		t.Fatal(err)
	}
	v, rev, err := mine.Get(ctx)
	if v != nil || rev <= rev2 || err != nil {
		t.Fatalf("deleted: %q, %d, %v", v, rev, err)
	}
	if _, err := mine.Put(ctx, []byte("a"), rev, "a:3"); err != nil {
		t.Errorf("after a deletion: %v", err)
	}
}

// Of many contenders for each revision exactly one wins.
func TestLeaseContention(t *testing.T) {
	t.Parallel()
	b := lab.StartBus(t)
	n := ensure(t, b.JetStream(), Options{})
	rev := uint64(0)
	for round := range 20 {
		var mu sync.Mutex
		var wg sync.WaitGroup
		won := []uint64{}
		for c := range 8 {
			l := NewLeases(b.JetStream(), n, nil, nil).Shard(protocol.Shard{})
			wg.Go(func() {
				r, err := l.Put(testContext(t), []byte("x"), rev, fmt.Sprintf("%d:%d", round, c))
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won = append(won, r)
				} else if !errors.Is(err, protocol.ErrDeposed) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(won) != 1 {
			t.Fatalf("round %d: %d winners", round, len(won))
		}
		rev = won[0]
	}
}

func TestLeaseWatchOverRestart(t *testing.T) {
	t.Parallel()
	b := lab.ListenBus(t)
	js := lab.JetStream(t, lab.Dial(t, b.URL()))
	n := ensure(t, js, Options{})
	l := NewLeases(js, n, nil, nil).Shard(protocol.Shard{})
	rev, err := l.Put(testContext(t), []byte("a"), 0, "1")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	seen := map[uint64]string{}
	watch(t, func(ctx context.Context) error {
		return l.Watch(ctx, func(v []byte, rev uint64) { mu.Lock(); seen[rev] = string(v); mu.Unlock() })
	})
	has := func(rev uint64, v string) func() bool {
		return func() bool { mu.Lock(); defer mu.Unlock(); return seen[rev] == v }
	}
	lab.Eventually(t, "present entry", has(rev, "a"))
	b.Restart()
	var rev2 uint64
	lab.Eventually(t, "put", func() bool { rev2, err = l.Put(short(t), []byte("b"), rev, "2"); return err == nil })
	began := time.Now()
	lab.Eventually(t, "next entry", has(rev2, "b"))
	lab.Promise(t, "until it is in step after a restart", time.Since(began), time.Second)
}

func watch(t *testing.T, run func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("watch ended with %v", err)
			}
		case <-time.After(lab.Patience):
			t.Error("watch does not end")
		}
	})
}

// seenRecords is what a watcher has been told.
type seenRecords struct {
	mu      sync.Mutex
	revs    []protocol.Revision
	caught  int
	missing []bool
}

func watchRecords(t *testing.T, js jetstream.JetStream, bucket string) *seenRecords {
	s := &seenRecords{}
	watch(t, func(ctx context.Context) error {
		return NewRecords(js, bucket, nil).Watch(ctx,
			func(r protocol.Revision) { s.mu.Lock(); s.revs = append(s.revs, r); s.mu.Unlock() },
			func() { s.mu.Lock(); s.caught++; s.mu.Unlock() },
			func(m bool) { s.mu.Lock(); s.missing = append(s.missing, m); s.mu.Unlock() })
	})
	return s
}

func (s *seenRecords) has(key, value string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.revs {
		if r.Key == key && string(r.Value) == value {
			return true
		}
	}
	return false
}

func TestRecordsWatch(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	n := ensure(t, js, Options{})
	ctx := testContext(t)
	kv, err := js.KeyValue(ctx, n.Subscriptions)
	if err != nil {
		t.Fatal(err)
	}
	must := func(_ uint64, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(kv.Put(ctx, "a", []byte("1")))
	must(kv.Put(ctx, "a", []byte("2")))
	must(0, kv.Delete(ctx, "a"))
	must(kv.Put(ctx, "b", nil))
	must(0, kv.Purge(ctx, "c"))
	if _, err := js.Publish(ctx, "$KV."+n.Subscriptions+".odd:key", []byte("x")); err != nil {
		t.Fatal(err)
	}
	m := nats.NewMsg("$KV." + n.Subscriptions + ".expired")
	m.Header.Set("Nats-Marker-Reason", "MaxAge")
	if _, err := js.PublishMsg(ctx, m); err != nil {
		t.Fatal(err)
	}
	s := watchRecords(t, js, n.Subscriptions)
	lab.Eventually(t, "caught up", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.caught == 1 })
	s.mu.Lock()
	got := make([]string, 0, len(s.revs))
	for _, r := range s.revs {
		got = append(got, fmt.Sprintf("%d %s=%s %v %v", r.Revision, r.Key, r.Value, r.Deleted, r.Purged))
	}
	s.mu.Unlock()
	want := "1 a=1 false false|2 a=2 false false|3 a= true false|4 b= false false|5 c= true true|6 odd:key=x false false"
	if strings.Join(got, "|") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "|"), want)
	}
	must(kv.Put(ctx, "a", []byte("3")))
	lab.Eventually(t, "a change", func() bool { return s.has("a", "3") })

	r := NewRecords(js, n.Subscriptions, nil)
	if rev, err := r.Latest(ctx, "a"); err != nil || string(rev.Value) != "3" || rev.Bucket == 0 {
		t.Errorf("latest: %+v, %v", rev, err)
	}
	if rev, err := r.Latest(ctx, "c"); err != nil || !rev.Purged {
		t.Errorf("latest of a purged one: %+v, %v", rev, err)
	}
	if _, err := r.Latest(ctx, "none"); !errors.Is(err, protocol.ErrNotFound) {
		t.Errorf("latest of an absent one: %v", err)
	}
	if err := js.DeleteKeyValue(ctx, n.Subscriptions); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Latest(ctx, "a"); err == nil || errors.Is(err, protocol.ErrNotFound) {
		t.Errorf("latest without a bucket: %v", err)
	}
}

func TestRecordsEmptyBucket(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	n := ensure(t, js, Options{})
	s := watchRecords(t, js, n.Subscriptions)
	lab.Eventually(t, "caught up", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.caught == 1 })
}

func TestRecordsOverRestart(t *testing.T) {
	t.Parallel()
	b := lab.ListenBus(t)
	js := lab.JetStream(t, lab.Dial(t, b.URL()))
	n := ensure(t, js, Options{})
	kv, err := js.KeyValue(testContext(t), n.Subscriptions)
	if err != nil {
		t.Fatal(err)
	}
	s := watchRecords(t, js, n.Subscriptions)
	for i := range 3 {
		value := fmt.Sprint(i)
		lab.Eventually(t, "put", func() bool { _, err := kv.Put(short(t), "a", []byte(value)); return err == nil })
		began := time.Now()
		lab.Eventually(t, "seen", func() bool { return s.has("a", value) })
		lab.Promise(t, "until it is in step after a restart", time.Since(began), time.Second)
		b.Restart()
	}
}

func TestRecordsBucketMadeAnew(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	n := ensure(t, js, Options{})
	ctx := testContext(t)
	kv, err := js.KeyValue(ctx, n.Subscriptions)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if _, err := kv.Put(ctx, fmt.Sprint("old", i), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	s := watchRecords(t, js, n.Subscriptions)
	lab.Eventually(t, "old records", func() bool { return s.has("old9", "x") })
	if err := js.DeleteKeyValue(ctx, n.Subscriptions); err != nil {
		t.Fatal(err)
	}
	// At once, so that the new one may be there before the old one is missed.
	ensure(t, js, Options{})
	if kv, err = js.KeyValue(ctx, n.Subscriptions); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if _, err := kv.Put(ctx, fmt.Sprint("new", i), []byte("y")); err != nil {
			t.Fatal(err)
		}
	}
	lab.Eventually(t, "all new records", func() bool {
		for i := range 10 {
			if !s.has(fmt.Sprint("new", i), "y") {
				return false
			}
		}
		return true
	})
	if err := js.DeleteKeyValue(ctx, n.Subscriptions); err != nil {
		t.Fatal(err)
	}
	last := func(want bool) func() bool {
		return func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(s.missing) > 0 && s.missing[len(s.missing)-1] == want
		}
	}
	lab.Eventually(t, "missing", last(true))
	ensure(t, js, Options{})
	lab.Eventually(t, "there again", last(false))
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.revs[0].Bucket
	for _, r := range s.revs {
		if strings.HasPrefix(r.Key, "new") == (r.Bucket == old) {
			t.Errorf("%s is said to be of bucket %d, the old one is %d", r.Key, r.Bucket, old)
		}
	}
	if s.caught != 1 {
		t.Errorf("caught up %d times", s.caught)
	}
}

func TestEntries(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	n := ensure(t, js, Options{})
	ctx := testContext(t)
	l := newLedger(t, js, n, 1)
	if err := l.Write(ctx, protocol.Write{Bucket: protocol.BucketStatus, Key: "a", Value: []byte(`{"state":"active"}`), ID: "1:1"}); err != nil {
		t.Fatal(err)
	}
	e, err := readEntry(ctx, js, n.Status, "a")
	if err != nil || string(e.Value) != `{"state":"active"}` {
		t.Errorf("%+v, %v", e, err)
	}
	if _, err := readEntry(ctx, js, n.Status, "b"); !errors.Is(err, protocol.ErrNotFound) {
		t.Error(err)
	}
	keys := ""
	if err := listEntries(ctx, js, n.Status, func(e Entry) error { keys += e.Key; return nil }); err != nil || keys != "a" {
		t.Errorf("listed %q, %v", keys, err)
	}
}
