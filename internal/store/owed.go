package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

// Debt is one entry of the ledger: an order that waits, or a subscription that
// reads for itself.
type Debt struct {
	Subscription string              `json:"subscription"`
	Lane         *protocol.LaneEntry `json:"lane,omitempty"`
	Reads        *protocol.Mark      `json:"reads,omitempty"`

	// Key of the entry: <subscription> or <subscription>.<lane>.
	Key string `json:"-"`
}

func (d Debt) generation() uint64 {
	if d.Lane != nil {
		return d.Lane.Generation
	}
	return d.Reads.Generation
}

// Owed returns the first limit debts by key after the given one, of one
// subscription or ("") of all, and where to go on: "" if there are no more.
// ErrNotFound if the ledger has never been made.
func (c *Catalog) Owed(ctx context.Context, scope Scope, subscription, after string, limit int) ([]Debt, string, error) {
	var keys []string
	if subscription != "" {
		if !safeID.MatchString(subscription) {
			return nil, "", nil
		}
		keys = []string{subscription, subscription + ".>"}
	} else if c.index != nil && !scope.all {
		return c.owedByOwn(ctx, scope, after, limit)
	}
	return c.owedUnder(ctx, scope, keys, after, limit)
}

// owedUnder is Owed of some keys, nil: all.
func (c *Catalog) owedUnder(ctx context.Context, scope Scope, keys []string, after string, limit int) ([]Debt, string,
	error) {
	o := owners{catalog: c, scope: scope}
	p := page[Debt]{after: after, limit: limit, key: func(d Debt) string { return d.Key }}
	err := c.each(ctx, c.names.Owed, func(e Entry) error {
		if !p.wants(e.Key) {
			return nil
		}
		d, err := debtOf(e)
		if err != nil || d.Reads != nil && d.Reads.Live != 0 || d.Lane != nil && len(d.Lane.Seqs) == 0 {
			return err // a mark with Live only says from where on the subscription is live again, a lane without events that it is settled
		}
		own, err := o.hold(ctx, d.Subscription, d.generation())
		if own {
			p.add(d)
		}
		return err
	}, keys...)
	items, next := p.items()
	return items, next, err
}

// owedByOwn goes through a tenant's own subscriptions, some at a time, and reads
// nothing of others. The debts come by subscription; a page may end earlier,
// bounded by what it reads.
func (c *Catalog) owedByOwn(ctx context.Context, scope Scope, after string, limit int) (items []Debt, next string,
	err error) {
	if err := c.await(ctx); err != nil {
		return nil, "", err
	}
	id, _, _ := strings.Cut(after, ".")
	at := id
	places := append([]place{{id: id}}, c.index.page(scope, Filter{}, at, owedChunk)...)
	if id == "" || len(c.index.page(scope, Filter{ID: func(s string) bool { return s == id }}, "", 1)) == 0 {
		places = places[1:]
	}
	for looked := 0; len(places) > 0; places = c.index.page(scope, Filter{}, at, owedChunk) {
		var keys []string
		for _, p := range places {
			keys = append(keys, p.id, p.id+".>")
		}
		debts, _, err := c.owedUnder(ctx, scope, keys, "", limits.APIPageDebts)
		if err != nil {
			return nil, "", err
		}
		slices.SortFunc(debts, func(a, b Debt) int {
			return cmp.Or(strings.Compare(a.Subscription, b.Subscription), strings.Compare(a.Key, b.Key))
		})
		for _, d := range debts {
			if d.Subscription == id && d.Key <= after {
				continue
			}
			if len(items) == limit {
				return items, items[limit-1].Key, nil
			}
			items = append(items, d)
		}
		at = places[len(places)-1].id
		if looked += len(places); looked >= limits.APIPageReads {
			return items, at + endOfLanes, nil
		}
	}
	return items, "", nil
}

const (
	owedChunk  = 64    // subscriptions whose debts are asked for at once
	endOfLanes = ".~~" // behind every key of a subscription
)

func debtOf(e Entry) (Debt, error) {
	id, token, isLane := strings.Cut(e.Key, ".")
	d := Debt{Subscription: id, Key: e.Key}
	var into any
	if isLane {
		d.Lane = new(protocol.LaneEntry)
		into = d.Lane
	} else {
		d.Reads = new(protocol.Mark)
		into = d.Reads
	}
	if err := json.Unmarshal(e.Value, into); err != nil {
		return d, fmt.Errorf("entry %q of the ledger: %w", e.Key, err)
	}
	if isLane {
		d.Lane.Order = orderOf(d.Lane.Order, token, d.Lane.Key)
		if d.Lane.Key == "" {
			d.Lane.Key = token
		}
	}
	return d, nil
}

// orderOf is the plain order id; entries of former builds do not tell it.
func orderOf(told, token, key string) string {
	if told != "" {
		return told
	}
	return event.OrderOf(token, key)
}
