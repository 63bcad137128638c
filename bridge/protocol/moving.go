package protocol

import (
	"fmt"
	"slices"
	"time"

	"orderbridge/bridge/event"
	"orderbridge/internal/limits"
)

// # R15, moving
//
// Before a lease entry names the new stream, everything is made to speak of it and confirmed:
//
//   - from, live, anchor: themselves if valid, else the first sequence that is not known to be the
//     same; never below the first message at or after the record's put - 2 s
//   - until: by the revision's time + 2 s
//   - settled intervals, done: cut at the last valid message
//   - sequences in lanes: valid ones stay; the others have vanished: each becomes a confirmed dead
//     letter that says so. Only what stays counts as "highest loaded" (R6)
//   - what a mark had still to read: one dead letter for the whole range, and a count in the status
//     (expired)
//
// Anchors are not rewritten (there may be a million): they are judged at each take-over while they lie ahead of the feed.

// reasonVanished is that of the dead letter of an event that is not in the stream any more.
const reasonVanished = "vanished: the source stream was recreated, restored or lost its end, and the event is not in it any more"

// moving is one relocation under way.
type moving struct {
	c      *Machine
	l      *Loaded
	claims []*claim
	ends   bool              // the anchors are located, now the ends
	at     int               // the claim for which the stream is asked
	n      int               // confirmations that are awaited
	lowest map[string]uint64 // by subscription: nothing below was published after its record was put
	burials
	change StreamChange
}

// goOn asks the stream for anchors and ends, one after another, then writes.
func (m *moving) goOn() {
	for ; m.at < len(m.claims); m.at++ {
		if m.ends && m.locatesEnd(m.claims[m.at]) || !m.ends && m.locatesAnchor(m.claims[m.at]) {
			return
		}
	}
	if m.ends {
		m.write()
		return
	}
	m.ends, m.at = true, 0
	m.goOn()
}

// located is the answer for the present claim.
func (m *moving) located(seq uint64) {
	cl := m.claims[m.at]
	if m.ends {
		m.moveEnd(cl, seq)
	} else {
		m.lowest[cl.id] = seq
		m.moveAnchor(cl)
	}
	m.at++
	m.goOn()
}

// locatesAnchor is true if it has asked the stream. Marks, too, do not move below
// what the record's put allows.
func (m *moving) locatesAnchor(cl *claim) bool {
	if cl.token != "" {
		return false
	}
	s := m.l.Status[cl.id]
	if _, asked := m.lowest[cl.id]; asked || s.AnchorTime.IsZero() || s.AnchorTime.UnixNano() <= max(m.c.stream.FirstTime, cl.ref.Time) {
		m.moveAnchor(cl)
		return false
	}
	m.c.find("anchor of "+cl.id, s.AnchorTime, nil, m)
	return true
}

func (m *moving) moveAnchor(cl *claim) {
	if cl.status {
		s := m.l.Status[cl.id]
		s.Anchor = max(min(s.Anchor, cl.valid+1), m.lowest[cl.id])
		m.l.Status[cl.id] = s
	}
}

// locatesEnd is true if it has asked the stream for the end of what a deactivated
// or deleted record owes.
func (m *moving) locatesEnd(cl *claim) bool {
	mark, ok := m.l.Marks[cl.id]
	if cl.status || cl.token != "" || !ok || mark.Until == nil || *mark.Until <= cl.valid {
		return false
	}
	at := mark.UntilTime
	if st := m.l.Status[cl.id]; at.IsZero() && !st.Active && !st.Since.IsZero() {
		at = st.Since.Add(m.c.Overlap)
	}
	if at.IsZero() {
		m.moveEnd(cl, 0)
		return false
	}
	m.c.find("end of "+cl.id, at, nil, m)
	return true
}

func (m *moving) moveEnd(cl *claim, seq uint64) {
	mark := m.l.Marks[cl.id]
	until := max(cl.valid, seq-min(seq, 1))
	mark.Until = &until
	m.l.Marks[cl.id] = mark
}

// write moves marks and lanes, and goes on when all of it is confirmed.
func (m *moving) write() {
	c, p := m.c, &m.c.placed
	m.change = StreamChange{Time: c.now.Wall, Reason: p.Changed, Created: c.stream.Created, Floor: c.old.Floor, Known: c.old.Top.Seq, Position: p.At.Seq, Last: c.stream.Last}
	if p.Changed == "" {
		m.change.Reason = "the ledger speaks of messages that are not there"
	}
	if from := max(p.common, c.old.Floor) + 1; p.Changed != "" && c.old.Top.Seq >= from {
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
	if c.placed.Changed == "" && !slices.ContainsFunc(m.claims, func(cl *claim) bool { return !cl.status }) {
		c.relocated() // at most anchors that were told before
		return
	}
	c.changes = append(slices.Clone(c.changes), m.change)
	c.changes = c.changes[max(0, len(c.changes)-limits.StreamChanges):]
	c.figures.Changes++
	c.changeMet = true
	c.relocated()
}

func (m *moving) mark(cl *claim) {
	c := m.c
	mark := m.l.Marks[cl.id]
	status := m.l.Status[cl.id]
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
		mark.Known = event.Refs(append(done.ends(), cl.ref, c.top)...)
	}
	if mark.Live > 0 {
		mark.Live = max(min(mark.Live, cl.valid+1), m.lowest[cl.id], 1)
		mark.Known = event.Refs(append(mark.Known, cl.ref)...)
		mark.Known = slices.DeleteFunc(mark.Known, func(r event.Ref) bool { return r.Seq > max(cl.valid, c.top.Seq) })
	}
	m.l.Marks[cl.id] = mark
	m.n++
	c.put(BucketOwed, cl.id, &mark, effect{what: isMoved, moving: m})
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
	s := m.l.Status[cl.id]
	s.Expired += lost
	m.l.Status[cl.id] = s
	c.log(Error, "events that were owed vanished with the former stream", "subscription_id", cl.id, "from", from, "to", to, "at_most", lost)
	m.n++
	m.bury(DeadLetter{Subscription: cl.id, Generation: mark.Generation, Lane: vanishedToken(from), Key: vanishedToken(from),
		Reason: fmt.Sprintf("%s: up to %d events, sequences %d to %d, were owed and not read yet", reasonVanished, lost, from, to), Sequence: from, Through: to}, buried{status: cl.id})
}

func (m *moving) lane(cl *claim) {
	c := m.c
	e := m.l.Lanes[cl.id][cl.token]
	kept := slices.IndexFunc(e.Seqs, func(q uint64) bool { return q > cl.valid })
	if kept < 0 {
		kept = len(e.Seqs)
	}
	gone, head := e.Seqs[kept:], e.Head
	e.Seqs = slices.Clone(e.Seqs[:kept])
	e.UpTo = min(e.UpTo, cl.valid)
	e.Known = slices.DeleteFunc(slices.Clone(cl.known), func(r event.Ref) bool { return r.Seq > cl.valid })
	if kept == 0 {
		e.Head = Head{}
	}
	w := &movedLane{claim: cl, entry: e, waits: 1}
	m.n++
	defer m.laneBuried(w)
	if st, ok := m.l.Status[cl.id]; !ok || st.Generation != e.Generation {
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
		if j, ok := slices.BinarySearchFunc(cl.known, event.Ref{Seq: seq}, event.CompareRefs); ok {
			d.Message = cl.known[j]
			if f := c.old.FormerIDs; f != nil && seq > *f {
				d.DeliveryID = event.DeliveryID(event.EventID(c.stream.Name, seq, time.Unix(0, d.Message.Time)), cl.id, e.Generation)
			}
		}
		w.waits++
		m.change.DeadLetters++
		m.bury(d, buried{lane: w})
	}
}

// movedLane is a lane whose vanished deliveries become dead letters first.
type movedLane struct {
	claim *claim
	entry LaneEntry // what stays
	waits int
}

// laneBuried writes the lane when its last dead letter is stored.
func (m *moving) laneBuried(w *movedLane) {
	if w.waits--; w.waits > 0 {
		return
	}
	id, token, key := w.claim.id, w.claim.token, laneKey(w.claim.id, w.claim.token)
	if len(w.entry.Seqs) == 0 && w.entry.UpTo == 0 {
		delete(m.l.Lanes[id], token)
		m.c.put(BucketOwed, key, nil, effect{what: isMoved, moving: m})
		return
	}
	m.l.Lanes[id][token] = w.entry
	m.c.put(BucketOwed, key, &w.entry, effect{what: isMoved, moving: m})
}

// burials bounds the dead letters that are stored at the same time.
type burials struct {
	waiting []burial
	running int
}

type burial struct {
	letter DeadLetter
	then   buried
}

// buried is what follows when the dead letter of a vanished event is stored.
type buried struct {
	status string     // the status of this subscription is written; "": none
	lane   *movedLane // it may be written; nil: none
}

// bury stores a dead letter without an event until it is confirmed.
func (m *moving) bury(d DeadLetter, then buried) {
	d.Vanished, d.Time, d.ID = true, m.c.now.Wall, m.c.nextID()
	m.waiting = append(m.waiting, burial{d, then})
	m.buryMore()
}

func (m *moving) buryMore() {
	for m.running < limits.BurialsAtOnce && len(m.waiting) > 0 {
		b := m.waiting[0]
		m.waiting = m.waiting[1:]
		m.running++
		m.c.ask(request{out: StoreLetter{m.c.newRequest(), b.letter}, moving: m, buried: b.then,
			until: "take-over waits: dead letter of a vanished event could not be stored, tried again",
			args:  []any{"subscription_id", b.letter.Subscription, "sequence", b.letter.Sequence}})
	}
}

// letterStored: a dead letter is confirmed.
func (m *moving) letterStored(q *request) {
	c, d := m.c, q.out.(StoreLetter).Letter
	c.figures.Dead++
	c.log(Warn, "dead letter", "subscription_id", d.Subscription, "sequence", d.Sequence, "order", d.Key, "attempts", d.Attempts, "reason", d.Reason)
	m.running--
	if q.buried.lane != nil {
		m.laneBuried(q.buried.lane)
	}
	if id := q.buried.status; id != "" {
		s := m.l.Status[id]
		c.put(BucketStatus, id, &s, effect{what: isMoved, moving: m})
	}
	m.buryMore()
}
