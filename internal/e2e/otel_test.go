package e2e

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"orderbridge/internal/lab"
)

// traced is a change with a trace, which is sampled or not.
func traced(order string, n int, trace string, sampled bool) (m *nats.Msg) {
	m = change(order, n)
	m.Header.Set("traceparent", fmt.Sprintf("00-%s-00f067aa0ba902b7-0%d", trace, map[bool]int{true: 1}[sampled]))
	return m
}

// openMetrics is what a scraper gets that takes exemplars.
func (p *program) openMetrics() string {
	p.t.Helper()
	req, err := http.NewRequestWithContext(within(p.t, lab.Patience), http.MethodGet, "http://"+p.http()+"/metrics", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(body)
}

// TestTraces: a trace that is sampled reaches the collector, the log and the histograms'
// exemplars; one that is not reaches the log and the endpoint only.
func TestTraces(t *testing.T) {
	t.Parallel()
	const told, passed = "4bf92f3577b34da6a3ce929d0e0e4736", "0af7651916cd43dd8448eb211c80319c"
	var spans, others atomic.Int32
	otlp := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var export collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &export)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Error(r.URL.Path, err)
		}
		for _, of := range export.GetResourceSpans() {
			for _, scope := range of.GetScopeSpans() {
				for _, span := range scope.GetSpans() {
					if hex.EncodeToString(span.GetTraceId()) == told {
						spans.Add(1)
					} else {
						others.Add(1)
					}
				}
			}
		}
	}))
	t.Cleanup(otlp.Close)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, nil)
	p := serving(t, bus.URL(), "OTEL_EXPORTER_OTLP_ENDPOINT="+otlp.URL, "OTEL_BSP_SCHEDULE_DELAY=200", "ORDERBRIDGE_ATTEMPT_LOG=off",
		"ORDERBRIDGE_LOG_LEVEL=debug")
	subscribe(t, js, "s", recordFor(e))
	publishMsg(t, js, traced("a", 1, passed, false))
	e.came(t, 1)
	p.said(lab.Patience, "trace_id="+passed)
	if text := p.openMetrics(); strings.Contains(text, "trace_id") {
		t.Error("what is not sampled is an exemplar")
	}
	publishMsg(t, js, traced("b", 1, told, true))
	e.came(t, 2)
	p.said(lab.Patience, "trace_id="+told)
	await(t, lab.Patience, "the collector has both spans", func() bool { return spans.Load() == 2 })
	for _, name := range []string{`orderbridge_attempt_seconds_bucket{outcome="delivered",`, `orderbridge_delivery_seconds_bucket{attempt="first",`} {
		found := false
		for line := range strings.Lines(p.openMetrics()) {
			found = found || strings.HasPrefix(line, name) && strings.Contains(line, `# {trace_id="`+told+`"}`)
		}
		if !found {
			t.Errorf("no exemplar of %s", name)
		}
	}
	if text := p.get("/metrics"); strings.Contains(text, "trace_id") || others.Load() > 0 {
		t.Errorf("the plain text tells exemplars, or the collector was sent %d spans of others", others.Load())
	}
}

// TestCollectorThatHangs: a collector that takes a request and never answers holds
// nothing up and is said once, also when the bridge stops.
func TestCollectorThatHangs(t *testing.T) {
	t.Parallel()
	asked, end := make(chan struct{}, 1), make(chan struct{})
	otlp := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case asked <- struct{}{}:
		default:
		}
		<-end
	}))
	t.Cleanup(otlp.Close)
	t.Cleanup(func() { close(end) })
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, nil)
	p := serving(t, bus.URL(), "OTEL_EXPORTER_OTLP_ENDPOINT="+otlp.URL, "OTEL_EXPORTER_OTLP_TIMEOUT=500", "OTEL_BSP_SCHEDULE_DELAY=100",
		"OTEL_BSP_EXPORT_TIMEOUT=500")
	subscribe(t, js, "s", recordFor(e))
	publishMsg(t, js, change("a", 1))
	<-asked
	for n := range 200 { // while the collector has a request
		publishMsg(t, js, change(fmt.Sprint("b", n%8), n))
	}
	e.came(t, 201)
	p.said(lab.Patience, "traces cannot be sent")
	p.stop()
	if n := strings.Count(p.Output(), "traces cannot be sent"); n != 1 {
		t.Errorf("it is said %d times", n)
	}
}
