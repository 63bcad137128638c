package protocol

import (
	"errors"
	"fmt"

	"orderbridge/bridge/event"
)

// # R18, former shards
//
// A subscription owes nothing at or below the floor of the shard of g that it belonged to, in
// that one's intervals, or, if its id is below that one's cursor, of the cursor's event. Floors, intervals and cursors
// of other shards of g say nothing of it. For it, the position (R7, R12, R13) is at or above the highest number of its
// former shard: what becomes live from now on begins above that. The revisions that its former shard had applied are
// applied (R16). The closed leases are read again at each take-over in g+1, until a confirmed lease of the own shard
// tells a floor at or above the highest number in any of them; from then on it carries own.

// former is what one shard of the layout before had settled when it was closed,
// as far as its numbers speak of the present stream. It counts for the
// subscriptions that belonged to it, and never for others.
type former struct {
	entry   LeaseEntry
	survey  Survey
	floor   uint64
	settled seqSet // above the floor
	cursor  Cursor
}

// formers are those of the layout before, by number; none have to be regarded if
// there is none.
type formers []former

func asFormers(closed []LeaseEntry) formers {
	if len(closed) == 0 {
		return nil
	}
	list := make(formers, len(closed))
	for i, e := range closed {
		list[i].entry = e
		list[i].count(e.Floor, noLimit)
	}
	return list
}

// count takes what the entry tells, up to the last number that speaks of the stream.
func (x *former) count(floor, common uint64) {
	x.floor, x.settled, x.cursor = floor, seqSet{}, Cursor{}
	x.settled.load(x.entry.Settled)
	x.settled.learn(x.entry.Known)
	x.settled.top(common)
	x.settled.cut(floor + 1)
	if cur := x.entry.Cursor; cur != nil && cur.Seq <= common && cur.Seq > floor {
		x.cursor = *cur
	}
}

// of is the former shard of a subscription.
func (f formers) of(id string) *former { return &f[ShardOf(id, len(f))] }

// settled tells whether the subscription's former shard had settled the event for it.
func (f formers) settled(id string, seq uint64) bool {
	if len(f) == 0 {
		return false
	}
	x := f.of(id)
	return seq <= x.floor || x.settled.has(seq) || seq == x.cursor.Seq && id < x.cursor.ID
}

// addTo adds to done what the subscription's former shard had settled for it, from
// a sequence on.
func (f formers) addTo(done *seqSet, id string, from uint64) {
	if len(f) == 0 {
		return
	}
	x := f.of(id)
	done.addAt(from, x.floor, x.floorTime())
	for _, sp := range x.settled.spans {
		done.addAt(max(sp.From, from), sp.To, sp.At)
	}
	if x.cursor.Seq >= from && id < x.cursor.ID {
		done.add(x.cursor.Seq, x.cursor.Seq)
	}
}

// floorTime is the time of the message at the floor, 0 if it is not known.
func (x *former) floorTime() int64 {
	if x.floor == x.entry.Floor {
		return x.entry.FloorRef().Time
	}
	return 0
}

// position is how far the subscription's former shard had dispatched events.
func (f formers) position(id string) uint64 {
	if len(f) == 0 {
		return 0
	}
	return f.of(id).highest()
}

// highest is the highest number that any of them tells.
func (f formers) highest() (n uint64) {
	for i := range f {
		n = max(n, f[i].highest())
	}
	return n
}

func (x *former) highest() uint64 { return max(x.floor, x.settled.max(), x.cursor.Seq) }

// owed counts the sequences from lo to hi that not all of them had settled.
func (f formers) owed(lo, hi uint64) uint64 {
	if len(f) == 0 {
		return hi - lo + 1
	}
	all := seqSet{}
	for i := range f {
		f[i].addOwed(&all, lo, hi)
	}
	return all.size(lo, hi)
}

// owedTo is owed for one subscription.
func (f formers) owedTo(id string, lo, hi uint64) uint64 {
	if len(f) == 0 {
		return hi - lo + 1
	}
	own := seqSet{}
	f.of(id).addOwed(&own, lo, hi)
	return own.size(lo, hi)
}

// addOwed adds the sequences from lo to hi that are not settled.
func (x *former) addOwed(owed *seqSet, lo, hi uint64) {
	next := max(lo, x.floor+1)
	for _, sp := range x.settled.spans {
		owed.add(next, min(sp.From-1, hi))
		next = max(next, sp.To+1)
	}
	owed.add(next, hi)
}

// errFormers: whoever made the machine has left out what it must not.
var errFormers = errors.New("the former shards are not told")

// errOtherLayout: the lease that was won belongs to another division of the
// subscriptions, so what it tells is not for these.
var errOtherLayout = errors.New("the lease is one of another layout")

// unfit says that the machine is not told of the former shards that it has to regard.
func (w *Won) unfit() error {
	l, own := w.Layout, w.Entry.Layout
	switch want := l.Regards(w.Entry); {
	case own != nil && (own.Generation != l.Generation || own.Shards != l.Shards || own.Former != l.Former):
		return fmt.Errorf("%w: the lease is of generation %d, %d shards after %d; the layout of %d, %d after %d",
			errOtherLayout, own.Generation, own.Shards, own.Former, l.Generation, l.Shards, l.Former)
	case want && len(w.Formers) != w.Layout.Former:
		return fmt.Errorf("%w: %d of %d", errFormers, len(w.Formers), w.Layout.Former)
	case !want && len(w.Formers) > 0:
		return fmt.Errorf("%w: there are %d, none are to be regarded", errFormers, len(w.Formers))
	}
	return nil
}

// placeFormers places each former shard as its own successor would place it
// (R15). An entry that was inherited begins at the lowest of them.
func (c *Machine) placeFormers(own placement) placement {
	low := placement{}
	for i := range c.formers {
		x := &c.formers[i]
		x.survey.Durable, x.survey.DurableFloor = true, 0 // asked of our own, which says nothing of it
		p := Place(&x.entry, &x.survey, false)
		if p.Changed == "" {
			x.count(x.entry.Floor, noLimit)
			p.At = x.entry.FloorRef()
		} else {
			x.count(p.At.Seq, p.common)
		}
		if i == 0 {
			low = p
			continue
		}
		low = low.with(p)
	}
	if !c.old.Inherited {
		return own
	}
	// A durable of our own although there is no entry: somebody has deleted that (R16).
	if floor := min(c.survey.DurableFloor, c.stream.Last); c.survey.Durable && low.Changed == "" && floor > low.At.Seq {
		low.At = event.Ref{Seq: floor}
	}
	return low
}

// with is where a term begins that goes on with two entries: at the lower one.
func (p placement) with(q placement) placement {
	if q.At.Seq < p.At.Seq || q.At.Seq == p.At.Seq && q.At.Known() {
		p.At = q.At
	}
	if q.top.Seq > p.top.Seq {
		p.top = q.top
	}
	p.common = min(p.common, q.common)
	if p.Changed == "" {
		p.Changed = q.Changed
	}
	return p
}

// tellShard adds to a lease entry what it says of shards; nothing where there is but one.
func (c *Machine) tellShard(e *LeaseEntry) {
	if c.layout.Generation == 0 {
		return
	}
	l, past := c.layout, c.formers.highest()
	e.Layout = &l
	e.Own = len(c.formers) == 0 || c.prefix >= past || c.first > past
}
