package protocol

import "orderbridge/bridge/event"

// What is owed, for the metrics. A delivery is owed in one of four places: the
// feed's window, the ledger, what a reader has in memory, and what a reader has
// yet to read. Of the last the feed knows most: it matches each event also for
// those that read, so it counts what they will find (reader.ahead). What was
// published before that (a new record with startFrom, a predecessor's reading)
// is counted as if every event were wanted, until the reader has come past it.

// Owing is what is owed at a moment.
type Owing struct {
	deliveries    int
	kept          int       // deliveries of deleted records, which are owed if the record is put again
	events        int       // of which a delivery is owed, at most
	oldest        event.Ref // of these; Seq 0: none is owed
	suspended     int
	subscriptions int // deleted ones, whose debts are kept, left out
	debtors       []Debtor
}

// Owes counts. It costs what is in trouble, not what exists.
func (c *Machine) Owes(w Wanted) Owing {
	position := c.position()
	var beside, kept, redriven, suspended int
	first := event.Ref{Seq: noLimit}
	rank := ranking{most: w.Most}
	add := func(s *sub) {
		o := s.debts(position)
		if !s.deletedAt.IsZero() {
			kept += o.ledger + o.reader
			return
		}
		beside, redriven = beside+o.ledger+o.reader, redriven+o.redriven
		first = oldest(first, o.lanes, o.from)
		if d := s.debtor(o); d.Owed > 0 || d.failing() {
			rank.add(d)
		}
	}
	for s := range c.holding {
		if s.mode == gone || s.held == 0 {
			delete(c.holding, s)
			continue
		}
		add(s)
	}
	for s := range c.readers {
		if (s.failing() || s.suspended) && s.deletedAt.IsZero() {
			suspended++
		}
		if _, counted := c.holding[s]; !counted {
			add(s)
		}
	}
	if len(c.win) > 0 {
		first = oldest(first, c.win[0].ev.Ref())
	}
	span := redriven
	if p := c.position(); p >= first.Seq {
		span += int(min(p-first.Seq+1, 1<<53))
	}
	if first.Seq == noLimit {
		first = event.Ref{}
	}
	return Owing{
		deliveries:    c.owed + beside,
		kept:          kept,
		events:        len(c.pending) + max(len(c.win), min(len(c.win)+beside, span)),
		oldest:        first,
		suspended:     suspended,
		subscriptions: len(c.subs) + len(c.resting) + c.newcomers.len() - c.deletedSubs(),
		debtors:       c.beside(rank.cut(), c.asked(w)),
	}
}

// deletedSubs counts the deleted records whose debts are kept.
func (c *Machine) deletedSubs() (n int) {
	for s := range c.deletions {
		if s.mode == gone || s.deletedAt.IsZero() || c.subs[s.id] != s {
			delete(c.deletions, s)
			continue
		}
		n++
	}
	return n
}

// unread is how many deliveries the reader has yet to come to, at most.
func (r *reader) unread(position uint64) int {
	end := min(position, r.until)
	if r.at >= end {
		r.ahead = 0
		return 0
	}
	n := uint64(r.ahead)
	if r.uncounted && r.at < r.seen {
		first, last := r.at+1, min(r.seen, end)
		n += last - r.at
		for _, x := range r.done.spans[:min(len(r.done.spans), 1024)] {
			if from, to := max(x.From, first), min(x.To, last); from <= to {
				n -= to - from + 1
			}
		}
	}
	return int(min(n, end-r.at))
}

// matchesAhead takes note of an event that the feed has matched for a
// subscription that reads for itself.
func (s *sub) matchesAhead(seq uint64) {
	r := s.reader
	if r == nil || seq <= r.seen || seq > r.until || !s.active {
		return
	}
	s.core.figures.Matched++
	if seq > r.at {
		r.ahead++
	}
}

// matchedByReader takes note of an event that a reader has come to.
func (s *sub) matchedByReader(seq uint64) {
	c, r := s.core, s.reader
	switch {
	case r.uncounted && seq <= r.seen:
		c.figures.Matched++
	case seq > c.taken: // the feed comes to it later
		c.figures.Matched++
		r.seen = seq
	case r.ahead > 0:
		r.ahead--
	}
}

// countSettled: what the reader would have come to was settled before.
func (r *reader) countSettled(seq uint64) {
	if seq > r.at && r.ahead > 0 && !r.done.has(seq) {
		r.ahead--
	}
}

// dispatched is up to where the feed has counted the matches of a subscription.
func (c *Machine) dispatched(id string) uint64 {
	if n := len(c.win); n > 0 && c.win[n-1].unexpanded(id) {
		return c.win[n-1].seq() - 1
	}
	return c.position()
}

// Plus adds the counts of another term; what is at present (Unsettled, Owed and so on) is f's.
func (f Figures) Plus(g Figures) Figures {
	f.Taken += g.Taken
	f.Missed += g.Missed
	f.NotEvents += g.NotEvents
	f.Untold += g.Untold
	f.Overlong += g.Overlong
	f.Changes += g.Changes
	f.Vanished += g.Vanished
	f.Removed += g.Removed
	f.Matched += g.Matched
	f.Filtered += g.Filtered
	f.Delivered += g.Delivered
	f.Failed += g.Failed
	f.Retried += g.Retried
	f.Dead += g.Dead
	f.Superseded += g.Superseded
	f.Parked += g.Parked
	f.TakeOvers += g.TakeOvers
	alerts := map[string]uint64{}
	for _, m := range []map[string]uint64{f.Alerts, g.Alerts} {
		for kind, n := range m {
			alerts[kind] += n
		}
	}
	f.Alerts = alerts
	return f
}

// Figures are counts since the term began; those of a moment, from Unsettled on, are as of now.
type Figures struct {
	Missed                                                                         uint64 // events that the stream dropped before they could be matched
	NotEvents                                                                      uint64 // messages of the stream that are not events (noevent.go); Taken counts them too
	Untold                                                                         uint64 // events of no tenant (tenant.go)
	Overlong                                                                       uint64 // events that tell a value that is too long (bounds.go)
	Changes                                                                        uint64 // of the source stream (R15)
	Vanished                                                                       uint64 // events, at most, that were owed and vanished with the former stream
	Removed                                                                        uint64 // deliveries whose event was removed from the stream while it was owed
	Taken, Matched, Filtered, Delivered, Failed, Retried, Dead, Superseded, Parked uint64
	TakeOvers                                                                      uint64            // done
	Alerts                                                                         map[string]uint64 // by kind
	Unsettled, Owed, Kept, Held, Reading, Suspended, Subscriptions, Running        int
}
