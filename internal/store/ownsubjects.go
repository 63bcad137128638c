package store

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
)

// What is a tenant's own is read by its own subjects where these are few: then it costs
// what there is of it, and neither hides nor tells how much there is of others.

// ownFilters are the subjects, as subject makes them, of a scope's subscriptions, or of one
// of them; own is false where these would be too many, or are not known.
func (c *Catalog) ownFilters(ctx context.Context, scope Scope, subscription string, subject func(id string) string) (filters []string, own bool,
	err error) {
	if scope.all || c.index == nil {
		return nil, false, nil
	}
	if err := c.await(ctx); err != nil {
		return nil, false, err
	}
	f := Filter{}
	if subscription != "" {
		f.ID = func(id string) bool { return id == subscription }
	}
	places := c.index.page(scope, f, "", limits.LiveOwn+1)
	if len(places) > limits.LiveOwn {
		return nil, false, nil
	}
	for _, p := range places {
		filters = append(filters, subject(p.id))
	}
	return filters, true, nil
}

// foundUnder is what was read under filters.
type foundUnder[T any] struct {
	found  []T    // oldest first
	last   uint64 // the newest that was looked at
	looked int
}

// readUnder reads [low, high] of a stream under filters: what keep makes of each message.
// Each filter has a keep of its own. errManyMatch if there are more than most messages,
// kept or not.
func readUnder[T any](ctx context.Context, js jetstream.JetStream, stream string, filters []string, low, high uint64, most int,
	reader func() (keep func(*event.Message) (T, bool, error))) (u foundUnder[T], err error) {
	type item struct {
		seq uint64
		is  T
	}
	parts := make([][]item, len(filters))
	var looked atomic.Int64
	var newest atomic.Uint64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(limits.ScanAtOnce)
	for i, filter := range filters {
		g.Go(func() error {
			keep := reader()
			for at := low; at <= high; at++ {
				m, err := msgget.Next(ctx, js, stream, at, filter)
				if errors.Is(err, protocol.ErrNotFound) || err == nil && m.Seq > high {
					return nil
				}
				if err != nil {
					return err
				}
				if looked.Add(1) > int64(most) {
					return errManyMatch
				}
				x, kept, err := keep(m)
				if err != nil {
					return err
				}
				raise(&newest, m.Seq)
				if at = m.Seq; kept {
					parts[i] = append(parts[i], item{at, x})
				}
			}
			return nil
		})
	}
	err = g.Wait()
	all := slices.Concat(parts...)
	slices.SortFunc(all, func(a, b item) int { return cmp.Compare(a.seq, b.seq) })
	for i, x := range all {
		if i == 0 || x.seq != all[i-1].seq { // two filters may have it
			u.found = append(u.found, x.is)
		}
	}
	u.last, u.looked = newest.Load(), int(looked.Load())
	return u, err
}

// newestOf reads [low, high]; where that is more than is read at once, a newer part of it.
func newestOf[T any](low, high uint64, read func(low uint64) ([]T, error)) (found []T, leftOut bool, err error) {
	for {
		found, err = read(low)
		if !errors.Is(err, errManyMatch) {
			return found, leftOut, err
		}
		low, leftOut = high-(high-low)/4, true
	}
}
