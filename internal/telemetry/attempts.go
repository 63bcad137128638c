package telemetry

import (
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/prometheus/client_golang/prometheus"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
)

// Attempts is a middleware that measures attempts. It stands in the way of each of
// them: what it needs is looked up once.
type Attempts struct {
	named   *Named
	counted *prometheus.CounterVec
	counts  [verdicts][classes]atomic.Pointer[prometheus.Counter]
	seconds [verdicts]prometheus.Observer
	ends    [2]prometheus.Observer // by whether it was not the first attempt
}

const (
	verdicts = int(protocol.Filtered) + 1
	classes  = 6
)

// class is that of a status as a label tells it.
var class = [classes]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}

// NewAttempts registers what is measured of attempts; named may be nil.
func NewAttempts(r prometheus.Registerer, named *Named) *Attempts {
	a := &Attempts{named: named, counted: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "orderbridge_attempts_total",
		Help: "Attempts, by outcome and by class of the status that the endpoint answered (none: it did not answer).",
	}, []string{"outcome", "status"})}
	seconds := prometheus.NewHistogramVec(histogram("orderbridge_attempt_seconds",
		"How long attempts took, by outcome.",
		.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60), []string{"outcome"})
	ends := prometheus.NewHistogramVec(histogram("orderbridge_delivery_seconds",
		"From an event's publication to the endpoint's 2xx, by whether the first attempt had it or a later one; without replays and redrives.",
		.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400), []string{"attempt"})
	r.MustRegister(a.counted, seconds, ends)
	for v := protocol.Delivered; v <= protocol.NotAttempted; v++ {
		a.seconds[v] = seconds.WithLabelValues(v.String())
	}
	a.seconds[protocol.Filtered] = a.seconds[protocol.NotAttempted] // none comes here
	a.ends = [2]prometheus.Observer{ends.WithLabelValues("first"), ends.WithLabelValues("later")}
	a.count(protocol.Delivered, 2)
	for status := range classes { // a rate needs a zero to begin with
		a.count(protocol.Retry, status)
	}
	return a
}

// histogram is a native one, with buckets for scrapers that take none.
func histogram(name, help string, buckets ...float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets, NativeHistogramBucketFactor: 1.1,
		NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour}
}

// count is the counter of that outcome and class.
func (a *Attempts) count(v protocol.Verdict, status int) prometheus.Counter {
	slot := &a.counts[v][status]
	if c := slot.Load(); c != nil {
		return *c
	}
	c := a.counted.WithLabelValues(v.String(), class[status])
	slot.Store(&c)
	return c
}

// Middleware measures one attempt; it stands outside of what owes a failed attempt (bridge.term.router).
func (a *Attempts) Middleware(next message.HandlerFunc) message.HandlerFunc {
	return func(m *message.Message) ([]*message.Message, error) {
		start := time.Now()
		produced, err := next(m)
		a.ended(m, start)
		return produced, err
	}
}

func (a *Attempts) ended(m *message.Message, start time.Time) {
	o := bridge.Reported(m.Context())
	status := o.Status / 100
	if status < 1 || status >= classes {
		status = 0
	}
	now := time.Now()
	a.count(o.Verdict, status).Inc()
	trace := bridge.TraceOf(m.Context())
	if o.Verdict == protocol.NotAttempted {
		trace = nil // what was cut off is not told
	}
	observe(a.seconds[o.Verdict], now.Sub(start), trace)
	d := bridge.DeliveryOf(m.Context())
	if d == nil {
		return
	}
	a.named.attempted(d.Subscription.ID, o.Verdict)
	if o.Verdict != protocol.Delivered || d.Event == nil || d.Replay != "" || d.Redrive {
		return // what is sent again was late because somebody asked for it late
	}
	later := 0
	if d.Attempt > 1 {
		later = 1
	}
	if published := d.Event.Ref().Time; published > 0 {
		observe(a.ends[later], max(now.Sub(time.Unix(0, published)), 0), trace)
	}
}

// observe takes a value, with its trace as the exemplar where that is told; nil: there is none.
func observe(by prometheus.Observer, took time.Duration, trace *bridge.Trace) {
	if trace == nil || !trace.Sampled {
		by.Observe(took.Seconds())
		return
	}
	by.(prometheus.ExemplarObserver).ObserveWithExemplar(took.Seconds(), prometheus.Labels{"trace_id": trace.ID})
}
