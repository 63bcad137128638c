package store

import (
	"cmp"
	"context"
	"errors"
	"time"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
)

// How old what is owed is. Of an order that waits the ledger tells it: with each
// sequence stands the time of its message, which holds also when the stream was made
// again and has given the sequence to another. Of a subscription that reads, its place
// is known, and what comes next is asked of the stream.

// published is the time of a message by its sequence; zero: it is not among those known.
func published(known []event.Ref, sequence uint64) time.Time {
	for _, r := range known {
		if r.Seq == sequence {
			return r.Published()
		}
	}
	return time.Time{}
}

// withAges tells of debts that read when the first message was published that they have
// yet to come to, of limits.OwedAges at most. A stream that does not answer leaves
// the list without that.
func (c *Catalog) withAges(ctx context.Context, debts []Debt) {
	asked := 0
	for i := range debts {
		d := &debts[i]
		if d.Reads == nil || d.settled() {
			continue
		}
		if asked++; asked > limits.OwedAges {
			return
		}
		var err error
		if d.Published, err = c.firstUnread(ctx, d.Reads); err != nil {
			return
		}
	}
}

// firstUnread is when the first message was published that a mark leaves open; zero:
// there is none, or the messages that the mark knows are not those of the stream.
func (c *Catalog) firstUnread(ctx context.Context, m *protocol.Mark) (time.Time, error) {
	from := max(m.From, 1)
	for _, done := range m.Done {
		if done[0] <= from && from <= done[1] {
			from = done[1] + 1
		}
	}
	if m.Until != nil && from > *m.Until {
		return time.Time{}, nil
	}
	found, err := msgget.Next(ctx, c.js, c.names.Stream, from, ">")
	switch {
	case errors.Is(err, protocol.ErrNotFound):
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, err
	case m.Until != nil && found.Seq > *m.Until:
		return time.Time{}, nil
	}
	for _, r := range m.Known { // times rise with the sequences, or the stream is another
		if r.Known() && r.Published().Compare(found.Time) != cmp.Compare(r.Seq, found.Seq) {
			return time.Time{}, nil
		}
	}
	return found.Time.UTC(), nil
}
