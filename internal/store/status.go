package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/msgget"
)

// Entry is one present entry of a bucket, its value as stored.
type Entry struct {
	Key      string
	Value    json.RawMessage
	Revision uint64
	Time     time.Time // the server's time stamp of the revision
}

// readEntry reads one entry of a bucket from the stream's leader; ErrNotFound if absent.
func readEntry(ctx context.Context, js jetstream.JetStream, bucket, key string) (Entry, error) {
	m, err := msgget.Last(ctx, js, bucketStream(bucket), storedSubject(key))
	if err == nil && isMarker(m.Header) {
		err = protocol.ErrNotFound
	}
	if err != nil {
		return Entry{}, fmt.Errorf("read %q from bucket %q: %w", key, bucket, err)
	}
	return Entry{key, m.Data, m.Seq, m.Time}, nil
}

// listEntries calls fn for each present entry of a bucket under the keys (none:
// all; wildcards as in subjects), in the order of revisions, fences left out:
// what `subscriptions list` and `owed list` show. A replica that lags may
// answer; ErrNotFound if there is no such bucket.
func listEntries(ctx context.Context, js jetstream.JetStream, bucket string, fn func(Entry) error, keys ...string) error {
	kv, err := openBucket(ctx, js, bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return fmt.Errorf("bucket %q: %w", bucket, protocol.ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("bucket %q: %w", bucket, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if len(keys) == 0 {
		keys = []string{">"}
	}
	if elsewhere(js) { // what a server pushes there does not come here
		return readEntries(ctx, js, kv.Bucket(), fn, keys...)
	}
	w, err := kv.WatchFiltered(ctx, slices.Clone(keys), jetstream.IgnoreDeletes()) // it changes them
	if err != nil {
		return fmt.Errorf("list bucket %q: %w", bucket, err)
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("list bucket %q: %w", bucket, context.Cause(ctx))
		case e, ok := <-w.Updates():
			if !ok {
				return fmt.Errorf("list bucket %q: the bus ended it", bucket)
			}
			if e == nil {
				return nil
			}
			if strings.HasPrefix(e.Key(), fencePrefix) {
				continue
			}
			if err := fn(Entry{e.Key(), e.Value(), e.Revision(), e.Created()}); err != nil {
				return err
			}
		}
	}
}
