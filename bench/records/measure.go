package main

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/lab"
)

// measure is the whole of it.
func (w *testbed) measure(ctx context.Context) error {
	first, err := w.launch(ctx)
	if err != nil {
		return err
	}
	if err := first.Leads(ctx); err != nil {
		return err
	}
	second, err := w.launch(ctx)
	if err != nil {
		return err
	}
	if err := w.put(ctx); err != nil {
		return err
	}
	w.sizes("after the puts")
	if err := w.idle(ctx, first, second); err != nil {
		return err
	}
	if err := w.takeOver(ctx, "kill -9", first, second, func() error { first.End(syscall.SIGKILL, time.Minute); return nil }); err != nil {
		return err
	}
	w.sizes("after the take-over")
	third, err := w.launch(ctx)
	if err != nil {
		return err
	}
	if err := w.warm(ctx, third); err != nil {
		return err
	}
	w.sizes("beside a new stand-by")
	err = w.takeOver(ctx, "graceful stop", second, third, func() error { return second.Stop(time.Minute) })
	if err != nil {
		return err
	}
	w.sizes("after the hand-over")
	return w.restart(ctx, third)
}

// put stores the records at once and waits for the verdicts.
func (w *testbed) put(ctx context.Context) error {
	began := time.Now()
	for n := range w.records {
		value := fmt.Appendf(nil, `{"targetURL":"%s/hook/%d","subjects":["orders.customer%d.>"]}`, w.endpoint.URL, n, n)
		if _, err := w.js.PublishAsync(fmt.Sprintf("$KV.subscriptions.record-%d", n), value, jetstream.WithStallWait(time.Minute)); err != nil {
			return err
		}
	}
	select {
	case <-w.js.PublishAsyncComplete():
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	stored := time.Since(began)
	const fences = 65 // with the seal
	ended := time.Now()
	for said := uint64(0); said < uint64(w.records)+fences; {
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
		s, err := w.js.Stream(ctx, "KV_subscription_status")
		if err != nil {
			return err
		}
		if n := s.CachedInfo().State.Msgs; n != said {
			said, ended = n, time.Now()
		} else if time.Since(ended) > time.Minute {
			return fmt.Errorf("%d verdicts after a minute without one", said)
		}
	}
	took := ended.Sub(began)
	say("stored at %.0f/s; all verdicts after %s: %.0f/s; processor time of leader and stand-by: %s, %s",
		float64(w.records)/stored.Seconds(), round(took), float64(w.records)/took.Seconds(),
		round(w.replicas[0].used()), round(w.replicas[1].used()))
	return nil
}

// idle measures what is used when nothing happens.
func (w *testbed) idle(ctx context.Context, replicas ...*replica) error {
	if err := pause(ctx, 20*time.Second); err != nil {
		return err
	}
	const time10 = 10 * time.Second
	before := make([]time.Duration, len(replicas))
	for i, r := range replicas {
		before[i] = r.used()
	}
	if err := pause(ctx, time10); err != nil {
		return err
	}
	var used []string
	for i, r := range replicas {
		used = append(used, fmt.Sprintf("%.1f %%", 100*float64(r.used()-before[i])/float64(time10)))
	}
	say("idle, leader and stand-by use of a core: %s", strings.Join(used, ", "))
	w.sizes("idle")
	return nil
}

func (w *testbed) sizes(when string) {
	var sizes []string
	for _, r := range w.replicas {
		if r.Running() {
			now, most := r.resident()
			sizes = append(sizes, fmt.Sprintf("%s %d MB (most %d)", r.Name, now, most))
		}
	}
	say("resident %s: %s", when, strings.Join(sizes, ", "))
}

// warm waits until a stand-by says that it has what it needs, if it does.
func (w *testbed) warm(ctx context.Context, r *replica) error {
	began := time.Now()
	for r.told("the records are followed").IsZero() {
		if time.Since(began) > 2*time.Minute {
			say("%s never said that it follows the records", r.Name)
			return nil
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	say("%s follows the records after %s", r.Name, round(time.Since(began)))
	return pause(ctx, 5*time.Second)
}

// takeOver ends the leader while events come, and measures until the next one delivers.
func (w *testbed) takeOver(ctx context.Context, how string, leader, next *replica, end func() error) error {
	publishing, stop := context.WithCancel(ctx)
	published := make(chan error, 1)
	go func() { published <- w.publish(publishing) }()
	defer func() {
		stop()
		<-published //nolint:errcheck // it was stopped
	}()
	if err := w.delivered(ctx, time.Now()); err != nil {
		return err
	}
	ended := time.Now()
	if err := end(); err != nil {
		return err
	}
	var won time.Time
	if err := lab.Until(ctx, next.Name+" wins the lease", func() bool { won = next.told("lease won"); return !won.IsZero() }); err != nil {
		return err
	}
	if err := w.delivered(ctx, won); err != nil {
		return err
	}
	at := w.first(won)
	say("%s: %s from the won lease to the first delivery, %s since the end of the leader", how, round(at.Sub(won)), round(at.Sub(ended)))
	return nil
}

// restart starts the last replica again, alone.
func (w *testbed) restart(ctx context.Context, last *replica) error {
	if err := last.Stop(time.Minute); err != nil {
		return err
	}
	began := time.Now()
	r, err := w.launch(ctx)
	if err != nil {
		return err
	}
	if err := r.Leads(ctx); err != nil {
		return err
	}
	say("restart without a stand-by: leads after %s", round(time.Since(began)))
	if err := pause(ctx, 20*time.Second); err != nil {
		return err
	}
	w.sizes("after the restart")
	return nil
}

// publish publishes events that one record hears, a hundred a second.
func (w *testbed) publish(ctx context.Context) error {
	for n := 0; ctx.Err() == nil; n++ {
		if _, err := w.js.Publish(ctx, "orders.customer0.x", fmt.Appendf(nil, `{"orderId":"o%d","n":1}`, n)); err != nil {
			return err
		}
		_ = pause(ctx, 10*time.Millisecond)
	}
	return nil
}

// delivered waits for a request that came after that time.
func (w *testbed) delivered(ctx context.Context, after time.Time) error {
	return lab.Until(ctx, "a delivery", func() bool { return !w.first(after).IsZero() })
}

// first is when the first request after that time came; zero: none has.
func (w *testbed) first(after time.Time) time.Time {
	for _, h := range w.endpoint.Journal() {
		if h.At.After(after) {
			return h.At
		}
	}
	return time.Time{}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }
