package store

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
)

// Whoever lives in an account of its own makes no consumers: a consumer
// delivers to any subject of the account where the streams are. It reads
// message by message instead, several parts of the stream at the same time.

// elsewhere tells whether JetStream is reached under another prefix: in
// another account, which lends no consumers.
func elsewhere(js jetstream.JetStream) bool {
	return msgget.APIPrefix(js) != jetstream.DefaultAPIPrefix
}

// span is a part of a stream, both ends included.
type span struct{ low, high uint64 }

// spans cuts [low, high] into at most n parts of about the same length.
func spans(low, high uint64, n uint64) []span {
	if low > high {
		return nil
	}
	step := (high-low)/n + 1
	var parts []span
	for from := low; ; from += step {
		if high-from < step { // also where from+step would be no number any more
			return append(parts, span{from, high})
		}
		parts = append(parts, span{from, from + step - 1})
	}
}

// scan returns what keep makes of the messages of [low, high] whose subject
// matches the filter, in order; at most about most of the newest of each part.
// keep is called from one goroutine at a time, but not in order.
func scan[T any](ctx context.Context, js jetstream.JetStream, stream, filter string, low, high uint64, most int,
	keep func(*event.Message) (T, bool, error)) ([]T, error) {
	parts := spans(low, high, limits.ScanAtOnce)
	found := make([][]T, len(parts))
	errs := make([]error, len(parts))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var one sync.Mutex
	for i, part := range parts {
		wg.Go(func() {
			for seq := part.low; seq <= part.high; seq++ {
				m, err := msgget.Next(ctx, js, stream, seq, filter)
				if errors.Is(err, protocol.ErrNotFound) || err == nil && m.Seq > part.high {
					return
				}
				var item T
				own := false
				if err == nil {
					one.Lock()
					item, own, err = keep(m)
					one.Unlock()
				}
				if err != nil {
					errs[i] = err
					cancel() // the others need not go on
					return
				}
				if seq = m.Seq; own {
					found[i] = append(found[i], item)
				}
				if len(found[i]) > 2*most {
					found[i] = slices.Delete(found[i], 0, len(found[i])-most)
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			return nil, err
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return slices.Concat(found...), nil
}
