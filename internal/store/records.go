package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
)

// Records implements bridge.Records on the bucket of the subscription records.
//
// A deletion is what somebody asked for: a KV-Operation marker, or the server's
// marker for a removed or purged subject. That a record expired by a limit of
// the bucket (marker reason MaxAge) is none, and is not passed on.
type Records struct {
	js     jetstream.JetStream
	bucket string
	log    *slog.Logger
	Key    *Key         // signs what Put stores for an actor; may be nil
	index  *Index       // nil: none is fed
	marked *atomic.Bool // a marker came that is not a deletion: the next census lists
	told   *progress    // of the watch
}

var _ bridge.Records = (*Records)(nil)

// NewRecords reads the bucket of that name. A nil logger means slog.Default().
func NewRecords(js jetstream.JetStream, bucket string, log *slog.Logger) *Records {
	if log == nil {
		log = slog.Default()
	}
	return &Records{js: js, bucket: bucket, log: log, marked: new(atomic.Bool), told: &progress{}}
}

// WithIndex has the index hear all that is read of the bucket; see Feed.
func (r *Records) WithIndex(x *Index) *Records {
	r.index = x
	return r
}

// Watch implements bridge.Records. The callbacks are called from one goroutine.
func (r *Records) Watch(ctx context.Context, fn func(protocol.Revision), caughtUp func(), missing func(bool)) error {
	f := follower{
		js: r.js, bucket: r.bucket, key: ">", log: r.log,
		caughtUp: caughtUp, missing: missing,
		began: func(created int64) { r.told.begin(created) },
		each: func(m *event.Message, created int64) {
			defer r.told.reach(m.Seq)
			rev, ok := r.revision(m.Subject, m.Header, m.Data, m.Seq, m.Time, created)
			if r.index != nil {
				r.index.hear(created, m.Seq, rev, ok)
			}
			if !ok {
				r.marked.Store(true)
				return
			}
			fn(rev)
		},
	}
	if r.index != nil {
		defer r.index.tapping()()
	}
	return f.run(ctx)
}

// Through implements bridge.Records.
func (r *Records) Through(ctx context.Context) error {
	f := follower{js: r.js, bucket: r.bucket, key: ">", log: r.log, missing: func(bool) {}}
	last, err := f.end(ctx)
	if err == nil {
		err = r.told.await(ctx, f.created, last)
	}
	if err != nil {
		return fmt.Errorf("follow bucket %q: %w", r.bucket, err)
	}
	return nil
}

// Latest implements bridge.Records. An absent bucket is an error, not ErrNotFound.
func (r *Records) Latest(ctx context.Context, key string) (protocol.Revision, error) {
	// Read before and after: a bucket that is recreated in between must not
	// lend its revision to the other one.
	before, err := r.created(ctx)
	if err != nil {
		return protocol.Revision{}, err
	}
	m, err := msgget.Last(ctx, r.js, bucketStream(r.bucket), storedSubject(key))
	if err != nil {
		return protocol.Revision{}, fmt.Errorf("read subscription %q: %w", key, err)
	}
	after, err := r.created(ctx)
	if err != nil {
		return protocol.Revision{}, err
	}
	if before != after {
		return protocol.Revision{}, fmt.Errorf("read subscription %q: bucket %q was recreated meanwhile", key, r.bucket)
	}
	rev, ok := r.revision(m.Subject, m.Header, m.Data, m.Seq, m.Time, after)
	if !ok {
		return protocol.Revision{}, fmt.Errorf("read subscription %q: expired by a limit of bucket %q: %w", key,
			r.bucket, protocol.ErrNotFound)
	}
	return rev, nil
}

// Put stores a value if the newest revision of the key still is expect (0:
// there is none); protocol.ErrDeposed if not.
func (r *Records) Put(ctx context.Context, key string, value []byte, expect uint64) (revision uint64, err error) {
	revision, err = writeRecord(ctx, r.js, r.bucket, key, value, &expect, r.Key)
	if errors.Is(err, ErrChanged) {
		return 0, fmt.Errorf("store subscription %q: changed by somebody else: %w", key, protocol.ErrDeposed)
	}
	if err != nil {
		return 0, fmt.Errorf("store subscription %q: %w", key, err)
	}
	return revision, nil
}

func (r *Records) created(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.JetStreamTime)
	defer cancel()
	s, err := r.js.Stream(ctx, bucketStream(r.bucket))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0, fmt.Errorf("bucket %q is missing", r.bucket)
	}
	if err != nil {
		return 0, fmt.Errorf("bucket %q: %w", r.bucket, err)
	}
	return s.CachedInfo().Created.UnixNano(), nil
}

// revision is false for what is not a change of a record.
func (r *Records) revision(subject string, h nats.Header, data []byte, seq uint64, t time.Time,
	created int64) (protocol.Revision, bool) {
	rev := protocol.Revision{
		Key:      keyOf(subject),
		Revision: seq, Bucket: created, Time: t,
	}
	switch op, reason := h.Get("KV-Operation"), h.Get("Nats-Marker-Reason"); {
	case op == "DEL" || reason == "Remove":
		rev.Deleted = true
	case op == "PURGE" || reason == "Purge":
		rev.Deleted, rev.Purged = true, true
	case reason != "":
		return protocol.Revision{}, false
	default:
		rev.Value = bytes.Clone(data)
		if rev.Value == nil {
			rev.Value = []byte{}
		}
	}
	return rev, true
}
