package subscribers

import (
	"context"
	"time"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/msgget"
)

// Retention implements bridge.Source. The way of a message is the longest of
// its age against MaxAge, and of what came after it against MaxMsgs and MaxBytes
// (with messages of average size).
func (s *Source) Retention(ctx context.Context, fractions []float64) (protocol.Retention, error) {
	info, err := msgget.Info(ctx, s.o.JetStream, s.o.Stream)
	if err != nil {
		return protocol.Retention{}, err
	}
	state, limits := info.State, info.Config
	r := protocol.Retention{First: state.FirstSeq, Beyond: make([]uint64, len(fractions))}
	if state.Msgs == 0 {
		return r, nil
	}
	average := float64(state.Bytes) / float64(state.Msgs)
	for i, f := range fractions {
		if limits.MaxMsgs > 0 {
			r.Beyond[i] = max(r.Beyond[i], before(state.LastSeq, f*float64(limits.MaxMsgs)))
		}
		if limits.MaxBytes > 0 {
			r.Beyond[i] = max(r.Beyond[i], before(state.LastSeq, f*float64(limits.MaxBytes)/average))
		}
		if limits.MaxAge > 0 {
			seq, _, err := s.SequenceAt(ctx, time.Now().Add(-time.Duration(f*float64(limits.MaxAge))))
			if err != nil {
				return r, err
			}
			r.Beyond[i] = max(r.Beyond[i], seq-min(seq, 1))
		}
	}
	return r, nil
}

// before is the sequence that has n messages after it; 0 if there is none.
func before(last uint64, n float64) uint64 {
	if n >= float64(last) {
		return 0
	}
	return last - uint64(n)
}
