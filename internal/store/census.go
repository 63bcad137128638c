package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/msgget"
)

// Census implements bridge.Records. Every message that comes raises the number
// of messages by one, so that fewer than that say that some have gone: by the
// history of a key, which is nothing, or without a trace. Which records are left
// is then asked of the bucket; also where a marker says that one ran out, which
// hides a record from all who read the bucket, and anybody can write.
func (r *Records) Census(ctx context.Context, was protocol.Census) (protocol.Census, *protocol.Listing, error) {
	info, err := msgget.Info(ctx, r.js, bucketStream(r.bucket))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return was, nil, nil // a missing bucket is told elsewhere, and no deletion
	}
	if err != nil {
		return was, nil, fmt.Errorf("count the records: %w", err)
	}
	now := protocol.Census{Bucket: info.Created.UnixNano(), Last: info.State.LastSeq, Messages: info.State.Msgs}
	if was.Bucket == 0 {
		return now, nil, nil
	}
	marked := r.marked.Swap(false)
	if !marked && was.Bucket == now.Bucket && now.Messages == was.Messages+now.Last-was.Last {
		return now, nil, nil
	}
	l, err := r.list(ctx, now)
	if err != nil {
		if marked {
			r.marked.Store(true)
		}
		return was, nil, fmt.Errorf("list the records: %w", err)
	}
	return now, l, nil
}

// list reads the newest revision of each key. Expiry markers count as nothing.
func (r *Records) list(ctx context.Context, now protocol.Census) (*protocol.Listing, error) {
	l := &protocol.Listing{Bucket: now.Bucket, Through: now.Last, Newest: map[string]uint64{}}
	if now.Messages == 0 {
		return l, r.still(ctx, now)
	}
	cons, err := r.js.OrderedConsumer(ctx, bucketStream(r.bucket), jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy, HeadersOnly: true})
	if err != nil {
		return nil, err
	}
	it, err := cons.Messages(jetstream.PullMaxMessages(1000), jetstream.PullHeartbeat(time.Second),
		jetstream.PullExpiry(5*time.Second))
	if err != nil {
		return nil, err
	}
	defer it.Stop()
	for {
		msg, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			return nil, err
		}
		meta, err := msg.Metadata()
		if err != nil {
			return nil, err
		}
		if reason := msg.Headers().Get("Nats-Marker-Reason"); reason == "" || reason == "Remove" || reason == "Purge" {
			l.Newest[strings.Clone(keyOf(msg.Subject()))] = meta.Sequence.Stream
		}
		if meta.NumPending == 0 {
			return l, r.still(ctx, now)
		}
	}
}

// still makes sure that the bucket that was listed is the one that was counted.
func (r *Records) still(ctx context.Context, now protocol.Census) error {
	created, err := r.created(ctx)
	if err == nil && created != now.Bucket {
		err = errRecreated
	}
	return err
}
