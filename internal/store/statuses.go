package store

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/internal/limits"
)

// Statuses implements bridge.Statuses on the bucket of the statuses.
//
// It reads every message once, in order, fences included, so that what it has
// told up to a leader's own fences is what the bucket held when they were
// written. A marker of a removal goes after some minutes: after a longer time out
// of touch all is told again.
type Statuses struct {
	js     jetstream.JetStream
	bucket string
	log    *slog.Logger
	told   progress
}

var _ bridge.Statuses = (*Statuses)(nil)

// NewStatuses reads the bucket of the statuses. A nil logger means slog.Default().
func NewStatuses(js jetstream.JetStream, n Names, log *slog.Logger) *Statuses {
	if log == nil {
		log = slog.Default()
	}
	return &Statuses{js: js, bucket: n.Status, log: log}
}

// Watch implements bridge.Statuses. The callbacks are called from one goroutine.
func (s *Statuses) Watch(ctx context.Context, began func(), fn func(key string, value []byte), caughtUp func()) error {
	f := follower{
		js: s.js, bucket: s.bucket, key: ">", log: s.log, caughtUp: caughtUp, missing: func(bool) {},
		most: limits.FollowApart,
		began: func(created int64) {
			s.told.begin(created)
			began()
		},
		each: func(m *event.Message, _ int64) {
			key := keyOf(m.Subject)
			switch {
			case strings.HasPrefix(key, fencePrefix):
			case isMarker(m.Header):
				fn(key, nil)
			default:
				fn(key, bytes.Clone(m.Data))
			}
			s.told.reach(m.Seq)
		},
	}
	return f.run(ctx)
}

// Through implements bridge.Statuses.
func (s *Statuses) Through(ctx context.Context, created int64, seq uint64) error {
	if err := s.told.await(ctx, created, seq); err != nil {
		return fmt.Errorf("follow bucket %q: %w", s.bucket, err)
	}
	return nil
}
