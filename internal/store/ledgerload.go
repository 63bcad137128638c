package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
)

// Load reads the bucket through the highest of the own fences: a consumer on a
// replica that lags waits for it, and nothing of a deposed writer lies above it.
func (l *Ledger) Load(ctx context.Context, b protocol.Bucket, fn func(key string, value []byte) error) error {
	s := l.buckets[b]
	if s.last == 0 {
		return fmt.Errorf("load bucket %q: not fenced yet", s.name)
	}
	entries, err := l.read(ctx, s)
	if err != nil {
		if lost := l.Check(ctx, b); errors.Is(lost, protocol.ErrLost) {
			err = lost
		}
		return fmt.Errorf("load bucket %q: %w", s.name, err)
	}
	s.mu.Lock()
	clear(s.present)
	for key := range entries {
		s.present[key] = struct{}{}
	}
	s.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		if err := fn(key, entries[key]); err != nil {
			return err
		}
	}
	return nil
}

func (l *Ledger) read(ctx context.Context, s *stateBucket) (map[string][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	cons, err := l.js.OrderedConsumer(ctx, bucketStream(s.name),
		jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy})
	if errorCode(err) == codeMaximumConsumers {
		return l.readOneByOne(ctx, s)
	}
	if err != nil {
		return nil, err
	}
	defer l.giveBack(s, cons)
	it, err := cons.Messages(jetstream.PullMaxMessages(batch(cons.CachedInfo(), 1000)),
		jetstream.PullHeartbeat(time.Second), jetstream.PullExpiry(5*time.Second))
	if err != nil {
		return nil, err
	}
	defer it.Stop()
	prefix := bucketSubject(s.name, "")
	entries := map[string][]byte{}
	for {
		msg, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			return nil, err
		}
		meta, err := msg.Metadata()
		if err != nil {
			return nil, err
		}
		key := strings.TrimPrefix(msg.Subject(), prefix)
		switch {
		case strings.HasPrefix(key, fencePrefix), !l.shard.Has(ownerOf(key)):
		case isMarker(msg.Headers()):
			delete(entries, key)
		default:
			entries[key] = bytes.Clone(msg.Data())
		}
		if meta.Sequence.Stream >= s.last && meta.NumPending == 0 {
			return entries, nil
		}
	}
}

// readOneByOne reads where the bucket or its account allows no further consumer.
func (l *Ledger) readOneByOne(ctx context.Context, s *stateBucket) (map[string][]byte, error) {
	entries := map[string][]byte{}
	for next := uint64(1); ; {
		m, err := msgget.Next(ctx, l.js, bucketStream(s.name), next, ">")
		if errors.Is(err, protocol.ErrNotFound) && next > s.last {
			return entries, nil
		}
		if err != nil {
			return nil, err
		}
		next = m.Seq + 1
		switch key := keyOf(m.Subject); {
		case strings.HasPrefix(key, fencePrefix), !l.shard.Has(ownerOf(key)):
		case isMarker(m.Header):
			delete(entries, key)
		default:
			entries[key] = m.Data
		}
	}
}

// Fenced implements bridge.Ledger.
func (l *Ledger) Fenced(b protocol.Bucket) (created int64, last uint64) {
	s := l.buckets[b]
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.created, s.last
}

// Holds implements bridge.Ledger.
func (l *Ledger) Holds(b protocol.Bucket, keys iter.Seq[string]) {
	s := l.buckets[b]
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.present)
	for key := range keys {
		s.present[key] = struct{}{}
	}
}

// giveBack deletes a consumer that is no longer needed; else it would count
// for some minutes against what the account allows.
func (l *Ledger) giveBack(s *stateBucket, cons jetstream.Consumer) {
	ctx, cancel := context.WithTimeout(context.Background(), limits.FollowCheck)
	defer cancel()
	_ = l.js.DeleteConsumer(ctx, bucketStream(s.name), cons.CachedInfo().Name) // it would end by itself
}
