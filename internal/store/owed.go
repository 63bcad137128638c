package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

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
	// Published is when the oldest event of it was published: of an order that waits
	// that of its head, of a subscription that reads the first message that it has yet
	// to come to. Zero: it is not known, or nothing has been published since.
	Published time.Time `json:"published,omitzero"`

	// Key of the entry: <subscription> or <subscription>.<lane>.
	Key string `json:"-"`
}

func (d Debt) generation() uint64 {
	if d.Lane != nil {
		return d.Lane.Generation
	}
	return d.Reads.Generation
}

// settled: a mark with Live only says from where on the subscription is live again,
// a lane without events that it is settled.
func (d Debt) settled() bool {
	return d.Reads != nil && d.Reads.Live != 0 || d.Lane != nil && len(d.Lane.Seqs) == 0
}

// Owed returns the first limit debts by key after the given one, of one
// subscription or ("") of all, and where to go on: "" if there are no more. With an
// index a page may end earlier, bounded by what it reads. ErrNotFound if the ledger
// has never been made.
func (c *Catalog) Owed(ctx context.Context, scope Scope, subscription, after string, limit int) ([]Debt, string, error) {
	debts, next, err := c.owed(ctx, scope, subscription, after, limit)
	if err == nil {
		c.withAges(ctx, debts)
	}
	return debts, next, err
}

func (c *Catalog) owed(ctx context.Context, scope Scope, subscription, after string, limit int) ([]Debt, string, error) {
	if c.index != nil && scope.all && (subscription == "" || safeID.MatchString(subscription)) {
		return c.owedByKey(ctx, subscription, after, limit)
	}
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

// owedByKey is Owed for operators: of the ledger it reads the keys, and of the
// entries those of the page.
func (c *Catalog) owedByKey(ctx context.Context, subscription, after string, limit int) ([]Debt, string, error) {
	w := walkOf[Debt]{scope: Everything(), after: after, limit: limit, ids: []string{},
		read: func(ctx context.Context, p place) (Debt, int, error) {
			e, err := readEntry(ctx, c.js, c.names.Owed, p.id)
			if err != nil {
				return Debt{}, 0, err
			}
			d, err := debtOf(e)
			if err == nil && d.settled() {
				err = protocol.ErrNotFound
			}
			return d, len(e.Value), err
		}}
	keys := keyPages{js: c.js, bucket: c.names.Owed, under: ">", places: c.places}
	if subscription != "" {
		keys.under = subscription + ".>"
		if after < subscription {
			w.ids = append(w.ids, subscription)
		}
	}
	part, more, err := keys.next(ctx, after)
	if err != nil {
		return nil, "", err
	}
	// One more than can be looked at: the page says then that it is not the last.
	w.ids = append(w.ids, part[:min(len(part), limits.APIPageReads+1)]...)
	items, next, err := walk(ctx, c, w)
	if next == "" && more && err == nil {
		next = w.ids[len(w.ids)-1]
	}
	keys.ended(next)
	return items, next, err
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
		if err != nil || d.settled() {
			return err
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
		if len(d.Lane.Seqs) > 0 {
			d.Published = published(d.Lane.Known, d.Lane.Seqs[0])
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
