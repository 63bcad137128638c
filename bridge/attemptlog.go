package bridge

import (
	"log/slog"
	"sync"
	"time"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
)

// tell writes the line of an attempt.
func (t *term) tell(a *protocol.AttemptTold) {
	level := slog.LevelDebug
	if a.Aloud {
		level = slog.LevelInfo
	}
	if !t.logger.Enabled(t.ctx, level) {
		return
	}
	o := &a.Outcome
	args := []any{"subscription_id", a.Subscription, "order_id", a.Order, "sequence", a.Sequence, "attempt",
		a.Delivery.Attempt,
		"outcome", o.Verdict.String(), "status", o.Status, "duration_ms", a.Ran.Milliseconds()}
	if ev := a.Delivery.Event; ev != nil {
		args = append(args, "event_id", ev.ID, "delivery_id", a.Delivery.ID())
	}
	if id := t.traceOf(a); id != "" {
		args = append(args, "trace_id", id)
	}
	if o.Verdict == protocol.Retry {
		args = append(args, "retry_in_ms", a.RetryIn.Milliseconds())
	}
	if o.Reason != "" {
		args = append(args, "reason", o.Reason)
	}
	if o.Detail != "" {
		args = append(args, "detail", o.Detail)
	}
	message := "attempt"
	if a.First {
		message = "first delivery of the subscription since its record was put"
	}
	t.logger.Log(t.ctx, level, message, args...)
}

// traceOf is the trace of an attempt, "" if there is none.
func (t *term) traceOf(a *protocol.AttemptTold) string {
	if t.ended != nil && t.ended.trace != nil {
		return t.ended.trace.ID
	}
	if ev := a.Delivery.Event; ev != nil {
		return traceID(ev.HeaderValue("traceparent"))
	}
	return ""
}

// The delivery log. What was delivered, filtered or cut is written where the attempt
// has run, so that the goroutine of the machine has nothing of it; what failed by that
// goroutine, which knows of the next attempt.

// noting is what one entry is made of: it is used again.
type noting struct {
	exchange Exchange
	entry    Attempt
}

var notings = sync.Pool{New: func() any { return new(noting) }}

// noted has the publisher note the exchange of an attempt, if there is a log.
func (t *term) noted(r *run) {
	if t.b.o.AttemptLog != nil {
		r.noting = notings.Get().(*noting)
		s := r.attempt.Delivery.Subscription
		r.noting.exchange.reset(t.b.o.AttemptLog, s.ID, s.Tenant)
	}
}

// forget gives up what was noted.
func (r *run) forget() {
	if r.noting != nil {
		notings.Put(r.noting)
		r.noting = nil
	}
}

// forgetEnded: the machine has said what there is to say of the attempt.
func (t *term) forgetEnded() {
	if t.ended != nil {
		t.ended.forget()
		t.ended = nil
	}
}

// logSettled writes the entry of an attempt that is told by its own goroutine.
func (t *term) logSettled(r *run, o *protocol.Outcome) {
	if r.noting == nil {
		return
	}
	outcome := ""
	switch {
	case o.Verdict == protocol.Delivered && !r.noting.exchange.left:
		outcome = OutcomeDelivered
	case o.Verdict == protocol.Filtered && r.noting.exchange.Wanted():
		outcome = OutcomeFiltered
	case o.Verdict == protocol.NotAttempted && r.noting.exchange.Request.Method != "":
		outcome = OutcomeCut
	default:
		return
	}
	a := &r.noting.entry
	t.entry(a, &r.attempt.Delivery, r.attempt.Probe, outcome)
	a.Status, a.Reason = o.Status, o.Reason
	r.noting.exchange.Tell(a)
	t.b.o.AttemptLog.Log(a)
	r.forget()
}

// logFailed writes the entry of an attempt that failed.
func (t *term) logFailed(told *protocol.AttemptTold) {
	switch told.Outcome.Verdict {
	case protocol.Delivered, protocol.Filtered, protocol.NotAttempted:
		return
	}
	if t.b.o.AttemptLog == nil {
		return
	}
	a := &Attempt{}
	probe := t.ended != nil && t.ended.attempt.Probe
	t.entry(a, told.Delivery, probe, OutcomeFailed)
	a.Order, a.Sequence = told.Order, told.Sequence
	a.Status, a.Reason = told.Outcome.Status, told.Outcome.Reason
	if told.RetryIn > 0 {
		a.Next = a.Time.Add(told.RetryIn)
	}
	if t.ended != nil && t.ended.noting != nil {
		t.ended.noting.exchange.Tell(a)
	}
	t.b.o.AttemptLog.Log(a)
}

// logSuperseded writes the entry of a delivery that a newer one made needless.
func (t *term) logSuperseded(told *protocol.SupersededTold) {
	if t.b.o.AttemptLog == nil {
		return
	}
	a := &Attempt{}
	t.entry(a, told.Delivery, false, OutcomeSuperseded)
	a.Order, a.Sequence, a.Kind = told.Order, told.Sequence, ""
	if told.Message.Known() {
		a.Published = time.Unix(0, told.Message.Time).UTC()
	}
	t.b.o.AttemptLog.Log(a)
}

// logDead writes the entry of a dead letter that is stored.
func (t *term) logDead(d *protocol.DeadLetter) {
	if t.b.o.AttemptLog == nil {
		return
	}
	a := &Attempt{Time: t.b.o.Clock.Now(), Subscription: d.Subscription, Generation: d.Generation, Order: d.Order,
		Sequence: d.Sequence, Published: d.MessageTime, DeliveryID: d.DeliveryID, Attempt: d.Attempts, Outcome: OutcomeDead,
		Status: d.LastStatus, Reason: d.Reason, Shard: t.b.shard.Number}
	if s := t.core.Directory.Get(d.Subscription); s != nil {
		a.Tenant = s.Tenant
	}
	a.ofEvent(d.Event)
	t.b.o.AttemptLog.Log(a)
}

// entry begins an entry.
func (t *term) entry(a *Attempt, d *protocol.Delivery, probe bool, outcome string) {
	*a = AttemptOf(d, t.b.o.Clock.Now(), outcome)
	a.Shard = t.b.shard.Number
	if probe {
		a.Kind = KindProbe
	}
}

// AttemptOf begins the entry of a delivery, one that belongs to no shard.
func AttemptOf(d *protocol.Delivery, now time.Time, outcome string) Attempt {
	a := Attempt{Time: now, Subscription: d.Subscription.ID, Generation: d.Generation, Tenant: d.Subscription.Tenant,
		Attempt: d.Attempt, Kind: KindLive, Outcome: outcome, Shard: -1}
	switch {
	case d.Test:
		a.Kind = KindTest
	case d.Replay != "":
		a.Kind = KindReplay
	case d.Redrive:
		a.Kind = KindRedrive
	case d.Attempt > 1:
		a.Kind = KindRetry
	}
	if d.Event != nil {
		a.DeliveryID, a.Order, a.Sequence, a.Published = d.ID(), d.Event.Order(), d.Event.Seq, d.Event.Time
		a.ofEvent(d.Event)
	}
	return a
}

// ofEvent takes what an event tells.
func (a *Attempt) ofEvent(ev *event.Event) {
	if ev == nil {
		return
	}
	a.EventID, a.PublisherID, a.EventType = ev.ID, ev.PublisherID, ev.Type
	if a.Tenant == "" {
		a.Tenant = ev.Tenant
	}
	a.TraceID = traceID(ev.HeaderValue("traceparent"))
}

// traceID is that of a W3C trace context; "" if it is none.
func traceID(parent string) string {
	if len(parent) != 55 || parent[2] != '-' || parent[35] != '-' {
		return ""
	}
	return parent[3:35]
}
