package subscribers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
)

// SourceOptions of a Source. JetStream and Stream are needed.
type SourceOptions struct {
	JetStream jetstream.JetStream
	Stream    string
	Recent    *Recent      // may be nil: then every read asks the bus
	Readers   int          // consumers for those who read for themselves, at most; 0: limits.ReaderConsumers
	Logger    *slog.Logger // nil: slog.Default()
}

// Source implements bridge.Source on a stream.
type Source struct {
	o   SourceOptions
	log *slog.Logger

	mu      sync.Mutex
	readers map[string]*reader
	uses    uint64

	bounds bounds
	few    sync.Once // says that there are too few consumers

	smu     sync.Mutex
	samples []sample // ascending by sequence
}

var _ bridge.Source = (*Source)(nil)

// NewSource reads the stream of that name.
func NewSource(o SourceOptions) *Source {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Readers <= 0 {
		o.Readers = limits.ReaderConsumers
	}
	s := &Source{o: o, log: o.Logger, readers: map[string]*reader{}}
	s.bounds.read = s.info
	return s
}

// Get implements bridge.Source.
func (s *Source) Get(ctx context.Context, seq uint64) (*event.Message, error) {
	if s.o.Recent != nil {
		if m := s.o.Recent.get(seq); m != nil {
			return m, nil
		}
	}
	m, err := msgget.BySeq(ctx, s.o.JetStream, s.o.Stream, seq)
	if errors.Is(err, protocol.ErrNotFound) {
		// It is for good that an event is given up.
		v, verr := s.bounds.get(ctx)
		if verr == nil && seq >= v.first && !v.settled {
			verr = errUnsettled
		}
		if verr != nil {
			err = verr
		}
	}
	if err != nil {
		return nil, fmt.Errorf("event %d: %w", seq, err)
	}
	return m, nil
}

// errUnsettled: a former leader may have said that there is no such message.
var errUnsettled = fmt.Errorf("%w for certain: a new one was elected a few seconds ago", msgget.ErrNoLeader)

// State implements bridge.Source.
func (s *Source) State(ctx context.Context) (protocol.StreamState, error) {
	v, err := s.bounds.get(ctx)
	return v.state, err
}

// Stamp implements bridge.Source.
func (s *Source) Stamp(ctx context.Context, seq uint64) (int64, error) {
	m, err := msgget.BySeq(ctx, s.o.JetStream, s.o.Stream, seq)
	if err != nil {
		return 0, fmt.Errorf("time of event %d: %w", seq, err)
	}
	return m.Ref().Time, nil
}

// Reset implements bridge.Source.
func (s *Source) Reset() {
	s.smu.Lock()
	s.samples = nil
	s.smu.Unlock()
	if s.o.Recent != nil {
		s.o.Recent.reset()
	}
	s.mu.Lock()
	old := s.readers
	s.readers = map[string]*reader{}
	s.mu.Unlock()
	for _, r := range old {
		go s.release(r)
	}
}

func (s *Source) info(ctx context.Context) (view, error) {
	info, err := msgget.Info(ctx, s.o.JetStream, s.o.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		err = fmt.Errorf("%w: %w", protocol.ErrNoStream, err)
	}
	if err != nil {
		return view{}, err
	}
	st := protocol.StreamState{Name: info.Config.Name, Created: info.Created, First: info.State.FirstSeq,
		Last:      info.State.LastSeq,
		Retention: info.Config.Retention.String(), Deleted: info.State.NumDeleted, Settled: msgget.Settled(info)}
	if info.State.Msgs > 0 { // of an empty stream they speak of what is gone
		st.FirstTime, st.LastTime = info.State.FirstTime.UnixNano(), info.State.LastTime.UnixNano()
	}
	return view{st.First, st.Last, st.Settled, st}, nil
}

// sample is what a message has told about the times of the stream.
type sample struct {
	seq  uint64
	time time.Time
}

// SequenceAt implements bridge.Source: a binary search over the messages, whose
// steps are remembered, so that calls for nearly equal times need none.
func (s *Source) SequenceAt(ctx context.Context, t time.Time) (seq uint64, end event.Ref, err error) {
	v, err := s.bounds.get(ctx)
	if err != nil {
		return 0, end, err
	}
	if t.IsZero() {
		return max(v.first, 1), v.lastRef(), nil
	}
	first, last := v.first, v.last
	// All messages below low are stamped before t; found is the lowest known
	// that is not, and none lies in [high, found).
	low, high, found := first, last+1, last+1
	if low == 0 {
		low = 1
	}
	s.narrow(t, &low, &high, &found)
	for low < high {
		mid := low + (high-low)/2
		if high == last+1 && low < last && found == last+1 {
			mid = last // most questions are about now
		}
		m, err := msgget.Next(ctx, s.o.JetStream, s.o.Stream, mid, ">")
		if errors.Is(err, protocol.ErrNotFound) && !v.settled {
			err = errUnsettled
		}
		if errors.Is(err, protocol.ErrNotFound) {
			high = mid
			continue
		}
		if err != nil {
			return 0, end, fmt.Errorf("sequence at %s: %w", t.UTC().Format(time.RFC3339Nano), err)
		}
		s.remember(sample{m.Seq, m.Time})
		switch {
		case m.Time.Before(t):
			low = m.Seq + 1
		default:
			high = mid
			found = min(found, m.Seq)
		}
	}
	return found, v.lastRef(), nil
}

func (s *Source) narrow(t time.Time, low, high, found *uint64) {
	s.smu.Lock()
	defer s.smu.Unlock()
	i := sort.Search(len(s.samples), func(i int) bool { return !s.samples[i].time.Before(t) })
	if i > 0 {
		*low = max(*low, s.samples[i-1].seq+1)
	}
	if i < len(s.samples) && s.samples[i].seq < *high {
		*high, *found = s.samples[i].seq, s.samples[i].seq
	}
}

func (s *Source) remember(m sample) {
	s.smu.Lock()
	defer s.smu.Unlock()
	if len(s.samples) >= limits.StreamSamples {
		s.samples = s.samples[:0]
	}
	i := sort.Search(len(s.samples), func(i int) bool { return s.samples[i].seq >= m.seq })
	if i < len(s.samples) && s.samples[i].seq == m.seq {
		return
	}
	s.samples = slices.Insert(s.samples, i, m)
}

// Gone implements bridge.Source. What was removed one by one is listed by the
// server, at most 100,000 of them; beyond that it is not told.
func (s *Source) Gone(ctx context.Context, from, to uint64) (gone uint64, err error) {
	v, err := s.bounds.get(ctx)
	if err != nil || from > to {
		return 0, err
	}
	for _, hole := range [][2]uint64{{from, min(to, max(v.first, 1)-1)}, {max(from, v.last+1), to}} {
		if hole[0] <= hole[1] {
			gone += hole[1] - hole[0] + 1
		}
	}
	if v.state.Deleted == 0 || v.state.Deleted > 100_000 {
		return gone, nil
	}
	stream, err := s.o.JetStream.Stream(ctx, s.o.Stream)
	if err != nil {
		return 0, fmt.Errorf("stream %q: %w", s.o.Stream, err)
	}
	info, err := stream.Info(ctx, jetstream.WithDeletedDetails(true))
	if err != nil {
		return 0, fmt.Errorf("stream %q: %w", s.o.Stream, err)
	}
	for _, seq := range info.State.Deleted {
		if seq >= from && seq <= to {
			gone++
		}
	}
	return gone, nil
}
