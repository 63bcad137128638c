package store

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"orderbridge/bridge/protocol"
)

// Statuses returns the first limit verdicts by id after the given one that keep
// says yes to (nil: all), and where to go on: "" if there are no more. Those of
// records that are gone come last; where the scope is confined they are left out.
// A page may end earlier, bounded by what it reads.
func (c *Catalog) Statuses(ctx context.Context, scope Scope, after string, limit int,
	keep func(Verdict) bool) ([]Verdict, string, error) {
	w := c.readStatuses(scope, after, limit, nil, keep)
	if c.index == nil {
		ids, err := c.statusIDs(ctx, scope)
		if err != nil {
			return nil, "", err
		}
		w.ids = ids
	}
	if c.index == nil || !scope.all {
		return walk(ctx, c, w)
	}
	if gone, isGone := strings.CutPrefix(after, behindIDs); isGone {
		w.after = gone
		return c.goneStatuses(ctx, w)
	}
	items, next, err := walk(ctx, c, w)
	if err != nil || next != "" {
		return items, next, err
	}
	w.after, w.limit = "", limit-len(items)
	last, next, err := c.goneStatuses(ctx, w)
	return append(items, last...), next, err
}

// readStatuses is a walk that reads statuses.
func (c *Catalog) readStatuses(scope Scope, after string, limit int, ids []string, keep func(Verdict) bool) walkOf[Verdict] {
	return walkOf[Verdict]{scope: scope, after: after, limit: limit, ids: ids,
		read: func(ctx context.Context, p place) (Verdict, int, error) {
			e, err := readEntry(ctx, c.js, c.names.Status, p.id)
			v := Verdict{ID: p.id}
			if err == nil && (json.Unmarshal(e.Value, &v.Status) != nil || keep != nil && !keep(v)) {
				err = protocol.ErrNotFound
			}
			return v, len(e.Value), err
		}}
}

// behindIDs comes after every id. A list goes on with it and an id where it has
// come to those whose records are gone.
const behindIDs = "~"

// goneStatuses are those of records that are gone. Only the bucket tells them: one
// part of the keys of all statuses is read for a page, which may be empty though it
// is not the last.
func (c *Catalog) goneStatuses(ctx context.Context, w walkOf[Verdict]) (items []Verdict, next string, err error) {
	keys := keyPages{js: c.js, bucket: c.names.Status, under: ">", places: c.places}
	part, more, err := keys.next(ctx, w.after)
	if err != nil {
		return nil, "", err
	}
	last := ""
	if more {
		last = part[len(part)-1]
	}
	w.ids = c.index.without(part)
	items = []Verdict{}
	switch {
	case w.limit < 1 && len(w.ids) > 0:
		return nil, behindIDs, nil
	case len(w.ids) > 0:
		if items, next, err = walk(ctx, c, w); err != nil {
			return nil, "", err
		}
	}
	if next == "" {
		next = last
	}
	if next == "" {
		return items, "", nil
	}
	keys.ended(next)
	return items, behindIDs + next, nil
}

// without returns those ids of which there is no record.
func (x *Index) without(ids []string) []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.DeleteFunc(ids, func(id string) bool { return x.items[id] != nil })
}

// statusIDs are the ids of all statuses of the scope.
func (c *Catalog) statusIDs(ctx context.Context, scope Scope) ([]string, error) {
	if scope.all {
		keys, err := bucketKeys(ctx, c.js, c.names.Status)
		return append([]string{}, keys...), err
	}
	own := []string{}
	err := c.each(ctx, c.names.Subscriptions, func(e Entry) error {
		if scope.holds(tenantOf(e.Value)) {
			own = append(own, e.Key)
		}
		return nil
	})
	slices.Sort(own)
	return own, err
}
