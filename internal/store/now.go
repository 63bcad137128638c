package store

import (
	"context"
	"encoding/json"
	"strings"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

// What has come lately, for whoever watches: of a stream the messages above a sequence,
// oldest first, the newest limits.LiveEntries of them at most.

// Now is what has come.
type Now[T any] struct {
	Items   []T
	Last    uint64 // up to where it was looked
	LeftOut bool   // there were more
}

// now looks at a stream. A stream that was made again is looked at from its end on.
func now[T any](ctx context.Context, c *Catalog, stream, filter string, above uint64,
	keep func(*event.Message) (T, bool, error)) (out Now[T], err error) {
	info, err := c.streamInfo(ctx, stream)
	if err != nil {
		return out, err
	}
	if out.Last = info.State.LastSeq; above >= out.Last {
		return out, nil
	}
	low := max(above+1, info.State.FirstSeq)
	if low+limits.LiveEntries <= out.Last {
		low, out.LeftOut = out.Last-limits.LiveEntries+1, true
	}
	out.Items, err = scan(ctx, c.js, stream, filter, low, out.Last, limits.LiveEntries, keep)
	return out, err
}

// EventsNow are events of the source stream that the scope holds.
func (c *Catalog) EventsNow(ctx context.Context, scope Scope, above uint64) (Now[StreamEvent], error) {
	if c.events == nil {
		return Now[StreamEvent]{}, protocol.ErrNotFound
	}
	return now(ctx, c, c.names.Stream, ">", above, func(m *event.Message) (StreamEvent, bool, error) {
		e := c.events.Decode(m)
		if e.Not != "" || !scope.holds(e.Tenant) {
			return StreamEvent{}, false, nil
		}
		return shownEvent(e), true, nil
	})
}

// AlertsNow are alerts that the scope holds.
func (c *Catalog) AlertsNow(ctx context.Context, scope Scope, above uint64) (Now[AlertEntry], error) {
	o := owners{catalog: c, scope: scope}
	return now(ctx, c, c.names.Alerts, c.names.AlertSubject+".>", above, func(m *event.Message) (AlertEntry, bool, error) {
		a, ok := alertOf(m)
		if !ok || !c.mayHold(scope, a.Subscription) {
			return a, false, nil
		}
		own, err := o.hold(ctx, a.Subscription, a.Generation)
		return a, own, err
	})
}

// StatusesNow are statuses of subscriptions whose records lie in the scope: of one that
// has changed several times the last.
func (c *Catalog) StatusesNow(ctx context.Context, scope Scope, above uint64) (Now[Verdict], error) {
	o := owners{catalog: c, scope: scope}
	return now(ctx, c, bucketStream(c.names.Status), ">", above, func(m *event.Message) (v Verdict, own bool, err error) {
		if v.ID = keyOf(m.Subject); strings.HasPrefix(v.ID, fencePrefix) || isMarker(m.Header) ||
			json.Unmarshal(m.Data, &v.Status) != nil || !c.mayHold(scope, v.ID) {
			return v, false, nil
		}
		own, err = o.hold(ctx, v.ID, v.Generation)
		return v, own, err
	})
}

// mayHold is false where the index knows that a subscription does not lie in the scope:
// of what does not, nothing needs to be read.
func (c *Catalog) mayHold(scope Scope, id string) bool {
	return scope.all || c.index == nil || len(c.index.within(scope, Filter{}, []string{id})) > 0
}
