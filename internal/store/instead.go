package store

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"

	"orderbridge/bridge"
	"orderbridge/internal/limits"
)

// The key of the audit lies in the bucket of the lease, beside what every reader may
// know. So auditors may not read the bucket, and ask a bridge instead.

// OverviewRequest asks on <Names.Commands>.overview who leads what.
type OverviewRequest struct{}

// ReplaysRequest asks on <Names.Commands>.replays for the replays of a subscription,
// or ("") of all, or for one.
type ReplaysRequest struct {
	Subscription string `json:"subscription,omitempty"`
	ID           string `json:"id,omitempty"`
}

// toldAnswer is what a bridge has read for somebody else, or why it has not.
type toldAnswer[T any] struct {
	Answer T      `json:"answer"`
	Reason string `json:"reason,omitempty"`
	Code   int    `json:"code,omitempty"`
}

// instead reads from the bucket of the lease; where the server refuses that, it asks a
// bridge. The error is that of the reading where it may not ask either.
func instead[T any](ctx context.Context, c *Catalog, read func(context.Context) (T, error), name string, request any) (T, error) {
	var out T
	err := without(ctx, bucketStream(c.names.Lease), func(ctx context.Context) (err error) {
		out, err = read(ctx)
		return err
	})
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return out, err
	}
	var told toldAnswer[T]
	asked := without(ctx, "."+name, func(ctx context.Context) error {
		return c.question(ctx, name, limits.CommandCallTime, request, &told)
	})
	if errors.Is(asked, nats.ErrPermissionViolation) {
		return out, err
	}
	return told.Answer, asked
}

// without runs what the server may refuse to have published to a subject that holds
// part; the error is then a nats.ErrPermissionViolation.
func without(ctx context.Context, part string, run func(context.Context) error) error {
	if w, ok := ctx.Value(withoutKey{}).(Without); ok {
		return w(ctx, part, run)
	}
	return run(ctx)
}

// ---- the bridge's side

func (c Commands) overview(ctx context.Context, _ *nats.Msg, _ OverviewRequest) any {
	o, err := c.Explainer.Catalog.Overview(ctx)
	return telling(o, err)
}

func (c Commands) replays(ctx context.Context, _ *nats.Msg, r ReplaysRequest) any {
	if r.ID != "" {
		one, err := c.Explainer.Catalog.ReplayOf(ctx, Everything(), r.ID)
		return telling([]bridge.Replay{one}, err)
	}
	all, err := c.Explainer.Catalog.Replays(ctx, Everything(), r.Subscription)
	for i := range all { // all of them are one message
		all[i].Done = nil
	}
	return telling(all, err)
}

func telling[T any](answer T, err error) any {
	if err != nil {
		reason, code := refusalOf(err)
		return toldAnswer[T]{Reason: reason, Code: code}
	}
	return toldAnswer[T]{Answer: answer}
}
