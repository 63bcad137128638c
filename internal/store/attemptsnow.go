package store

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
)

// AttemptsNow returns what came to the delivery log above an entry, oldest first: the
// newest limits.LiveEntries of it or fewer. Of one subscription, and of a tenant with
// limits.LiveOwn or fewer, it reads these by their subjects, however much there is of
// others; else it looks at the newest limits.LiveEntries of all. It is for whoever
// watches, not for who counts.
func (c *Catalog) AttemptsNow(ctx context.Context, scope Scope, q AttemptQuery, above uint64) (Now[Attempt], error) {
	r, low, high, err := c.attemptRange(ctx, scope, q)
	low = max(low, above+1)
	if err != nil || low > high {
		return Now[Attempt]{Last: max(above, r.last)}, err
	}
	filters, own, err := r.ownFilters(ctx)
	if err != nil {
		return Now[Attempt]{}, err
	}
	out := Now[Attempt]{Last: high}
	if own {
		out.Items, out.LeftOut, err = newestOf(low, high, func(low uint64) ([]Attempt, error) {
			found, _, err := r.readUnder(ctx, filters, low, high, limits.LiveEntries)
			return found, err
		})
	} else {
		if high-low >= limits.LiveEntries {
			low, out.LeftOut = high-limits.LiveEntries+1, true
		}
		out.Items, _, err = r.read(ctx, r.filter, low, high, limits.LiveEntries)
	}
	if err != nil {
		return Now[Attempt]{}, fmt.Errorf("read stream %q: %w", c.names.Attempts, err)
	}
	return out, nil
}

// ownFilters are the subjects under which all lies that the query can want and the scope
// holds; own is false where these would be too many, or are not known.
func (r *attemptReader) ownFilters(ctx context.Context) (filters []string, own bool, err error) {
	c, scope := r.catalog, r.owners.scope
	if scope.all {
		return []string{r.filter}, r.q.Subscription != "", nil
	}
	return c.ownFilters(ctx, scope, r.q.Subscription, func(id string) string { return c.names.AttemptSubject + "." + id + "." + r.token })
}

// lastFor is the last entry of the log as a caller is told it: whoever is confined to a
// tenant is told its own last one, not how many there are of others.
func (r *attemptReader) lastFor(ctx context.Context) (uint64, error) {
	if r.owners.scope.all {
		return r.last, nil
	}
	filters, own, err := r.ownFilters(ctx)
	if err != nil || !own {
		return r.last, err
	}
	var last atomic.Uint64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(limits.ScanAtOnce)
	for _, filter := range filters {
		g.Go(func() error {
			m, err := msgget.Last(ctx, r.catalog.js, r.catalog.names.Attempts, filter)
			if errors.Is(err, protocol.ErrNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			raise(&last, m.Seq)
			return nil
		})
	}
	err = g.Wait()
	return last.Load(), err
}

func raise(n *atomic.Uint64, to uint64) {
	for at := n.Load(); at < to && !n.CompareAndSwap(at, to); at = n.Load() {
	}
}

// oldestUnder reads [low, high] under filters, oldest first, and tells the last one that it
// looked at; where that is more than one call looks at, an older part of it.
func (r *attemptReader) oldestUnder(ctx context.Context, filters []string, low, high uint64) (found []Attempt, last uint64,
	err error) {
	for {
		found, last, err = r.readUnder(ctx, filters, low, high, limits.AttemptScan/4)
		if !errors.Is(err, errManyMatch) {
			return found, last, err
		}
		high = low + (high-low)/4
	}
}

// readUnder reads the entries of [low, high] under filters that are wanted, oldest first,
// and tells the last one that it looked at; errManyMatch if there are more than most,
// wanted or not.
func (r *attemptReader) readUnder(ctx context.Context, filters []string, low, high uint64, most int) (found []Attempt,
	last uint64, err error) {
	u, err := readUnder(ctx, r.catalog.js, r.catalog.names.Attempts, filters, low, high, most, func() func(*event.Message) (Attempt, bool, error) {
		own := attemptReader{catalog: r.catalog, q: r.q, owners: owners{catalog: r.catalog, scope: r.owners.scope}}
		return func(m *event.Message) (Attempt, bool, error) { return own.entry(ctx, m) }
	})
	r.looked += u.looked
	return u.found, u.last, err
}
