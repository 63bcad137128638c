package protocol

import (
	"errors"

	"orderbridge/bridge/event"
	"orderbridge/internal/limits"
)

// # R14 Confirm before forgetting
//
//   - A dead letter is stored, and the store confirmed, before the delivery leaves its lane or
//     ledger entry. Meanwhile the lane is busy. Whatever fails is tried again, for ever.
//   - A redriven dead letter that was delivered is removed from the dead letters first, then its
//     entry goes.
//   - An open breaker of a subscription that owes nothing goes half-open: one more failure opens
//     it. It has nothing to probe with.
//   - Coalescing (coalesce: only the newest event of a waiting order is sent) is decided when a
//     newer event joins the lane, and again when a running attempt fails; what runs is never
//     replaced. After a crash an older event may be sent before its newer one is repeated: the
//     newest is always the last.

// bury stores the dead letter; the lane is busy until it is confirmed (R14).
func (ln *lane) bury(it *item, o Outcome, ev *event.Event) {
	s := ln.sub
	c := s.core
	a := &attempt{lane: ln, item: it, burial: true}
	ln.run = a
	if ev == nil || ev.Seq != it.seq {
		ev = it.ev
	}
	d := DeadLetter{Subscription: s.id, Generation: s.gen, Lane: ln.token, Key: ln.key, Order: ln.order, Reason: o.Reason, Attempts: ln.attempts,
		LastStatus: o.Status, Sequence: it.seq, Time: c.now.Wall, Event: ev, ID: c.nextID(), Message: it.ref(), Top: c.top}
	if d.Key == "" {
		d.Key = ln.token
	}
	if ev != nil {
		d.Order = ev.Order()
	}
	d.former = c.former(it.seq)
	if d.DeliveryID = ln.formerID; ev != nil && d.DeliveryID == "" {
		d.DeliveryID = d.IDOf(ev)
	}
	a.gone = o.Gone
	c.ask(request{out: StoreLetter{c.newRequest(), d}, sub: s, lane: ln, item: it,
		until: "dead letter could not be stored: kept and tried again", args: []any{"subscription_id", s.id, "sequence", it.seq}})
}

// letterWaits tells whether a letter that could not be stored is still wanted.
func (c *Machine) letterWaits(q *request) bool {
	if q.item.gone {
		q.lane.letterNeedless()
		return false
	}
	c.unstored[q.lane] = struct{}{}
	return true
}

// letterNeedless: the delivery was superseded meanwhile.
func (ln *lane) letterNeedless() {
	delete(ln.sub.core.unstored, ln)
	if ln.run.command > 0 {
		ln.sub.core.emit(Answer{Command: ln.run.command, Err: errors.New("a newer event has superseded it meanwhile")})
	}
	ln.run = nil
	ln.attempts, ln.next = 0, 0
	ln.sub.offer(ln)
}

// letterStored: the dead letter is confirmed.
func (c *Machine) letterStored(q *request) {
	ln, it, s, d := q.lane, q.item, q.sub, q.out.(StoreLetter).Letter
	if it.gone {
		ln.letterNeedless()
		return
	}
	delete(c.unstored, ln)
	gone, command := ln.run.gone, ln.run.command
	ln.run = nil
	c.figures.Dead++
	level := Warn
	if command > 0 {
		c.emit(Answer{Command: command, Done: Done{Sequence: it.seq}})
	} else if s.buried(d.Reason, d.LastStatus) > limits.LetterLines { // told with their count
		level = Debug
	}
	c.log(level, "dead letter", "subscription_id", s.id, "sequence", it.seq, "order_id", d.Order, "attempts", d.Attempts, "status", d.LastStatus, "reason", d.Reason)
	s.health().probes = 0
	if gone {
		s.expired++
		c.figures.Removed++
		s.changed()
	}
	ln.end(it)
	s.offer(ln)
	ln.drop()
}

// endRedriven: the old dead letter goes first, then the entry (R14).
func (ln *lane) endRedriven(it *item) {
	c := ln.sub.core
	hold := &attempt{lane: ln, item: it, burial: true}
	ln.run = hold
	c.ask(request{out: RemoveLetter{c.newRequest(), ln.redrive}, sub: ln.sub, lane: ln, item: it,
		until: "redriven dead letter could not be removed, tried again", args: []any{"subscription_id", ln.sub.id}})
}

func (ln *lane) letterRemoved(it *item) {
	ln.run = nil
	ln.dequeue(it)
	it.gone = true
	ln.write()
}
