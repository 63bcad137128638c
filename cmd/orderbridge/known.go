package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"orderbridge/bridge"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

// list calls fn for each present entry of a bucket: through a consumer, which
// is fastest, or by reading one after another where the user may make none.
func (s *session) list(ctx context.Context, bucket string, fn func(store.Entry) error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err := s.denials.without(ctx, ".CONSUMER.", func(ctx context.Context) error {
		return store.ListEntries(ctx, s.js, bucket, fn)
	})
	if no := (*denial)(nil); errors.As(err, &no) {
		err = store.ReadEntries(ctx, s.js, bucket, fn)
	}
	if errors.Is(err, bridge.ErrNotFound) {
		return s.noBucket(bucket)
	}
	return explain(err)
}

// mustKnow makes sure that there is a subscription of that id: a record, or a
// deleted one whose debts are kept. what a command has found of it besides
// (debts, dead letters) is proof enough and need not come here.
func (s *session) mustKnow(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, limits.CommandCallTime)
	defer cancel()
	for _, bucket := range []string{s.names.Subscriptions, s.names.Status} {
		_, err := store.ReadEntry(ctx, s.js, bucket, id)
		if err == nil {
			return nil
		}
		if !errors.Is(err, bridge.ErrNotFound) {
			return explain(err)
		}
	}
	return s.unknown(ctx, id)
}

// unknown says that there is no such subscription, and which one may be meant.
func (s *session) unknown(ctx context.Context, id string) error {
	hint := "`orderbridge subscriptions list` shows those there are"
	keys, err := store.Keys(ctx, s.js, s.names.Subscriptions)
	if err == nil {
		if near := nearIDs(id, keys); len(near) > 0 {
			hint = "did you mean " + strings.Join(near, " or ") + "?"
		}
	}
	return fmt.Errorf("there is no subscription %q; %s", id, hint)
}

// nearIDs are at most three ids that differ little from id.
func nearIDs(id string, known []string) []string {
	type candidate struct {
		id    string
		edits int
	}
	var near []candidate
	for _, k := range known {
		if k == id {
			continue // hidden, or gone this moment
		}
		n := bridge.Edits(id, k)
		if len(id) > 2 && strings.HasPrefix(strings.ToLower(k), strings.ToLower(id)) {
			n = min(n, 1)
		}
		if n <= max(1, len(id)/3) {
			near = append(near, candidate{k, n})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return a.edits - b.edits })
	var ids []string
	for _, c := range near[:min(len(near), 3)] {
		ids = append(ids, fmt.Sprintf("%q", c.id))
	}
	return ids
}
