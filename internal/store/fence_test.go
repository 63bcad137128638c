package store

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// What somebody does to a state bucket is seen by a write and by a look, and
// ends with the next fencing.
func TestLedgerBucketLost(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		meddle func(context.Context, jetstream.JetStream, string) error
		check  error
		write  error
	}{
		"deleted": {func(ctx context.Context, js jetstream.JetStream, stream string) error {
			return js.DeleteStream(ctx, stream)
		}, protocol.ErrLost, protocol.ErrLost},
		"purged": {func(ctx context.Context, js jetstream.JetStream, stream string) error {
			s, err := js.Stream(ctx, stream)
			if err != nil {
				return err
			}
			return s.Purge(ctx)
		}, protocol.ErrLost, protocol.ErrLost},
		"recreated": {func(ctx context.Context, js jetstream.JetStream, stream string) error {
			if err := js.DeleteStream(ctx, stream); err != nil {
				return err
			}
			_, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "owed"})
			return err
		}, protocol.ErrLost, protocol.ErrLost},
		"an entry overwritten": {func(ctx context.Context, js jetstream.JetStream, _ string) error {
			_, err := js.Publish(ctx, "$KV.owed.s.lane", []byte("x"))
			return err
		}, protocol.ErrMeddled, nil},
		"an entry removed": {func(ctx context.Context, js jetstream.JetStream, stream string) error {
			s, err := js.Stream(ctx, stream)
			if err != nil {
				return err
			}
			return s.Purge(ctx, jetstream.WithPurgeSubject("$KV.owed.s.lane"))
		}, protocol.ErrMeddled, nil},
		"nothing": {func(context.Context, jetstream.JetStream, string) error { return nil }, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			js := lab.StartBus(t).JetStream()
			n := ensure(t, js, Options{})
			ctx := testContext(t)
			l := NewLedger(js, n, only, 0, NewMaker(js, Options{}))
			const b = protocol.BucketOwed
			made, err := l.Fence(ctx, b, 3, "T")
			if err != nil || made.Sealed || !made.Unfenced || made.Created == 0 {
				t.Fatalf("first fencing: %+v, %v", made, err)
			}
			entry := protocol.Write{Bucket: b, Key: "s.lane", Value: []byte("v"), ID: "T:3:1"}
			if err := l.Write(ctx, entry); err != nil {
				t.Fatal(err)
			}
			if err := l.Seal(ctx, b); err != nil {
				t.Fatal(err)
			}
			if err := l.Check(ctx, b); err != nil {
				t.Fatalf("before: %v", err)
			}
			if err := tt.meddle(ctx, js, "KV_owed"); err != nil {
				t.Fatal(err)
			}
			if err := l.Check(ctx, b); !errors.Is(err, tt.check) {
				t.Errorf("check: %v, want %v", err, tt.check)
			}
			entry.ID = "T:3:2"
			if err := l.Write(ctx, entry); !errors.Is(err, tt.write) {
				t.Errorf("write: %v, want %v", err, tt.write)
			}
			again, err := l.Fence(ctx, b, 3, "T")
			if err != nil || again.Sealed != (tt.write == nil) || again.Unfenced != (tt.write != nil) {
				t.Fatalf("fenced again: %+v, %v", again, err)
			}
			if (name == "deleted" || name == "recreated") != (again.Created != made.Created) {
				t.Errorf("created %d, before %d", again.Created, made.Created)
			}
			if err := l.Write(ctx, entry); err != nil {
				t.Errorf("the same write again: %v", err)
			}
			if err := l.Check(ctx, b); err != nil {
				t.Errorf("after: %v", err)
			}
			if got := load(t, l, b); got["s.lane"] != "v" {
				t.Errorf("loaded %v", got)
			}
		})
	}
}

// R16: terms of the same epoch do not take each other's fences for their own,
// and the traces of all of them are found.
func TestFencesOfTwoTerms(t *testing.T) {
	t.Parallel()
	b := lab.StartBus(t)
	js := b.JetStream()
	n := ensure(t, js, Options{})
	ctx := testContext(t)
	if got, err := Traces(ctx, js, n, only, 0); err != nil || got.Any || got.Epoch != 0 {
		t.Errorf("traces on a new bus: %+v, %v", got, err)
	}
	one, two := NewLedger(js, n, only, 0, nil), NewLedger(b.JetStream(), n, only, 0, nil)
	if _, err := one.Fence(ctx, protocol.BucketOwed, 6, "one"); err != nil {
		t.Fatal(err)
	}
	if _, err := two.Fence(ctx, protocol.BucketOwed, 6, "two"); !errors.Is(err, protocol.ErrDeposed) {
		t.Errorf("the same epoch of another term: %v", err)
	}
	if got, err := Traces(ctx, js, n, only, 0); err != nil || !got.Any || got.Epoch != 6 {
		t.Errorf("traces: %+v, %v", got, err)
	}
	if _, err := js.CreateConsumer(ctx, n.Stream, jetstream.ConsumerConfig{Durable: n.DurablePrefix + "9-2"}); err != nil {
		t.Fatal(err)
	}
	if got, err := Traces(ctx, js, n, only, 0); err != nil || got.Epoch != 9 {
		t.Errorf("traces with a durable: %+v, %v", got, err)
	}
	if err := js.DeleteStream(ctx, n.Stream); err != nil {
		t.Fatal(err)
	}
	if got, err := Traces(ctx, js, n, only, 0); err != nil || got.Epoch != 6 {
		t.Errorf("traces without the stream: %+v, %v", got, err)
	}
}

// Which records are there is asked only when messages have gone.
func TestCensus(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	n := ensure(t, js, Options{})
	ctx := testContext(t)
	kv, err := js.KeyValue(ctx, n.Subscriptions)
	if err != nil {
		t.Fatal(err)
	}
	r := NewRecords(js, n.Subscriptions, nil)
	var was protocol.Census
	census := func() *protocol.Listing {
		t.Helper()
		now, l, err := r.Census(ctx, was)
		if err != nil {
			t.Fatal(err)
		}
		was = now
		return l
	}
	for range 3 {
		for _, id := range []string{"a", "b"} {
			if _, err := kv.PutString(ctx, id, "{}"); err != nil {
				t.Fatal(err)
			}
		}
		if l := census(); l != nil {
			t.Fatalf("nothing has gone: %+v", l)
		}
	}
	if err := kv.Delete(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if l := census(); l != nil {
		t.Fatalf("a deletion is a message: %+v", l)
	}
	s, err := js.Stream(ctx, "KV_"+n.Subscriptions)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(ctx, jetstream.WithPurgeSubject("$KV."+n.Subscriptions+".b")); err != nil {
		t.Fatal(err)
	}
	if l := census(); l == nil || l.Newest["a"] != 7 || l.Newest["b"] != 0 || l.Through != 7 {
		t.Errorf("b has gone: %+v", l)
	}
	if l := census(); l != nil {
		t.Errorf("told twice: %+v", l)
	}
	if err := s.Purge(ctx); err != nil {
		t.Fatal(err)
	}
	if l := census(); l == nil || len(l.Newest) != 0 {
		t.Errorf("all have gone: %+v", l)
	}
}

// A write of somebody else shows also when the leader has written since.
func TestForeignWriteBelowOwnOnes(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	n := ensure(t, js, Options{})
	ctx := testContext(t)
	l := NewLedger(js, n, only, 0, NewMaker(js, Options{}))
	const b = protocol.BucketOwed
	if _, err := l.Fence(ctx, b, 3, "T"); err != nil {
		t.Fatal(err)
	}
	write := func(i int) {
		t.Helper()
		w := protocol.Write{Bucket: b, Key: fmt.Sprintf("s.%d", i%5), Value: []byte("v"), ID: fmt.Sprintf("T:3:%d", i)}
		if err := l.Write(ctx, w); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		write(i)
	}
	if err := l.Check(ctx, b); err != nil {
		t.Fatalf("only own writes: %v", err)
	}
	if _, err := js.Publish(ctx, "$KV.owed.s.1", []byte("x")); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		write(100 + i)
	}
	if err := l.Check(ctx, b); !errors.Is(err, protocol.ErrMeddled) {
		t.Errorf("a foreign write, then own ones: %v, want %v", err, protocol.ErrMeddled)
	}
	write(200)
	if err := l.Check(ctx, b); err != nil {
		t.Errorf("it is told once: %v", err)
	}
}
