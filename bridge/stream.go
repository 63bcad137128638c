package bridge

import (
	"context"
	"errors"
	"fmt"
)

// What a term asks the stream for the core, to know whether it is still the
// same one (R15, identity.go).

// reasonRemoved is that of the dead letter of an event that somebody removed.
const reasonRemoved = "gone: the event was removed from the source stream while it was owed (a limit, a purge, or by hand)"

var errOtherMessage = fmt.Errorf("another message has its sequence: %w", ErrNotFound)

// get reads a message of the source stream and makes sure that it is the one
// that is meant: by its time, or where that is not known by a message that is.
// ErrNotFound if it is not there.
func (t *term) get(ctx context.Context, want, top Ref) (*Message, error) {
	m, err := t.b.o.Source.Get(ctx, want.Seq)
	switch {
	case err != nil:
		return nil, err
	case want.known() && m.Ref() != want:
		return nil, errOtherMessage
	case want.known() || !top.known():
		return m, nil
	}
	at, err := t.b.o.Source.Stamp(ctx, top.Seq)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	if err == nil && at != top.Time {
		return nil, errOtherMessage
	}
	return m, nil
}

// stamp is the time of a redriven letter's event, 0 if it is not known.
func (d *DeadLetter) stamp() int64 {
	if d.MessageTime.IsZero() {
		return 0
	}
	return d.MessageTime.UnixNano()
}

func (t *term) lookNow(ctx context.Context, witnesses Witnesses, floor Ref) (l Look, err error) {
	if l.Stream, err = t.b.o.Source.State(ctx); err != nil {
		return l, err
	}
	stamp := func(seq uint64) (int64, error) { return t.b.o.Source.Stamp(ctx, seq) }
	if floor != witnesses[0] {
		if l.Floor, err = l.Stream.judge(floor, stamp); err != nil {
			return l, err
		}
	}
	l.Known, l.Top, err = witnesses.Testify(func(r Ref) (Standing, error) { return l.Stream.judge(r, stamp) })
	return l, err
}

func (t *term) surveyNow(ctx context.Context, e *LeaseEntry) (s Survey, err error) {
	t.b.o.Source.Reset()
	if s.DurableFloor, s.Durable, err = t.feed.Floor(ctx, e.Epoch); err != nil {
		return s, err
	}
	l, err := t.lookNow(ctx, Witnesses{e.Top}, e.floorRef())
	if err != nil {
		return s, err
	}
	s.Stream, s.Top, s.Floor = l.Stream, l.Top, l.Floor
	s.Highest, s.Other, err = highest(e.refs(), t.judged(ctx, &s.Stream))
	return s, err
}

// judged judges messages, each sequence asked for once.
func (t *term) judged(ctx context.Context, st *StreamState) func(Ref) (Standing, error) {
	type answer struct {
		time int64
		err  error
	}
	known := map[uint64]answer{}
	return func(r Ref) (Standing, error) {
		return st.judge(r, func(seq uint64) (int64, error) {
			a, ok := known[seq]
			if !ok {
				a.time, a.err = t.b.o.Source.Stamp(ctx, seq)
				if a.err == nil || errors.Is(a.err, ErrNotFound) {
					known[seq] = a
				}
			}
			return a.time, a.err
		})
	}
}

// judge finds the last message of each entry that is there.
func (t *term) judge(ctx context.Context, entries [][]Ref) ([]int, error) {
	found := make([]int, len(entries))
	st, err := t.b.o.Source.State(ctx)
	judge := t.judged(ctx, &st)
	for i := 0; i < len(entries) && err == nil; i++ {
		found[i], _, err = highest(entries[i], judge)
	}
	return found, err
}

// openFeed makes the durable, and finds out which message is at the position.
func (t *term) openFeed(ctx context.Context, epoch uint64, at Ref) (Ref, error) {
	if at.Seq > 0 && !at.known() {
		stamp, err := t.b.o.Source.Stamp(ctx, at.Seq)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return at, err
		}
		at.Time = stamp
	}
	return at, t.feed.Open(ctx, epoch, at)
}
