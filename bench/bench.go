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

	"orderbridge/bridge"
)

const (
	bodySize = 500
	orders   = 5_000 // so many order ids take turns
	warmPart = 10    // the first tenth of a round makes connections and is not counted
	fanOut   = 100   // subscriptions of d

	latencyRate   = 500 // events/s of f
	latencyEvents = 2_000
	latencyWarm   = 500
)

const bodyTime = `"publishedAt":"`

// newBody is an event of exactly bodySize bytes. at is when it was published,
// in Unix nanoseconds.
func newBody(n int, at int64) []byte {
	b := fmt.Appendf(make([]byte, 0, bodySize), `{"orderId":"o-%06d","eventType":"OrderAccepted",%s%019d","note":"`, n%orders, bodyTime, at)
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
	nats    *process
	natsURL string
	sink    *process
	to      sinkReady
	nc      *nats.Conn
	js      jetstream.JetStream
	n       int // events published
	lost    atomic.Pointer[error]
}

func newBench(ctx context.Context, s settings, r *report) (b *bench, err error) {
	b = &bench{settings: s, report: r}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if b.dir, err = os.MkdirTemp("", "orderbridge-bench-"); err != nil {
		return nil, err
	}
	b.caFile = filepath.Join(b.dir, "ca.pem")
	if b.program, err = build(ctx, b.dir); err != nil {
		return nil, err
	}
	var bus natsReady
	if b.nats, err = startRole("nats", natsSettings{filepath.Join(b.dir, "nats")}, &bus); err != nil {
		return nil, err
	}
	b.natsURL = bus.URL
	if b.sink, err = startRole("sink", sinkSettings{b.caFile}, &b.to); err != nil {
		return nil, err
	}
	if b.nc, err = nats.Connect(b.natsURL); err != nil {
		return nil, err
	}
	b.js, err = jetstream.New(b.nc, jetstream.WithPublishAsyncMaxPending(1024),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, _ *nats.Msg, err error) { b.lost.Store(&err) }))
	return b, err
}

func (b *bench) close() error {
	var errs []error
	if b.nc != nil {
		b.nc.Close()
	}
	for _, p := range []*process{b.sink, b.nats} {
		if p != nil {
			errs = append(errs, b.stop(p))
		}
	}
	if b.dir != "" {
		errs = append(errs, os.RemoveAll(b.dir))
	}
	return errors.Join(errs...)
}

func (b *bench) stop(p *process) error {
	err := p.stop()
	if b.verbose {
		fmt.Fprintf(os.Stderr, "---- %s\n%s\n", p.name, p.log)
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
func (b *bench) measure(ctx context.Context, l *load, requests int, start func() (*process, error)) error {
	if err := b.to.expect(ctx, requests/warmPart, requests); err != nil {
		return err
	}
	p, err := start()
	if err != nil {
		return err
	}
	from, err := b.reached(ctx, "warm", p)
	if err != nil {
		return err
	}
	before := [3]time.Duration{cpuTime(p.pid()), cpuTime(b.nats.pid()), cpuTime(b.sink.pid())}
	to, err := b.reached(ctx, "total", p)
	if err != nil {
		return err
	}
	after := [3]time.Duration{cpuTime(p.pid()), cpuTime(b.nats.pid()), cpuTime(b.sink.pid())}
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
func (b *bench) reached(ctx context.Context, mark string, p *process) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	go func() {
		select {
		case <-p.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	at, err := b.to.reached(ctx, mark)
	if err != nil {
		st, _ := b.to.status(context.WithoutCancel(ctx))
		err = fmt.Errorf("%s has made %d requests: %w", p.name, st.Requests, err)
	}
	return at, err
}

// ---- a to d

// throughput starts each of a to d anew in each round, on events that lie ready.
func (b *bench) throughput(ctx context.Context) error {
	type contestant struct {
		load  *load
		place place
		setUp func(context.Context, place) error
		each  int // requests that an event makes
		start func(place) (*process, error)
	}
	contestants := []contestant{
		{&load{Name: "a", Title: "HTTP limit: the client alone"}, place{}, nil, 0, func(place) (*process, error) {
			return startRole("raw", rawSettings{b.to.URL, b.caFile, b.Requests}, &struct{}{})
		}},
		{&load{Name: "b", Title: "naive loop"}, place{"b"}, b.makeStream, 1, func(p place) (*process, error) { return b.startNaive(p, "/") }},
		{&load{Name: "c", Title: "orderbridge, 1 subscription"}, place{"c"}, func(ctx context.Context, p place) error {
			return b.setUpBridge(ctx, p, 1, inFlight, "/")
		}, 1, b.startBridge},
		{&load{Name: "d", Title: fmt.Sprintf("orderbridge, %d subscriptions", fanOut)}, place{"d"}, func(ctx context.Context, p place) error {
			return b.setUpBridge(ctx, p, fanOut, bridge.DefaultMaxInFlight, "/")
		}, fanOut, b.startBridge},
	}
	contestants = slices.DeleteFunc(contestants, func(c contestant) bool {
		return !strings.Contains(b.Only, c.load.Name)
	})
	for _, c := range contestants {
		b.report.Loads = append(b.report.Loads, c.load)
		if c.setUp != nil {
			if err := c.setUp(ctx, c.place); err != nil {
				return fmt.Errorf("%s: %w", c.load.Name, err)
			}
		}
	}
	for range b.Rounds {
		for _, c := range contestants {
			if c.each > 0 {
				if err := b.publish(ctx, c.place, b.Requests/c.each); err != nil {
					return err
				}
			}
			var p *process
			err := b.measure(ctx, c.load, b.Requests, func() (started *process, err error) {
				p, err = c.start(c.place)
				return p, err
			})
			if p != nil {
				err = errors.Join(err, b.stop(p))
			}
			if err != nil {
				return fmt.Errorf("%s: %w", c.load.Name, err)
			}
		}
	}
	return nil
}

func (b *bench) startNaive(p place, path string) (*process, error) {
	return startRole("naive", naiveSettings{b.natsURL, p.stream(), b.to.URL + path, b.caFile}, &struct{}{})
}

func (b *bench) startBridge(p place) (*process, error) {
	s := newProcess("orderbridge", b.program, "serve")
	s.cmd.Dir = b.dir
	s.cmd.Env = []string{"HOME=" + b.dir, "PATH=" + os.Getenv("PATH"),
		"ORDERBRIDGE_NATS_URL=" + b.natsURL, "ORDERBRIDGE_STREAM=" + p.stream(), "ORDERBRIDGE_SUBJECTS=" + p.subject(),
		"ORDERBRIDGE_SUBSCRIPTIONS_BUCKET=" + p.subscriptions(), "ORDERBRIDGE_PREFIX=" + p.prefix(),
		"ORDERBRIDGE_TRUST_ROOTS=" + b.caFile, "ORDERBRIDGE_EGRESS_ALLOW=127.0.0.0/8", "ORDERBRIDGE_HTTP_LISTEN=127.0.0.1:0",
	}
	return s, s.start()
}

// setUpBridge makes the stream, lets orderbridge make its buckets, puts the
// records, and stops it once all have their verdict.
func (b *bench) setUpBridge(ctx context.Context, p place, subscriptions, maxInFlight int, path string) (err error) {
	if err := b.makeStream(ctx, p); err != nil {
		return err
	}
	s, err := b.startBridge(p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.stop(s)) }()
	var records, verdicts jetstream.KeyValue
	err = waitFor(ctx, func() bool {
		records, err = b.js.KeyValue(ctx, p.subscriptions())
		if err == nil {
			verdicts, err = b.js.KeyValue(ctx, p.prefix()+"subscription_status")
		}
		return err == nil || s.ended()
	})
	if err != nil {
		return err
	}
	for i := range subscriptions {
		record := fmt.Sprintf(`{"targetURL":%q,"maxInFlight":%d}`, b.to.URL+path, maxInFlight)
		if _, err := records.PutString(ctx, fmt.Sprintf("s%d", i), record); err != nil {
			return err
		}
	}
	for i := range subscriptions {
		err = waitFor(ctx, func() bool {
			var status bridge.Status
			entry, err := verdicts.Get(ctx, fmt.Sprintf("s%d", i))
			return err == nil && json.Unmarshal(entry.Value(), &status) == nil && status.State == bridge.StateActive || s.ended()
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// ---- e

func scaleName(records int) string { return fmt.Sprintf("e%d", records) }

// scale keeps a bridge with each number of records; each in turn is stopped
// while its events are published, and then let loose.
func (b *bench) scale(ctx context.Context) (err error) {
	type contestant struct {
		load  *load
		place place
		p     *process
	}
	var all []*contestant
	defer func() {
		for _, c := range all {
			err = errors.Join(err, b.stop(c.p))
		}
	}()
	for _, n := range b.Sizes {
		c := &contestant{load: &load{Name: scaleName(n), Title: "orderbridge, 1 match among " + thousands(n) + " records"}, place: place{scaleName(n)}}
		if err := b.makeStream(ctx, c.place); err != nil {
			return err
		}
		s := scaleSettings{NATS: b.natsURL, Stream: c.place.stream(), Prefix: c.place.prefix(), URL: b.to.URL, CAFile: b.caFile, Subject: c.place.subject(), Records: n}
		if n == slices.Min(b.Sizes) {
			s.Profile = b.profile
		}
		var ready scaleReady
		if c.p, err = startRole("scale", s, &ready); err != nil {
			return err
		}
		all = append(all, c)
		b.report.Loads = append(b.report.Loads, c.load)
		b.report.Memory = append(b.report.Memory, &memory{Records: n, HeapMB: float64(ready.Heap) / 1e6, Start: ready.Took.Seconds()})
		b.say("%s  leads after %.1f s, %.0f MB", c.load.Name, ready.Took.Seconds(), float64(ready.Heap)/1e6)
	}
	for range b.Rounds {
		for _, c := range all {
			err := b.measure(ctx, c.load, b.Requests, func() (*process, error) {
				stopped := c.p.cmd.Process.Signal(syscall.SIGSTOP)
				published := b.publish(ctx, c.place, b.Requests)
				return c.p, errors.Join(stopped, published, c.p.cmd.Process.Signal(syscall.SIGCONT))
			})
			if err != nil {
				return fmt.Errorf("%s: %w", c.load.Name, err)
			}
		}
	}
	return nil
}

// ---- f

// latency publishes at a steady pace to orderbridge and to the naive loop.
func (b *bench) latency(ctx context.Context) error {
	ours, naive := place{"f"}, place{"fnaive"}
	if err := errors.Join(b.setUpBridge(ctx, ours, 1, inFlight, "/latency"), b.makeStream(ctx, naive)); err != nil {
		return err
	}
	contestants := []struct {
		latency *latency
		place   place
		start   func() (*process, error)
	}{
		{&latency{Name: "orderbridge"}, ours, func() (*process, error) { return b.startBridge(ours) }},
		{&latency{Name: "naive loop"}, naive, func() (*process, error) { return b.startNaive(naive, "/latency") }},
	}
	for _, c := range contestants {
		b.report.Latency = append(b.report.Latency, c.latency)
	}
	for range b.Rounds {
		for _, c := range contestants {
			p, err := c.start()
			if err != nil {
				return err
			}
			if err := errors.Join(b.pace(ctx, c.latency, c.place, p), b.stop(p)); err != nil {
				return fmt.Errorf("%s: %w", c.latency.Name, err)
			}
		}
	}
	return nil
}

// pace publishes the events of a round; those of the warming up carry no time.
func (b *bench) pace(ctx context.Context, l *latency, p place, s *process) error {
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
