package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

// bucketKeys lists the keys of a bucket, those of deleted entries included, fences
// left out. It needs the permission to read the stream's state, and no consumer.
func bucketKeys(ctx context.Context, js jetstream.JetStream, bucket string) ([]string, error) {
	stream, err := js.Stream(ctx, bucketStream(bucket))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("bucket %q: %w", bucket, protocol.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("bucket %q: %w", bucket, err)
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(storedSubject(">")))
	if err != nil {
		return nil, fmt.Errorf("list bucket %q: %w", bucket, err)
	}
	var keys []string
	for subject := range info.State.Subjects {
		if key := keyOf(subject); !strings.HasPrefix(key, fencePrefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys, nil
}

// EachRecord calls fn for each record, in the order of their revisions, or where
// the catalog reads singly in that of their ids. protocol.ErrNotFound if there is
// no such bucket.
func (c *Catalog) EachRecord(ctx context.Context, fn func(Record) error) error {
	return c.each(ctx, c.names.Subscriptions, func(e Entry) error { return fn(Record{e.Key, e.Value, e.Revision, e.Time}) })
}

// EachStatus calls fn for what the bridge says of each subscription, as
// EachRecord does; what cannot be read is passed over.
func (c *Catalog) EachStatus(ctx context.Context, fn func(Verdict) error) error {
	return c.each(ctx, c.names.Status, func(e Entry) error {
		v := Verdict{ID: e.Key}
		if json.Unmarshal(e.Value, &v.Status) != nil {
			return nil
		}
		return fn(v)
	})
}

// IDs are those of all records, and of those that were deleted, in order.
func (c *Catalog) IDs(ctx context.Context) ([]string, error) {
	return bucketKeys(ctx, c.js, c.names.Subscriptions)
}

func (c *Catalog) each(ctx context.Context, bucket string, fn func(Entry) error, keys ...string) error {
	if c.singly {
		return readEntries(ctx, c.js, bucket, fn, keys...)
	}
	return listEntries(ctx, c.js, bucket, fn, keys...)
}

// readEntries calls fn for each present entry of a bucket in the order of keys,
// as listEntries does, for callers who may read messages but make no consumer.
func readEntries(ctx context.Context, js jetstream.JetStream, bucket string, fn func(Entry) error, under ...string) error {
	keys, err := bucketKeys(ctx, js, bucket)
	if err != nil {
		return err
	}
	if len(under) > 0 {
		keys = slices.DeleteFunc(keys, func(key string) bool {
			return !slices.ContainsFunc(under, func(k string) bool { return record.SubjectMatches(k, key) })
		})
	}
	for part := range slices.Chunk(keys, limits.ListAtOnce) {
		entries := make([]Entry, len(part))
		errs := make([]error, len(part))
		var wg sync.WaitGroup
		for i, key := range part {
			wg.Go(func() { entries[i], errs[i] = readEntry(ctx, js, bucket, key) })
		}
		wg.Wait()
		for i := range part {
			if errors.Is(errs[i], protocol.ErrNotFound) {
				continue
			}
			if errs[i] != nil {
				return errs[i]
			}
			if err := fn(entries[i]); err != nil {
				return err
			}
		}
	}
	return nil
}
