package tracing

import (
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
)

// receiver is a collector that keeps what it is sent.
func receiver(t *testing.T) (url string, got func() map[string][]*spans.Span) {
	t.Helper()
	var mu sync.Mutex
	byName := map[string][]*spans.Span{}
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var export collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &export)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Error(r.URL.Path, err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, rs := range export.GetResourceSpans() {
			for _, ss := range rs.GetScopeSpans() {
				for _, span := range ss.GetSpans() {
					byName[span.GetName()] = append(byName[span.GetName()], span)
				}
			}
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, func() map[string][]*spans.Span {
		mu.Lock()
		defer mu.Unlock()
		return byName
	}
}

func off(t *testing.T) {
	t.Helper()
	for _, name := range []string{"OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
		"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"} {
		t.Setenv(name, "")
	}
}

const (
	tracePublished = "0af7651916cd43dd8448eb211c80319c"
	spanPublished  = "b7ad6b7169203331"
)

func delivery(attempt int, parent string) *protocol.Delivery {
	header := map[string][]string{}
	if parent != "" {
		header["traceparent"] = []string{parent}
	}
	return &protocol.Delivery{Subscription: &record.Subscription{ID: "erp"}, Attempt: attempt, Generation: 3, Event: &event.Event{
		Message: event.Message{Seq: 7, Time: time.Now().Add(-time.Second), Subject: "orders", Header: header}, ID: "ORDERS-7-1", OrderID: "4711"}}
}

// TestSpans: wait and attempts lie behind the event's span, a retry is linked to the
// attempt before, the endpoint is sent the attempt's span, and what was cut is not told.
func TestSpans(t *testing.T) {
	off(t)
	url, got := receiver(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
	tracer, err := New(t.Context(), "1", "r1", slog.New(slog.DiscardHandler))
	if err != nil || tracer == nil {
		t.Fatal(tracer, err)
	}
	parent := "00-" + tracePublished + "-" + spanPublished + "-01"
	first := tracer.Begin(delivery(1, parent), "POST", "erp.example")
	id, sent := first.Context().Trace.ID, first.Context().Parent
	first.End(protocol.Outcome{Verdict: protocol.Retry, Status: 503, Reason: "503 Service Unavailable"})
	tracer.Begin(delivery(2, parent), "POST", "erp.example").End(protocol.Outcome{Verdict: protocol.NotAttempted})
	tracer.Begin(delivery(2, parent), "POST", "erp.example").End(protocol.Outcome{Verdict: protocol.Delivered, Status: 204})
	rootless := tracer.Begin(delivery(1, ""), "POST", "erp.example").Context().Trace
	again := tracer.Begin(delivery(2, ""), "POST", "erp.example").Context().Trace
	_ = tracer.provider.ForceFlush(context.Background()) // however slow the machine is
	tracer.Close()

	attempts, waits := got()["attempt"], got()["match and wait"]
	if len(attempts) != 2 || len(waits) != 2 {
		t.Fatalf("%d attempts, %d waits", len(attempts), len(waits))
	}
	wait := waits[0]
	if id != tracePublished || hex.EncodeToString(wait.GetTraceId()) != id || hex.EncodeToString(wait.GetParentSpanId()) != spanPublished {
		t.Errorf("trace %s, wait %v", id, wait)
	}
	if wait.GetEndTimeUnixNano()-wait.GetStartTimeUnixNano() < uint64(time.Second) {
		t.Errorf("it waited from when the event was stored: %v", wait)
	}
	one, two := attempts[0], attempts[1]
	if !bytes.Equal(one.GetParentSpanId(), wait.GetSpanId()) || sent != "00-"+id+"-"+hex.EncodeToString(one.GetSpanId())+"-01" {
		t.Errorf("sent %s, attempt %v", sent, one)
	}
	if one.GetStatus().GetCode() != spans.Status_STATUS_CODE_ERROR || !strings.Contains(one.GetStatus().GetMessage(), "503") {
		t.Errorf("status %v", one.GetStatus())
	}
	if len(two.GetLinks()) != 1 || !bytes.Equal(two.GetLinks()[0].GetSpanId(), one.GetSpanId()) || two.GetStatus().GetCode() == spans.Status_STATUS_CODE_ERROR {
		t.Errorf("retry %v", two)
	}
	if rootless != again || rootless.ID == id || !rootless.Sampled {
		t.Errorf("an event without a trace has %v and %v", rootless, again)
	}
}

// TestOff: without the variables there is no tracer, and a collector that is not there
// is said once and holds nothing up.
func TestOff(t *testing.T) {
	off(t)
	if tracer, err := New(t.Context(), "1", "r1", nil); tracer != nil || err != nil {
		t.Error(tracer, err)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:secret@127.0.0.1:1")
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "100")
	t.Setenv("OTEL_TRACES_EXPORTER", "none")
	if On() {
		t.Error("none is an exporter")
	}
	t.Setenv("OTEL_TRACES_EXPORTER", "otlp")
	var log bytes.Buffer
	tracer, err := New(t.Context(), "1", "r1", slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		tracer.Begin(delivery(1, ""), "POST", "erp.example").End(protocol.Outcome{Verdict: protocol.Delivered})
		_ = tracer.provider.ForceFlush(context.WithoutCancel(t.Context()))
		tracer.complain(context.DeadlineExceeded)
	}
	tracer.Close()
	if n := strings.Count(log.String(), "traces cannot be sent"); n != 1 || strings.Contains(log.String(), "secret") {
		t.Errorf("said %d times: %s", n, log.String())
	}
}

// TestSampling: what is not sampled is not sent, and the endpoint hears so.
func TestSampling(t *testing.T) {
	off(t)
	url, got := receiver(t)
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url+"/v1/traces")
	t.Setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
	tracer, err := New(t.Context(), "1", "r1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	span := tracer.Begin(delivery(1, ""), "POST", "erp.example")
	if c := span.Context(); !strings.HasSuffix(c.Parent, "-00") || c.Trace.Sampled {
		t.Errorf("got %+v", c)
	}
	span.End(protocol.Outcome{Verdict: protocol.Delivered})
	_ = tracer.provider.ForceFlush(context.Background()) // however slow the machine is
	tracer.Close()
	if len(got()) != 0 {
		t.Errorf("sent %v", got())
	}
}
