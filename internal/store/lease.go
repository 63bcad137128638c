package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
)

// Lease implements bridge.Lease on one key of the lease bucket: the lease of a
// shard, or the layout. If somebody deletes the bucket, it is made again when the
// key is written.
type Lease struct {
	*Leases
	key  string
	what string // as people are told: "lease", "layout"
}

var _ bridge.Lease = (*Lease)(nil)

// Get implements bridge.Lease. An entry that somebody deleted has no value but
// a revision: the one that Put has to expect. In a bucket that is gone there is none.
func (l *Lease) Get(ctx context.Context) (value []byte, revision uint64, err error) {
	m, err := l.read(ctx)
	if errors.Is(err, protocol.ErrNotFound) || errorCode(err) == codeStreamNotFound {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", l.what, err)
	}
	if isMarker(m.Header) {
		return nil, m.Seq, nil
	}
	return m.Data, m.Seq, nil
}

func (l *Lease) read(ctx context.Context) (*event.Message, error) {
	return msgget.Last(ctx, l.js, bucketStream(l.bucket), bucketSubject(l.bucket, l.key))
}

// Put implements bridge.Lease.
func (l *Lease) Put(ctx context.Context, value []byte, expect uint64, id string) (revision uint64, err error) {
	if revision, err = l.put(ctx, value, expect, id); err != nil {
		return 0, fmt.Errorf("write %s: %w", l.what, err)
	}
	return revision, nil
}

func (l *Lease) put(ctx context.Context, value []byte, expect uint64, id string) (revision uint64, err error) {
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
				return 0, merr
			}
			if !made {
				return 0, err
			}
		case code == codeDuplicateInProcess:
		case code == codeBusy, code == codeWrongLastSequence:
			// A single server judges the expected revision before it looks for
			// repeats: it may be our own write that stands in the way.
			m, rerr := l.read(ctx)
			switch {
			case errors.Is(rerr, protocol.ErrNotFound), errorCode(rerr) == codeStreamNotFound:
				if expect != 0 {
					return 0, protocol.ErrDeposed
				}
			case rerr != nil:
				return 0, rerr
			case nats.Header(m.Header).Get(nats.MsgIdHdr) == id:
				return m.Seq, nil
			case m.Seq != expect:
				return 0, protocol.ErrDeposed
			}
		default:
			if refused(err) {
				return 0, fmt.Errorf("%w: %w", protocol.ErrRefused, err)
			}
			return 0, err
		}
		if err := pause(ctx); err != nil {
			return 0, err
		}
	}
}

// remake makes the bucket again if it is gone.
func (l *Leases) remake(ctx context.Context) (bool, error) {
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
	return l.js.Publish(ctx, writeSubject(l.js, l.bucket, l.key), value,
		jetstream.WithMsgID(id), jetstream.WithExpectLastSequencePerSubject(expect))
}

// Watch implements bridge.Lease. A deleted entry comes with a nil value; of
// revisions that follow one another quickly only the last may come.
func (l *Lease) Watch(ctx context.Context, fn func(value []byte, revision uint64)) error {
	return l.watch(ctx, l.key, fn)
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
