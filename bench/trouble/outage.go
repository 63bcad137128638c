package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// healing is b.
func healing(ctx context.Context, w *testbed) error {
	backlog := w.scaled(10_000)
	e, err := w.endpoint(answer(http.StatusInternalServerError))
	if err != nil {
		return err
	}
	if _, err := w.put(ctx, map[string]string{"s": recordFor(e, "s", "s")}); err != nil {
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
	if err := w.until(ctx, 5*time.Minute, "the backlog has arrived",
		func() bool { return e.count() >= backlog }); err != nil {
		return fmt.Errorf("%w: %d of %d", err, e.count(), backlog)
	}
	got := e.arrived(0)
	first := got[0].at
	say("%d requests while it was down; first success %s after it had healed, %d events within %s of that", down,
		first.Sub(healed).Round(time.Millisecond), len(got), got[len(got)-1].at.Sub(first).Round(time.Millisecond))
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
func (w *testbed) full(ctx context.Context, e *endpoint, before int) error {
	first := e.arrived(0)[0].at
	if err := w.wait(ctx, time.Until(first.Add(time.Minute))); err != nil {
		return err
	}
	n := w.scaled(10_000)
	start := time.Now()
	if err := w.publish(ctx, n, 0,
		func(i int) (string, string, int) { return "s", fmt.Sprintf("later%d", i%500), i/500 + 1 }); err != nil {
		return err
	}
	if err := w.until(ctx, 2*time.Minute, "what comes after a minute has arrived",
		func() bool { return e.count() >= before+n }); err != nil {
		return err
	}
	say("a minute after the first success: %.0f events a second", float64(n)/time.Since(start).Seconds())
	return nil
}

// outage is c.
func outage(ctx context.Context, w *testbed) error {
	events := w.scaled(100_000)
	e, err := w.endpoint(answer(http.StatusServiceUnavailable))
	if err != nil {
		return err
	}
	if _, err := w.put(ctx, map[string]string{"s": recordFor(e, "s", "s", `"maxInFlight":64`)}); err != nil {
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
	if err := w.publish(ctx, events-first, 5000,
		func(i int) (string, string, int) { return event(first + i) }); err != nil {
		return err
	}
	if err := w.wait(ctx, 5*time.Second); err != nil {
		return err
	}
	end, err := report(fmt.Sprintf("written for %d more events in %s:", events-first,
		time.Since(start).Round(time.Second)), mid)
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
	say("%d events delivered within %s of the healing, %s of the first success", len(got),
		got[len(got)-1].at.Sub(healed).Round(time.Second), got[len(got)-1].at.Sub(got[0].at).Round(time.Second))
	if len(got) != events {
		err = fmt.Errorf("%d arrived, %d were published", len(got), events)
	}
	return errors.Join(err, inOrder(got))
}
