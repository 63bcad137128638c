package store

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/safetext"
)

const (
	fences = 64

	loadTimeout = time.Minute

	// New lane entries leave room for marks and removals.
	laneShare = 0.9
)

// JetStream error codes that the answers to a write are told apart by.
const (
	codeInsufficientResources = 10023
	codeStorageExceeded       = 10047
	codeMemoryExceeded        = 10028
	codeMessageTooLarge       = 10054
	codeAccountExceeded       = 10002
	codeStreamBytesExceeded   = 10122
	codeStoreFailed           = 10077 // maximum bytes, and whatever else the store says
	codeWrongLastSequence     = 10071
	codeBusy                  = 10164 // replicated: another checked write on that subject is in flight
	codeDuplicateInProcess    = 10158 // replicated: a copy with this id is in flight
)

// Ledger implements bridge.Ledger on the two state buckets (R4), for one shard:
// the fences are its own, the entries those of its subscriptions.
type Ledger struct {
	js      jetstream.JetStream
	make    Maker
	lease   string // bucket
	layout  protocol.Layout
	shard   protocol.Shard
	others  *Others // what other shards, or strangers, write; nil: there are none
	buckets [2]*stateBucket
}

var _ bridge.Ledger = (*Ledger)(nil)

type stateBucket struct {
	name   string
	fences [fences]fence
	last   uint64 // highest sequence of the own fences

	mu        sync.Mutex
	present   map[string]struct{} // keys that hold a value, or may
	used, max int64               // bytes, as of checked plus what was written since
	checked   time.Time
	created   int64
	epoch     uint64 // of the own fences
	term      string
	sealed    bool
	writes    ownWrites
	scanned   time.Time // when the keys were last listed

	ttl atomic.Bool // markers may carry a TTL
}

// fence lets one checked write through at a time.
type fence struct {
	turn chan struct{}
	seq  uint64 // 0: not written by us; guarded by turn
}

// NewLedger is the ledger of a shard of the layout, in the buckets of n; Ensure has
// made them. One that somebody deletes is made again by make when it is fenced.
func NewLedger(js jetstream.JetStream, n Names, layout protocol.Layout, number int, make Maker) *Ledger {
	l := &Ledger{js: js, make: make, lease: n.Lease, layout: layout, shard: layout.Shard(number)}
	for b, name := range map[protocol.Bucket]string{protocol.BucketStatus: n.Status, protocol.BucketOwed: n.Owed} {
		l.buckets[b] = newStateBucket(name)
	}
	return l
}

func newStateBucket(name string) *stateBucket {
	s := &stateBucket{name: name, present: map[string]struct{}{}}
	for i := range s.fences {
		s.fences[i].turn = make(chan struct{}, 1)
	}
	return s
}

// Write sends the write, checked against the own fence, until the answer is
// definite or ctx ends.
func (l *Ledger) Write(ctx context.Context, w protocol.Write) error {
	s := l.buckets[w.Bucket]
	if strings.HasPrefix(w.Key, fencePrefix) || w.Key == "" {
		return fmt.Errorf("write bucket %q: key %q is reserved", s.name, w.Key)
	}
	i := fenceOf(w.Key)
	f := &s.fences[i]
	if err := f.lock(ctx); err != nil {
		return err
	}
	defer f.unlock()
	if f.seq == 0 {
		return fmt.Errorf("write key %q of bucket %q: not fenced yet", w.Key, s.name)
	}
	added, err := l.admit(ctx, s, w)
	if err != nil {
		return err
	}
	for {
		s.sending(w.ID)
		seq, err := l.publish(ctx, s, w, f.seq, fenceKeyOf(l.shard, i))
		s.answered(w.ID, seq, err == nil || refused(err))
		switch code := errorCode(err); {
		case err == nil:
			s.written(w)
			return nil
		case noStream(err):
			return fmt.Errorf("write key %q of bucket %q: %w", w.Key, s.name, l.gone(ctx, s, err))
		case code == codeBusy || code == codeDuplicateInProcess:
			if err := pause(ctx); err != nil {
				return err
			}
		case code == codeWrongLastSequence:
			if err := l.judge(ctx, s, i, f); err != nil {
				return fmt.Errorf("write key %q of bucket %q: %w", w.Key, s.name, err)
			}
		case refused(err):
			s.refused(w, added)
			return fmt.Errorf("write key %q of bucket %q: %w: %w", w.Key, s.name, protocol.ErrRefused, err)
		default:
			return fmt.Errorf("write key %q of bucket %q: %w", w.Key, s.name, err)
		}
	}
}

func (l *Ledger) publish(ctx context.Context, s *stateBucket, w protocol.Write, fenceSeq uint64, fence string) (uint64,
	error) {
	ctx, cancel := context.WithTimeout(ctx, limits.JetStreamTime)
	defer cancel()
	m := &nats.Msg{Subject: writeSubject(l.js, s.name, w.Key), Data: safetext.JSON(w.Value), Header: nats.Header{}}
	if w.Value == nil {
		m.Header.Set("KV-Operation", "DEL")
		if s.ttl.Load() {
			m.Header.Set(jetstream.MsgTTLHeader, limits.MarkerKept.String())
		}
	}
	ack, err := l.js.PublishMsg(ctx, m, jetstream.WithMsgID(w.ID),
		jetstream.WithExpectLastSequenceForSubject(fenceSeq, bucketSubject(s.name, fence)))
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// admit keeps the last tenth of the bucket free of new lane entries. It tells
// whether the key was not there until now.
func (l *Ledger) admit(ctx context.Context, s *stateBucket, w protocol.Write) (added bool, err error) {
	if w.Value == nil {
		return false, nil
	}
	if limit := l.js.Conn().MaxPayload() - 1024; int64(len(w.Value)) > limit {
		return false, fmt.Errorf("write key %q of bucket %q: value of %d bytes, the server takes %d: %w", w.Key, s.name,
			len(w.Value), limit, protocol.ErrRefused)
	}
	s.mu.Lock()
	_, present := s.present[w.Key]
	stale := time.Since(s.checked) > time.Second
	s.mu.Unlock()
	if !present && strings.Contains(w.Key, ".") {
		if stale {
			// A measurement that fails refuses nothing: the server still does.
			_ = l.measure(ctx, s)
		}
		used, limit, age := s.usage()
		if over := func() bool { return limit > 0 && float64(used+size(s, w)) > laneShare*float64(limit) }; over() {
			if age > limits.LedgerMeasure { // what replaces an entry was counted beside it
				_ = l.measure(ctx, s)
				used, limit, _ = s.usage()
			}
			if over() {
				return false, fmt.Errorf("write key %q of bucket %q: %d of %d bytes used, the rest is kept for marks; give it more room with `nats stream edit %s --max-bytes`: %w",
					w.Key, s.name, used, limit, bucketStream(s.name), protocol.ErrRefused)
			}
		}
	}
	// From the first sending on the key may be there, whatever is heard of it.
	s.mu.Lock()
	s.present[w.Key] = struct{}{}
	s.used += size(s, w)
	s.mu.Unlock()
	return !present, nil
}

// usage is how much of how many bytes is used, and how long ago that was measured.
func (s *stateBucket) usage() (used, limit int64, age time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used, s.max, time.Since(s.checked)
}

// Room is how many bytes the debts may take, 0 if that is not known or without bound.
func (l *Ledger) Room() int64 {
	s := l.buckets[protocol.BucketOwed]
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(s.max, 0)
}

func (l *Ledger) measure(ctx context.Context, s *stateBucket) error {
	ctx, cancel := context.WithTimeout(ctx, limits.JetStreamTime)
	defer cancel()
	stream, err := l.js.Stream(ctx, bucketStream(s.name))
	if err != nil {
		return fmt.Errorf("bucket %q: %w", s.name, err)
	}
	info := stream.CachedInfo()
	s.ttl.Store(info.Config.AllowMsgTTL)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used, s.max, s.checked = int64(info.State.Bytes), info.Config.MaxBytes, time.Now()
	return nil
}

// size is about what the server's store needs for a write.
func size(s *stateBucket, w protocol.Write) int64 {
	return int64(len(s.name) + 2*len(w.Key) + len(w.Value) + len(w.ID) + 150)
}

func (s *stateBucket) written(w protocol.Write) {
	if w.Value != nil {
		return
	}
	s.mu.Lock()
	delete(s.present, w.Key)
	s.mu.Unlock()
}

// refused takes a write back. A key that was there before, or may be by an
// earlier write of unknown outcome, stays.
func (s *stateBucket) refused(w protocol.Write, added bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.Value != nil {
		s.used -= size(s, w)
	}
	if added {
		delete(s.present, w.Key)
	}
}

func (f *fence) lock(ctx context.Context) error {
	select {
	case f.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *fence) unlock() { <-f.turn }

func fenceOf(key string) int {
	h := fnv.New32a()
	h.Write([]byte(key))
	return int(h.Sum32() % fences)
}

func isMarker(h nats.Header) bool {
	op := h.Get("KV-Operation") // another word is none: a client of KV reads a value
	return op == "DEL" || op == "PURGE" || h.Get("Nats-Marker-Reason") != ""
}

func errorCode(err error) jetstream.ErrorCode {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.ErrorCode
	}
	return 0
}

// refused tells answers after which neither this nor an earlier copy is stored.
func refused(err error) bool {
	switch errorCode(err) {
	case codeStoreFailed, codeMessageTooLarge, codeInsufficientResources, codeStorageExceeded,
		codeMemoryExceeded, codeAccountExceeded, codeStreamBytesExceeded:
		return true
	}
	return errors.Is(err, nats.ErrMaxPayload)
}

func pause(ctx context.Context) error {
	t := time.NewTimer(time.Millisecond + rand.N(4*time.Millisecond))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
