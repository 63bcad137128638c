package store

import (
	"context"
	"encoding/json"
	"strings"
	"sync"

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

// part is where to look in a stream.
type part struct {
	all   string   // the filter of everything
	own   []string // those of the scope's part, if known
	known bool
}

// now looks at a stream: only at the scope's part where that is known, however much there
// is of others; else at the newest limits.LiveEntries of all. A stream that was made again
// is looked at from its end on.
func now[T any](ctx context.Context, c *Catalog, stream string, at part, above uint64,
	keep func(*event.Message) (T, bool, error)) (out Now[T], err error) {
	info, err := c.streamInfo(ctx, stream)
	if err != nil {
		return out, err
	}
	if out.Last = info.State.LastSeq; above >= out.Last {
		return out, nil
	}
	low := max(above+1, info.State.FirstSeq)
	if !at.known {
		if low+limits.LiveEntries <= out.Last {
			low, out.LeftOut = out.Last-limits.LiveEntries+1, true
		}
		out.Items, err = scan(ctx, c.js, stream, at.all, low, out.Last, limits.LiveEntries, keep)
		return out, err
	}
	var one sync.Mutex
	inTurn := func(m *event.Message) (T, bool, error) {
		one.Lock()
		defer one.Unlock()
		return keep(m)
	}
	out.Items, out.LeftOut, err = newestOf(low, out.Last, func(low uint64) ([]T, error) {
		u, err := readUnder(ctx, c.js, stream, at.own, low, out.Last, limits.LiveEntries,
			func() func(*event.Message) (T, bool, error) { return inTurn })
		return u.found, err
	})
	return out, err
}

// EventsNow are events of the source stream that the scope holds.
func (c *Catalog) EventsNow(ctx context.Context, scope Scope, above uint64) (Now[StreamEvent], error) {
	if c.events == nil {
		return Now[StreamEvent]{}, protocol.ErrNotFound
	}
	at := part{all: ">"}
	if tenant, confined := scope.Tenant(); confined {
		at.own = c.events.OwnSubjects(tenant)
		at.known = len(at.own) > 0
	}
	return now(ctx, c, c.names.Stream, at, above, func(m *event.Message) (StreamEvent, bool, error) {
		e := c.events.Decode(m)
		if e.Not != "" || !scope.holds(e.Tenant) {
			return StreamEvent{}, false, nil
		}
		return shownEvent(e), true, nil
	})
}

// AlertsNow are alerts that the scope holds.
func (c *Catalog) AlertsNow(ctx context.Context, scope Scope, above uint64) (Now[AlertEntry], error) {
	filters, own, err := c.ownFilters(ctx, scope, "", func(id string) string { return c.names.AlertSubject + ".*." + id })
	if err != nil {
		return Now[AlertEntry]{}, err
	}
	o := owners{catalog: c, scope: scope}
	at := part{c.names.AlertSubject + ".>", filters, own}
	return now(ctx, c, c.names.Alerts, at, above, func(m *event.Message) (AlertEntry, bool, error) {
		a, ok := alertOf(m)
		if !ok || !c.mayHold(scope, a.Subscription) {
			return a, false, nil
		}
		own, err := o.hold(ctx, a.Subscription, a.Generation)
		return a, own, err
	})
}

// StatusNow is a status as it was stored.
type StatusNow struct {
	Verdict
	Entry uint64 `json:"-"` // its sequence in the stream of the bucket
}

// StatusesNow are statuses of subscriptions whose records lie in the scope: of one that
// has changed several times the last.
func (c *Catalog) StatusesNow(ctx context.Context, scope Scope, above uint64) (Now[StatusNow], error) {
	filters, own, err := c.ownFilters(ctx, scope, "", storedSubject)
	if err != nil {
		return Now[StatusNow]{}, err
	}
	o := owners{catalog: c, scope: scope}
	return now(ctx, c, bucketStream(c.names.Status), part{">", filters, own}, above, func(m *event.Message) (v StatusNow, own bool, err error) {
		if v.Entry, v.ID = m.Seq, keyOf(m.Subject); strings.HasPrefix(v.ID, fencePrefix) || isMarker(m.Header) ||
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
