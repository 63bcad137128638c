package filter

import (
	"context"
	"time"

	"cel.dev/cel-go/common/types/ref"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/internal/limits"
)

// owner is for whom a filter is asked: who waits for whom goes by it.
func owner(ctx context.Context) (tenant, subscription string) {
	if d := bridge.DeliveryOf(ctx); d != nil && d.Subscription != nil {
		return d.Subscription.Tenant, d.Subscription.ID
	}
	return "", ""
}

// question is one evaluation.
type question struct {
	ctx       context.Context // ends when the evaluation takes too long
	whole     context.Context // also while it waits for room
	cancel    context.CancelFunc
	timer     *time.Timer
	documents *documents
	event     *event.Event
	root      ref.Val // what the event is, once it was asked for
	release   func()
	cut       error // the context's, where it ended while room was waited for
}

func newQuestion(ctx context.Context, d *documents, e *event.Event) *question {
	q := &question{whole: ctx, documents: d, event: e}
	q.ctx, q.cancel = context.WithCancel(ctx)
	q.timer = time.AfterFunc(limits.FilterTime, q.cancel)
	return q
}

func (q *question) end() {
	q.timer.Stop()
	q.cancel()
	if q.release != nil {
		q.release()
	}
}

func (q *question) variables() map[string]any {
	return map[string]any{
		"event":   q.ask, // only if it is asked for
		"headers": func() any { return headersOf(q.event.Header) },
		"subject": q.event.Subject,
	}
}

// ask gives the event. The time that it waits for room does not count.
func (q *question) ask() any {
	if q.root != nil {
		return q.root
	}
	q.timer.Stop()
	doc, release, err := q.documents.acquire(q.whole, q.event)
	q.timer.Reset(limits.FilterTime)
	switch {
	case err == nil:
		q.root, q.release = doc.root(), release
	default:
		if q.whole.Err() != nil {
			q.cut = q.whole.Err()
		}
		q.root = wrong(err)
	}
	return q.root
}
