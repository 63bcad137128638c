package bridge

import "log/slog"

// ended is how an attempt comes back to the core; it leaves one line in the log:
// at info if it failed otherwise than the one before or is the first success of
// a subscription since its record was put, else at debug. One that was not made,
// for want of files say, speaks of all: only another reason than the last is told.
func (t *term) ended(a *attempt, o Outcome, ev *Event) {
	if t.finished || a.ended {
		return
	}
	s := a.lane.sub
	ran := t.now - a.at
	repeated := o.Reason == a.lane.lastError
	if o.Verdict == NotAttempted {
		repeated, t.notMade = o.Reason == t.notMade, o.Reason
	}
	first := o.Verdict == Delivered && s.unproven
	t.core.ended(a, o, ev)
	level := slog.LevelDebug
	if first || o.Verdict != Delivered && o.Verdict != Filtered && !repeated {
		level = slog.LevelInfo
	}
	if !t.logger.Enabled(t.ctx, level) {
		return
	}
	args := []any{"subscription_id", s.id, "order_id", a.order(), "sequence", a.Seq, "attempt", a.Delivery.Attempt,
		"outcome", o.Verdict.String(), "status", o.Status, "duration_ms", ran.Milliseconds()}
	if ev != nil {
		args = append(args, "event_id", ev.ID, "delivery_id", a.Delivery.ID())
	}
	if o.Verdict == Retry {
		args = append(args, "retry_in_ms", max(a.lane.next-t.now, 0).Milliseconds())
	}
	if o.Reason != "" {
		args = append(args, "reason", o.Reason)
	}
	if o.Detail != "" {
		args = append(args, "detail", o.Detail)
	}
	message := "attempt"
	if first {
		message = "first delivery of the subscription since its record was put"
	}
	t.logger.Log(t.ctx, level, message, args...)
}
