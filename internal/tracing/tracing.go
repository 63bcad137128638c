// Package tracing tells the attempts of the bridge as spans of OpenTelemetry, by
// OTLP over HTTP and the standard OTEL_* variables. Without them there is no Tracer,
// and nothing of this runs.
//
// Ids are not drawn but derived: a span's of delivery and attempt, and where the
// event tells no trace, the trace's of the event. So a retry knows the span of the
// attempt before it, also after another replica has taken over.
package tracing

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"orderbridge/internal/limits"
)

// Tracer makes spans and sends them in batches. Safe for concurrent use.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	log      *slog.Logger
	said     atomic.Int64 // when the last failure was told, Unix nanoseconds
}

// On reports whether the variables ask for traces.
func On() bool {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	switch os.Getenv("OTEL_TRACES_EXPORTER") {
	case "":
		return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
	case "otlp":
		return true
	}
	return false
}

// New makes the Tracer that the variables ask for; nil: they ask for none. The
// collector need not be there. version and replica stand in what it is told.
func New(ctx context.Context, version, replica string, log *slog.Logger) (*Tracer, error) {
	if !On() {
		return nil, nil //nolint:nilnil // off
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if protocol := os.Getenv(name); protocol != "" {
			if protocol != "http/protobuf" {
				log.Warn("only http/protobuf is spoken to the collector of traces", "variable", name, "value", protocol)
			}
			break
		}
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("make the exporter of traces (OTEL_EXPORTER_OTLP_*): %w", err)
	}
	r, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "orderbridge"),
		attribute.String("service.version", version), attribute.String("service.instance.id", replica)), resource.WithFromEnv())
	if err != nil {
		log.Warn("OTEL_RESOURCE_ATTRIBUTES cannot be read whole", "error", err)
	}
	t := &Tracer{log: log}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(t.complain))
	t.provider = sdk.NewTracerProvider(sdk.WithSpanProcessor(unlessCut{sdk.NewBatchSpanProcessor(exporter)}),
		sdk.WithResource(r), sdk.WithIDGenerator(derived{}))
	t.tracer = t.provider.Tracer("orderbridge", trace.WithInstrumentationVersion(version))
	return t, nil
}

// complain says once in a while that the collector takes nothing. Its URL may hold a
// secret, so of the error only the kind is told where it is one of a request.
func (t *Tracer) complain(err error) {
	now := time.Now().UnixNano()
	if last := t.said.Load(); last > 0 && now-last < int64(limits.TracingSayAgain) || !t.said.CompareAndSwap(t.said.Load(), now) {
		return
	}
	text := err.Error()
	if i := strings.Index(text, `"http`); i >= 0 {
		if j := strings.Index(text[i+1:], `"`); j >= 0 {
			text = text[:i] + "the collector" + text[i+j+2:]
		}
	}
	t.log.Warn("traces cannot be sent, deliveries go on (OTEL_EXPORTER_OTLP_ENDPOINT)", "error", text)
}

// Close sends what waits, for a bounded time.
func (t *Tracer) Close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), limits.TracingFlush)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		t.complain(err)
	}
}

// unlessCut leaves out the spans of attempts that we cut off ourselves: they are
// made again, under the same number.
type unlessCut struct{ sdk.SpanProcessor }

func (u unlessCut) OnEnd(s sdk.ReadOnlySpan) {
	if s.Status().Description != cut {
		u.SpanProcessor.OnEnd(s)
	}
}

// seed is what the ids of the next span are derived from.
type seed struct{ trace, span string }

type seedKey struct{}

// derived implements sdk.IDGenerator.
type derived struct{}

func (derived) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	s, _ := ctx.Value(seedKey{}).(seed)
	return traceID(s.trace), spanID(s.span)
}

func (derived) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	s, _ := ctx.Value(seedKey{}).(seed)
	return spanID(s.span)
}

func traceID(of string) (id trace.TraceID) {
	sum := sha256.Sum256([]byte("trace " + of))
	copy(id[:], sum[:])
	return id
}

func spanID(of string) (id trace.SpanID) {
	sum := sha256.Sum256([]byte("span " + of))
	copy(id[:], sum[:])
	return id
}

func numbered(delivery string, attempt int) string { return delivery + " " + strconv.Itoa(attempt) }
