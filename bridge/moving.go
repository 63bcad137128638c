package bridge

import (
	"fmt"
	"slices"
	"time"

	"orderbridge/internal/limits"
)

// Moving (R15): what becomes of the entries of the ledger in a changed stream.
// A number is valid up to the last message of its entry, or of the lease, that
// is still there. What is not valid moves: `from`, `live` and anchor to the
// first sequence that is not, the anchor never before the first message stamped
// after its record's put - 2 s; `until` by the time it was made of; settled
// intervals end there. Sequences of lanes beyond it have vanished: they become
// confirmed dead letters. All that moved is confirmed before a lease entry
// names the new stream: a successor would find "no change" and skip by the old
// numbers. Only then is the state taken over as if nothing had happened.
// Statuses are not written, there may be a million: their anchors are judged,
// each by itself, at each take-over as long as they lie ahead of the feed.

// StreamChange is what an operator is told of a changed stream, until he has
// acknowledged it.
type StreamChange struct {
	Time        time.Time `json:"time"` // when it was seen
	Reason      string    `json:"reason"`
	Created     time.Time `json:"created"`               // of the stream as it is now
	Floor       uint64    `json:"floor"`                 // everything up to here was settled in the stream as it was
	Known       uint64    `json:"known"`                 // and this was its highest message known
	Position    uint64    `json:"position"`              // the bridge went on after this sequence
	Last        uint64    `json:"last"`                  // where the stream ended then
	Unsettled   uint64    `json:"unsettled,omitempty"`   // events, at most, that vanished before the feed had settled them
	Owed        uint64    `json:"owed,omitempty"`        // events, at most, that vanished before subscriptions had read them
	DeadLetters uint64    `json:"deadLetters,omitempty"` // deliveries of vanished events: now dead letters by reference
}

// reasonVanished is that of the dead letter of an event that is not in the stream any more.
const reasonVanished = "vanished: the source stream was made anew, restored or lost its end, and the event is not in it any more"

// claim is what one entry tells of the stream.
type claim struct {
	id, token string // token "": a mark, or the status
	status    bool
	highest   uint64 // number that it tells
	known     []Ref
	valid     uint64 // numbers up to here speak of the present stream
	ref       Ref    // the message that proves it
}

// claims are those that may speak of another stream.
func (c *core) claims(l *loaded) (list []*claim) {
	p := &c.placed
	doubtful := func(cl *claim) {
		cl.known = refs(cl.known...)
		if (cl.highest > p.common || cl.status) && (p.changed != "" || len(cl.known) > 0) {
			list = append(list, cl)
		}
	}
	for _, id := range sorted(l.status) {
		if s := l.status[id]; s.Anchor > p.at.Seq+1 {
			doubtful(&claim{id: id, status: true, highest: s.Anchor - 1, known: slices.Clone(s.Known)})
		}
	}
	for _, id := range sorted(l.marks) {
		m := l.marks[id]
		highest := max(m.From, m.Live, 1) - 1
		if n := len(m.Done); n > 0 {
			highest = max(highest, m.Done[n-1][1])
		}
		if m.Until != nil {
			highest = max(highest, *m.Until)
		}
		doubtful(&claim{id: id, highest: highest, known: slices.Clone(m.Known)})
	}
	for _, id := range sorted(l.lanes) {
		for _, token := range sorted(l.lanes[id]) {
			e := l.lanes[id][token]
			if e.Redrive > 0 {
				continue // its event lies in the dead letter
			}
			highest := e.UpTo
			if n := len(e.Seqs); n > 0 {
				highest = max(highest, e.Seqs[n-1])
			}
			doubtful(&claim{id: id, token: token, highest: highest, known: slices.Clone(e.Known)})
		}
	}
	return list
}

// relocate makes what was loaded speak of the present stream, then goes on.
func (c *core) relocate(l *loaded, then func()) {
	claims := c.claims(l)
	if len(claims) == 0 && c.placed.changed == "" {
		then()
		return
	}
	entries := make([][]Ref, len(claims))
	for i, cl := range claims {
		entries[i] = cl.known
	}
	c.out.judge(entries, func(highest []int, err error) {
		if c.dead {
			return
		}
		if err != nil {
			c.retry("compare the ledger with the stream", err, func() { c.relocate(l, then) })
			return
		}
		c.lookBack(func() {
			for i, cl := range claims {
				cl.valid, cl.ref = c.placed.common, c.placed.top
				if cl.status { // it may be of a stream before the one that the lease names
					cl.valid, cl.ref = c.placed.at.Seq, c.placed.at
				}
				if h := highest[i]; h >= 0 && cl.known[h].Seq >= cl.valid {
					cl.valid, cl.ref = cl.known[h].Seq, cl.known[h]
				}
			}
			moved := slices.DeleteFunc(claims, func(cl *claim) bool { return cl.highest <= cl.valid })
			m := &moving{c: c, l: l, claims: moved, then: then, n: 1, lowest: map[string]uint64{}}
			m.anchors(func() { m.untils(m.write) })
		})
	})
}

// moving is one relocation under way.
type moving struct {
	c      *core
	l      *loaded
	claims []*claim
	then   func()
	n      int               // confirmations that are awaited
	lowest map[string]uint64 // by subscription: nothing below was published after its record was put
	burialQ
	change StreamChange
}

// anchors moves the anchors, one after another; what it asks about the stream
// must be answered first. Marks, too, do not move below what the record's put
// allows.
func (m *moving) anchors(then func()) {
	var next func(i int)
	next = func(i int) {
		for ; i < len(m.claims); i++ {
			cl := m.claims[i]
			if cl.token != "" {
				continue
			}
			s := m.l.status[cl.id]
			moved := func() {
				if cl.status {
					s.Anchor = max(min(s.Anchor, cl.valid+1), m.lowest[cl.id])
					m.l.status[cl.id] = s
				}
			}
			_, asked := m.lowest[cl.id]
			if asked || s.AnchorTime.IsZero() || s.AnchorTime.UnixNano() <= max(m.c.stream.FirstTime, cl.ref.Time) {
				moved()
				continue
			}
			m.c.ask("anchor of "+cl.id, s.AnchorTime, func(seq, _ uint64) {
				m.lowest[cl.id] = seq
				moved()
				next(i + 1)
			})
			return
		}
		then()
	}
	next(0)
}

// untils moves the ends of what deactivated and deleted records owe.
func (m *moving) untils(then func()) {
	c := m.c
	var next func(i int)
	next = func(i int) {
		for ; i < len(m.claims); i++ {
			cl := m.claims[i]
			mark, ok := m.l.marks[cl.id]
			if cl.status || cl.token != "" || !ok || mark.Until == nil || *mark.Until <= cl.valid {
				continue
			}
			until := cl.valid
			at := mark.UntilTime
			if st := m.l.status[cl.id]; at.IsZero() && !st.Active && !st.Since.IsZero() {
				at = st.Since.Add(c.Overlap)
			}
			set := func(seq uint64) {
				until = max(until, seq-min(seq, 1))
				mark.Until = &until
				m.l.marks[cl.id] = mark
			}
			if at.IsZero() {
				set(0)
				continue
			}
			c.ask("end of "+cl.id, at, func(seq, _ uint64) {
				set(seq)
				next(i + 1)
			})
			return
		}
		then()
	}
	next(0)
}

// write moves marks and lanes, and goes on when all of it is confirmed.
func (m *moving) write() {
	c, p := m.c, &m.c.placed
	m.change = StreamChange{Time: c.out.wall(), Reason: p.changed, Created: c.stream.Created, Floor: c.old.Floor, Known: c.old.Top.Seq, Position: p.at.Seq, Last: c.stream.Last}
	if p.changed == "" {
		m.change.Reason = "the ledger speaks of messages that are not there"
	}
	if from := max(p.common, c.old.Floor) + 1; p.changed != "" && c.old.Top.Seq >= from {
		settled := seqSet{}
		settled.load(c.old.Settled)
		m.change.Unsettled = c.old.Top.Seq - from + 1 - settled.size(from, c.old.Top.Seq)
		c.figures.Vanished += m.change.Unsettled
	}
	for _, cl := range m.claims {
		switch {
		case cl.status:
		case cl.token == "":
			m.mark(cl)
		default:
			m.lane(cl)
		}
	}
	m.confirmed()
}

// confirmed counts what is awaited down; with the last one the state speaks of
// the present stream.
func (m *moving) confirmed() {
	if m.n--; m.n > 0 {
		return
	}
	c := m.c
	if c.placed.changed == "" && !slices.ContainsFunc(m.claims, func(cl *claim) bool { return !cl.status }) {
		m.then() // at most anchors that were told before
		return
	}
	c.changes = append(slices.Clone(c.changes), m.change)
	c.changes = c.changes[max(0, len(c.changes)-limits.StreamChanges):]
	c.figures.Changes++
	c.told15 = true
	m.then()
}

func (m *moving) mark(cl *claim) {
	c := m.c
	mark := m.l.marks[cl.id]
	status := m.l.status[cl.id]
	old := max(c.old.Top.Seq, cl.highest)
	if n := len(cl.known); n > 0 {
		old = max(old, cl.known[n-1].Seq)
	}
	if mark.From > 0 {
		done := seqSet{}
		done.load(mark.Done)
		if from, to := max(mark.From, cl.valid+1), m.owedUpTo(&mark, old); from <= to {
			if lost := to - from + 1 - done.size(from, to); lost > 0 && status.Generation == mark.Generation {
				m.vanished(cl, mark, from, to, lost)
			}
		}
		done.learn(cl.known)
		done.top(cl.valid)
		mark.From = max(min(mark.From, cl.valid+1), m.lowest[cl.id], 1)
		mark.Done = done.list()
		mark.Known = refs(append(done.ends(), cl.ref, c.top)...)
	}
	if mark.Live > 0 {
		mark.Live = max(min(mark.Live, cl.valid+1), m.lowest[cl.id], 1)
		mark.Known = refs(append(mark.Known, cl.ref)...)
		mark.Known = slices.DeleteFunc(mark.Known, func(r Ref) bool { return r.Seq > max(cl.valid, c.top.Seq) })
	}
	m.l.marks[cl.id] = mark
	m.n++
	c.put(BucketOwed, cl.id, &mark, func(any) { m.confirmed() })
}

// owedUpTo is the last sequence of the former stream that a mark owed, at most.
func (m *moving) owedUpTo(mark *Mark, old uint64) uint64 {
	if mark.Live > 0 {
		old = min(old, mark.Live-1)
	}
	if mark.Until != nil {
		old = min(old, *mark.Until)
	}
	return old
}

// vanished tells what a subscription had still to read of the former stream:
// in its status, for good, and by one dead letter for the whole range.
func (m *moving) vanished(cl *claim, mark Mark, from, to, lost uint64) {
	c := m.c
	m.change.Owed += lost
	c.figures.Vanished += lost
	s := m.l.status[cl.id]
	s.Expired += lost
	m.l.status[cl.id] = s
	c.out.log(logError, "events that were owed vanished with the former stream", "subscription_id", cl.id, "from", from, "to", to, "at_most", lost)
	m.n++
	m.bury(DeadLetter{Subscription: cl.id, Generation: mark.Generation, Lane: vanishedToken(from), Key: vanishedToken(from),
		Reason: fmt.Sprintf("%s: up to %d events, sequences %d to %d, were owed and not read yet", reasonVanished, lost, from, to), Sequence: from, Through: to}, func() {
		m.n++
		c.put(BucketStatus, cl.id, &s, func(any) { m.confirmed() })
		m.confirmed()
	})
}

func (m *moving) lane(cl *claim) {
	c := m.c
	e := m.l.lanes[cl.id][cl.token]
	kept := slices.IndexFunc(e.Seqs, func(q uint64) bool { return q > cl.valid })
	if kept < 0 {
		kept = len(e.Seqs)
	}
	gone, head := e.Seqs[kept:], e.Head
	e.Seqs = slices.Clone(e.Seqs[:kept])
	e.UpTo = min(e.UpTo, cl.valid)
	e.Known = slices.DeleteFunc(slices.Clone(cl.known), func(r Ref) bool { return r.Seq > cl.valid })
	if kept == 0 {
		e.Head = Head{}
	}
	m.n++
	wait := 1
	write := func() {
		if wait--; wait > 0 {
			return
		}
		key := laneKey(cl.id, cl.token)
		if len(e.Seqs) == 0 && e.UpTo == 0 {
			delete(m.l.lanes[cl.id], cl.token)
			c.put(BucketOwed, key, nil, func(any) { m.confirmed() })
			return
		}
		m.l.lanes[cl.id][cl.token] = e
		c.put(BucketOwed, key, &e, func(any) { m.confirmed() })
	}
	defer write()
	if st, ok := m.l.status[cl.id]; !ok || st.Generation != e.Generation {
		return // of a generation that is gone: its entries are dropped anyway
	}
	for i, seq := range gone {
		d := DeadLetter{Subscription: cl.id, Generation: e.Generation, Lane: cl.token, Key: e.Key, Reason: reasonVanished, Sequence: seq}
		if d.Key == "" {
			d.Key = cl.token
		}
		if i == 0 && kept == 0 {
			d.Attempts, d.LastStatus = head.Attempts, head.LastStatus
		}
		if j, ok := slices.BinarySearchFunc(cl.known, Ref{Seq: seq}, compareRefs); ok {
			d.message = cl.known[j]
			if f := c.old.FormerIDs; f != nil && seq > *f {
				d.DeliveryID = deliveryID(eventID(c.stream.Name, seq, time.Unix(0, d.message.Time)), cl.id, e.Generation)
			}
		}
		wait++
		m.change.DeadLetters++
		m.bury(d, write)
	}
}

// burialQ bounds the dead letters that are stored at the same time.
type burialQ struct {
	waiting []func()
	running int
}

// bury stores a dead letter without an event until it is confirmed, then calls done.
func (m *moving) bury(d DeadLetter, done func()) {
	c := m.c
	d.Vanished, d.Time, d.ID = true, c.out.wall(), c.nextID()
	var try func()
	try = func() {
		c.out.bury(d, func(err error) {
			if c.dead {
				return
			}
			if err != nil {
				c.complain("take-over waits: dead letter of a vanished event could not be stored, tried again", d.Subscription, "subscription_id", d.Subscription, "sequence", d.Sequence, "error", err)
				c.after(c.Busy, try)
				return
			}
			c.figures.Dead++
			c.out.log(logWarn, "dead letter", "subscription_id", d.Subscription, "sequence", d.Sequence, "order", d.Key, "attempts", d.Attempts, "reason", d.Reason)
			m.running--
			done()
			for m.running < limits.BurialsAtOnce && len(m.waiting) > 0 {
				next := m.waiting[0]
				m.waiting = m.waiting[1:]
				m.running++
				next()
			}
		})
	}
	if m.running >= limits.BurialsAtOnce {
		m.waiting = append(m.waiting, try)
		return
	}
	m.running++
	try()
}

// tell is said when the term leads: the take-over may have been tried more than once.
func (c *core) tell() {
	if !c.told15 {
		return
	}
	x := c.changes[len(c.changes)-1]
	text := x.String()
	c.out.log(logError, "the source stream has changed; `orderbridge stream adopt` acknowledges it", "what", text)
	c.raiseAll(AlertStreamChanged, text, fmt.Sprintf("%d-%d-%d", x.Created.UnixNano(), x.Known, x.Last))
}

// String is the change in one sentence.
func (x StreamChange) String() string {
	s := fmt.Sprintf("the source stream has changed: %s; the bridge went on after sequence %d of %d (before: settled up to %d, known up to %d)", x.Reason, x.Position, x.Last, x.Floor, x.Known)
	if x.Unsettled+x.Owed+x.DeadLetters > 0 {
		s += fmt.Sprintf("; vanished: up to %d events that were under way, up to %d that subscriptions had still to read, %d deliveries of held orders (dead letters tell them)", x.Unsettled, x.Owed, x.DeadLetters)
	}
	return s
}
