package telemetry

import (
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
)

// figure is one number of protocol.Figures as a metric.
type figure struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(bridge.Condition) float64
}

// bridgeCollector shows what a bridge says of itself.
type bridgeCollector struct {
	condition func() bridge.Condition
	stream    *Stream
	alerts    *prometheus.Desc
	states    *prometheus.Desc
	feed      [2]*prometheus.Desc
	oldest    *prometheus.Desc
	retention *prometheus.Desc
	shares    [4]*prometheus.Desc
	shard     [3]*prometheus.Desc
	figures   []figure
}

// RegisterBridge registers the figures of a bridge.
func RegisterBridge(r prometheus.Registerer, condition func() bridge.Condition, stream *Stream) {
	c := &bridgeCollector{condition: condition, stream: stream}
	c.protocolFigures()
	c.replicaFigures()
	c.describe()
	r.MustRegister(c)
}

func (c *bridgeCollector) add(kind prometheus.ValueType, name, help string, of func(bridge.Condition) float64) {
	c.figures = append(c.figures, figure{prometheus.NewDesc("orderbridge_"+name, help, nil, nil), kind, of})
}

// protocolFigures are what the protocol has counted.
func (c *bridgeCollector) protocolFigures() {
	count := func(name, help string, of func(protocol.Figures) uint64) {
		c.add(prometheus.CounterValue, name+"_total", help,
			func(c bridge.Condition) float64 { return float64(of(c.Figures)) })
	}
	gauge := func(name, help string, of func(protocol.Figures) int) {
		c.add(prometheus.GaugeValue, name, help, func(c bridge.Condition) float64 { return float64(of(c.Figures)) })
	}
	count("events", "Events taken from the bus.", func(f protocol.Figures) uint64 { return f.Taken })
	count("events_missed", "Events that the stream dropped before they could be matched.",
		func(f protocol.Figures) uint64 { return f.Missed })
	count("messages_not_events",
		"Messages of the stream that are not events (delete markers, schedules, counters): passed over.",
		func(f protocol.Figures) uint64 { return f.NotEvents })
	count("events_without_tenant",
		"Events whose tenant is not told, or not where it counts: only records without tenant hear them.",
		func(f protocol.Figures) uint64 { return f.Untold })
	count("events_overlong", "Events that tell an id, type or tenant of more than 512 bytes: it counts as not told.",
		func(f protocol.Figures) uint64 { return f.Overlong })
	count("stream_changes", "Changes of the source stream that were met: recreated, restored, lost its end.",
		func(f protocol.Figures) uint64 { return f.Changes })
	count("events_vanished", "Events, at most, that were owed and vanished with the former source stream.",
		func(f protocol.Figures) uint64 { return f.Vanished })
	count("deliveries_removed", "Deliveries whose event was removed from the source stream while it was owed.",
		func(f protocol.Figures) uint64 { return f.Removed })
	c.add(prometheus.GaugeValue, "stream_changes_open", "Changes of the source stream that no operator has acknowledged.",
		func(c bridge.Condition) float64 { return float64(len(c.Changes)) })
	count("deliveries_matched", "Deliveries that events made, those that are read later included.",
		func(f protocol.Figures) uint64 { return f.Matched })
	count("deliveries_filtered", "Deliveries that the filter of their subscription rejected.",
		func(f protocol.Figures) uint64 { return f.Filtered })
	count("deliveries_delivered", "Deliveries that an endpoint took with a 2xx.",
		func(f protocol.Figures) uint64 { return f.Delivered })
	count("deliveries_superseded", "Deliveries that a newer event of the same order made needless.",
		func(f protocol.Figures) uint64 { return f.Superseded })
	count("attempts_failed", "Attempts that failed.", func(f protocol.Figures) uint64 { return f.Failed })
	count("attempts_retried", "Attempts after the first of a delivery.",
		func(f protocol.Figures) uint64 { return f.Retried })
	count("dead_letters", "Deliveries that were given up.", func(f protocol.Figures) uint64 { return f.Dead })
	count("lanes_parked", "Lanes written down because they waited too long.",
		func(f protocol.Figures) uint64 { return f.Parked })
	gauge("events_unsettled", "Events of which something is owed, in memory, in the ledger or yet to be read, at most.",
		func(f protocol.Figures) int { return f.Unsettled })
	gauge("deliveries_owed",
		"Deliveries that are owed: in memory, in the ledger, and what readers have yet to read as far as it is known; not those of deleted records.",
		func(f protocol.Figures) int { return f.Owed })
	gauge("deliveries_kept",
		"Deliveries of deleted records, which are kept for a day: they are owed again if the record is put again.",
		func(f protocol.Figures) int { return f.Kept })
	gauge("lanes_held", "Lanes in the ledger.", func(f protocol.Figures) int { return f.Held })
	gauge("attempts_running", "Attempts under way.", func(f protocol.Figures) int { return f.Running })
	gauge("subscriptions", "Subscriptions, of any state but deleted.",
		func(f protocol.Figures) int { return f.Subscriptions })
	gauge("subscriptions_reading", "Subscriptions that read the stream for themselves.",
		func(f protocol.Figures) int { return f.Reading })
	gauge("subscriptions_suspended", "Subscriptions whose endpoint fails or has answered 410.",
		func(f protocol.Figures) int { return f.Suspended })
	count("takeovers", "Take-overs of a shard that this replica has done.", func(f protocol.Figures) uint64 { return f.TakeOvers })
}

// replicaFigures are what this replica is to the others, and what became of its alerts.
func (c *bridgeCollector) replicaFigures() {
	c.add(prometheus.GaugeValue, "leader", "1 where this replica leads, if only one of several shards.", func(c bridge.Condition) float64 {
		if c.Role == bridge.RoleLeader {
			return 1
		}
		return 0
	})
	c.add(prometheus.GaugeValue, "epoch", "The epoch that this replica leads, the highest of several shards, 0 if it stands by.",
		func(c bridge.Condition) float64 { return float64(c.Epoch) })
	c.add(prometheus.GaugeValue, "shards", "Shards that there are, 0 as long as that is not known.",
		func(c bridge.Condition) float64 { return float64(c.Shards) })
	c.add(prometheus.GaugeValue, "replicas", "Replicas that are alive, as far as this one sees.",
		func(c bridge.Condition) float64 { return float64(c.Replicas) })
	for _, x := range []struct {
		name, help string
		of         func(bridge.AlertCounts) uint64
	}{
		{"alerts_delivered_total", "Alerts that were delivered to records that hear them.", func(a bridge.AlertCounts) uint64 { return a.Delivered }},
		{"alerts_retried_total", "Attempts to deliver an alert that failed and are made again.", func(a bridge.AlertCounts) uint64 { return a.Failed }},
		{"alerts_dropped_total", "Alerts that were given up for a record that hears them.", func(a bridge.AlertCounts) uint64 { return a.Dropped }},
	} {
		c.add(prometheus.CounterValue, x.name, x.help, func(c bridge.Condition) float64 { return float64(x.of(c.Alerts)) })
	}
}

// describe makes what has labels.
func (c *bridgeCollector) describe() {
	for i, x := range [3][2]string{
		{"shard_leader", "1 for each shard that this replica leads, 0 while it takes it over."},
		{"shard_epoch", "The epoch in which this replica leads the shard."},
		{"shard_deliveries_owed", "Deliveries that the shard owes, as orderbridge_deliveries_owed."},
	} {
		c.shard[i] = prometheus.NewDesc("orderbridge_"+x[0], x[1], []string{"shard"}, nil)
	}
	c.states = prometheus.NewDesc("orderbridge_subscriptions_in_state",
		"Subscriptions in each state; those of deleted records are kept for a day.", []string{"state"}, nil)
	c.feed = [2]*prometheus.Desc{
		prometheus.NewDesc("orderbridge_feed_lag_messages", "Messages of the source stream that the feed has not brought yet, of the shard that is farthest behind.", nil, nil),
		prometheus.NewDesc("orderbridge_feed_lag_seconds", "For how long the oldest of them has waited, at most.", nil, nil),
	}
	c.oldest = prometheus.NewDesc("orderbridge_owed_oldest_seconds", "Age of the oldest event of which a delivery is owed; 0 if none is.", nil, nil)
	c.retention = prometheus.NewDesc("orderbridge_retention_used_ratio",
		"How much of the way to the stream's limits (age, number, bytes) the oldest event that is owed has gone; at 0.98 it becomes a dead letter.", nil, nil)
	c.alerts = prometheus.NewDesc("orderbridge_alerts_total", "Alerts raised, by kind.", []string{"kind"}, nil)
	for i, x := range [4][2]string{
		{"share_used", "How much of what tenants share is in use, by resource."},
		{"share_size", "How much of it there is."},
		{"share_most", "How much of it the tenant has that has most (/readyz names it where little is left)."},
		{"share_waiting", "Subscriptions that wait for it."},
	} {
		c.shares[i] = prometheus.NewDesc("orderbridge_"+x[0], x[1], []string{"resource"}, nil)
	}
}

// Describe implements prometheus.Collector.
func (c *bridgeCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range c.figures {
		ch <- f.desc
	}
	for _, d := range slices.Concat([]*prometheus.Desc{c.alerts, c.states, c.oldest, c.retention}, c.feed[:], c.shares[:], c.shard[:]) {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *bridgeCollector) Collect(ch chan<- prometheus.Metric) {
	condition := c.condition()
	for _, f := range c.figures {
		ch <- prometheus.MustNewConstMetric(f.desc, f.kind, f.of(condition))
	}
	c.collectStream(ch, &condition)
	for _, state := range protocol.States {
		ch <- prometheus.MustNewConstMetric(c.states, prometheus.GaugeValue, float64(condition.States[state]), string(state))
	}
	for _, kind := range protocol.AlertKinds {
		ch <- prometheus.MustNewConstMetric(c.alerts, prometheus.CounterValue, float64(condition.Figures.Alerts[kind]),
			kind)
	}
	for _, u := range condition.Usage {
		for i, n := range [4]int64{u.Used, u.Size, u.Most, int64(u.Waiting)} {
			ch <- prometheus.MustNewConstMetric(c.shares[i], prometheus.GaugeValue, float64(n), u.Resource)
		}
	}
	for _, x := range condition.Leads {
		leads := 0.
		if x.Role == bridge.RoleLeader {
			leads = 1
		}
		for i, n := range [3]float64{leads, float64(x.Epoch), float64(x.Owed)} {
			ch <- prometheus.MustNewConstMetric(c.shard[i], prometheus.GaugeValue, n, strconv.Itoa(x.Shard))
		}
	}
}

// collectStream tells how far what is owed, and the feed, are behind. A replica that
// leads nothing tells zeros.
func (c *bridgeCollector) collectStream(ch chan<- prometheus.Metric, condition *bridge.Condition) {
	now := time.Now()
	gauge := func(desc *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v)
	}
	if age, known := ageOf(now, condition.Oldest); known {
		gauge(c.oldest, age)
	}
	gauge(c.retention, c.stream.used(now, condition.Oldest))
	var messages uint64
	var age time.Duration
	for _, x := range condition.Leads {
		if x.Role != bridge.RoleLeader {
			continue
		}
		n, a := c.stream.lag(now, x.Taken)
		messages, age = max(messages, n), max(age, a)
	}
	gauge(c.feed[0], float64(messages))
	gauge(c.feed[1], age.Seconds())
}
