package bridge

import (
	"context"

	"orderbridge/bridge/protocol"
)

// Tracer makes spans of attempts. Safe for concurrent use.
type Tracer interface {
	// Begin begins the span of an attempt, which goes with this method to that host.
	Begin(d *protocol.Delivery, method, host string) Span
}

// Span is that of one attempt.
type Span interface {
	// Context is what others are told of it.
	Context() SpanContext
	// End ends it.
	End(o protocol.Outcome)
}

// SpanContext are the trace of a span, and the headers traceparent and tracestate that
// the endpoint is sent (W3C Trace Context; "": it is not sent).
type SpanContext struct {
	Trace         Trace
	Parent, State string
}

// Trace is the one that a span belongs to.
type Trace struct {
	ID      string // 32 hexadecimal digits
	Sampled bool   // it is told, not only passed on
}

// Traced tells under which trace the attempt of this context is told.
func Traced(ctx context.Context, t Trace) {
	if r := runOf(ctx); r != nil {
		r.trace = &t
	}
	if x := ExchangeOf(ctx); x != nil {
		x.TraceID = t.ID
	}
}

// TraceOf is the trace under which the attempt of this context is told; nil: none.
func TraceOf(ctx context.Context) *Trace {
	if r := runOf(ctx); r != nil {
		return r.trace
	}
	return nil
}
