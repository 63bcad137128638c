package bridge

import "fmt"

// The simulated stream of the simulation: what it says of itself (R15), and
// what becomes of it that should not: made anew, restored from a backup, rolled
// back, messages removed.

func (w *simWorld) ref(seq int) Ref {
	if seq <= 0 || seq > len(w.orders) || w.orders[seq-1].gone {
		return Ref{Seq: uint64(max(seq, 0))}
	}
	return Ref{uint64(seq), simEpoch.Add(w.orders[seq-1].stamp).UnixNano() + int64(w.orders[seq-1].uid)}
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
	st.FirstTime, st.LastTime = w.ref(w.first()).Time, w.ref(len(w.orders)).Time
	return st
}

func (w *simWorld) judged(r Ref) (Standing, error) {
	st := w.stream()
	return st.judge(r, func(seq uint64) (int64, error) {
		if got := w.ref(int(seq)); got.known() {
			return got.Time, nil
		}
		return 0, ErrNotFound
	})
}

func (t *simTerm) look(top, floor Ref, done func(Look, error)) {
	var l Look
	t.request(fmt.Sprintf("look %v", top), func() (err error) {
		l.Stream = t.w.stream()
		if l.Floor, err = t.w.judged(floor); err == nil {
			l.Top, err = t.w.judged(top)
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
		for _, c := range w.cons {
			if c.epoch < t.epoch && (newest == nil || c.epoch > newest.epoch || c.epoch == newest.epoch && c.n > newest.n) {
				newest = c
			}
		}
		if newest != nil {
			s.Durable, s.DurableFloor = true, uint64(newest.floor)
		}
		if s.Top, err = w.judged(e.Top); err == nil {
			s.Floor, err = w.judged(e.floorRef())
		}
		if err == nil {
			s.Highest, err = highest(e.refs(), w.judged)
		}
		return err
	}, func(err error) { done(s, err) })
}

func (t *simTerm) judge(entries [][]Ref, done func([]int, error)) {
	found := make([]int, len(entries))
	t.request("judge", func() (err error) {
		for i, list := range entries {
			if found[i], err = highest(list, t.w.judged); err != nil {
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
	w.log("ORDERS %d order%d typ%d uid%d", e.seq, e.order, e.typ, e.uid)
}
