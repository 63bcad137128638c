package subscribers

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/limits"
)

// Keep has a consumer that nobody reads from stand at that sequence, at most a
// little below it; math.MaxUint64: none is needed. A stream that is edited to
// interest retention deletes nothing that a consumer waits for.
func (j *JetStream) Keep(ctx context.Context, from uint64) error {
	j.keeping.Lock()
	defer j.keeping.Unlock()
	none := from == math.MaxUint64 || j.keepNone
	switch {
	case none && j.keepKnown && j.keepFrom == 0:
		return nil
	case !none && j.keepFrom > 0 && j.keepFrom <= from && from-j.keepFrom < limits.KeepSlack:
		return nil
	}
	name := ""
	if !none {
		name = fmt.Sprintf("%skeep-%d", j.o.DurablePrefix, from)
		_, err := j.o.JetStream.CreateOrUpdateConsumer(ctx, j.o.Stream, jetstream.ConsumerConfig{
			Durable: name, Description: "orderbridge: keeps what is owed in the stream; nobody reads from it",
			AckPolicy: jetstream.AckExplicitPolicy, AckWait: limits.FeedAckWait, MaxDeliver: -1, MaxAckPending: 1,
			DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from,
		})
		if err != nil {
			return fmt.Errorf("make consumer %q: %w", name, err)
		}
	}
	j.keepFrom = 0
	if !none {
		j.keepFrom = from
	}
	if err := j.dropKeepers(ctx, name); err != nil {
		return err
	}
	j.keepKnown = true
	return nil
}

// keepNot does without it for good: the feed needs the room.
func (j *JetStream) keepNot(ctx context.Context) error {
	j.keeping.Lock()
	defer j.keeping.Unlock()
	j.keepNone, j.keepFrom = true, 0
	return j.dropKeepers(ctx, "")
}

// dropKeepers deletes all but one.
func (j *JetStream) dropKeepers(ctx context.Context, but string) error {
	s, err := j.o.JetStream.Stream(ctx, j.o.Stream)
	if err != nil {
		return fmt.Errorf("stream %q: %w", j.o.Stream, err)
	}
	names := s.ConsumerNames(ctx)
	for name := range names.Name() {
		if name == but || !strings.HasPrefix(name, j.o.DurablePrefix+"keep-") {
			continue
		}
		if err := s.DeleteConsumer(ctx, name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return fmt.Errorf("delete consumer %q: %w", name, err)
		}
	}
	return names.Err()
}
