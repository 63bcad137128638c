package protocol

import (
	"fmt"
	"time"

	"orderbridge/bridge/event"
)

// The simulated stream of the simulation: what it says of itself (R15), and
// what becomes of it that should not: recreated, restored from a backup, rolled
// back, messages removed.

func (w *simWorld) ref(seq int) event.Ref {
	if seq > 0 && seq <= len(w.orders) && w.orders[seq-1].gone {
		return event.Ref{Seq: uint64(seq)}
	}
	return w.told(seq)
}

func (w *simWorld) first() int {
	for i, e := range w.orders {
		if !e.gone {
			return i + 1
		}
	}
	return len(w.orders) + 1
}

func (w *simWorld) stream() StreamState {
	st := StreamState{Name: "ORDERS", Created: simEpoch.Add(w.created), First: uint64(w.first()), Last: uint64(len(w.orders)), Settled: true}
	st.FirstTime, st.LastTime = w.ref(w.first()).Time, w.told(len(w.orders)).Time
	return st
}

// told is a message with its time, whether it is still there or not: a server goes on telling that of
// its last message when it was removed or purged, and after a restart.
func (w *simWorld) told(seq int) event.Ref {
	if seq <= 0 || seq > len(w.orders) {
		return event.Ref{Seq: uint64(max(seq, 0))}
	}
	return event.Ref{Seq: uint64(seq), Time: simEpoch.Add(w.orders[seq-1].stamp).UnixNano() + int64(w.orders[seq-1].uid)}
}

func (w *simWorld) judged(r event.Ref) (Standing, error) {
	st := w.stream()
	return st.Judge(r, func(seq uint64) (int64, error) {
		if got := w.ref(int(seq)); got.Known() {
			return got.Time, nil
		}
		return 0, ErrNotFound
	})
}

func (t *simTerm) look(witnesses Witnesses, floor event.Ref, done func(Look, error)) {
	var l Look
	t.request(fmt.Sprintf("look %v", witnesses[0]), func() (err error) {
		l.Stream = t.w.stream()
		if l.Floor, err = t.w.judged(floor); err == nil {
			l.Known, l.Top, err = witnesses.Testify(t.w.judged)
		}
		return err
	}, func(err error) { done(l, err) })
}

func (t *simTerm) survey(e *LeaseEntry, done func(Survey, error)) {
	w := t.w
	var s Survey
	t.request("survey", func() (err error) {
		s = Survey{Stream: w.stream()}
		var newest *simConsumer
		for _, c := range t.sh.cons {
			if c.epoch < t.epoch && (newest == nil || c.epoch > newest.epoch || c.epoch == newest.epoch && c.n > newest.n) {
				newest = c
			}
		}
		if newest != nil {
			s.Durable, s.DurableFloor = true, uint64(newest.floor)
		}
		if s.Top, err = w.judged(e.Top); err == nil {
			s.Floor, err = w.judged(e.FloorRef())
		}
		if err == nil {
			s.Highest, s.Other, err = Highest(e.Refs(), w.judged)
		}
		return err
	}, func(err error) { done(s, err) })
}

func (t *simTerm) judge(entries [][]event.Ref, done func([]int, error)) {
	found := make([]int, len(entries))
	t.request("judge", func() (err error) {
		for i, list := range entries {
			if found[i], _, err = Highest(list, t.w.judged); err != nil {
				return err
			}
		}
		return nil
	}, func(err error) { done(found, err) })
}

func (w *simWorld) publish() {
	e := simEvent{seq: len(w.orders) + 1, order: w.r.IntN(simOrders), typ: w.r.IntN(2), t: w.now, stamp: w.now + w.skew, uid: len(w.all) + 1}
	w.all = append(w.all, e)
	w.orders = append(w.orders, e)
	if w.maxAge > 0 {
		w.agesOut(e)
	}
	w.log("ORDERS %d order%d typ%d uid%d", e.seq, e.order, e.typ, e.uid)
}

// uidOf is the event that an attempt is about to send; or why it cannot.
func (w *simWorld) uidOf(a *attempt) (uid int, missing *Outcome) {
	if ev := a.Delivery.Event; ev != nil {
		_, _ = fmt.Sscan(ev.ID, &uid)
		return uid, nil
	}
	if uid = w.letterUID[a.DeadLetter]; uid > 0 && a.DeadLetter > 0 {
		return uid, nil
	}
	got := w.ref(int(a.Seq))
	switch {
	case !got.Known(), a.known.Known() && got != a.known,
		!a.known.Known() && a.top.Known() && w.ref(int(a.top.Seq)).Known() && w.ref(int(a.top.Seq)) != a.top:
		return 0, &Outcome{Verdict: GiveUp, Reason: "gone", Doubt: true, Gone: true}
	}
	return w.orders[a.Seq-1].uid, nil
}

func (w *simWorld) uidOfLetter(d *DeadLetter) (uid int) {
	switch {
	case d.Event != nil:
		_, _ = fmt.Sscan(d.Event.ID, &uid)
	case d.Message.Known():
		uid = int(d.Message.Time % 1e6)
	case !d.Vanished && w.ref(int(d.Sequence)).Known():
		uid = w.orders[d.Sequence-1].uid
	}
	return uid
}

// sameStream goes on if the stream is the one in which the feed was opened.
func (t *simTerm) sameStream(then func()) {
	var got Standing
	t.request("feed looks", func() (err error) {
		if _, got, err = t.taken.Testify(t.w.judged); t.w.created != t.created {
			got = Other
		}
		return err
	}, func(err error) {
		switch {
		case err != nil:
			t.later(50*ms, func() { t.sameStream(then) })
		case got == Other:
			t.step(FeedEnded{})
		default:
			then()
		}
	})
}

func (w *simWorld) lastThere() int {
	for i := len(w.orders); i > 0; i-- {
		if !w.orders[i-1].gone {
			return i
		}
	}
	return 0
}

// change makes another stream of it, or removes messages.
func (w *simWorld) change() {
	if w.quiet {
		return
	}
	keep := func() int { // the tail is lost, or more
		n := len(w.orders)
		if w.r.IntN(3) > 0 {
			return n - w.r.IntN(min(n, 10)+1)
		}
		return w.r.IntN(n + 1)
	}
	other := func(what string, n int) {
		w.log("STREAM %s: %d of %d", what, n, len(w.orders))
		w.stats["stream "+what]++
		w.changes = append(w.changes, w.now)
		w.orders = append([]simEvent(nil), w.orders[:n]...)
		for _, t := range w.terms() {
			t.connectionLost(w.rnd(5, 600))
		}
		for range w.r.IntN(8) {
			w.publish()
		}
	}
	switch k := w.r.IntN(10); {
	case k < 3:
		w.dropDurables()
		w.created = w.now
		other("recreated", 0)
	case k < 5: // with its durables
		n := keep()
		for _, c := range w.durables() {
			c.floor, c.next, c.created = min(c.floor, n), min(c.next, n+1), w.now
		}
		w.created = w.now
		other("restored", n)
	case k < 8: // the consumers' files may be newer than the stream's
		n := keep()
		for _, c := range w.durables() {
			c.next = min(c.next, n+1)
			if w.r.IntN(2) == 0 {
				c.floor = min(c.floor, n)
			}
		}
		other("rolled back", n)
	case k < 9:
		w.stats["messages removed"]++
		for range w.r.IntN(6) {
			if n := len(w.orders); n > 0 {
				i := w.r.IntN(n)
				w.log("STREAM: message %d removed", i+1)
				w.orders[i].gone = true
			}
		}
	default:
		w.stats["stream purged"]++
		w.log("STREAM purged to %d", len(w.orders))
		for i := range w.orders {
			w.orders[i].gone = true
		}
	}
}

// resurfaced: the stream has changed since the event was published, so it may
// have come again though it never was owed, or was settled long ago: what lies
// between the newest checkpoint that is still there and the cut is repeated.
func (w *simWorld) resurfaced(e simEvent, at time.Duration) bool {
	for _, c := range w.changes {
		if e.t <= c && c < at {
			return true
		}
	}
	return false
}
