package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// record hears one topic, the token after "orders.".
func record(e *endpoint, id, topic string, more ...string) string {
	return fmt.Sprintf(`{"targetURL":"%s/%s","subjects":["orders.%s.>"]%s}`, e.url, id, topic, strings.Join(append([]string{""}, more...), ","))
}

// isolation is a.
func isolation(ctx context.Context, w *site) error {
	const healthy = 20
	waiting, flow, seconds, burst := w.scaled(10_000), 300, 15, w.scaled(40_000)
	var good []*endpoint
	values := map[string]string{}
	for i := range healthy {
		e, err := w.endpoint(answer(http.StatusOK))
		if err != nil {
			return err
		}
		good = append(good, e)
		id := fmt.Sprintf("good%02d", i)
		values[id] = record(e, id, id)
	}
	bad, on, off := []string{"hangs", "429", "resets", "slow"}, map[string]string{}, map[string]string{}
	for i, reply := range []func(http.ResponseWriter, <-chan struct{}) bool{slow(time.Hour), answer(http.StatusTooManyRequests, "Retry-After", "1"), reset, slow(5 * time.Second)} {
		e, err := w.endpoint(reply)
		if err != nil {
			return err
		}
		id := "bad-" + bad[i]
		on[id], off[id] = record(e, id, id), record(e, id, id, `"status":"deactivated"`)
	}
	if _, err := w.put(ctx, values); err != nil {
		return err
	}
	if err := w.reach(ctx, 30*time.Second, healthy, "active", "reading"); err != nil {
		return err
	}

	count := func() (n int) {
		for _, e := range good {
			n += e.count()
		}
		return n
	}
	round := 0
	event := func(i int) (string, string, int) {
		return fmt.Sprintf("good%02d", i%healthy), fmt.Sprintf("r%d-%d", round, i), 1
	}
	// measure returns p50 and p99 of a steady flow, and the rate of a burst.
	measure := func() (p50, p99 time.Duration, rate float64, err error) {
		round++
		marks := make([]int, healthy)
		for i, e := range good {
			marks[i] = e.count()
		}
		from := count()
		if err := w.publish(ctx, flow*seconds, flow, event); err != nil {
			return 0, 0, 0, err
		}
		if err := w.until(ctx, 2*time.Minute, "the flow has arrived", func() bool { return count() >= from+flow*seconds }); err != nil {
			return 0, 0, 0, err
		}
		var all []time.Duration
		for i, e := range good {
			for _, a := range e.arrived(marks[i]) {
				all = append(all, a.latency)
			}
		}
		round++
		from = count()
		start := time.Now()
		if err := w.publish(ctx, burst, 0, event); err != nil {
			return 0, 0, 0, err
		}
		if err := w.until(ctx, 3*time.Minute, "the burst has arrived", func() bool { return count() >= from+burst }); err != nil {
			return 0, 0, 0, err
		}
		return percentile(all, 0.5), percentile(all, 0.99), float64(burst) / time.Since(start).Seconds(), nil
	}
	if _, _, _, err := measure(); err != nil { // warm up
		return err
	}
	var p99s [2][]time.Duration
	var rates [2][]float64
	for i := range 3 {
		for side, values := range []map[string]string{off, on} {
			if i > 0 || side > 0 {
				if _, err := w.put(ctx, values); err != nil {
					return err
				}
			}
			if i == 0 && side == 1 {
				for _, id := range bad {
					if err := w.publish(ctx, waiting, 0, func(i int) (string, string, int) { return "bad-" + id, fmt.Sprintf("b%d", i%1000), i/1000 + 1 }); err != nil {
						return err
					}
				}
			}
			if err := w.wait(ctx, 3*time.Second); err != nil {
				return err
			}
			p50, p99, rate, err := measure()
			if err != nil {
				return err
			}
			say("%-26s p50 %8s, p99 %8s at %d/s; burst %6.0f/s", []string{"healthy alone", "beside the four bad ones"}[side], p50.Round(10*time.Microsecond), p99.Round(10*time.Microsecond), flow, rate)
			p99s[side], rates[side] = append(p99s[side], p99), append(rates[side], rate)
		}
	}
	states, err := w.states(ctx)
	if err != nil {
		return err
	}
	alone, beside := slices.Sorted(slices.Values(p99s[0]))[1], slices.Sorted(slices.Values(p99s[1]))[1]
	fast, slower := slices.Sorted(slices.Values(rates[0]))[1], slices.Sorted(slices.Values(rates[1]))[1]
	say("medians: p99 %.2f times (aim: at most 1.5), throughput %.0f %% (aim: above 90 %%); states at the end: %v", float64(beside)/float64(alone), 100*slower/fast, states)
	return nil
}

// healing is b.
func healing(ctx context.Context, w *site) error {
	backlog := w.scaled(10_000)
	e, err := w.endpoint(answer(http.StatusInternalServerError))
	if err != nil {
		return err
	}
	if _, err := w.put(ctx, map[string]string{"s": record(e, "s", "s")}); err != nil {
		return err
	}
	if err := w.reach(ctx, 30*time.Second, 1, "active", "reading"); err != nil {
		return err
	}
	event := func(i int) (string, string, int) { return "s", fmt.Sprintf("o%d", i%500), i/500 + 1 }
	if err := w.publish(ctx, backlog, 0, event); err != nil {
		return err
	}
	if err := w.reach(ctx, 60*time.Second, 1, "suspended"); err != nil {
		return err
	}
	if err := w.wait(ctx, 20*time.Second); err != nil { // after a shorter outage it would go on as before
		return err
	}
	down := e.asked()
	e.now(answer(http.StatusOK))
	healed := time.Now()
	if err := w.until(ctx, 5*time.Minute, "the backlog has arrived", func() bool { return e.count() >= backlog }); err != nil {
		return fmt.Errorf("%w: %d of %d", err, e.count(), backlog)
	}
	got := e.arrived(0)
	first := got[0].at
	say("%d requests while it was down; first success %s after it had healed, %d events within %s of that", down, first.Sub(healed).Round(time.Millisecond), len(got), got[len(got)-1].at.Sub(first).Round(time.Millisecond))
	var rates []string
	for from := first; from.Before(got[len(got)-1].at); from = from.Add(5 * time.Second) {
		n := 0
		for _, a := range got {
			if !a.at.Before(from) && a.at.Before(from.Add(5*time.Second)) {
				n++
			}
		}
		rates = append(rates, fmt.Sprint(n/5))
	}
	say("events a second, each 5 s: %s", strings.Join(rates, " "))
	return errors.Join(inOrder(got), w.full(ctx, e, backlog))
}

// full measures the speed once the slow start must be over.
func (w *site) full(ctx context.Context, e *endpoint, before int) error {
	first := e.arrived(0)[0].at
	if err := w.wait(ctx, time.Until(first.Add(time.Minute))); err != nil {
		return err
	}
	n := w.scaled(10_000)
	start := time.Now()
	if err := w.publish(ctx, n, 0, func(i int) (string, string, int) { return "s", fmt.Sprintf("later%d", i%500), i/500 + 1 }); err != nil {
		return err
	}
	if err := w.until(ctx, 2*time.Minute, "what comes after a minute has arrived", func() bool { return e.count() >= before+n }); err != nil {
		return err
	}
	say("a minute after the first success: %.0f events a second", float64(n)/time.Since(start).Seconds())
	return nil
}

// outage is c.
func outage(ctx context.Context, w *site) error {
	events := w.scaled(100_000)
	e, err := w.endpoint(answer(http.StatusServiceUnavailable))
	if err != nil {
		return err
	}
	if _, err := w.put(ctx, map[string]string{"s": record(e, "s", "s", `"maxInFlight":64`)}); err != nil {
		return err
	}
	if err := w.reach(ctx, 30*time.Second, 1, "active", "reading"); err != nil {
		return err
	}
	event := func(i int) (string, string, int) { return "s", fmt.Sprintf("o%d", i%1000), i/1000 + 1 }
	before, err := w.written(ctx)
	if err != nil {
		return err
	}
	report := func(what string, since map[string]uint64) (map[string]uint64, error) {
		now, err := w.written(ctx)
		if err != nil {
			return nil, err
		}
		say("%-44s owed %d, status %d (and the lease, once a second: %d)", what, now["KV_owed"]-since["KV_owed"],
			now["KV_subscription_status"]-since["KV_subscription_status"], now["KV_lease"]-since["KV_lease"])
		return now, nil
	}
	const first = 1000
	if err := w.publish(ctx, first, 0, event); err != nil {
		return err
	}
	if err := w.reach(ctx, 60*time.Second, 1, "suspended"); err != nil {
		return err
	}
	if err := w.wait(ctx, 5*time.Second); err != nil { // what was under way is written down
		return err
	}
	mid, err := report(fmt.Sprintf("written for the first %d events, until suspended:", first), before)
	if err != nil {
		return err
	}
	start := time.Now()
	if err := w.publish(ctx, events-first, 5000, func(i int) (string, string, int) { return event(first + i) }); err != nil {
		return err
	}
	if err := w.wait(ctx, 5*time.Second); err != nil {
		return err
	}
	end, err := report(fmt.Sprintf("written for %d more events in %s:", events-first, time.Since(start).Round(time.Second)), mid)
	if err != nil {
		return err
	}
	e.now(answer(http.StatusOK))
	healed := time.Now()
	if err := w.until(ctx, 6*time.Minute, "all have arrived", func() bool { return e.count() >= events }); err != nil {
		return fmt.Errorf("%w: %d of %d", err, e.count(), events)
	}
	got := e.arrived(0)
	if _, err := report("written while they were delivered:", end); err != nil {
		return err
	}
	say("%d events delivered within %s of the healing, %s of the first success", len(got), got[len(got)-1].at.Sub(healed).Round(time.Second), got[len(got)-1].at.Sub(got[0].at).Round(time.Second))
	if len(got) != events {
		err = fmt.Errorf("%d arrived, %d were published", len(got), events)
	}
	return errors.Join(err, inOrder(got))
}

// many is d.
func many(ctx context.Context, w *site) error {
	subs, each := w.scaled(500), 60
	e, err := w.endpoint(answer(http.StatusInternalServerError))
	if err != nil {
		return err
	}
	values := map[string]string{}
	for i := range subs {
		id := fmt.Sprintf("m%03d", i)
		values[id] = record(e, id, id)
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
func records(ctx context.Context, w *site) error {
	n, rate := w.scaled(10_000), 500
	e, err := w.endpoint(answer(http.StatusOK))
	if err != nil {
		return err
	}
	values := map[string]string{}
	for i := range n {
		id := fmt.Sprintf("r%05d", i)
		values[id] = record(e, id, id)
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
			if _, flowErr = w.js.Publish(ctx, "orders."+id+".OrderChanged.x", fmt.Appendf(nil, `{"orderId":"x","n":%d,"sent":%d}`, ev.n, ev.sent.UnixNano())); flowErr != nil {
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
	say("%d events published, %d of them after the put of their record: all arrived; latency p50 %s, p99 %s, most %s", len(events), len(must),
		percentile(latest, 0.5).Round(10*time.Microsecond), percentile(latest, 0.99).Round(time.Millisecond), percentile(latest, 1).Round(time.Millisecond))
	return nil
}
