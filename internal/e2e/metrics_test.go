package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
	"orderbridge/internal/limits"
)

// families are those of a scrape in a format that the caller accepts.
func families(t testing.TB, p *program, accept string, headers ...string) (all map[string]*dto.MetricFamily, text string) {
	t.Helper()
	r := caller{t, "http://" + p.http(), ""}.call(http.MethodGet, "/metrics", "", append([]string{"Accept", accept}, headers...)...).is(t, http.StatusOK)
	if strings.HasPrefix(accept, "text/plain") {
		parser := expfmt.NewTextParser(model.UTF8Validation)
		all, err := parser.TextToMetricFamilies(strings.NewReader(r.body))
		if err != nil {
			t.Fatalf("%v in %s", err, r.body)
		}
		return all, r.body
	}
	all = map[string]*dto.MetricFamily{}
	decoder := expfmt.NewDecoder(strings.NewReader(r.body), expfmt.ResponseFormat(r.header))
	for {
		f := new(dto.MetricFamily)
		if decoder.Decode(f) != nil {
			return all, r.body
		}
		all[f.GetName()] = f
	}
}

// value is that of the series with these labels: name, value, …; -1 if there is none.
func value(all map[string]*dto.MetricFamily, name string, labels ...string) float64 {
series:
	for _, m := range all[name].GetMetric() {
		has := map[string]string{}
		for _, l := range m.GetLabel() {
			has[l.GetName()] = l.GetValue()
		}
		for i := 0; i < len(labels); i += 2 {
			if has[labels[i]] != labels[i+1] {
				continue series
			}
		}
		return m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
	}
	return -1
}

const plainText = "text/plain"

// TestMetrics: an outage shows as what it is, also after a take-over, and by name
// for those who may know names; docs, rules and dashboard speak of what there is.
func TestMetrics(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	dead, healthy := receive(t, lab.Always(http.StatusServiceUnavailable)), receive(t, nil)
	env := []string{"ORDERBRIDGE_API_TOKENS=op:" + operator + ",acme:" + acmeToken + ":acme"}
	p := serving(t, bus.URL(), env...)
	subscribe(t, js, "dead-one", recordFor(dead, `"tenant":"acme"`))
	subscribe(t, js, "healthy", recordFor(healthy, `"rateLimit":{"requests":1000,"per":"PT1S"}`))
	bearer(t, p, "wrong-wrong").call(http.MethodGet, webhooks, "").is(t, http.StatusUnauthorized)
	const n = 100
	for i := 1; i <= n; i++ {
		publishOne(t, js, "o"+strconv.Itoa(i), 1)
	}
	shows := func(name string, want float64, labels ...string) map[string]*dto.MetricFamily {
		t.Helper()
		var all map[string]*dto.MetricFamily
		await(t, 5*time.Minute, name+" "+strings.Join(labels, " "), func() bool {
			all, _ = families(t, p, plainText)
			return value(all, name, labels...) == want
		})
		return all
	}
	state := func() {
		t.Helper()
		shows("orderbridge_subscription_state", 1, "subscription", "dead-one", "tenant", "acme", "state", "suspended")
		shows("orderbridge_subscriptions_in_state", 1, "state", "suspended")
		shows("orderbridge_subscription_deliveries_owed", n, "subscription", "dead-one")
		shows("orderbridge_deliveries_owed", n)
	}
	state()
	all := shows("orderbridge_subscription_attempts_total", n, "subscription", "healthy", "result", "delivered")
	for name, least := range map[string]float64{"orderbridge_owed_oldest_seconds": 0.001, "orderbridge_takeovers_total": 1,
		"orderbridge_bus_request_seconds": 1, "orderbridge_retention_used_ratio": 0, "orderbridge_feed_lag_messages": 0} {
		if got := value(all, name); got < least {
			t.Errorf("%s is %v", name, got)
		}
	}
	if got := value(all, "orderbridge_delivery_seconds", "attempt", "first"); got != n {
		t.Errorf("%v deliveries were measured", got)
	}

	toldTo(t, p)
	holdDocs(t, all)
	holdRules(t, all)

	p.kill()
	p = serving(t, bus.URL(), env...)
	state()
	if age := value(shows("orderbridge_deliveries_owed", n), "orderbridge_owed_oldest_seconds"); age <= 0 {
		t.Errorf("the oldest is %v s old", age)
	}
	dead.Reply(nil)
	shows("orderbridge_deliveries_owed", 0)
	all = shows("orderbridge_subscriptions_in_state", 2, "state", "active")
	if age := value(all, "orderbridge_owed_oldest_seconds"); age != 0 {
		t.Errorf("nothing is owed, and the oldest is %v s old", age)
	}
}

// toldTo holds who is told names, and the formats.
func toldTo(t *testing.T, p *program) {
	t.Helper()
	for _, x := range []struct {
		who   string
		named bool
		headers
	}{
		{"this machine", true, nil},
		{"another one", false, headers{"X-Forwarded-For", "192.0.2.1"}},
		{"an operator elsewhere", true, headers{"X-Forwarded-For", "192.0.2.1", "Authorization", "Bearer " + operator}},
		{"a tenant", false, headers{"X-Forwarded-For", "192.0.2.1", "Authorization", "Bearer " + acmeToken}},
		{"nobody known", false, headers{"X-Forwarded-For", "192.0.2.1", "Authorization", "Bearer wrong"}},
	} {
		_, text := families(t, p, plainText, x.headers...)
		if named := strings.Contains(text, "dead-one") || strings.Contains(text, "acme"); named != x.named {
			t.Errorf("%s is told names: %v", x.who, named)
		}
		if !strings.Contains(text, "orderbridge_deliveries_owed 100") {
			t.Errorf("%s is not told what is owed", x.who)
		}
	}
	open := caller{t, "http://" + p.http(), ""}.call(http.MethodGet, "/metrics", "", "Accept", "application/openmetrics-text;version=1.0.0")
	if !strings.HasPrefix(open.header.Get("Content-Type"), "application/openmetrics-text") || !strings.HasSuffix(open.body, "# EOF\n") {
		t.Errorf("OpenMetrics is %s", open.header.Get("Content-Type"))
	}
	native, _ := families(t, p, "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	for _, name := range []string{"orderbridge_attempt_seconds", "orderbridge_delivery_seconds", "orderbridge_bus_request_seconds"} {
		if h := native[name].GetMetric(); len(h) == 0 || h[0].GetHistogram().Schema == nil || len(h[0].GetHistogram().GetBucket()) == 0 {
			t.Errorf("%s is not both native and classic", name)
		}
	}
}

type headers []string

// withinMinutes is the context of a tool that answers at once, on a machine that may be busy.
func withinMinutes() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 5*time.Minute)
}

// TestMetricsNameAllThatFit: who owes nothing and was sent nothing is named as well, where
// there is room for all.
func TestMetricsNameAllThatFit(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, nil)
	p := serving(t, bus.URL(), "ORDERBRIDGE_METRICS_SUBSCRIPTIONS=all", "ORDERBRIDGE_SHARDS=2")
	subscribe(t, js, "idle", recordFor(e))
	subscribeState(t, js, "paused", recordFor(e, `"tenant":"acme"`, `"status":"paused"`), protocol.StatePaused)
	await(t, 0, "both are named", func() bool {
		all, _ := families(t, p, plainText)
		return value(all, "orderbridge_subscription_state", "subscription", "idle", "state", "active") == 1 &&
			value(all, "orderbridge_subscription_state", "subscription", "paused", "tenant", "acme", "state", "paused") == 1 &&
			value(all, "orderbridge_subscription_deliveries_owed", "subscription", "idle") == 0
	})
}

// TestMetricsNameAtMost: with 5,000 records `all` names 2,000 at most, those that fail
// among them, and nothing else of the metrics grows with the records.
func TestMetricsNameAtMost(t *testing.T) {
	t.Parallel()
	const records, failing = 5000, 50
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	dead, healthy := receive(t, lab.Always(http.StatusServiceUnavailable)), receive(t, nil)
	p := serving(t, bus.URL(), "ORDERBRIDGE_METRICS_SUBSCRIPTIONS=all", "ORDERBRIDGE_SHARDS=2")
	for i := range records {
		put(t, js, fmt.Sprintf("good-%04d", i), recordFor(healthy, `"subjects":["orders.good"]`))
	}
	for i := range failing {
		put(t, js, fmt.Sprintf("dead-%02d", i), recordFor(dead, `"subjects":["orders.dead"]`))
	}
	await(t, 0, "all are in force", func() bool {
		all, _ := families(t, p, plainText)
		return value(all, "orderbridge_subscriptions_in_state", "state", "active") == records+failing
	})
	publishMsg(t, js, &nats.Msg{Subject: "orders.good", Data: []byte(`{"orderId":"g"}`)})
	await(t, 0, "the good ones have it", func() bool { return healthy.Count() >= records })
	for i := range 5 { // so they owe more than twice of what others, busy ones, could
		publishMsg(t, js, &nats.Msg{Subject: "orders.dead", Data: fmt.Appendf(nil, `{"orderId":"d%d"}`, i)})
	}
	bounded := func() (named map[string]bool) {
		t.Helper()
		all, text := families(t, p, plainText)
		named = map[string]bool{}
		for name, f := range all {
			of := map[string]int{}
			for _, m := range f.GetMetric() {
				for _, l := range m.GetLabel() {
					if l.GetName() == "subscription" {
						of[l.GetValue()]++
						named[l.GetValue()] = true
					}
				}
			}
			switch series := len(f.GetMetric()); {
			case len(of) > limits.NamedSubscriptions, series > 2*max(len(of), 50):
				t.Errorf("%s has %d series of %d subscriptions", name, series, len(of))
			}
		}
		if len(named) > limits.NamedSubscriptions || len(text) > 8<<20 {
			t.Errorf("%d subscriptions are named, in %d bytes", len(named), len(text))
		}
		return named
	}
	await(t, 0, "those that fail are named", func() bool {
		n, named := 0, bounded()
		for id := range named {
			if strings.HasPrefix(id, "dead-") {
				n++
			}
		}
		return n == failing && len(named) > failing || t.Failed()
	})
}
