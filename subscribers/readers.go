package subscribers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
)

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
	sure := r.name == old
	pulled := s.pull
	if !sure {
		pulled = s.firstPull
	}
	msgs, err := pulled(ctx, r, from, max, maxBytes)
	if err != nil && len(msgs) == 0 {
		return nil, protocol.Reading{}, err
	}
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

// firstPull is pull from a consumer that was made just now: in a cluster, the
// node that this process is connected to may not have heard of it yet.
func (s *Source) firstPull(ctx context.Context, r *reader, from uint64, max, maxBytes int) ([]*event.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.JetStreamTime)
	defer cancel()
	for {
		msgs, err := s.pull(ctx, r, from, max, maxBytes)
		if !errors.Is(err, errConsumerGone) || len(msgs) > 0 {
			return msgs, err
		}
		select {
		case <-time.After(limits.BusyPause):
		case <-ctx.Done():
			return nil, err
		}
	}
}

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
	if len(s.readers) > s.o.Readers {
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

var errOutOfStep = errors.New("messages are missing between the bus and the reader")
