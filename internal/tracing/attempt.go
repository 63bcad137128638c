package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
)

var _ bridge.Tracer = (*Tracer)(nil)

// cut is the status of a span that is not told.
const cut = "cut off by our own stop"

// attempt is the span of one attempt.
type attempt struct{ span trace.Span }

// Begin implements bridge.Tracer: the span of an attempt, behind that of the
// event. The first one has another before it, from when the event was stored until
// now: matched, and waiting for its turn. A retry is linked to the attempt before.
func (t *Tracer) Begin(d *protocol.Delivery, method, host string) bridge.Span {
	ev := d.Event
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{
		"traceparent": ev.HeaderValue("traceparent"), "tracestate": ev.HeaderValue("tracestate")})
	delivery := d.ID()
	if d.Redrive {
		delivery += " redriven"
	}
	about := trace.WithAttributes(
		attribute.String("orderbridge.subscription", d.Subscription.ID),
		attribute.String("orderbridge.order", ev.Order()),
		attribute.Int64("orderbridge.sequence", int64(min(ev.Seq, 1<<63-1))),
		attribute.String("orderbridge.delivery_id", d.ID()),
		attribute.Int("orderbridge.attempt", d.Attempt))
	now := time.Now()
	options := []trace.SpanStartOption{about, trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(now),
		trace.WithAttributes(attribute.String("http.request.method", method), attribute.String("server.address", host))}
	if d.Attempt == 1 && !ev.Time.IsZero() && !ev.Time.After(now) {
		ctx = context.WithValue(ctx, seedKey{}, seed{ev.ID, numbered(delivery, 0)})
		_, wait := t.tracer.Start(ctx, "match and wait", about, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(ev.Time),
			trace.WithAttributes(attribute.String("messaging.system", "nats"), attribute.String("messaging.destination.name", ev.Subject)))
		wait.End(trace.WithTimestamp(now))
		ctx = trace.ContextWithSpanContext(ctx, wait.SpanContext())
	}
	ctx = context.WithValue(ctx, seedKey{}, seed{ev.ID, numbered(delivery, d.Attempt)})
	if d.Attempt > 1 {
		options = append(options, trace.WithAttributes(attribute.Int("http.request.resend_count", d.Attempt-1)),
			trace.WithLinks(trace.Link{SpanContext: before(ctx, ev.ID, delivery, d.Attempt-1)}))
	}
	_, span := t.tracer.Start(ctx, "attempt", options...)
	return attempt{span}
}

// before is the span of an earlier attempt.
func before(ctx context.Context, event, delivery string, n int) trace.SpanContext {
	parent := trace.SpanContextFromContext(ctx)
	id := parent.TraceID()
	if !parent.IsValid() {
		id = traceID(event)
	}
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: spanID(numbered(delivery, n)), TraceFlags: parent.TraceFlags()})
}

// Context implements bridge.Span.
func (a attempt) Context() bridge.SpanContext {
	c := a.span.SpanContext()
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(trace.ContextWithSpanContext(context.Background(), c), carrier)
	return bridge.SpanContext{Trace: bridge.Trace{ID: c.TraceID().String(), Sampled: c.IsSampled()},
		Parent: carrier["traceparent"], State: carrier["tracestate"]}
}

// End implements bridge.Span.
func (a attempt) End(o protocol.Outcome) {
	if o.Status > 0 {
		a.span.SetAttributes(attribute.Int("http.response.status_code", o.Status))
	}
	switch o.Verdict {
	case protocol.Delivered:
	case protocol.NotAttempted:
		a.span.SetStatus(codes.Error, cut)
	default:
		a.span.SetAttributes(attribute.String("error.type", o.Verdict.String()))
		a.span.SetStatus(codes.Error, o.Reason)
	}
	a.span.End()
}
