package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"orderbridge/bridge"
)

// namedCollector shows the subscriptions that metrics name.
type namedCollector struct {
	named     *Named
	condition func() bridge.Condition
	stream    *Stream

	attempts, owed, oldest, held, state, since, retention, rate, pause *prometheus.Desc
}

// RegisterNamed registers the series of single subscriptions. They name tenants
// and subscriptions: not everybody who may read metrics may read these.
func RegisterNamed(r prometheus.Registerer, named *Named, condition func() bridge.Condition, stream *Stream) {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("orderbridge_subscription_"+name, help, append([]string{"subscription"}, labels...), nil)
	}
	r.MustRegister(&namedCollector{named: named, condition: condition, stream: stream,
		attempts:  desc("attempts_total", "Attempts of the subscription since it is named, by result: delivered or failed.", "result"),
		owed:      desc("deliveries_owed", "Deliveries that the subscription is owed, as orderbridge_deliveries_owed."),
		oldest:    desc("owed_oldest_seconds", "Age of the oldest event that the subscription is owed; 0 if none is."),
		held:      desc("orders_held", "Orders of the subscription that wait in the ledger."),
		state:     desc("state", "The state of the subscription; always 1.", "tenant", "state"),
		since:     desc("state_since_timestamp_seconds", "When that state began."),
		retention: desc("retention_used_ratio", "How much of the way to the stream's limits the oldest event that the subscription is owed has gone; at 0.98 it becomes a dead letter."),
		rate:      desc("rate_limit_per_second", "Attempts a second that the subscription may make, by its record or after an outage; not told where it goes as fast as it can."),
		pause:     desc("pause_seconds", "Time until the endpoint is asked again (Retry-After, probe); 0: now."),
	})
}

// Describe implements prometheus.Collector.
func (c *namedCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.attempts, c.owed, c.oldest, c.held, c.state, c.since, c.retention, c.rate, c.pause} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *namedCollector) Collect(ch chan<- prometheus.Metric) {
	now := time.Now()
	for _, d := range c.named.tell(c.condition().Debtors) {
		gauge := func(desc *prometheus.Desc, v float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, append([]string{d.Subscription}, labels...)...)
		}
		for result, n := range map[string]uint64{"delivered": d.delivered.Load(), "failed": d.failed.Load()} {
			ch <- prometheus.MustNewConstMetric(c.attempts, prometheus.CounterValue, float64(n), d.Subscription, result)
		}
		gauge(c.owed, float64(d.Owed))
		gauge(c.held, float64(d.Held))
		gauge(c.pause, d.Pause.Seconds())
		gauge(c.retention, c.stream.used(now, d.Oldest))
		if age, known := ageOf(now, d.Oldest); known {
			gauge(c.oldest, age)
		}
		if d.State != "" {
			gauge(c.state, 1, d.Tenant, string(d.State))
		}
		if !d.Since.IsZero() {
			gauge(c.since, float64(d.Since.UnixMilli())/1000)
		}
		if d.Rate > 0 {
			gauge(c.rate, d.Rate)
		}
	}
}
