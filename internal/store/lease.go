package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
)

// Lease implements bridge.Lease: the key "leader" of the lease bucket.
type Lease struct {
	js     jetstream.JetStream
	bucket string
	make   Maker
	log    *slog.Logger
}

var _ bridge.Lease = (*Lease)(nil)

const leaseKey = "leader"

// NewLease uses the bucket of n; Ensure has made it. If somebody deletes it, it
// is made again by make when the lease is written. A nil logger means slog.Default().
func NewLease(js jetstream.JetStream, n Names, make Maker, log *slog.Logger) *Lease {
	if log == nil {
		log = slog.Default()
	}
	return &Lease{js: js, bucket: n.Lease, make: make, log: log}
}

// Get implements bridge.Lease. An entry that somebody deleted has no value but
// a revision: the one that Put has to expect. In a bucket that is gone there is none.
func (l *Lease) Get(ctx context.Context) (value []byte, revision uint64, err error) {
	m, err := l.read(ctx)
	if errors.Is(err, protocol.ErrNotFound) || errorCode(err) == codeStreamNotFound {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read lease: %w", err)
	}
	if isMarker(m.Header) {
		return nil, m.Seq, nil
	}
	return m.Data, m.Seq, nil
}

func (l *Lease) read(ctx context.Context) (*event.Message, error) {
	return msgget.Last(ctx, l.js, bucketStream(l.bucket), bucketSubject(l.bucket, leaseKey))
}

// Put implements bridge.Lease.
func (l *Lease) Put(ctx context.Context, value []byte, expect uint64, id string) (revision uint64, err error) {
	for {
		ack, err := l.publish(ctx, value, expect, id)
		if err == nil {
			return ack.Sequence, nil
		}
		switch code := errorCode(err); {
		case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrNoResponders),
			code == codeStreamNotFound:
			made, merr := l.remake(ctx)
			if merr != nil {
				return 0, fmt.Errorf("write lease: %w", merr)
			}
			if !made {
				return 0, fmt.Errorf("write lease: %w", err)
			}
		case code == codeDuplicateInProcess:
		case code == codeBusy, code == codeWrongLastSequence:
			// A single server judges the expected revision before it looks for
			// repeats: it may be our own write that stands in the way.
			m, rerr := l.read(ctx)
			switch {
			case errors.Is(rerr, protocol.ErrNotFound), errorCode(rerr) == codeStreamNotFound:
				if expect != 0 {
					return 0, fmt.Errorf("write lease: %w", protocol.ErrDeposed)
				}
			case rerr != nil:
				return 0, fmt.Errorf("write lease: %w", rerr)
			case nats.Header(m.Header).Get(nats.MsgIdHdr) == id:
				return m.Seq, nil
			case m.Seq != expect:
				return 0, fmt.Errorf("write lease: %w", protocol.ErrDeposed)
			}
		default:
			if refused(err) {
				return 0, fmt.Errorf("write lease: %w: %w", protocol.ErrRefused, err)
			}
			return 0, fmt.Errorf("write lease: %w", err)
		}
		if err := pause(ctx); err != nil {
			return 0, fmt.Errorf("write lease: %w", err)
		}
	}
}

// remake makes the bucket again if it is gone.
func (l *Lease) remake(ctx context.Context) (bool, error) {
	_, err := msgget.Info(ctx, l.js, bucketStream(l.bucket))
	if !errors.Is(err, jetstream.ErrStreamNotFound) || l.make == nil {
		return false, err
	}
	l.log.Warn("the bucket of the lease was deleted: it is made again", "bucket", l.bucket)
	return true, l.make(ctx, l.bucket)
}

func (l *Lease) publish(ctx context.Context, value []byte, expect uint64, id string) (*jetstream.PubAck, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.JetStreamTime)
	defer cancel()
	return l.js.Publish(ctx, writeSubject(l.js, l.bucket, leaseKey), value,
		jetstream.WithMsgID(id), jetstream.WithExpectLastSequencePerSubject(expect))
}

// Watch implements bridge.Lease. A deleted entry comes with a nil value.
func (l *Lease) Watch(ctx context.Context, fn func(value []byte, revision uint64)) error {
	f := follower{
		js: l.js, bucket: l.bucket, key: leaseKey, log: l.log,
		missing: func(gone bool) {
			if gone {
				l.log.Warn("lease bucket is missing", "bucket", l.bucket)
			}
		},
		each: func(m *event.Message, _ int64) {
			if isMarker(m.Header) {
				fn(nil, m.Seq)
				return
			}
			fn(bytes.Clone(m.Data), m.Seq)
		},
	}
	return f.run(ctx)
}

// Guarded is a lease that is let go while unfit says why it could not be fenced.
type Guarded struct {
	bridge.Lease
	Unfit func() string // "": it can
}

// Put implements bridge.Lease.
func (g Guarded) Put(ctx context.Context, value []byte, expect uint64, id string) (uint64, error) {
	if unfit := g.Unfit(); unfit != "" {
		return 0, fmt.Errorf("write lease: %w: %s", protocol.ErrRefused, unfit)
	}
	return g.Lease.Put(ctx, value, expect, id)
}
