package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// The parts f, g and h: an endpoint that fails for some of its orders, or now
// and then, must serve the others as if nothing were.

// poisoned measures a flow of orders to one endpoint twice: with all orders
// well, and with those that sick says failing. The healthy orders are judged.
func poisoned(orders int, sick func(order int) bool) func(context.Context, *testbed) error {
	return func(ctx context.Context, w *testbed) error {
		const flow = 100
		seconds := w.scaled(40)
		e, err := w.endpoint(answer(http.StatusOK))
		if err != nil {
			return err
		}
		name := func(round, order int) string { return fmt.Sprintf("r%d-o%d", round, order) }
		if _, err := w.put(ctx, map[string]string{"p": recordFor(e, "p", "p")}); err != nil {
			return err
		}
		if err := w.reach(ctx, 30*time.Second, 1, "active", "reading"); err != nil {
			return err
		}
		bad := map[string]bool{}
		e.judge(func(order string) bool { return !bad[order] })
		measure := func(round int) (all []time.Duration, rate float64, err error) {
			from := e.count()
			healthy := 0
			for i := range flow * seconds {
				if !bad[name(round, i%orders)] {
					healthy++
				}
			}
			start := time.Now()
			if err := w.publish(ctx, flow*seconds, flow,
				func(i int) (string, string, int) { return "p", name(round, i%orders), i/orders + 1 }); err != nil {
				return nil, 0, err
			}
			if err := w.until(ctx, 3*time.Minute, "the healthy orders have arrived",
				func() bool { return e.count() >= from+healthy }); err != nil {
				return nil, 0, fmt.Errorf("%w: %d of %d", err, e.count()-from, healthy)
			}
			got := e.arrived(from)
			last := start
			for _, a := range got {
				all = append(all, a.latency)
				last = later(last, a.at)
			}
			return all, float64(len(got)) / last.Sub(start).Seconds(), inOrder(got)
		}
		if _, _, err := measure(0); err != nil { // warm up
			return err
		}
		alone, rateAlone, err := measure(1)
		if err != nil {
			return err
		}
		e.mu.Lock()
		well := 0
		for i := range orders {
			if bad[name(2, i)] = sick(i); !bad[name(2, i)] {
				well++
			}
		}
		e.mu.Unlock()
		beside, rate, err := measure(2)
		if err != nil {
			return err
		}
		rate *= float64(orders) / float64(well) // as if all were healthy
		states, err := w.states(ctx)
		if err != nil {
			return err
		}
		p99a, p99b := percentile(alone, 0.99), percentile(beside, 0.99)
		say("%d orders at %d/s for %d s, %d of them always 500: healthy alone p50 %s, p99 %s; beside p50 %s, p99 %s (%.2f times, aim: at most 1.5); throughput %.0f %% (aim: above 90 %%); states %v",
			orders, flow, seconds, orders-well, percentile(alone, 0.5).Round(10*time.Microsecond),
			p99a.Round(10*time.Microsecond),
			percentile(beside, 0.5).Round(10*time.Microsecond), p99b.Round(10*time.Microsecond),
			float64(p99b)/float64(p99a), 100*rate/rateAlone, states)
		return nil
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// random is h: an endpoint that fails one request in five, whichever it is.
func random(ctx context.Context, w *testbed) error {
	const flow, orders = 100, 1000
	seconds := w.scaled(60)
	e, err := w.endpoint(answer(http.StatusOK))
	if err != nil {
		return err
	}
	if _, err := w.put(ctx,
		map[string]string{"r": recordFor(e, "r", "r",
			`"retry":{"schedule":["PT1S","PT2S","PT4S","PT8S","PT15S","PT30S","PT1M","PT2M"]}`)}); err != nil {
		return err
	}
	if err := w.reach(ctx, 30*time.Second, 1, "active", "reading"); err != nil {
		return err
	}
	asked := 0
	e.judge(func(string) bool { asked++; return asked*7919%5 != 0 })
	n := flow * seconds
	var backlog []string
	done := make(chan struct{})
	stop := make(chan struct{})
	start := time.Now()
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Second):
				backlog = append(backlog, fmt.Sprint(int(time.Since(start).Seconds()*flow)-e.count()))
			}
		}
	}()
	err = w.publish(ctx, n, flow,
		func(i int) (string, string, int) { return "r", fmt.Sprintf("o%d", i%orders), i/orders + 1 })
	published := time.Since(start)
	close(stop)
	<-done
	if err != nil {
		return err
	}
	if err := w.until(ctx, 3*time.Minute, "all have arrived", func() bool { return e.count() >= n }); err != nil {
		return fmt.Errorf("%w: %d of %d", err, e.count(), n)
	}
	got := e.arrived(0)
	say("%d events at %d/s, one request in five fails: all delivered %s after the last was published; backlog each 5 s: %s",
		n, flow, (time.Since(start) - published).Round(100*time.Millisecond), strings.Join(backlog, " "))
	if len(got) != n {
		return fmt.Errorf("%d deliveries of %d events", len(got), n)
	}
	return inOrder(got)
}

// stopping is i: the longest time without a delivery around a planned stop, beside
// endpoints that hang, drip and are slow, with a second bridge that stands by.
func stopping(ctx context.Context, w *testbed) error {
	const flow, healthy = 300, 20
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
	hanging := w.scaled(300)
	bad, err := w.endpoint(slow(time.Hour))
	if err != nil {
		return err
	}
	for i := range hanging {
		id := fmt.Sprintf("bad%03d", i)
		values[id] = recordFor(bad, id, id, `"timeout":"PT1M"`)
	}
	if _, err := w.put(ctx, values); err != nil {
		return err
	}
	if err := w.reach(ctx, time.Minute, healthy+hanging, "active", "reading"); err != nil {
		return err
	}
	second, err := w.launch("second") // stands by
	if err != nil {
		return err
	}
	if err := w.wait(ctx, 3*time.Second); err != nil {
		return err
	}
	if err := w.publish(ctx, 3*hanging, 0, func(i int) (string, string, int) {
		return fmt.Sprintf("bad%03d", i%hanging), fmt.Sprintf("o%d", i/hanging), 1
	}); err != nil {
		return err
	}
	published := make(chan error, 1)
	n := flow * 40
	go func() {
		published <- w.publish(ctx, n, flow, func(i int) (string, string, int) {
			return fmt.Sprintf("good%02d", i%healthy), fmt.Sprintf("o%d", i/healthy%50), i/healthy/50 + 1
		})
	}()
	if err := w.wait(ctx, 5*time.Second); err != nil {
		return err
	}
	begun := time.Now()
	took, err := w.stopFirst(second)
	if err != nil {
		return err
	}
	if err := <-published; err != nil {
		return err
	}
	count := func() (n int) {
		for _, e := range good {
			n += e.count()
		}
		return n
	}
	if err := w.until(ctx, time.Minute, "the flow has arrived", func() bool { return count() >= n }); err != nil {
		return fmt.Errorf("%w: %d of %d", err, count(), n)
	}
	var at []time.Time
	for _, e := range good {
		got := e.arrived(0)
		if err := inOrder(got); err != nil {
			return err
		}
		for _, a := range got {
			at = append(at, a.at)
		}
	}
	slices.SortFunc(at, time.Time.Compare)
	gap := func(from, to time.Time) (longest time.Duration) {
		for i := 1; i < len(at); i++ {
			if at[i].After(from) && at[i].Before(to) {
				longest = max(longest, at[i].Sub(at[i-1]))
			}
		}
		return longest.Round(time.Millisecond)
	}
	say("%d healthy endpoints at %d/s beside %d subscriptions that hang: longest gap %s before the stop, %s during it (aim: under 1.5 s); the process ended after %s",
		healthy, flow, hanging, gap(begun.Add(-5*time.Second), begun), gap(begun, begun.Add(took+20*time.Second)),
		took.Round(100*time.Millisecond))
	if len(at) != n {
		return errors.New("a graceful stop has repeated something")
	}
	return nil
}
