package subscribers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
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

// reader keeps the place of one key between calls.
type reader struct {
	mu       sync.Mutex // one call of Read at a time
	used     uint64     // guarded by Source.mu
	name     string     // of the consumer, "" if none
	filters  []string
	next     uint64 // all below has been read
	consumed uint64 // last consumer sequence
	batch    int    // messages that may be asked for at once; 0: any number
}

// Read implements bridge.Source. Calls with the same key wait for one another.
func (s *Source) Read(ctx context.Context, key string, from uint64, filters []string,
	max, maxBytes int) ([]*event.Message, protocol.Reading, error) {
	if from == 0 {
		from = 1
	}
	if max < 1 {
		max = 1
	}
	filters = widest(filters)
	if s.o.Recent != nil {
		if msgs, through, ok := s.o.Recent.read(from, filters, max, maxBytes); ok {
			return msgs, protocol.Reading{Through: through, Sure: true}, nil
		}
	}
	r := s.reader(key)
	r.mu.Lock()
	defer r.mu.Unlock()
	msgs, got, err := s.read(ctx, r, from, filters, max, maxBytes)
	if err != nil {
		s.drop(r)
		return nil, protocol.Reading{Through: from - 1}, fmt.Errorf("read events from %d on: %w", from, err)
	}
	return msgs, got, nil
}

func (s *Source) read(ctx context.Context, r *reader, from uint64, filters []string,
	max, maxBytes int) ([]*event.Message, protocol.Reading, error) {
	old := r.name // a consumer that goes on reads the stream that it was made in
	if r.name != "" && (from < r.next || !slices.Equal(filters, r.filters)) {
		s.drop(r)
	}
	if r.name == "" {
		// Most readers are at the end of the stream most of the time: they need no consumer.
		if got, err := s.nothingSince(ctx, from, filters); err != nil || got.Through >= from {
			return nil, got, err
		}
		switch err := s.open(ctx, r, from, filters); {
		case errorCode(err) == codeMaximumConsumers:
			s.few.Do(func() {
				s.log.Warn("subscriptions that read for themselves read message by message, which is slower: the stream or its account allows no further consumer (max_consumers)", "stream", s.o.Stream)
			})
			return s.readOneByOne(ctx, from, filters, max, maxBytes)
		case err != nil:
			return nil, protocol.Reading{}, err
		}
	}
	msgs, err := s.pull(ctx, r, from, max, maxBytes)
	if err != nil && len(msgs) == 0 {
		return nil, protocol.Reading{}, err
	}
	sure := r.name == old
	if err != nil {
		s.log.Debug("reader starts again", "stream", s.o.Stream, "error", err)
		s.drop(r)
	}
	if len(msgs) > 0 {
		last := msgs[len(msgs)-1].Ref()
		r.next = last.Seq + 1
		return msgs, protocol.Reading{Through: last.Seq, Known: last, Sure: sure}, nil
	}
	got, err := s.nothingSince(ctx, from, filters)
	if err != nil {
		return nil, got, err
	}
	if got.Through >= from {
		r.next = got.Through + 1
	}
	return nil, got, nil
}

// nothingSince asks the leader whether a matching message lies at or above
// from. If certainly none does it returns the stream's last sequence, else
// from-1. The last sequence is taken first: what is stored after it is not
// spoken of.
func (s *Source) nothingSince(ctx context.Context, from uint64, filters []string) (protocol.Reading, error) {
	nothing := protocol.Reading{Through: from - 1, Sure: true}
	v, err := s.bounds.get(ctx)
	if err != nil {
		return protocol.Reading{}, err
	}
	if v.last < from || !v.settled {
		return nothing, nil
	}
	if len(filters) == 0 {
		filters = []string{">"}
	}
	for _, f := range filters {
		switch m, err := msgget.Last(ctx, s.o.JetStream, s.o.Stream, f); {
		case errors.Is(err, protocol.ErrNotFound):
		case err != nil:
			return protocol.Reading{}, err
		case m.Seq >= from:
			return nothing, nil
		}
	}
	return protocol.Reading{Through: v.last, Known: v.lastRef()}, nil
}

func (s *Source) open(ctx context.Context, r *reader, from uint64, filters []string) error {
	ctx, cancel := context.WithTimeout(ctx, limits.JetStreamTime)
	defer cancel()
	cons, err := s.o.JetStream.CreateConsumer(ctx, s.o.Stream, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from,
		FilterSubjects: filters, AckPolicy: jetstream.AckNonePolicy,
		MemoryStorage: true, Replicas: 1, InactiveThreshold: limits.ReaderIdleTime,
	})
	if err != nil {
		return err
	}
	r.name, r.filters, r.next, r.consumed = cons.CachedInfo().Name, filters, from, 0
	r.batch = cons.CachedInfo().Config.MaxRequestBatch
	return nil
}

var errOutOfStep = errors.New("messages are missing between the bus and the reader")

// pull takes what the reader's consumer has, in order and without gaps. What
// came before an error is good.
func (s *Source) pull(ctx context.Context, r *reader, from uint64, max, maxBytes int) ([]*event.Message, error) {
	var msgs []*event.Message
	take := func(m *nats.Msg) error {
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		if r.consumed++; meta.Sequence.Consumer != r.consumed || meta.NumDelivered > 1 {
			return errOutOfStep
		}
		if meta.Sequence.Stream >= from {
			msgs = append(msgs, sourceMessage(m, meta))
		}
		return nil
	}
	if r.batch > 0 {
		max = min(max, r.batch)
	}
	req := pullRequest{Batch: max, MaxBytes: maxBytes, NoWait: true}
	err := pull(ctx, s.o.JetStream, s.o.Stream, r.name, req, take)
	if errors.Is(err, errMaxBytes) {
		err = nil
		if len(msgs) == 0 { // one message alone is larger
			err = pull(ctx, s.o.JetStream, s.o.Stream, r.name, pullRequest{Batch: 1, NoWait: true}, take)
		}
	}
	return msgs, err
}

func sourceMessage(m *nats.Msg, meta *nats.MsgMetadata) *event.Message {
	msg := &event.Message{Seq: meta.Sequence.Stream, Time: meta.Timestamp, Subject: m.Subject, Data: m.Data}
	if len(m.Header) > 0 {
		msg.Header = m.Header
	}
	return msg
}

// Forget implements bridge.Source.
func (s *Source) Forget(key string) {
	s.mu.Lock()
	r := s.readers[key]
	delete(s.readers, key)
	s.mu.Unlock()
	if r != nil {
		s.release(r)
	}
}

// reader returns the reader of the key and takes the consumer of another one
// away if there are too many.
func (s *Source) reader(key string) *reader {
	s.mu.Lock()
	r := s.readers[key]
	if r == nil {
		r = &reader{}
		s.readers[key] = r
	}
	s.uses++
	r.used = s.uses
	var gone *reader
	if len(s.readers) > limits.ReaderConsumers {
		oldest := key
		for k, o := range s.readers {
			if o.used < s.readers[oldest].used {
				oldest = k
			}
		}
		gone = s.readers[oldest]
		delete(s.readers, oldest)
	}
	s.mu.Unlock()
	if gone != nil {
		go s.release(gone)
	}
	return r
}

// release gives the consumer back once nobody reads with it.
func (s *Source) release(r *reader) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.drop(r)
}

// drop deletes the reader's consumer, without waiting: should the request get
// lost, the server deletes it when it has been idle for a while.
func (s *Source) drop(r *reader) {
	if r.name == "" {
		return
	}
	_ = s.o.JetStream.Conn().Publish(msgget.APIPrefix(s.o.JetStream)+"CONSUMER.DELETE."+s.o.Stream+"."+r.name, nil)
	r.name = ""
}

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

// bounds asks for the ends of the stream. Calls that come while a request is
// under way share the next one: an answer is never older than its question.
type bounds struct {
	read func(context.Context) (view, error)

	mu   sync.Mutex
	busy bool
	next *boundsCall
}

// view is what the leader says of the stream's ends.
type view struct {
	first, last uint64
	settled     bool // no former leader can answer: what is not found is not there
	state       protocol.StreamState
}

func (v view) lastRef() event.Ref { return event.Ref{Seq: v.last, Time: v.state.LastTime} }

type boundsCall struct {
	done chan struct{}
	view
	err error
}

func (b *bounds) get(ctx context.Context) (view, error) {
	b.mu.Lock()
	if !b.busy {
		b.busy = true
		b.mu.Unlock()
		v, err := b.read(ctx)
		b.pass()
		return v, err
	}
	if b.next == nil {
		b.next = &boundsCall{done: make(chan struct{})}
	}
	c := b.next
	b.mu.Unlock()
	select {
	case <-c.done:
		return c.view, c.err
	case <-ctx.Done():
		return view{}, ctx.Err()
	}
}

// pass serves those who came meanwhile, with a request of its own.
func (b *bounds) pass() {
	b.mu.Lock()
	c := b.next
	b.next = nil
	if c == nil {
		b.busy = false
	}
	b.mu.Unlock()
	if c == nil {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), limits.JetStreamTime)
		defer cancel()
		c.view, c.err = b.read(ctx)
		close(c.done)
		b.pass()
	}()
}

// widest leaves out filters that others cover, which the server would refuse;
// nil hears all.
func widest(filters []string) []string {
	var out []string
	for i, f := range filters {
		covered := slices.ContainsFunc(out, func(o string) bool { return covers(o, f) })
		for _, o := range filters[i+1:] {
			covered = covered || (o != f && covers(o, f))
		}
		if !covered {
			out = append(out, f)
		}
	}
	if slices.Contains(out, ">") {
		return nil
	}
	return out
}

// covers tells whether every subject that b matches is matched by a.
func covers(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i, t := range as {
		switch {
		case t == ">":
			return i < len(bs)
		case i == len(bs) || bs[i] == ">":
			return false
		case t != "*" && t != bs[i]:
			return false
		}
	}
	return len(as) == len(bs)
}
