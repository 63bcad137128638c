package store

import (
	"context"
	"errors"
	"log/slog"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/msgget"
)

// Written is a revision of a record as it was written, with its headers.
type Written struct {
	protocol.Revision
	Header nats.Header
}

// Trail reads the changes of records for the audit.
type Trail struct {
	records Records
}

// NewTrail reads the bucket of that name. A nil logger means slog.Default().
func NewTrail(js jetstream.JetStream, bucket string, log *slog.Logger) *Trail {
	return &Trail{*NewRecords(js, bucket, log)}
}

// Follow calls fn with every kept revision above the given one of the bucket of
// that creation (another bucket: with all of it), in their order, and goes on
// with what comes. One may come twice. fn may wait. It returns when ctx ends.
func (t *Trail) Follow(ctx context.Context, bucket int64, above uint64, fn func(Written)) error {
	r := &t.records
	f := follower{
		js: r.js, bucket: r.bucket, key: ">", log: r.log, created: bucket, seen: above,
		missing: func(bool) {},
		each: func(m *event.Message, created int64) {
			if rev, ok := r.revision(m.Subject, m.Header, m.Data, m.Seq, m.Time, created); ok {
				fn(Written{rev, m.Header})
			}
		},
	}
	return f.run(ctx)
}

// State tells which bucket it is that is there, and its last sequence.
func (t *Trail) State(ctx context.Context) (created int64, last uint64, err error) {
	info, err := msgget.Info(ctx, t.records.js, bucketStream(t.records.bucket))
	if err != nil {
		return 0, 0, err
	}
	return info.Created.UnixNano(), info.State.LastSeq, nil
}

// Before reads the revision of the key before the given one, markers included;
// protocol.ErrNotFound if there is none, or it is not kept.
func (t *Trail) Before(ctx context.Context, key string, revision uint64) (Written, error) {
	r := &t.records
	var found *event.Message
	for next := uint64(1); next < revision; {
		m, err := msgget.Next(ctx, r.js, bucketStream(r.bucket), next, storedSubject(key))
		if errors.Is(err, protocol.ErrNotFound) || err == nil && m.Seq >= revision {
			break
		}
		if err != nil {
			return Written{}, err
		}
		found, next = m, m.Seq+1
	}
	if found == nil {
		return Written{}, protocol.ErrNotFound
	}
	rev, ok := r.revision(found.Subject, found.Header, found.Data, found.Seq, found.Time, 0)
	if !ok {
		return Written{}, protocol.ErrNotFound
	}
	return Written{rev, found.Header}, nil
}
