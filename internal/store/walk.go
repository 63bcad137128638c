package store

import (
	"context"
	"errors"
	"slices"
	"sync"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

// walkOf is one page of a list that goes through records by id and reads
// something of each.
type walkOf[T any] struct {
	scope  Scope
	filter Filter
	after  string
	limit  int
	ids    []string // to go through, sorted; nil: those of the index
	// read reads the item of an id, and tells its size; protocol.ErrNotFound: it is
	// not part of the list.
	read func(ctx context.Context, p place) (T, int, error)
}

// walkChunk is how many are read at the same time.
const walkChunk = 32

// walk returns the items and where to go on. It ends with the page's limit, with
// its bytes, or when it has looked at enough.
func walk[T any](ctx context.Context, c *Catalog, w walkOf[T]) (items []T, next string, err error) {
	if w.ids == nil {
		if err := c.await(ctx); err != nil {
			return nil, "", err
		}
	}
	items = []T{}
	size, looked, after := 0, 0, w.after
	for {
		places := w.places(c, after, walkChunk+1)
		more := len(places) > walkChunk
		places = places[:min(len(places), walkChunk)]
		read, sizes, found, err := w.readAll(ctx, c, places)
		if err != nil {
			return nil, "", err
		}
		for i := range places {
			looked++
			after = places[i].id
			last := i == len(places)-1 && !more
			if found[i] {
				items = append(items, read[i])
				size += sizes[i]
			}
			if !last && (len(items) >= w.limit || size >= limits.APIPageBytes || looked >= limits.APIPageReads) {
				return items, after, nil
			}
		}
		if !more {
			return items, "", nil
		}
	}
}

func (w walkOf[T]) places(c *Catalog, after string, limit int) []place {
	if w.ids == nil {
		return c.index.page(w.scope, w.filter, after, limit)
	}
	at, found := slices.BinarySearch(w.ids, after)
	if found {
		at++
	}
	var out []place
	for _, id := range w.ids[at:min(len(w.ids), at+limit)] {
		out = append(out, place{id: id})
	}
	return out
}

func (w walkOf[T]) readAll(ctx context.Context, c *Catalog, places []place) (items []T, sizes []int, found []bool,
	err error) {
	items, sizes, found = make([]T, len(places)), make([]int, len(places)), make([]bool, len(places))
	errs := make([]error, len(places))
	var wg sync.WaitGroup
	for i, p := range places {
		wg.Go(func() { items[i], sizes[i], errs[i] = w.read(ctx, p) })
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil && !errors.Is(err, protocol.ErrNotFound) {
			return nil, nil, nil, err
		}
		found[i] = err == nil
	}
	return items, sizes, found, nil
}
