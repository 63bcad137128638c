package store

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

// Others reads who writes to the state buckets, where several shards do, for all
// shards that a replica leads: an entry of a shard whose message does not carry the
// term of its leader was written by a stranger. It reads only while it is asked.
type Others struct {
	js  jetstream.JetStream
	log *slog.Logger

	mu      sync.Mutex
	ledgers map[*stateBucket]*heard
	runs    map[string]*hearing // by bucket
}

// heard is what is known of what was written to the entries of one shard.
type heard struct {
	shard    protocol.Shard
	bucket   string
	created  int64
	term     string
	through  uint64 // all up to here is known
	stranger bool   // and not told yet
	asked    time.Time
}

// hearing is the consumer of one bucket at work.
type hearing struct {
	cancel context.CancelFunc
	seen   uint64 // up to here
}

// NewOthers reads the state buckets. A nil logger means slog.Default().
func NewOthers(js jetstream.JetStream, log *slog.Logger) *Others {
	if log == nil {
		log = slog.Default()
	}
	return &Others{js: js, log: log, ledgers: map[*stateBucket]*heard{}, runs: map[string]*hearing{}}
}

// Among has the ledger learn from o who else writes.
func (l *Ledger) Among(o *Others) *Ledger {
	l.others = o
	return l
}

// stranger tells, once, whether somebody has changed an entry of the shard since
// its leader has fenced the bucket.
func (o *Others) stranger(l *Ledger, s *stateBucket) bool {
	s.mu.Lock()
	now := heard{shard: l.shard, bucket: s.name, created: s.created, term: s.term, through: s.writes.base}
	s.mu.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	h := o.ledgers[s]
	if h == nil || h.created != now.created || h.term != now.term {
		h = &now
		o.ledgers[s] = h
		o.follow(h)
	}
	h.asked = time.Now()
	was := h.stranger
	h.stranger = false
	return was
}

// follow has the bucket read from where h knows it.
func (o *Others) follow(h *heard) {
	run := o.runs[h.bucket]
	if run != nil && run.seen <= h.through {
		return
	}
	if run != nil {
		run.cancel()
	}
	ctx, cancel := context.WithCancel(context.Background())
	run = &hearing{cancel: cancel, seen: h.through}
	o.runs[h.bucket] = run
	f := follower{js: o.js, bucket: h.bucket, key: ">", bare: true, log: o.log, created: h.created, seen: h.through,
		missing: func(bool) {},
		each:    func(m *event.Message, created int64) { o.hear(run, h.bucket, m, created) }}
	go func() {
		defer cancel()
		_ = f.run(ctx) // ends with ctx or the connection
	}()
	go o.forget(ctx, run, h.bucket)
}

// hear takes note of a message of the bucket.
func (o *Others) hear(run *hearing, bucket string, m *event.Message, created int64) {
	key := keyOf(m.Subject)
	if strings.HasPrefix(key, fencePrefix) {
		return
	}
	owner, id := ownerOf(key), nats.Header(m.Header).Get(nats.MsgIdHdr)
	o.mu.Lock()
	defer o.mu.Unlock()
	run.seen = m.Seq
	for _, h := range o.ledgers {
		if h.bucket != bucket || h.created != created || m.Seq <= h.through {
			continue
		}
		h.through = m.Seq
		h.stranger = h.stranger || h.shard.Has(owner) && !strings.HasPrefix(id, h.term+":")
	}
}

// forget drops ledgers that ask no more, and ends with the last one.
func (o *Others) forget(ctx context.Context, run *hearing, bucket string) {
	tick := time.NewTicker(limits.LedgerScan)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		o.mu.Lock()
		left := 0
		for s, h := range o.ledgers {
			switch {
			case h.bucket != bucket:
			case time.Since(h.asked) > limits.LedgerScan:
				delete(o.ledgers, s)
			default:
				left++
			}
		}
		end := left == 0 || ctx.Err() != nil
		if end {
			run.cancel()
			if o.runs[bucket] == run {
				delete(o.runs, bucket)
			}
		}
		o.mu.Unlock()
		if end {
			return
		}
	}
}
