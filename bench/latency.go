package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"orderbridge/internal/lab"
)

const (
	latencyRate   = 500 // events/s of f
	latencyEvents = 1_000
	latencyWarm   = 125
	idleTime      = time.Second // before each event of f after idleness
	idleEvents    = 6           // of a round
	otherRecords  = 10_000      // that hear nothing
)

// paced is one of those whose latency is measured.
type paced struct {
	steady, idle *latency // idle: nil, not measured
	place        place
	get          bool // GET with the order id instead of POST
	p            *lab.Process
}

// latency publishes at a steady pace to orderbridge and to the naive loop, and
// one by one with a second of rest before each.
func (b *bench) latency(ctx context.Context) (err error) {
	var all []*paced
	defer func() {
		for _, c := range all {
			err = errors.Join(err, b.stop(c.p))
		}
	}()
	if all, err = b.startPaced(ctx); err != nil {
		return err
	}
	for range b.Rounds {
		for _, c := range all {
			if err := b.pace(ctx, c); err != nil {
				return fmt.Errorf("%s: %w", c.steady.Name, err)
			}
		}
		for _, c := range all {
			if c.idle == nil {
				continue
			}
			if err := b.rest(ctx, c); err != nil {
				return fmt.Errorf("%s: %w", c.idle.Name, err)
			}
		}
	}
	return nil
}

// The names in the report.
const (
	latencyBridge  = "orderbridge"
	latencyFormer  = "the former build"
	latencyMany    = "orderbridge with 10,000 other records"
	latencyNaive   = "naive loop"
	latencyGet     = "orderbridge, GET"
	latencyGetLoop = "naive loop, GET"
	afterRest      = ", after 1 s of rest"
)

func (b *bench) startPaced(ctx context.Context) (all []*paced, err error) {
	getPath := latencyPath + "/{orderId}"
	getRecord := fmt.Sprintf(`{"targetURL":%q,"method":"GET","maxInFlight":%d}`, b.to.URL+getPath, inFlight)
	post := b.plain(latencyPath, inFlight)
	cases := []struct {
		name, root string
		bridge     *bridges
		get, idle  bool
	}{
		{latencyBridge, "f", &bridges{program: b.program, records: []string{post}}, false, true},
		{latencyNaive, "fnaive", nil, false, true},
		{latencyMany, "fmany", &bridges{program: b.program, records: []string{post}, others: otherRecords}, false, true},
		{latencyGet, "fget", &bridges{program: b.program, records: []string{getRecord}}, true, false},
		{latencyGetLoop, "fgetnaive", nil, true, false},
		{latencyFormer, "fformer", &bridges{program: b.former, records: []string{post}}, false, true},
	}
	for _, x := range cases {
		if x.name == latencyFormer && b.former == "" {
			continue
		}
		c := &paced{steady: &latency{Name: x.name}, place: place{x.root}, get: x.get}
		b.report.Latency = append(b.report.Latency, c.steady)
		if x.idle {
			c.idle = &latency{Name: x.name + afterRest}
			b.report.Latency = append(b.report.Latency, c.idle)
		}
		switch {
		case x.bridge != nil:
			x.bridge.place = c.place
			var started []*lab.Program
			if started, err = b.startBridges(ctx, x.bridge); err == nil {
				c.p = started[0].Process
			}
		default:
			if err = b.makeStream(ctx, c.place); err == nil {
				path, method := latencyPath, "POST"
				if x.get {
					path, method = getPath, "GET"
				}
				c.p, err = b.startNaive(c.place, path, method)
			}
		}
		if err != nil {
			return all, fmt.Errorf("%s: %w", x.name, err)
		}
		all = append(all, c)
	}
	return all, nil
}

// publishTimed publishes an event of which the sink can tell when that was; at
// 0 is not measured.
func (b *bench) publishTimed(c *paced, at time.Time) error {
	b.n++
	nanos := int64(0)
	if !at.IsZero() {
		nanos = at.UnixNano()
	}
	order := orderOf(b.n)
	if c.get {
		order = fmt.Sprintf("o%d-%d", b.n, nanos)
	}
	return b.publishOne(c.place, order, nanos)
}

// pace publishes the events of a round; those of the warming up carry no time.
func (b *bench) pace(ctx context.Context, c *paced) error {
	const total = latencyWarm + latencyEvents
	if err := b.to.expect(ctx, 1, total); err != nil {
		return err
	}
	if err := b.publishTimed(c, time.Time{}); err != nil {
		return err
	}
	if _, err := b.reached(ctx, "warm", c.p); err != nil { // it works now
		return err
	}
	tick := time.NewTicker(time.Second / latencyRate)
	defer tick.Stop()
	for i := range total - 1 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		at := time.Now()
		if i < latencyWarm {
			at = time.Time{}
		}
		if err := b.publishTimed(c, at); err != nil {
			return err
		}
	}
	return b.noteLatency(ctx, c.steady, c.p)
}

// rest publishes single events after a time in which nothing came.
func (b *bench) rest(ctx context.Context, c *paced) error {
	if err := b.to.expect(ctx, 1, idleEvents); err != nil {
		return err
	}
	tick := time.NewTicker(idleTime)
	defer tick.Stop()
	for range idleEvents {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := b.publishTimed(c, time.Now()); err != nil {
			return err
		}
	}
	return b.noteLatency(ctx, c.idle, c.p)
}

func (b *bench) noteLatency(ctx context.Context, l *latency, p *lab.Process) error {
	if _, err := b.reached(ctx, "total", p); err != nil {
		return err
	}
	st, err := b.to.status(ctx)
	if err != nil {
		return err
	}
	n := len(st.Latency)
	if n == 0 {
		return errors.New("no latency was measured")
	}
	l.P50, l.P99 = append(l.P50, ms(st.Latency[n/2])), append(l.P99, ms(st.Latency[n*99/100]))
	b.say("f  %s: p50 %.2f ms, p99 %.2f ms", l.Name, l.P50[len(l.P50)-1], l.P99[len(l.P99)-1])
	return nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// ---- take-over

// takeOver stops, and kills, the leader of two replicas with many records while
// events come at a steady pace: how long the one that waits longest takes.
func (b *bench) takeOver(ctx context.Context) (err error) {
	s := &bridges{place: place{"t"}, program: b.program, records: []string{b.plain(latencyPath, inFlight)},
		others: otherRecords}
	all, err := b.startBridges(ctx, s)
	defer func() {
		for _, p := range all {
			if p.Running() {
				err = errors.Join(err, b.stop(p.Process))
			}
		}
	}()
	if err != nil {
		return err
	}
	for _, way := range []struct {
		name   string
		signal syscall.Signal
		events int
	}{
		{"planned stop (SIGTERM), 10,000 records: longest wait of an event", syscall.SIGTERM, 2 * latencyRate},
		{"kill -9, 10,000 records: longest wait of an event (the lease has to run out: 12 s)", syscall.SIGKILL,
			20 * latencyRate},
	} {
		l := &latency{Name: way.name}
		b.report.TakeOver = append(b.report.TakeOver, l)
		second, err := b.serve(s, "")
		if err != nil {
			return err
		}
		all = append(all, second)
		if err := b.standsBy(ctx, second); err != nil {
			return err
		}
		if err := b.overtake(ctx, l, s.place, all[len(all)-2], second, way.signal, way.events); err != nil {
			return err
		}
	}
	return nil
}

// standsBy waits until a replica is ready to take over.
func (b *bench) standsBy(ctx context.Context, p *lab.Program) error {
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	return lab.Until(ctx, "the second replica stands by", func() bool {
		r, _, err := p.Readyz(ctx)
		return err == nil && r.Ready
	})
}

func (b *bench) overtake(ctx context.Context, l *latency, where place, first, second *lab.Program, s syscall.Signal,
	events int) error {
	if err := b.to.expect(ctx, 1, events); err != nil {
		return err
	}
	c := &paced{place: where}
	tick := time.NewTicker(time.Second / latencyRate)
	defer tick.Stop()
	for i := range events {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if i == latencyRate { // after a second
			first.Signal(s)
		}
		if err := b.publishTimed(c, time.Now()); err != nil {
			return err
		}
	}
	if _, err := b.reached(ctx, "total", second.Process); err != nil {
		return err
	}
	st, err := b.to.status(ctx)
	if err != nil {
		return err
	}
	longest := ms(st.Latency[len(st.Latency)-1])
	l.P50, l.P99 = []float64{ms(st.Latency[len(st.Latency)/2])}, []float64{longest}
	b.say("f  %s: %.0f ms", l.Name, longest)
	return nil
}
