package bridge

import (
	"log/slog"

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
