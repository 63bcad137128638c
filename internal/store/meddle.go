package store

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

// What somebody else writes to a state bucket, or removes from it, shows. Where
// there is one shard, by numbers alone: each own write raises the last sequence by
// one, and each key of ours is a subject. Where there are several, by what each
// message says of its writer (Others), and by a list of the keys now and then.

// meddled is protocol.ErrMeddled if it shows. quiet is what the own writes said
// before info was asked for. What former shards leave is removed by another hand, too.
func (l *Ledger) meddled(ctx context.Context, s *stateBucket, quiet uint64, info *jetstream.StreamInfo) error {
	if l.shard.Of > 1 || l.layout.Former > 0 {
		return l.meddledAmongOthers(ctx, s)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := len(s.present) + fences
	if s.sealed {
		keys++
	}
	if s.writes.foreign(quiet, info.State.LastSeq) ||
		s.writes.quiet() == quiet && quiet != 0 && info.State.NumSubjects < uint64(keys) {
		return protocol.ErrMeddled
	}
	return nil
}

func (l *Ledger) meddledAmongOthers(ctx context.Context, s *stateBucket) error {
	if l.others != nil && l.others.stranger(l, s) {
		return protocol.ErrMeddled
	}
	s.mu.Lock()
	quiet, due := s.writes.quiet(), time.Since(s.scanned) >= limits.LedgerScan
	s.mu.Unlock()
	if quiet == 0 || !due {
		return nil
	}
	keys, err := bucketKeys(ctx, l.js, s.name)
	if err != nil {
		return err
	}
	there := make(map[string]struct{}, len(keys))
	for _, key := range keys {
		there[key] = struct{}{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writes.quiet() != quiet {
		return nil // some other time
	}
	s.scanned = time.Now()
	for key := range s.present {
		if _, ok := there[key]; !ok {
			return protocol.ErrMeddled
		}
	}
	return nil
}

// ownWrites counts the leader's own writes to a bucket, so that those of somebody
// else show: each write raises the last sequence by one. Guarded by the bucket's
// mutex.
type ownWrites struct {
	base   uint64              // last sequence when the counting began
	count  uint64              // writes of ours that are stored since
	under  int                 // under way
	sent   uint64              // so far
	unsure map[string]struct{} // ids of writes whose outcome is not known
}

func (o *ownWrites) begin(base uint64) { *o = ownWrites{base: base, under: o.under, sent: o.sent + 1} }

// quiet is a number that stays the same as long as nothing is written; 0: something is.
func (o *ownWrites) quiet() uint64 {
	if o.under > 0 || len(o.unsure) > 0 {
		return 0
	}
	return o.sent + 1
}

// foreign tells whether more was written than by us, by the last sequence of the
// bucket, asked for since quiet had the given value. It is told once.
func (o *ownWrites) foreign(quiet, last uint64) bool {
	if quiet == 0 || o.quiet() != quiet || last <= o.base+o.count {
		return false
	}
	o.base, o.count = last, 0
	return true
}

func (s *stateBucket) sending(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes.under++
	s.writes.sent++
	if s.writes.unsure == nil {
		s.writes.unsure = map[string]struct{}{}
	}
	s.writes.unsure[id] = struct{}{}
}

func (s *stateBucket) answered(id string, seq uint64, definite bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes.under--
	if !definite {
		return
	}
	if _, first := s.writes.unsure[id]; first && seq > s.writes.base {
		s.writes.count++
	}
	delete(s.writes.unsure, id)
}
