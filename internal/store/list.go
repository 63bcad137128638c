package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge"
	"orderbridge/internal/limits"
)

// Keys lists the keys of a bucket, those of deleted entries included, fences
// left out. It needs the permission to read the stream's state, and no consumer.
func Keys(ctx context.Context, js jetstream.JetStream, bucket string) ([]string, error) {
	stream, err := js.Stream(ctx, bucketStream(bucket))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("bucket %q: %w", bucket, bridge.ErrNotFound)
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

// ReadEntries calls fn for each present entry of a bucket in the order of keys,
// as ListEntries does, for callers who may read messages but make no consumer.
func ReadEntries(ctx context.Context, js jetstream.JetStream, bucket string, fn func(Entry) error) error {
	keys, err := Keys(ctx, js, bucket)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(keys, limits.ListAtOnce) {
		entries := make([]Entry, len(part))
		errs := make([]error, len(part))
		var wg sync.WaitGroup
		for i, key := range part {
			wg.Go(func() { entries[i], errs[i] = ReadEntry(ctx, js, bucket, key) })
		}
		wg.Wait()
		for i := range part {
			if errors.Is(errs[i], bridge.ErrNotFound) {
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
