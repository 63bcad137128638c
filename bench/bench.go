package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/lab"
)

const (
	bodySize = 500
	orders   = 5_000 // so many order ids take turns
	warmPart = 4     // the first quarter of a round is not counted: some of it lay in the client before
	fanOut   = 100   // subscriptions of d

	latencyRate   = 500 // events/s of f
	latencyEvents = 2_000
	latencyWarm   = 250
)

const bodyTime = `"publishedAt":"`

// newBody is an event of exactly bodySize bytes. at is when it was published,
// in Unix nanoseconds.
func newBody(n int, at int64) []byte {
	b := fmt.Appendf(make([]byte, 0, bodySize), `{"orderId":"o-%06d","eventType":"OrderAccepted",%s%019d","note":"`,
		n%orders, bodyTime, at)
	for len(b) < bodySize-2 {
		b = append(b, 'x')
	}
	return append(b, `"}`...)
}

// bench is the bus, the receiver and what is measured beside them.
type bench struct {
	settings
	report  *report
	dir     string
	program string
	caFile  string
	nats    *lab.Process
	natsURL string
	sink    *lab.Process
	to      sinkReady
	nc      *nats.Conn
	js      jetstream.JetStream
	n       int // events published
	lost    atomic.Pointer[error]
}

func newBench(ctx context.Context, s settings, r *report) (*bench, error) {
	b := &bench{settings: s, report: r}
	if err := b.start(ctx); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *bench) start(ctx context.Context) (err error) {
	if b.dir, err = os.MkdirTemp("", "orderbridge-bench-"); err != nil {
		return err
	}
	b.caFile = filepath.Join(b.dir, "ca.pem")
	if b.program, err = lab.Executable(ctx, "", b.dir); err != nil {
		return err
	}
	var bus natsReady
	if b.nats, err = startRole("nats", natsSettings{filepath.Join(b.dir, "nats")}, &bus); err != nil {
		return err
	}
	b.natsURL = bus.URL
	if b.sink, err = startRole("sink", sinkSettings{b.caFile}, &b.to); err != nil {
		return err
	}
	if b.nc, err = nats.Connect(b.natsURL); err != nil {
		return err
	}
	b.js, err = jetstream.New(b.nc, jetstream.WithPublishAsyncMaxPending(1024),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, _ *nats.Msg, err error) { b.lost.Store(&err) }))
	return err
}

func (b *bench) close() error {
	var errs []error
	if b.nc != nil {
		b.nc.Close()
	}
	for _, p := range []*lab.Process{b.sink, b.nats} {
		if p != nil {
			errs = append(errs, b.stop(p))
		}
	}
	if b.dir != "" {
		errs = append(errs, os.RemoveAll(b.dir))
	}
	return errors.Join(errs...)
}

func (b *bench) stop(p *lab.Process) error {
	err := p.Stop(stopTimeout)
	if b.verbose {
		fmt.Fprintf(os.Stderr, "---- %s\n%s\n", p.Name, p.Output())
	}
	return err
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%5.0f s  %s\n", time.Since(b.report.Started).Seconds(), fmt.Sprintf(format, args...))
}

// place is a stream of its own for one of those that are measured.
type place struct{ root string }

func (p place) stream() string        { return strings.ToUpper(p.root) }
func (p place) subject() string       { return p.root + ".>" }
func (p place) prefix() string        { return p.root + "-" }
func (p place) subscriptions() string { return p.prefix() + "subscriptions" }

func (b *bench) makeStream(ctx context.Context, p place) error {
	_, err := b.js.CreateStream(ctx, jetstream.StreamConfig{Name: p.stream(), Subjects: []string{p.subject()},
		Storage: jetstream.FileStorage, MaxAge: 7 * 24 * time.Hour, Duplicates: 10 * time.Minute})
	return err
}

// publish puts events into the stream and returns when all are stored.
func (b *bench) publish(ctx context.Context, p place, events int) error {
	for range events {
		if err := b.publishOne(p, 0); err != nil {
			return err
		}
	}
	select {
	case <-b.js.PublishAsyncComplete():
		if err := b.lost.Load(); err != nil {
			return fmt.Errorf("publish: %w", *err)
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (b *bench) publishOne(p place, at int64) error {
	b.n++
	_, err := b.js.PublishAsync(fmt.Sprintf("%s.acme.OrderAccepted.o-%06d", p.root, b.n%orders), newBody(b.n, at))
	return err
}

// measure starts what is measured and adds a round to l: from the end of the
// warming up to the last request.
func (b *bench) measure(ctx context.Context, l *load, requests int, p *lab.Process, start func() error) error {
	if err := b.to.expect(ctx, requests/warmPart, requests); err != nil {
		return err
	}
	if err := start(); err != nil {
		return err
	}
	from, err := b.reached(ctx, "warm", p)
	if err != nil {
		return err
	}
	before := [3]time.Duration{cpuTime(p.Pid()), cpuTime(b.nats.Pid()), cpuTime(b.sink.Pid())}
	to, err := b.reached(ctx, "total", p)
	if err != nil {
		return err
	}
	after := [3]time.Duration{cpuTime(p.Pid()), cpuTime(b.nats.Pid()), cpuTime(b.sink.Pid())}
	n := float64(requests - requests/warmPart)
	l.Rate = append(l.Rate, n/to.Sub(from).Seconds())
	for i, series := range []*[]float64{&l.Self, &l.NATS, &l.Sink} {
		if after[i] > 0 {
			*series = append(*series, (after[i]-before[i]).Seconds()*1000/n)
		}
	}
	b.say("%s  %s requests/s", l.Name, thousands(int(l.Rate[len(l.Rate)-1])))
	return nil
}

// roundTimeout bounds a round: what takes longer has gone wrong.
const roundTimeout = time.Minute

// reached waits until the process has made as many requests.
func (b *bench) reached(ctx context.Context, mark string, p *lab.Process) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	go func() {
		select {
		case <-p.Ended():
			cancel()
		case <-ctx.Done():
		}
	}()
	at, err := b.to.reached(ctx, mark)
	if err != nil {
		st, _ := b.to.status(context.WithoutCancel(ctx))
		err = fmt.Errorf("%s has made %d requests: %w", p.Name, st.Requests, err)
	}
	return at, err
}

// ---- a to d

// contestant is one of those that are measured at full speed.
type contestant struct {
	load  *load
	place place
	each  int // requests that an event makes
	p     *lab.Process
}

// throughput measures a to d in turn.
func (b *bench) throughput(ctx context.Context) (err error) {
	var all []*contestant
	defer func() { err = errors.Join(err, b.stopAll(all)) }()
	raw := func(connections int) func(context.Context, place) (*lab.Process, error) {
		return func(context.Context, place) (*lab.Process, error) {
			return startRole("raw", rawSettings{b.to.URL, b.caFile, b.Requests, connections}, &struct{}{})
		}
	}
	ours := func(program string, subscriptions, maxInFlight int) func(context.Context, place) (*lab.Process, error) {
		return func(ctx context.Context, p place) (*lab.Process, error) {
			return b.startBridge(ctx, program, p, subscriptions, maxInFlight, "/")
		}
	}
	naive := func(ctx context.Context, p place) (*lab.Process, error) {
		if err := b.makeStream(ctx, p); err != nil {
			return nil, err
		}
		return b.startNaive(p, "/")
	}
	const many = fanOut * record.DefaultMaxInFlight
	type plan struct {
		name, title string
		each        int
		start       func(context.Context, place) (*lab.Process, error)
	}
	plans := []plan{
		{"a", fmt.Sprintf("HTTP limit, %d connections", inFlight), 0, raw(inFlight)},
		{"a2", fmt.Sprintf("HTTP limit, %s connections", thousands(many)), 0, raw(many)},
		{"b", fmt.Sprintf("naive loop, %d in flight", inFlight), 1, naive},
		{"c", fmt.Sprintf("orderbridge, 1 subscription, %d in flight", inFlight), 1, ours(b.program, 1, inFlight)},
		{"d", fmt.Sprintf("orderbridge, %d subscriptions, %d in flight", fanOut, fanOut), fanOut,
			ours(b.program, fanOut, 1)},
		{"d2", fmt.Sprintf("orderbridge, %d subscriptions, %s in flight", fanOut, thousands(many)), fanOut,
			ours(b.program, fanOut, record.DefaultMaxInFlight)},
	}
	if b.former != "" {
		plans = append(plans,
			plan{"c_former", "c of the former build", 1, ours(b.former, 1, inFlight)},
			plan{"d_former", "d of the former build", fanOut, ours(b.former, fanOut, 1)},
			plan{"d2_former", "d2 of the former build", fanOut, ours(b.former, fanOut, record.DefaultMaxInFlight)})
	}
	for _, c := range plans {
		if !strings.Contains(b.Only, c.name[:1]) {
			continue
		}
		where := place{c.name}
		p, err := c.start(ctx, where)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		all = append(all, &contestant{&load{Name: c.name, Title: c.title}, where, c.each, p})
	}
	return b.inTurn(ctx, all)
}

// inTurn measures round by round.
func (b *bench) inTurn(ctx context.Context, all []*contestant) error {
	for _, c := range all {
		b.report.Loads = append(b.report.Loads, c.load)
		// Connections are made before what counts.
		if err := b.round(ctx, c, &load{Name: c.load.Name + " (warming up)"}); err != nil {
			return fmt.Errorf("%s: %w", c.load.Name, err)
		}
	}
	for range b.Rounds {
		for _, c := range all {
			if err := b.round(ctx, c, c.load); err != nil {
				return fmt.Errorf("%s: %w", c.load.Name, err)
			}
		}
	}
	return nil
}

// round stops the process while its events are published, and lets it loose on
// them. A client without a bus is only told to begin.
func (b *bench) round(ctx context.Context, c *contestant, l *load) (err error) {
	return b.measure(ctx, l, b.Requests, c.p, func() error {
		if c.each == 0 {
			c.p.Signal(syscall.SIGUSR1)
			return nil
		}
		c.p.Signal(syscall.SIGSTOP)
		defer c.p.Signal(syscall.SIGCONT)
		return b.publish(ctx, c.place, b.Requests/c.each)
	})
}

func (b *bench) stopAll(all []*contestant) error {
	var errs []error
	for _, c := range all {
		errs = append(errs, b.stop(c.p))
	}
	return errors.Join(errs...)
}

func (b *bench) startNaive(p place, path string) (*lab.Process, error) {
	return startRole("naive", naiveSettings{b.natsURL, p.stream(), b.to.URL + path, b.caFile}, &struct{}{})
}

func (b *bench) serve(program string, p place) (*lab.Process, error) {
	served, err := lab.Serve(lab.Command{Name: "orderbridge", Path: program, Dir: b.dir,
		Env: []string{"HOME=" + b.dir, "PATH=" + os.Getenv("PATH"),
			"ORDERBRIDGE_NATS_URL=" + b.natsURL, "ORDERBRIDGE_STREAM=" + p.stream(), "ORDERBRIDGE_SUBJECTS=" + p.subject(),
			"ORDERBRIDGE_SUBSCRIPTIONS_BUCKET=" + p.subscriptions(), "ORDERBRIDGE_PREFIX=" + p.prefix(),
			"ORDERBRIDGE_TRUST_ROOTS=" + b.caFile, "ORDERBRIDGE_EGRESS_ALLOW=127.0.0.0/8",
			"ORDERBRIDGE_HTTP_LISTEN=127.0.0.1:0",
		}})
	if err != nil {
		return nil, err
	}
	return served.Process, nil
}

// startBridge makes the stream, starts orderbridge, puts the records and waits
// until all have their verdict.
func (b *bench) startBridge(ctx context.Context, program string, p place, subscriptions, maxInFlight int,
	path string) (s *lab.Process, err error) {
	if err := b.makeStream(ctx, p); err != nil {
		return nil, err
	}
	if s, err = b.serve(program, p); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.stop(s))
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	var records, verdicts jetstream.KeyValue
	err = waitFor(ctx, func() bool {
		records, err = b.js.KeyValue(ctx, p.subscriptions())
		if err == nil {
			verdicts, err = b.js.KeyValue(ctx, p.prefix()+"subscription_status")
		}
		return err == nil || !s.Running()
	})
	if err != nil {
		return s, err
	}
	for i := range subscriptions {
		record := fmt.Sprintf(`{"targetURL":%q,"maxInFlight":%d}`, b.to.URL+path, maxInFlight)
		if _, err := records.PutString(ctx, fmt.Sprintf("s%d", i), record); err != nil {
			return s, err
		}
	}
	for i := range subscriptions {
		err = waitFor(ctx, func() bool {
			var status protocol.Status
			entry, err := verdicts.Get(ctx, fmt.Sprintf("s%d", i))
			return err == nil && json.Unmarshal(entry.Value(), &status) == nil &&
				status.State == protocol.StateActive || !s.Running()
		})
		if err != nil {
			return s, err
		}
	}
	return s, nil
}

// ---- e

func scaleName(records int) string { return fmt.Sprintf("e%d", records) }

// scale keeps a bridge with each number of records.
func (b *bench) scale(ctx context.Context) (err error) {
	var all []*contestant
	defer func() { err = errors.Join(err, b.stopAll(all)) }()
	for _, n := range b.Sizes {
		c := &contestant{&load{Name: scaleName(n), Title: "orderbridge, 1 match among " + thousands(n) + " records"},
			place{scaleName(n)}, 1, nil}
		if err := b.makeStream(ctx, c.place); err != nil {
			return err
		}
		s := scaleSettings{NATS: b.natsURL, Stream: c.place.stream(), Prefix: c.place.prefix(), URL: b.to.URL,
			CAFile: b.caFile, Subject: c.place.subject(), Records: n}
		if n == slices.Min(b.Sizes) {
			s.Profile = b.profile
		}
		var ready scaleReady
		if c.p, err = startRole("scale", s, &ready); err != nil {
			return err
		}
		all = append(all, c)
		b.report.Memory = append(b.report.Memory,
			&memory{Records: n, HeapMB: float64(ready.Heap) / 1e6, Start: ready.Took.Seconds()})
		b.say("%s  leads after %.1f s, %.0f MB", c.load.Name, ready.Took.Seconds(), float64(ready.Heap)/1e6)
	}
	return b.inTurn(ctx, all)
}

// ---- f

// latency publishes at a steady pace to orderbridge and to the naive loop.
func (b *bench) latency(ctx context.Context) (err error) {
	contestants := []struct {
		latency *latency
		place   place
		p       *lab.Process
	}{{latency: &latency{Name: "orderbridge"}, place: place{"f"}},
		{latency: &latency{Name: "naive loop"}, place: place{"fnaive"}}}
	defer func() {
		for _, c := range contestants {
			if c.p != nil {
				err = errors.Join(err, b.stop(c.p))
			}
		}
	}()
	if contestants[0].p, err = b.startBridge(ctx, b.program, contestants[0].place, 1, inFlight, "/latency"); err != nil {
		return err
	}
	if err := b.makeStream(ctx, contestants[1].place); err != nil {
		return err
	}
	if contestants[1].p, err = b.startNaive(contestants[1].place, "/latency"); err != nil {
		return err
	}
	for _, c := range contestants {
		b.report.Latency = append(b.report.Latency, c.latency)
	}
	for range b.Rounds {
		for _, c := range contestants {
			if err := b.pace(ctx, c.latency, c.place, c.p); err != nil {
				return fmt.Errorf("%s: %w", c.latency.Name, err)
			}
		}
	}
	return nil
}

// pace publishes the events of a round; those of the warming up carry no time.
func (b *bench) pace(ctx context.Context, l *latency, p place, s *lab.Process) error {
	const total = latencyWarm + latencyEvents
	if err := b.to.expect(ctx, 1, total); err != nil {
		return err
	}
	if err := b.publish(ctx, p, 1); err != nil {
		return err
	}
	if _, err := b.reached(ctx, "warm", s); err != nil { // it works now
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
		at := time.Now().UnixNano()
		if i < latencyWarm {
			at = 0
		}
		if err := b.publishOne(p, at); err != nil {
			return err
		}
	}
	if _, err := b.reached(ctx, "total", s); err != nil {
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
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	l.P50, l.P99 = append(l.P50, ms(st.Latency[n/2])), append(l.P99, ms(st.Latency[n*99/100]))
	b.say("f  %s: p50 %.2f ms, p99 %.2f ms", l.Name, l.P50[len(l.P50)-1], l.P99[len(l.P99)-1])
	return nil
}
