package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
)

// What happens to the shards of a layout that another one has followed (R18):
// their leases are closed (bridge), after that their fences, and when nobody
// regards them any more, all of theirs is removed.

// closedEpoch stands in a closed fence: nobody outbids it.
const closedEpoch = maxTracedEpoch

func closedFence(data []byte) bool { return string(data) == strconv.Itoa(closedEpoch) }

// closedStill is closedFence of one that nobody has deleted.
func closedStill(m *event.Message) bool { return closedFence(m.Data) && !isMarker(m.Header) }

// CloseFences implements bridge.Shards. A bucket that is gone is made first: in a
// new one, too, a fence of the former leader may be under way. What a build that
// knows of no shards would do with a lease that only it takes for a free one is
// stopped by a durable of an epoch above its own, before it writes anything.
func (l *Leases) CloseFences(ctx context.Context, s protocol.Shard) error {
	if s.Layout == 0 {
		if err := l.bar(ctx); err != nil {
			return err
		}
	}
	lease, _, err := l.Shard(s).Get(ctx)
	if err != nil {
		return err
	}
	if !closedLease(lease) {
		return fmt.Errorf("fences of shard %d of layout %d: %w", s.Number, s.Layout, bridge.ErrNotClosed)
	}
	for _, bucket := range []string{l.n.Status, l.n.Owed} {
		if err := l.closeFences(ctx, bucket, s); err != nil {
			return fmt.Errorf("close the fences of shard %d of layout %d in bucket %q: %w", s.Number, s.Layout, bucket,
				err)
		}
	}
	return nil
}

// Fenced implements bridge.Shards.
func (l *Leases) Fenced(ctx context.Context, s protocol.Shard) (bool, error) {
	if s.Layout != 0 {
		return false, nil
	}
	for _, bucket := range []string{l.n.Owed, l.n.Status} {
		for i := range fences {
			m, err := msgget.Last(ctx, l.js, bucketStream(bucket), bucketSubject(bucket, fenceKeyOf(s, i)))
			switch {
			case errors.Is(err, protocol.ErrNotFound):
				return false, nil
			case err != nil:
				return false, err
			case !closedStill(m):
				return false, nil
			}
		}
	}
	_, err := l.js.Consumer(ctx, l.n.Stream, barrier(l.n))
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return false, nil
	}
	return err == nil, err
}

func closedLease(value []byte) bool {
	var e struct {
		Closed bool `json:"closed"`
	}
	return json.Unmarshal(value, &e) == nil && e.Closed
}

func (l *Leases) closeFences(ctx context.Context, bucket string, s protocol.Shard) error {
	before, err := bucketThere(ctx, l.js, bucket, l.make)
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(limits.TracesAtOnce)
	for i := range fences {
		g.Go(func() error { return l.closeFence(gctx, bucket, fenceKeyOf(s, i)) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	after, err := msgget.Info(ctx, l.js, bucketStream(bucket))
	if err == nil && !after.Created.Equal(before.Created) {
		err = errRecreated // once more
	}
	return err
}

func (l *Leases) closeFence(ctx context.Context, bucket, key string) error {
	for {
		m := &nats.Msg{Subject: writeSubject(l.js, bucket, key), Data: []byte(strconv.Itoa(closedEpoch)),
			Header: nats.Header{}}
		var rev uint64
		was, err := msgget.Last(ctx, l.js, bucketStream(bucket), bucketSubject(bucket, key))
		switch {
		case errors.Is(err, protocol.ErrNotFound):
		case err != nil:
			return err
		case closedStill(was):
			return nil
		default:
			rev = was.Seq
			m.Header.Set(layoutHeader, nats.Header(was.Header).Get(layoutHeader))
		}
		_, err = l.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(rev))
		if code := errorCode(err); err == nil || code != codeWrongLastSequence && code != codeBusy {
			return err
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// bar makes the durable that deposes each build that knows of no shards: it
// looks for durables of newer epochs before it does anything else. Nobody reads
// from it, and it wants no event.
func (l *Leases) bar(ctx context.Context) error {
	name := barrier(l.n)
	_, err := l.js.CreateOrUpdateConsumer(ctx, l.n.Stream, jetstream.ConsumerConfig{
		Durable: name, Description: "orderbridge: keeps builds out that know of no shards; nobody reads from it",
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: limits.FeedAckWait, MaxDeliver: -1, MaxAckPending: 1,
		DeliverPolicy: jetstream.DeliverNewPolicy, FilterSubject: "orderbridge.none." + name,
	})
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound): // nor is there a durable of theirs
		return nil
	case errorCode(err) == codeMaximumConsumers:
		l.log.Warn("there is no room for the consumer that keeps builds out that know of no shards (max_consumers): start none", "stream", l.n.Stream)
		return nil
	case err != nil:
		return fmt.Errorf("make consumer %q: %w", name, err)
	}
	return nil
}

func barrier(n Names) string { return fmt.Sprintf("%s%d-1", n.DurablePrefix, uint64(math.MaxUint64)) }

// Remove implements bridge.Shards. The leases go last, and only closed ones. What
// keeps out builds that know of no shards is made: nothing else may have done it.
func (l *Leases) Remove(ctx context.Context, below uint64) error {
	if err := l.bar(ctx); err != nil {
		return err
	}
	if err := l.removeDurables(ctx, below); err != nil {
		return err
	}
	for _, bucket := range []string{l.n.Status, l.n.Owed} {
		if err := l.removeFences(ctx, bucket, below); err != nil {
			return fmt.Errorf("remove what former layouts left in bucket %q: %w", bucket, err)
		}
	}
	leases, err := l.Leases(ctx)
	if err != nil {
		return err
	}
	for s, x := range leases {
		if s.Layout >= below || !closedLease(x.Value) {
			continue
		}
		err := removeEntry(ctx, l.js, l.bucket, leaseKeyOf(s), x.Revision)
		if err != nil {
			return fmt.Errorf("remove the lease of shard %d of layout %d: %w", s.Number, s.Layout, err)
		}
	}
	return nil
}

func (l *Leases) removeDurables(ctx context.Context, below uint64) error {
	stream, err := l.js.Stream(ctx, l.n.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stream %q: %w", l.n.Stream, err)
	}
	names := stream.ConsumerNames(ctx)
	for name := range names.Name() {
		s, ours := durableShard(l.n, name)
		if !ours || s.Layout >= below || name == barrier(l.n) {
			continue
		}
		if err := stream.DeleteConsumer(ctx, name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return fmt.Errorf("delete consumer %q of stream %q: %w", name, l.n.Stream, err)
		}
	}
	if err := names.Err(); err != nil {
		return fmt.Errorf("consumers of stream %q: %w", l.n.Stream, err)
	}
	return nil
}

func (l *Leases) removeFences(ctx context.Context, bucket string, below uint64) error {
	keys, err := fenceKeys(ctx, l.js, bucket)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(limits.TracesAtOnce)
	for _, key := range keys {
		if s, ours := fenceShard(key); !ours || s.Layout >= below {
			continue
		}
		g.Go(func() error {
			m, err := msgget.Last(ctx, l.js, bucketStream(bucket), bucketSubject(bucket, key))
			if errors.Is(err, protocol.ErrNotFound) || err == nil && isMarker(m.Header) {
				return nil
			}
			if err != nil {
				return err
			}
			return removeEntry(ctx, l.js, bucket, key, m.Seq)
		})
	}
	return g.Wait()
}

// fenceKeys are the fences and seals in a bucket, removed ones included.
func fenceKeys(ctx context.Context, js jetstream.JetStream, bucket string) ([]string, error) {
	stream, err := js.Stream(ctx, bucketStream(bucket))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, filter := range []string{bucketSubject(bucket, fencePrefix+"*"), bucketSubject(bucket, fencePrefix+"*.*")} {
		info, err := stream.Info(ctx, jetstream.WithSubjectFilter(filter))
		if err != nil {
			return nil, err
		}
		for subject := range info.State.Subjects {
			keys = append(keys, keyOf(subject))
		}
	}
	return keys, nil
}

// removeEntry removes an entry of that revision; one of another revision stays.
func removeEntry(ctx context.Context, js jetstream.JetStream, bucket, key string, revision uint64) error {
	_, err := putMarked(ctx, js, bucket, key, nil, &revision, limits.MarkerKept)
	if errorCode(err) == codeWrongLastSequence {
		return nil
	}
	return err
}

// Fits implements bridge.Shards. While the layout changes, there are a durable of
// each former shard and of each new one.
func (l *Leases) Fits(ctx context.Context, layout protocol.Layout, shards int) error {
	if shards == layout.Shards {
		return nil
	}
	info, err := msgget.Info(ctx, l.js, l.n.Stream)
	if err != nil {
		return err
	}
	c := info.Config
	if c.Retention == jetstream.WorkQueuePolicy {
		return fmt.Errorf("stream %q is a work queue: it gives each event to one consumer, and each shard needs its own", c.Name)
	}
	need := shards + 1
	if room := c.MaxConsumers - info.State.Consumers; c.MaxConsumers > 0 && room < need {
		return fmt.Errorf("stream %q allows %d consumers (max_consumers) and has %d: %d more are needed while the shards change. Run `nats stream edit %s --max-consumers`, or choose fewer", c.Name, c.MaxConsumers, info.State.Consumers, need, c.Name)
	}
	account, err := l.js.AccountInfo(ctx)
	if err != nil {
		return fmt.Errorf("ask JetStream for the account: %w", err)
	}
	tier := account.Tier
	if t, ok := account.Tiers[fmt.Sprintf("R%d", c.Replicas)]; ok {
		tier = t
	}
	if most := tier.Limits.MaxConsumers; most > 0 && most-tier.Consumers < need {
		return fmt.Errorf("the account allows %d consumers (max_consumers) and has %d: %d more are needed while the shards change. Raise it, or choose fewer shards", most, tier.Consumers, need)
	}
	return nil
}
