package subscribers

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"orderbridge/bridge/event"
	"orderbridge/internal/lab"
	"orderbridge/internal/limits"
)

// cpu is the processor time that this process has used.
func cpu(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func report(b *testing.B, since time.Duration) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64((cpu(b)-since).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

// The feed, server included, in one process; each event settled at once.
func BenchmarkFeed(b *testing.B) {
	js := lab.StartBus(b).JetStream()
	makeStream(b, js)
	f := newTestFeed(b, js, Options{})
	if err := f.Open(testContext(b), 1, event.Ref{}); err != nil {
		b.Fatal(err)
	}
	publishMany(b, js, 1, b.N, 500)
	b.ReportAllocs()
	b.ResetTimer()
	start := cpu(b)
	msgs, err := f.Subscribe(context.Background(), "")
	if err != nil {
		b.Fatal(err)
	}
	for range b.N {
		(<-msgs).Ack()
	}
	b.StopTimer()
	report(b, start)
}

// What the client library and the server need by themselves, for comparison.
func BenchmarkConsume(b *testing.B) {
	js := lab.StartBus(b).JetStream()
	s := makeStream(b, js)
	publishMany(b, js, 1, b.N, 500)
	c, err := s.CreateConsumer(testContext(b), jetstream.ConsumerConfig{
		Durable: "d", AckPolicy: jetstream.AckAllPolicy, MaxAckPending: limits.WindowEvents,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	start := cpu(b)
	done := make(chan struct{})
	n := 0
	cc, err := c.Consume(func(m jetstream.Msg) {
		if n++; n%limits.FeedAckEvents == 0 {
			_ = m.Ack()
		}
		if n == b.N {
			close(done)
		}
	}, jetstream.PullMaxBytes(limits.FeedPullBytes))
	if err != nil {
		b.Fatal(err)
	}
	defer cc.Stop()
	<-done
	b.StopTimer()
	report(b, start)
}
