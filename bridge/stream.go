package bridge

import (
	"context"
	"errors"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
)

// What a term asks the stream for the core, to know whether it is still the
// same one (R15, identity.go).

// get reads a message of the source stream and makes sure that it is the one
// that is meant: by its time, or where that is not known by a message that is.
// ErrNotFound if it is not there.
func (t *term) get(ctx context.Context, want, top event.Ref) (*event.Message, error) {
	m, err := t.b.o.Source.Get(ctx, want.Seq)
	switch {
	case err != nil:
		return nil, err
	case want.Known() && m.Ref() != want:
		return nil, protocol.ErrOtherMessage
	case want.Known() || !top.Known():
		return m, nil
	}
	at, err := t.b.o.Source.Stamp(ctx, top.Seq)
	if err != nil && !errors.Is(err, protocol.ErrNotFound) {
		return nil, err
	}
	if err == nil && at != top.Time {
		return nil, protocol.ErrOtherMessage
	}
	return m, nil
}

func (t *term) lookNow(ctx context.Context, witnesses protocol.Witnesses, floor event.Ref) (l protocol.Look, err error) {
	if l.Stream, err = t.b.o.Source.State(ctx); err != nil {
		return l, err
	}
	stamp := func(seq uint64) (int64, error) { return t.b.o.Source.Stamp(ctx, seq) }
	if floor != witnesses[0] {
		if l.Floor, err = l.Stream.Judge(floor, stamp); err != nil {
			return l, err
		}
	}
	l.Known, l.Top, err = witnesses.Testify(func(r event.Ref) (protocol.Standing, error) { return l.Stream.Judge(r, stamp) })
	return l, err
}

func (t *term) surveyNow(ctx context.Context, e *protocol.LeaseEntry) (s protocol.Survey, err error) {
	t.b.o.Source.Reset()
	if !e.Closed { // what a former shard's durable has confirmed is in its closed lease
		if s.DurableFloor, s.Durable, err = t.feed.Floor(ctx, e.Epoch); err != nil {
			return s, err
		}
	}
	l, err := t.lookNow(ctx, protocol.Witnesses{e.Top}, e.FloorRef())
	if err != nil {
		return s, err
	}
	s.Stream, s.Top, s.Floor = l.Stream, l.Top, l.Floor
	s.Highest, s.Other, err = protocol.Highest(e.Refs(), t.judged(ctx, &s.Stream))
	return s, err
}

// judged judges messages, each sequence asked for once.
func (t *term) judged(ctx context.Context, st *protocol.StreamState) func(event.Ref) (protocol.Standing, error) {
	type answer struct {
		time int64
		err  error
	}
	known := map[uint64]answer{}
	return func(r event.Ref) (protocol.Standing, error) {
		return st.Judge(r, func(seq uint64) (int64, error) {
			a, ok := known[seq]
			if !ok {
				a.time, a.err = t.b.o.Source.Stamp(ctx, seq)
				if a.err == nil || errors.Is(a.err, protocol.ErrNotFound) {
					known[seq] = a
				}
			}
			return a.time, a.err
		})
	}
}

// judge finds the last message of each entry that is there.
func (t *term) judge(ctx context.Context, entries [][]event.Ref) ([]int, error) {
	found := make([]int, len(entries))
	st, err := t.b.o.Source.State(ctx)
	judge := t.judged(ctx, &st)
	for i := 0; i < len(entries) && err == nil; i++ {
		found[i], _, err = protocol.Highest(entries[i], judge)
	}
	return found, err
}

// openFeed makes the durable, and finds out which message is at the position.
func (t *term) openFeed(ctx context.Context, epoch uint64, at event.Ref) (event.Ref, error) {
	if at.Seq > 0 && !at.Known() {
		stamp, err := t.b.o.Source.Stamp(ctx, at.Seq)
		if err != nil && !errors.Is(err, protocol.ErrNotFound) {
			return at, err
		}
		at.Time = stamp
	}
	return at, t.feed.Open(ctx, epoch, at)
}
