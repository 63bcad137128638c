package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// many is d.
func many(ctx context.Context, w *testbed) error {
	subs, each := w.scaled(500), 60
	e, err := w.endpoint(answer(http.StatusInternalServerError))
	if err != nil {
		return err
	}
	values := map[string]string{}
	for i := range subs {
		id := fmt.Sprintf("m%03d", i)
		values[id] = recordFor(e, id, id)
	}
	if _, err := w.put(ctx, values); err != nil {
		return err
	}
	if err := w.reach(ctx, time.Minute, subs, "active", "reading"); err != nil {
		return err
	}
	if err := w.publish(ctx, subs*each, 0, func(i int) (string, string, int) {
		return fmt.Sprintf("m%03d", i%subs), fmt.Sprintf("o%d", i/subs%10), i/subs/10 + 1
	}); err != nil {
		return err
	}
	start := time.Now()
	if err := w.reach(ctx, 2*time.Minute, subs, "suspended"); err != nil {
		return err
	}
	say("%d subscriptions suspended %s after their events were published", subs, time.Since(start).Round(time.Second))
	e.now(answer(http.StatusOK))
	healed := time.Now()
	if err := w.until(ctx, 8*time.Minute, "all have caught up", func() bool { return e.count() >= subs*each }); err != nil {
		return fmt.Errorf("%w: %d of %d", err, e.count(), subs*each)
	}
	got := e.arrived(0)
	first, last := map[string]time.Time{}, map[string]time.Time{}
	for _, a := range got {
		if first[a.path].IsZero() {
			first[a.path] = a.at
		}
		last[a.path] = a.at
	}
	var begun, took []time.Duration
	for path := range last {
		begun = append(begun, first[path].Sub(healed))
		took = append(took, last[path].Sub(first[path]))
	}
	show := func(d []time.Duration) string {
		var out []string
		for _, p := range []float64{0, 0.5, 0.9, 0.99, 1} {
			out = append(out, percentile(d, p).Round(time.Millisecond).String())
		}
		return strings.Join(out, ", ")
	}
	say("first success after the healing (probes): least, p50, p90, p99, most: %s", show(begun))
	say("from there to the last of %d events:                                  %s", each, show(took))
	if len(last) != subs {
		err = fmt.Errorf("%d of %d subscriptions got something", len(last), subs)
	}
	return errors.Join(err, inOrder(got))
}

// records is e.
func records(ctx context.Context, w *testbed) error {
	n, rate := w.scaled(10_000), 500
	e, err := w.endpoint(answer(http.StatusOK))
	if err != nil {
		return err
	}
	values := map[string]string{}
	for i := range n {
		id := fmt.Sprintf("r%05d", i)
		values[id] = recordFor(e, id, id)
	}
	type event struct {
		id   string
		n    int
		sent time.Time
	}
	var events []event
	count := map[string]int{}
	flowing, stop := context.WithCancel(ctx)
	defer stop()
	var flow sync.WaitGroup
	var flowErr error
	begun := make(chan struct{})
	flow.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for i := 0; ; i++ {
			if i == rate {
				close(begun)
			}
			select {
			case <-flowing.Done():
				return
			case <-tick.C:
			}
			id := fmt.Sprintf("r%05d", i*7919%n)
			count[id]++
			ev := event{id, count[id], time.Now()}
			if _, flowErr = w.js.Publish(ctx, "orders."+id+".OrderChanged.x",
				fmt.Appendf(nil, `{"orderId":"x","n":%d,"sent":%d}`, ev.n, ev.sent.UnixNano())); flowErr != nil {
				return
			}
			events = append(events, ev)
		}
	})
	select {
	case <-begun:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	start := time.Now()
	confirmed, err := w.put(ctx, values)
	if err != nil {
		return err
	}
	say("%d records put within %s, beside %d events a second", n, time.Since(start).Round(time.Millisecond), rate)
	if err := w.reach(ctx, 3*time.Minute, n, "active", "reading"); err != nil {
		return err
	}
	say("each has its status after %s", time.Since(start).Round(time.Millisecond))
	if err := w.reach(ctx, 3*time.Minute, n, "active"); err != nil {
		return err
	}
	say("all are live after %s", time.Since(start).Round(time.Millisecond))
	if err := w.wait(ctx, 5*time.Second); err != nil {
		return err
	}
	stop()
	flow.Wait()
	if flowErr != nil {
		return fmt.Errorf("publish: %w", flowErr)
	}
	must := map[string]time.Time{}
	for _, ev := range events {
		if ev.sent.After(confirmed[ev.id]) {
			must[fmt.Sprintf("/%s %d", ev.id, ev.n)] = ev.sent
		}
	}
	missing := 0
	var latest []time.Duration
	if err := w.until(ctx, time.Minute, "all that was published after its record has arrived", func() bool {
		seen := map[string]bool{}
		latest = latest[:0]
		for _, a := range e.arrived(0) {
			seen[fmt.Sprintf("%s %d", a.path, a.n)] = true
			latest = append(latest, a.latency)
		}
		missing = 0
		for k := range must {
			if !seen[k] {
				missing++
			}
		}
		return missing == 0
	}); err != nil {
		return fmt.Errorf("%w: %d of %d missing", err, missing, len(must))
	}
	say("%d events published, %d of them after the put of their record: all arrived; latency p50 %s, p99 %s, most %s",
		len(events), len(must),
		percentile(latest, 0.5).Round(10*time.Microsecond), percentile(latest, 0.99).Round(time.Millisecond),
		percentile(latest, 1).Round(time.Millisecond))
	return nil
}
