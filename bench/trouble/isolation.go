package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// record hears one topic, the token after "orders.".
func recordFor(e *endpoint, id, topic string, more ...string) string {
	return fmt.Sprintf(`{"targetURL":"%s/%s","subjects":["orders.%s.>"]%s}`, e.URL, id, topic,
		strings.Join(append([]string{""}, more...), ","))
}

// isolation is a.
func isolation(ctx context.Context, w *testbed) error {
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
		values[id] = recordFor(e, id, id)
	}
	bad, on, off := []string{"hangs", "429", "resets", "slow"}, map[string]string{}, map[string]string{}
	for i, reply := range []func(http.ResponseWriter, <-chan struct{}) bool{slow(time.Hour),
		answer(http.StatusTooManyRequests, "Retry-After", "1"), reset, slow(5 * time.Second)} {
		e, err := w.endpoint(reply)
		if err != nil {
			return err
		}
		id := "bad-" + bad[i]
		on[id], off[id] = recordFor(e, id, id), recordFor(e, id, id, `"status":"deactivated"`)
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
		if err := w.until(ctx, 2*time.Minute, "the flow has arrived",
			func() bool { return count() >= from+flow*seconds }); err != nil {
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
		if err := w.until(ctx, 3*time.Minute, "the burst has arrived",
			func() bool { return count() >= from+burst }); err != nil {
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
					if err := w.publish(ctx, waiting, 0,
						func(i int) (string, string, int) { return "bad-" + id, fmt.Sprintf("b%d", i%1000), i/1000 + 1 }); err != nil {
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
			say("%-26s p50 %8s, p99 %8s at %d/s; burst %6.0f/s",
				[]string{"healthy alone", "beside the four bad ones"}[side], p50.Round(10*time.Microsecond),
				p99.Round(10*time.Microsecond), flow, rate)
			p99s[side], rates[side] = append(p99s[side], p99), append(rates[side], rate)
		}
	}
	states, err := w.states(ctx)
	if err != nil {
		return err
	}
	alone, beside := slices.Sorted(slices.Values(p99s[0]))[1], slices.Sorted(slices.Values(p99s[1]))[1]
	fast, slower := slices.Sorted(slices.Values(rates[0]))[1], slices.Sorted(slices.Values(rates[1]))[1]
	say("medians: p99 %.2f times (aim: at most 1.5), throughput %.0f %% (aim: above 90 %%); states at the end: %v",
		float64(beside)/float64(alone), 100*slower/fast, states)
	return nil
}
