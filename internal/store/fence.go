package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/msgget"
)

// A state bucket is fenced by each shard's leader: each of 64 keys holds the epoch, in
// headers the term and the layout, and each write expects the sequence of one of
// them. One more key, the seal, says that the bucket holds all that it should: it is
// written last, so that a bucket that was purged or recreated and not yet filled
// again lacks it (R16). What the former shards have sealed holds all that a new one
// begins with.

const (
	termHeader   = "Orderbridge-Term"
	layoutHeader = "Orderbridge-Layout"
)

// Fence writes the epoch to every fence key, each by compare-and-set on its own
// last revision, so that an older epoch can never come out above a newer one.
// It may be repeated with the same epoch and term.
func (l *Ledger) Fence(ctx context.Context, b protocol.Bucket, epoch uint64, term string) (protocol.Made, error) {
	s := l.buckets[b]
	made, err := l.fenceAll(ctx, s, epoch, term)
	if err != nil {
		return made, fmt.Errorf("fence bucket %q: %w", s.name, err)
	}
	return made, nil
}

func (l *Ledger) fenceAll(ctx context.Context, s *stateBucket, epoch uint64, term string) (made protocol.Made, err error) {
	info, err := bucketThere(ctx, l.js, s.name, l.make)
	if err != nil {
		return made, err
	}
	made.Created = info.Created.UnixNano()
	if made.Lease, err = l.leaseMade(ctx); err != nil {
		return made, err
	}
	if made.Sealed, err = l.sealed(ctx, s, sealKeyOf(l.shard)); err != nil {
		return made, err
	}
	inherited := false
	if !made.Sealed {
		if inherited, err = l.sealedBefore(ctx, s); err != nil {
			return made, err
		}
	}
	if err := l.measure(ctx, s); err != nil {
		return made, err
	}
	var unfenced [fences]bool
	var last, held [fences]uint64 // held: the epochs before
	g, gctx := errgroup.WithContext(ctx)
	for i := range s.fences {
		g.Go(func() (err error) {
			f := &s.fences[i]
			if err := f.lock(gctx); err != nil {
				return err
			}
			defer f.unlock()
			last[i], held[i], unfenced[i], err = l.fence(gctx, s, fenceKeyOf(l.shard, i), epoch, term)
			if err != nil {
				return fmt.Errorf("fence %d: %w", i, err)
			}
			f.seq = last[i]
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return made, err
	}
	after, err := msgget.Info(ctx, l.js, bucketStream(s.name))
	if err != nil {
		return made, err
	}
	if after.Created.UnixNano() != made.Created {
		return made, errRecreated // once more
	}
	made.Epoch = slices.Min(held[:])
	l.fenced(s, &made, epoch, term, max(slices.Max(last[:]), after.State.LastSeq), slices.Max(last[:]),
		slices.Contains(unfenced[:], true))
	if inherited {
		if err := l.seal(ctx, s); err != nil {
			return made, err
		}
		made.Sealed, made.Unfenced = true, false
	}
	return made, nil
}

// fenced takes note of the own fences.
func (l *Ledger) fenced(s *stateBucket, made *protocol.Made, epoch uint64, term string, base, last uint64, unfenced bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	made.Unfenced = unfenced
	s.last, s.created, s.epoch, s.term, s.sealed = last, made.Created, epoch, term, made.Sealed
	s.writes.begin(base)
	s.scanned = time.Now()
	clear(s.present) // Load or the writes that follow say what is there
}

func (l *Ledger) sealed(ctx context.Context, s *stateBucket, key string) (bool, error) {
	m, err := l.last(ctx, s, key)
	if errors.Is(err, protocol.ErrNotFound) {
		return false, nil
	}
	return err == nil && !isMarker(m.Header), err
}

// sealedBefore tells whether all former shards have sealed the bucket.
func (l *Ledger) sealedBefore(ctx context.Context, s *stateBucket) (bool, error) {
	for k := range l.layout.Former {
		if is, err := l.sealed(ctx, s, sealKeyOf(l.layout.FormerShard(k))); !is {
			return false, err
		}
	}
	return l.layout.Former > 0, nil
}

// bucketThere makes a state bucket if it is gone.
func bucketThere(ctx context.Context, js jetstream.JetStream, bucket string, make Maker) (*jetstream.StreamInfo, error) {
	info, err := msgget.Info(ctx, js, bucketStream(bucket))
	if errors.Is(err, jetstream.ErrStreamNotFound) && make != nil {
		if err := make(ctx, bucket); err != nil {
			return nil, err
		}
		info, err = msgget.Info(ctx, js, bucketStream(bucket))
	}
	return info, err
}

func (l *Ledger) last(ctx context.Context, s *stateBucket, key string) (*event.Message, error) {
	return msgget.Last(ctx, l.js, bucketStream(s.name), bucketSubject(s.name, key))
}

// leaseMade is when the bucket of the lease was made; 0: it is gone.
func (l *Ledger) leaseMade(ctx context.Context) (int64, error) {
	info, err := msgget.Info(ctx, l.js, bucketStream(l.lease))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("the lease: %w", err)
	}
	return info.Created.UnixNano(), nil
}

// fence writes one fence key and returns its sequence, the epoch that it held (0:
// none that can be read), and whether it was absent.
func (l *Ledger) fence(ctx context.Context, s *stateBucket, key string, epoch uint64, term string) (seq, held uint64,
	absent bool, err error) {
	m := &nats.Msg{Subject: writeSubject(l.js, s.name, key), Data: []byte(strconv.FormatUint(epoch, 10)),
		Header: nats.Header{termHeader: {term}, layoutHeader: {string(protocol.Encode(l.layout))}}}
	for {
		var rev uint64
		switch was, err := l.last(ctx, s, key); {
		case errors.Is(err, protocol.ErrNotFound):
			absent = true
		case err != nil:
			return 0, 0, false, err
		default:
			rev, held = was.Seq, fencedBy(was)
			switch own, newer := ownFence(was, epoch, term); {
			case newer:
				return 0, 0, false, protocol.ErrDeposed
			case own:
				return rev, held, absent, nil // an earlier call of ours, whose answer was lost
			}
		}
		ack, err := l.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(rev))
		if err == nil {
			return ack.Sequence, held, absent, nil
		}
		if code := errorCode(err); code != codeWrongLastSequence && code != codeBusy {
			return 0, 0, false, err
		}
		if err := pause(ctx); err != nil {
			return 0, 0, false, err
		}
	}
}

// fencedBy is the epoch that a fence holds. One that cannot be read was written by
// a person, and counts for nothing: 0.
func fencedBy(m *event.Message) uint64 {
	held, err := strconv.ParseUint(string(m.Data), 10, 64)
	if err != nil || held > maxTracedEpoch || isMarker(m.Header) {
		return 0
	}
	return held
}

// ownFence tells whether a fence is our own, or of another leader that came
// after us.
func ownFence(m *event.Message, epoch uint64, term string) (own, newer bool) {
	held := fencedBy(m)
	if held == 0 {
		return false, false
	}
	own = held == epoch && nats.Header(m.Header).Get(termHeader) == term
	return own, held > epoch || held == epoch && !own
}

// judge says why a write was refused whose fence has another sequence than we
// know; nil: by our own fence, whose new sequence is known now.
func (l *Ledger) judge(ctx context.Context, s *stateBucket, i int, f *fence) error {
	m, err := l.last(ctx, s, fenceKeyOf(l.shard, i))
	switch {
	case errors.Is(err, protocol.ErrNotFound), errorCode(err) == codeStreamNotFound:
		return protocol.ErrLost
	case err != nil:
		return err
	}
	s.mu.Lock()
	epoch, term := s.epoch, s.term
	s.mu.Unlock()
	switch own, newer := ownFence(m, epoch, term); {
	case newer:
		return protocol.ErrDeposed
	case !own: // an older one: somebody has put back a bucket of former days
		return protocol.ErrLost
	}
	f.seq = m.Seq
	return pause(ctx)
}

// noStream: nobody has taken the write, so there may be no bucket any more.
func noStream(err error) bool {
	return errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders) ||
		errorCode(err) == codeStreamNotFound
}

// gone tells a bucket that was deleted from one that has no leader just now.
func (l *Ledger) gone(ctx context.Context, s *stateBucket, cause error) error {
	if _, err := msgget.Info(ctx, l.js, bucketStream(s.name)); errors.Is(err, jetstream.ErrStreamNotFound) {
		return protocol.ErrLost
	}
	return cause
}

// Seal implements bridge.Ledger.
func (l *Ledger) Seal(ctx context.Context, b protocol.Bucket) error {
	s := l.buckets[b]
	if err := l.seal(ctx, s); err != nil {
		return fmt.Errorf("seal bucket %q: %w", s.name, err)
	}
	return nil
}

func (l *Ledger) seal(ctx context.Context, s *stateBucket) error {
	f, key := &s.fences[0], sealKeyOf(l.shard)
	if err := f.lock(ctx); err != nil {
		return err
	}
	defer f.unlock()
	s.mu.Lock()
	term := s.term
	s.mu.Unlock()
	s.sending(key)
	seq, err := l.publish(ctx, s,
		protocol.Write{Key: key, Value: []byte(term), ID: term + ":seal:" + strconv.FormatUint(s.last, 10)}, f.seq,
		fenceKeyOf(l.shard, 0))
	s.answered(key, seq, err == nil)
	switch {
	case err == nil:
		s.mu.Lock()
		s.sealed = true
		s.mu.Unlock()
		return nil
	case noStream(err):
		err = l.gone(ctx, s, err)
	case errorCode(err) == codeWrongLastSequence:
		if err = l.judge(ctx, s, 0, f); err == nil {
			err = errors.New("refused by the own fence: once more")
		}
	}
	return err
}

// Check implements bridge.Ledger.
func (l *Ledger) Check(ctx context.Context, b protocol.Bucket) error {
	s := l.buckets[b]
	s.mu.Lock()
	created, key, quiet := s.created, fenceKeyOf(l.shard, 0), s.writes.quiet()
	if s.sealed {
		key = sealKeyOf(l.shard)
	}
	s.mu.Unlock()
	info, err := msgget.Info(ctx, l.js, bucketStream(s.name))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		err = protocol.ErrLost
	}
	if err == nil && info.Created.UnixNano() != created {
		err = protocol.ErrLost
	}
	if err == nil {
		switch _, err = l.last(ctx, s, key); {
		case errors.Is(err, protocol.ErrNotFound) && msgget.Settled(info):
			err = protocol.ErrLost
		case errors.Is(err, protocol.ErrNotFound):
			err = msgget.ErrNoLeader // for certain: a former one may have answered
		}
	}
	if err == nil {
		err = l.meddled(ctx, s, quiet, info)
	}
	if err != nil {
		return fmt.Errorf("bucket %q: %w", s.name, err)
	}
	return nil
}
