package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
)

// Leases is the lease bucket: the lease of each shard, the layout, and the
// heartbeats of the replicas. However many keys are watched, a replica reads the
// bucket through one consumer. Its methods are safe for concurrent use.
type Leases struct {
	js     jetstream.JetStream
	n      Names
	bucket string
	make   Maker
	log    *slog.Logger

	mu       sync.Mutex
	watchers map[*watcher]struct{}
	run      *following         // while there are watchers
	held     map[string]revised // newest revision of each key
	created  int64              // of the bucket that held speaks of
}

var _ bridge.Shards = (*Leases)(nil)

// revised is a key as it stands in the bucket.
type revised struct {
	value    []byte // nil: deleted
	revision uint64
	heard    time.Time
	written  time.Time // by the bus's clock, of what entries reads
}

// watcher wants to hear of one key.
type watcher struct {
	key    string
	news   chan struct{} // of newest, one at a time
	newest revised
}

// following is the one consumer at work.
type following struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when it has ended, by itself only with the connection
	err    error
	caught bool // all that was there has been read
}

// NewLeases uses the bucket of n; Ensure has made it. If somebody deletes it, it
// is made again by make when a lease is written. A nil logger means slog.Default().
func NewLeases(js jetstream.JetStream, n Names, make Maker, log *slog.Logger) *Leases {
	if log == nil {
		log = slog.Default()
	}
	return &Leases{js: js, n: n, bucket: n.Lease, make: make, log: log,
		watchers: map[*watcher]struct{}{}, held: map[string]revised{}}
}

// Shard is the lease of a shard.
func (l *Leases) Shard(s protocol.Shard) *Lease { return &Lease{l, leaseKeyOf(s), "lease"} }

// Layout is the entry that says how many shards there are.
func (l *Leases) Layout() *Lease { return &Lease{l, layoutKey, "layout"} }

func (l *Leases) watch(ctx context.Context, key string, fn func(value []byte, revision uint64)) error {
	w := &watcher{key: key, news: make(chan struct{}, 1)}
	f := l.join(w)
	defer l.leave(w)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.done:
			return f.err
		case <-w.news:
			l.mu.Lock()
			x := w.newest
			l.mu.Unlock()
			fn(x.value, x.revision)
		}
	}
}

// join adds the watcher; the first one has the bucket followed.
func (l *Leases) join(w *watcher) *following {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchers[w] = struct{}{}
	if l.run != nil {
		if x, ok := l.held[w.key]; ok {
			w.tell(x)
		}
		return l.run
	}
	ctx, cancel := context.WithCancel(context.Background())
	run := &following{cancel: cancel, done: make(chan struct{})}
	l.run = run
	clear(l.held)
	f := follower{
		js: l.js, bucket: l.bucket, key: ">", log: l.log,
		missing: func(gone bool) {
			if gone {
				l.log.Warn("lease bucket is missing", "bucket", l.bucket)
			}
		},
		each: func(m *event.Message, created int64) { l.hear(run, m, created) },
		caughtUp: func() {
			l.mu.Lock()
			run.caught = true
			l.mu.Unlock()
		},
	}
	go func() {
		run.err = f.run(ctx)
		close(run.done)
	}()
	return run
}

func (l *Leases) leave(w *watcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.watchers, w)
	if len(l.watchers) == 0 {
		l.run.cancel()
		l.run = nil
	}
}

// hear takes note of a message of the bucket.
func (l *Leases) hear(run *following, m *event.Message, created int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.run != run {
		return
	}
	if created != l.created { // what stood in another bucket stands in this one no more
		clear(l.held)
		l.created = created
	}
	key, x := keyOf(m.Subject), revised{revision: m.Seq, heard: time.Now()}
	if !isMarker(m.Header) {
		x.value = bytes.Clone(m.Data)
	}
	l.held[key] = x
	for w := range l.watchers {
		if w.key == key {
			w.tell(x)
		}
	}
}

func (w *watcher) tell(x revised) {
	w.newest = x
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// Leases implements bridge.Shards.
func (l *Leases) Leases(ctx context.Context) (map[protocol.Shard]bridge.Entry, error) {
	found := map[protocol.Shard]bridge.Entry{}
	all, err := l.entries(ctx, func(key string) bool { _, is := leaseShard(key); return is })
	for key, x := range all {
		s, _ := leaseShard(key)
		found[s] = bridge.Entry{Value: x.value, Revision: x.revision}
	}
	return found, err
}

// entries reads what the leader of the bucket has under the keys that are asked
// for. In a bucket that is gone there is nothing.
func (l *Leases) entries(ctx context.Context, want func(key string) bool) (map[string]revised, error) {
	keys, err := bucketKeys(ctx, l.js, l.bucket)
	if err != nil && !errors.Is(err, protocol.ErrNotFound) {
		return nil, err
	}
	var mu sync.Mutex
	found := map[string]revised{}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(limits.TracesAtOnce)
	for _, key := range keys {
		if !want(key) {
			continue
		}
		g.Go(func() error {
			m, err := msgget.Last(ctx, l.js, bucketStream(l.bucket), bucketSubject(l.bucket, key))
			switch {
			case errors.Is(err, protocol.ErrNotFound), err == nil && isMarker(m.Header):
				return nil
			case err != nil:
				return fmt.Errorf("read %q from bucket %q: %w", key, l.bucket, err)
			}
			mu.Lock()
			defer mu.Unlock()
			found[key] = revised{value: m.Data, revision: m.Seq, written: m.Time}
			return nil
		})
	}
	return found, g.Wait()
}

// Beat implements bridge.Shards: the heartbeat goes by itself some time after
// the last one.
func (l *Leases) Beat(ctx context.Context, holder string, value []byte) error {
	if _, err := putMarked(ctx, l.js, l.bucket, replicaKeys+nameToken(holder), value, nil, limits.HeartbeatKept); err != nil {
		return fmt.Errorf("write the heartbeat of %q: %w", holder, err)
	}
	return nil
}

// EndBeat implements bridge.Shards.
func (l *Leases) EndBeat(ctx context.Context, holder string) error {
	_, err := putMarked(ctx, l.js, l.bucket, replicaKeys+nameToken(holder), nil, nil, limits.MarkerKept)
	if err != nil {
		return fmt.Errorf("remove the heartbeat of %q: %w", holder, err)
	}
	return nil
}

// Beats implements bridge.Shards: while something is watched, from memory.
func (l *Leases) Beats(ctx context.Context) ([]bridge.Beat, error) {
	is := func(key string) bool { return strings.HasPrefix(key, replicaKeys) }
	l.mu.Lock()
	known := l.run != nil && l.run.caught
	all := map[string]revised{}
	for key, x := range l.held {
		switch {
		case !known || !is(key):
		case x.value == nil, time.Since(x.heard) > limits.HeartbeatKept: // the bucket has it no more
			delete(l.held, key)
		default:
			all[key] = x
		}
	}
	l.mu.Unlock()
	if !known {
		var err error
		if all, err = l.entries(ctx, is); err != nil {
			return nil, err
		}
	}
	var beats []bridge.Beat
	for key, x := range all {
		if holder, ok := nameOfToken(strings.TrimPrefix(key, replicaKeys)); ok {
			beats = append(beats, bridge.Beat{Holder: holder, Value: x.value, Revision: x.revision})
		}
	}
	return beats, nil
}
