package subscribers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
)

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), lab.Patience)
	t.Cleanup(cancel)
	return ctx
}

func makeStream(t testing.TB, js jetstream.JetStream) jetstream.Stream {
	t.Helper()
	s, err := js.CreateStream(testContext(t), jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders", "orders.>"}, AllowDirect: true})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func publish(t testing.TB, js jetstream.JetStream, subject, data string) uint64 {
	t.Helper()
	ack, err := js.Publish(testContext(t), subject, []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return ack.Sequence
}

// publishMany publishes bodies "<from>".."<to>" without waiting for each.
func publishMany(t testing.TB, js jetstream.JetStream, from, to, size int) {
	t.Helper()
	for i := from; i <= to; i++ {
		body := fmt.Sprint(i)
		if len(body) < size {
			body += strings.Repeat(" ", size-len(body))
		}
		if _, err := js.PublishAsync("orders.acme", []byte(body), jetstream.WithStallWait(lab.Patience)); err != nil {
			t.Fatal(err)
		}
		if i%2000 == 0 || i == to {
			select {
			case <-js.PublishAsyncComplete():
			case <-time.After(lab.Patience):
				t.Fatal("publishing takes too long")
			}
		}
	}
}

func TestWidest(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, want string }{
		{"", ""},
		{"a.b", "a.b"},
		{"a.b a.b", "a.b"},
		{"a.* a.b", "a.*"},
		{"a.b a.*", "a.*"},
		{"a.*.c a.b.*", "a.*.c a.b.*"},
		{"a.> a a.b.c a.*.*", "a.> a"},
		{"a.b > c", ""},
		{"a.* a.>", "a.>"},
		{"*.b a.>", "*.b a.>"},
	}
	for _, tt := range tests {
		if got := strings.Join(widest(strings.Fields(tt.in)), " "); got != tt.want {
			t.Errorf("widest(%s) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestSourceGet(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	stream := makeStream(t, js)
	ctx := testContext(t)
	seq := publish(t, js, "orders.acme", "body")
	s := NewSource(SourceOptions{JetStream: js, Stream: "ORDERS"})
	m, err := s.Get(ctx, seq)
	if err != nil || string(m.Data) != "body" || m.Subject != "orders.acme" || m.Time.IsZero() || m.Seq != seq {
		t.Errorf("%+v, %v", m, err)
	}
	if err := stream.DeleteMsg(ctx, seq); err != nil {
		t.Fatal(err)
	}
	for _, seq := range []uint64{seq, 999} {
		if _, err := s.Get(ctx, seq); !errors.Is(err, protocol.ErrNotFound) {
			t.Errorf("sequence %d: %v", seq, err)
		}
	}
	if _, err := NewSource(SourceOptions{JetStream: js, Stream: "NONE"}).Get(ctx, 1); err == nil || errors.Is(err, protocol.ErrNotFound) {
		t.Errorf("without a stream: %v", err)
	}
}

// readAll reads until through reaches last.
func readAll(t *testing.T, s *Source, key string, from, last uint64, filters []string, max, maxBytes int) []uint64 {
	t.Helper()
	var got []uint64
	for range 10000 {
		msgs, reading, err := s.Read(testContext(t), key, from, filters, max, maxBytes)
		through := reading.Through
		if err != nil {
			t.Fatal(err)
		}
		if len(msgs) > max {
			t.Fatalf("%d messages, at most %d", len(msgs), max)
		}
		for _, m := range msgs {
			if m.Seq < from || m.Seq > through {
				t.Fatalf("message %d outside of [%d, %d]", m.Seq, from, through)
			}
			got = append(got, m.Seq)
		}
		if through >= last {
			return got
		}
		if through+1 == from && len(msgs) == 0 {
			t.Fatalf("nothing new at %d of %d", from, last)
		}
		from = through + 1
	}
	t.Fatal("does not end")
	return nil
}

func TestSourceRead(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	stream := makeStream(t, js)
	ctx := testContext(t)
	s := NewSource(SourceOptions{JetStream: js, Stream: "ORDERS"})
	if msgs, through, err := s.Read(ctx, "k", 1, nil, 10, 1<<20); len(msgs) != 0 || through.Through != 0 || err != nil {
		t.Fatalf("empty stream: %v, %d, %v", msgs, through.Through, err)
	}
	var all, a []uint64
	for i := range 300 {
		subject := "orders.b"
		if i%10 == 3 {
			subject = "orders.a"
		}
		seq := publish(t, js, subject, strings.Repeat("x", 100))
		if i%50 == 7 {
			if err := stream.DeleteMsg(ctx, seq); err != nil {
				t.Fatal(err)
			}
			continue
		}
		all = append(all, seq)
		if subject == "orders.a" {
			a = append(a, seq)
		}
	}
	if got := readAll(t, s, "all", 1, 300, nil, 7, 1<<20); !slices.Equal(got, all) {
		t.Errorf("all: %v", got)
	}
	if got := readAll(t, s, "a", 1, 300, []string{"orders.a", "orders.a", "other.>"}, 7, 1<<20); !slices.Equal(got, a) {
		t.Errorf("a: %v", got)
	}
	if got := readAll(t, s, "bytes", 1, 300, nil, 100, 350); !slices.Equal(got, all) {
		t.Errorf("by bytes: %v", got)
	}
	if got := readAll(t, s, "one", 1, 300, nil, 100, 10); !slices.Equal(got, all) {
		t.Errorf("at least one: %v", got)
	}
	if _, through, err := s.Read(ctx, "a", 301, []string{"orders.a"}, 7, 1<<20); through.Through != 300 || err != nil {
		t.Errorf("at the end: %d, %v", through.Through, err)
	}
	next := publish(t, js, "orders.b", "")
	if msgs, through, err := s.Read(ctx, "a", 301, []string{"orders.a"}, 7, 1<<20); through.Through != next || len(msgs) != 0 || err != nil {
		t.Errorf("what does not match is read past: %v, %d, %v", msgs, through.Through, err)
	}
	// A consumer that has gone in between, and a jump back.
	if got := readAll(t, s, "back", 200, 301, nil, 1000, 1<<20); got[0] != 200 {
		t.Errorf("from 200: %v", got[0])
	}
	if got := readAll(t, s, "back", 100, 301, nil, 7, 1<<20); got[0] != 100 {
		t.Errorf("from 100: %v", got[0])
	}
	s.Read(ctx, "gone", 1, nil, 5, 1<<20)
	for name := range stream.ConsumerNames(ctx).Name() {
		if err := stream.DeleteConsumer(ctx, name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			t.Fatal(err)
		}
	}
	lab.Eventually(t, "a new consumer", func() bool {
		msgs, _, err := s.Read(ctx, "gone", 6, nil, 5, 1<<20)
		return err == nil && len(msgs) == 5 && msgs[0].Seq == 6
	})
	for _, k := range []string{"all", "a", "bytes", "one", "back", "gone", "k"} {
		s.Forget(k)
	}
	lab.Eventually(t, "no consumers left", func() bool {
		info, err := stream.Info(ctx)
		return err == nil && info.State.Consumers == 0
	})
}

func TestSourceReadManyKeys(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	stream := makeStream(t, js)
	publishMany(t, js, 1, 100, 0)
	s := NewSource(SourceOptions{JetStream: js, Stream: "ORDERS"})
	for i := range 2 * limits.ReaderConsumers {
		if msgs, _, err := s.Read(testContext(t), fmt.Sprint(i), 50, nil, 5, 1<<20); err != nil || len(msgs) != 5 || msgs[0].Seq != 50 {
			t.Fatalf("reader %d: %v, %v", i, msgs, err)
		}
	}
	lab.Eventually(t, "consumers are given back", func() bool {
		info, err := stream.Info(testContext(t))
		return err == nil && info.State.Consumers <= limits.ReaderConsumers
	})
}

func TestSourceSequenceAt(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	stream := makeStream(t, js)
	ctx := testContext(t)
	s := NewSource(SourceOptions{JetStream: js, Stream: "ORDERS"})
	if seq, last, err := s.SequenceAt(ctx, time.Now()); seq != 1 || last.Seq != 0 || err != nil {
		t.Fatalf("empty stream: %d, %d, %v", seq, last, err)
	}
	const n = 300
	for range n {
		publish(t, js, "orders", "x")
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		_ = stream.DeleteMsg(ctx, 1+rnd.Uint64N(n-1))
	}
	var times []sample
	for seq := range uint64(n) {
		if m, err := s.Get(ctx, seq+1); err == nil {
			times = append(times, sample{m.Seq, m.Time})
		}
	}
	want := func(t time.Time) uint64 {
		for _, m := range times {
			if !m.time.Before(t) {
				return m.seq
			}
		}
		return n + 1
	}
	for range 500 {
		m := times[rnd.IntN(len(times))]
		at := m.time.Add(time.Duration(rnd.IntN(3)-1) * time.Nanosecond)
		seq, last, err := s.SequenceAt(ctx, at)
		if err != nil || last.Seq != n || seq != want(at) {
			t.Fatalf("at %s: %d, %d, %v; want %d", at, seq, last, err, want(at))
		}
	}
	if seq, _, err := s.SequenceAt(ctx, time.Now().Add(time.Hour)); seq != n+1 || err != nil {
		t.Errorf("in the future: %d, %v", seq, err)
	}
	if seq, _, err := s.SequenceAt(ctx, time.Time{}); seq != times[0].seq || err != nil {
		t.Errorf("long ago: %d, %v", seq, err)
	}
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			if seq, last, err := s.SequenceAt(ctx, times[10].time); seq != times[10].seq || last.Seq != n || err != nil {
				t.Error(seq, last, err)
			}
		})
	}
	wg.Wait()
}

func BenchmarkSequenceAt(b *testing.B) {
	js := lab.StartBus(b).JetStream()
	makeStream(b, js)
	publishMany(b, js, 1, 20000, 100)
	s := NewSource(SourceOptions{JetStream: js, Stream: "ORDERS"})
	now := time.Now().Add(-50 * time.Millisecond)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, _, err := s.SequenceAt(context.Background(), now.Add(-time.Duration(rand.IntN(100))*time.Millisecond)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func TestRecent(t *testing.T) {
	t.Parallel()
	var r Recent
	msg := func(seq uint64, subject string) *event.Message {
		return &event.Message{Seq: seq, Subject: subject, Data: make([]byte, 100)}
	}
	if _, _, ok := r.read(1, nil, 1, 1); ok {
		t.Error("an empty ring answers")
	}
	r.add(4, msg(6, "a")) // 5 is a hole
	r.add(6, msg(7, "b"))
	r.add(7, msg(8, "a"))
	if msgs, through, ok := r.read(5, []string{"a"}, 10, 1<<20); !ok || len(msgs) != 2 || through != 8 {
		t.Errorf("%v, %d, %v", msgs, through, ok)
	}
	if msgs, through, ok := r.read(6, nil, 2, 1<<20); !ok || len(msgs) != 2 || through != 7 {
		t.Errorf("%v, %d, %v", msgs, through, ok)
	}
	if _, _, ok := r.read(4, nil, 10, 1<<20); ok {
		t.Error("answers for what it does not hold")
	}
	if _, _, ok := r.read(9, nil, 10, 1<<20); ok {
		t.Error("answers for what is not there yet")
	}
	prev := uint64(8)
	for seq := uint64(9); seq < 20000; seq++ {
		r.add(prev, msg(seq, "a"))
		prev = seq
	}
	if n := len(r.ring) - r.head; n > limits.RecentEvents || len(r.ring) > 3*limits.RecentEvents {
		t.Errorf("%d events are kept", n)
	}
	if r.get(19999) == nil || r.get(19999-limits.RecentEvents+1) == nil || r.get(19999-limits.RecentEvents) != nil {
		t.Error("not the newest are kept")
	}
	r.add(20005, msg(20010, "a")) // a step that the ring has not seen
	if _, _, ok := r.read(20000, nil, 10, 1<<20); ok {
		t.Error("answers over a gap")
	}
	if _, _, ok := r.read(20006, nil, 10, 1<<20); !ok {
		t.Error("does not go on after a gap")
	}
}

// In a cluster, the node that is asked may hear of a new consumer after it was made.
func TestSourceReadsWithAConsumerNotHeardOf(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	stream := makeStream(t, js)
	publishMany(t, js, 1, 10, 0)
	s := NewSource(SourceOptions{JetStream: js, Stream: "ORDERS"})
	asked, err := js.Conn().SubscribeSync(msgget.APIPrefix(js) + "CONSUMER.MSG.NEXT.ORDERS.late")
	if err != nil {
		t.Fatal(err)
	}
	if err := asked.AutoUnsubscribe(1); err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() {
		ctx := testContext(t)
		m, err := asked.NextMsgWithContext(ctx)
		if err == nil { // as a node answers that knows of no such consumer
			err = m.RespondMsg(&nats.Msg{Header: nats.Header{"Status": {"503"}}})
		}
		if err == nil {
			_, err = stream.CreateConsumer(ctx, jetstream.ConsumerConfig{Name: "late", AckPolicy: jetstream.AckNonePolicy})
		}
		answered <- err
	}()
	msgs, err := s.firstPull(testContext(t), &reader{name: "late"}, 1, 10, 1<<20)
	if err != nil || len(msgs) != 10 {
		t.Errorf("%d messages, %v", len(msgs), err)
	}
	if err := <-answered; err != nil {
		t.Error(err)
	}
}
