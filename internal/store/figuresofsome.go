package store

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
)

// SubscriptionFigures say how one subscription does.
type SubscriptionFigures struct {
	Subscription string    `json:"subscription"`
	Since        time.Time `json:"since"`
	Looked       int       `json:"looked"`              // how many entries stand behind the numbers
	Estimated    bool      `json:"estimated,omitempty"` // the numbers stand for more entries
	Delivered    int       `json:"delivered"`
	Failed       int       `json:"failed"` // attempts
	Dead         int       `json:"dead"`
	Latency      Spread    `json:"latency"` // from the publication to a 2xx
	Owed         int       `json:"owed"`    // orders that wait
	MoreOwed     bool      `json:"moreOwed,omitempty"`
}

// FiguresOfSome says how each of some subscriptions has done since a time, in the
// order of the ids; those that the scope does not hold are left out. It reads
// limits.FiguresEach entries of each twice at most. protocol.ErrNotFound if there is
// no delivery log.
func (c *Catalog) FiguresOfSome(ctx context.Context, scope Scope, ids []string, since time.Time) ([]SubscriptionFigures, error) {
	since = since.UTC().Truncate(time.Minute)
	whole, low, high, err := c.attemptRange(ctx, scope, AttemptQuery{Since: since})
	if err != nil {
		return nil, err
	}
	out := make([]SubscriptionFigures, len(ids))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(limits.ScanAtOnce)
	for i, id := range ids {
		g.Go(func() error {
			if _, err := c.Status(ctx, scope, id); err != nil {
				if errors.Is(err, protocol.ErrNotFound) {
					return nil
				}
				return err
			}
			r := attemptReader{catalog: c, owners: owners{catalog: c, scope: scope}, filter: c.names.AttemptSubject + "." + id + ".*",
				q: AttemptQuery{Subscription: id, Since: since}, last: whole.last}
			f, err := r.figures(ctx, low, high)
			if err != nil {
				return err
			}
			f.Subscription, f.Since = id, since
			f.Owed, f.MoreOwed, err = c.countOwed(ctx, scope, id)
			out[i] = f
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(out, func(f SubscriptionFigures) bool { return f.Subscription == "" }), nil
}

// figures are those of [low, high] under the reader's filter: of all entries if they
// are few, else of some, each the first one behind one of as many places at the same
// distance. How far it lies behind its place tells how many there are.
func (r *attemptReader) figures(ctx context.Context, low, high uint64) (SubscriptionFigures, error) {
	s := sampler{}
	at := low
	for n := 0; at <= high; n++ {
		if n == limits.FiguresEach {
			return r.estimate(ctx, low, high)
		}
		seq, err := r.addNext(ctx, &s, at, high)
		if err != nil {
			return SubscriptionFigures{}, err
		}
		at = seq + 1
	}
	return s.ofOne(1), nil
}

func (r *attemptReader) estimate(ctx context.Context, low, high uint64) (SubscriptionFigures, error) {
	s := sampler{}
	passed, last := 0.0, uint64(0)
	for i := range uint64(limits.FiguresEach) {
		place := max(low+(high-low)/limits.FiguresEach*i, last+1)
		seq, err := r.addNext(ctx, &s, place, high)
		if err != nil {
			return SubscriptionFigures{}, err
		}
		last = min(seq, high)
		passed += float64(last - min(place, last) + 1)
	}
	return s.ofOne(max(float64(high-low+1)/passed, 1)), nil
}

// addNext adds the first entry at or behind a place, and tells its sequence: one above
// high if there is none.
func (r *attemptReader) addNext(ctx context.Context, s *sampler, at, high uint64) (uint64, error) {
	m, err := msgget.Next(ctx, r.catalog.js, r.catalog.names.Attempts, at, r.filter)
	if errors.Is(err, protocol.ErrNotFound) || err == nil && m.Seq > high {
		return high + 1, nil
	}
	if err != nil {
		return 0, err
	}
	a, own, err := r.entry(ctx, m)
	if own {
		s.add(&a.Attempt)
	}
	return m.Seq, err
}

// ofOne tells what was added, of which each stands for so many.
func (s *sampler) ofOne(weight float64) SubscriptionFigures {
	f := SubscriptionFigures{Looked: s.looked, Estimated: weight > 1, Latency: spread(s.latency)}
	var sum [4]int
	for _, n := range s.by {
		for i := range sum {
			sum[i] += n.outcomes[i]
		}
	}
	for i, into := range []*int{&f.Delivered, &f.Failed, &f.Dead} {
		*into = int(math.Round(float64(sum[i]) * weight))
	}
	return f
}

// countOwed counts the orders of a subscription that wait, up to a bound.
func (c *Catalog) countOwed(ctx context.Context, scope Scope, id string) (n int, more bool, err error) {
	debts, next, err := c.owedByKey(ctx, id, "", limits.FiguresOwed)
	if errors.Is(err, protocol.ErrNotFound) {
		return 0, false, nil // the ledger was never made
	}
	o := owners{catalog: c, scope: scope}
	for _, d := range debts {
		own, failed := o.hold(ctx, d.Subscription, d.generation())
		if own && d.Lane != nil {
			n++
		}
		err = errors.Join(err, failed)
	}
	return n, next != "", err
}
