package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/msgget"
)

// Seen implements bridge.Shards: fences and durables carry the layout in which
// they were made.
func (l *Leases) Seen(ctx context.Context) (newest protocol.Layout, found bool, err error) {
	var generations []uint64
	tell := func(generation uint64, layout string) {
		generations = append(generations, generation)
		x, err := protocol.ParseLayout([]byte(layout))
		if err != nil || x.Generation != generation {
			if generation > 0 { // what does not tell is no help
				return
			}
			x = protocol.Layout{Shards: 1}
		}
		if !found || x.Generation > newest.Generation {
			newest, found = x, true
		}
	}
	if err := l.seenFences(ctx, tell); err != nil {
		return newest, false, err
	}
	if err := l.seenDurables(ctx, tell); err != nil {
		return newest, false, err
	}
	newest.Done, newest.Want = true, 0
	for _, g := range generations {
		newest.Done = newest.Done && g >= newest.Generation
	}
	return newest, found, nil
}

func (l *Leases) seenFences(ctx context.Context, tell func(uint64, string)) error {
	for _, bucket := range []string{l.n.Status, l.n.Owed} {
		keys, err := fenceKeys(ctx, l.js, bucket)
		if err != nil {
			return fmt.Errorf("fences of bucket %q: %w", bucket, err)
		}
		known := map[uint64]bool{}
		for _, key := range keys {
			s, ours := fenceShard(key)
			if !ours || known[s.Layout] {
				continue
			}
			m, err := msgget.Last(ctx, l.js, bucketStream(bucket), bucketSubject(bucket, key))
			switch {
			case errors.Is(err, protocol.ErrNotFound), err == nil && isMarker(m.Header):
				continue
			case err != nil:
				return fmt.Errorf("fence %q of bucket %q: %w", key, bucket, err)
			}
			layout := nats.Header(m.Header).Get(layoutHeader)
			known[s.Layout] = layout != "" || s.Layout == 0
			tell(s.Layout, layout)
		}
	}
	return nil
}

func (l *Leases) seenDurables(ctx context.Context, tell func(uint64, string)) error {
	stream, err := l.js.Stream(ctx, l.n.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stream %q: %w", l.n.Stream, err)
	}
	names := stream.ConsumerNames(ctx)
	for name := range names.Name() {
		s, ours := durableShard(l.n, name)
		if !ours || name == barrier(l.n) {
			continue
		}
		c, err := stream.Consumer(ctx, name)
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("consumer %q of stream %q: %w", name, l.n.Stream, err)
		}
		tell(s.Layout, c.CachedInfo().Config.Metadata[metaLayout])
	}
	if err := names.Err(); err != nil {
		return fmt.Errorf("consumers of stream %q: %w", l.n.Stream, err)
	}
	return nil
}
