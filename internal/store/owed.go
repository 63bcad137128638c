package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"orderbridge/bridge"
)

// Debt is one entry of the ledger: an order that waits, or a subscription that
// reads for itself.
type Debt struct {
	Subscription string            `json:"subscription"`
	Lane         *bridge.LaneEntry `json:"lane,omitempty"`
	Reads        *bridge.Mark      `json:"reads,omitempty"`

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
// subscription or ("") of all, and whether there are more. ErrNotFound if the
// ledger has never been made.
func (c *Catalog) Owed(ctx context.Context, scope Scope, subscription, after string, limit int) ([]Debt, bool, error) {
	var keys []string
	if subscription != "" {
		if !safeID.MatchString(subscription) {
			return nil, false, nil
		}
		keys = []string{subscription, subscription + ".>"}
	}
	o := owners{catalog: c, scope: scope}
	p := page[Debt]{after: after, limit: limit, key: func(d Debt) string { return d.Key }}
	err := ListEntries(ctx, c.js, c.names.Owed, func(e Entry) error {
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
	items, more := p.items()
	return items, more, err
}

func debtOf(e Entry) (Debt, error) {
	id, token, isLane := strings.Cut(e.Key, ".")
	d := Debt{Subscription: id, Key: e.Key}
	var into any
	if isLane {
		d.Lane = new(bridge.LaneEntry)
		into = d.Lane
	} else {
		d.Reads = new(bridge.Mark)
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
	return bridge.OrderOf(token, key)
}
