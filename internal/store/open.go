package store

import (
	"context"
	"errors"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// openBucket opens a bucket to read and change its entries: of a mirror within
// the account, the bucket that it mirrors. In a mirror nothing can be changed,
// and its entries lie under the name of the other one.
func openBucket(ctx context.Context, js jetstream.JetStream, bucket string) (jetstream.KeyValue, error) {
	s, err := js.Stream(ctx, bucketStream(bucket))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, jetstream.ErrBucketNotFound
	}
	if err != nil {
		return nil, err
	}
	if m := s.CachedInfo().Config.Mirror; m != nil && m.External == nil && m.Domain == "" {
		if origin, ok := strings.CutPrefix(m.Name, bucketStream("")); ok {
			bucket = origin
		}
	}
	return js.KeyValue(ctx, bucket)
}

// recordSubject is where an entry of a bucket is published: of a mirror, in the
// bucket that it mirrors.
func recordSubject(ctx context.Context, js jetstream.JetStream, bucket, key string) (string, error) {
	s, err := js.Stream(ctx, bucketStream(bucket))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return "", jetstream.ErrBucketNotFound
	}
	if err != nil {
		return "", err
	}
	if m := s.CachedInfo().Config.Mirror; m != nil {
		if origin, ok := strings.CutPrefix(m.Name, bucketStream("")); ok {
			bucket = origin
		}
		if m.External != nil && m.External.APIPrefix != "" {
			return m.External.APIPrefix + "." + bucketSubject(bucket, key), nil
		}
	}
	return writeSubject(js, bucket, key), nil
}
