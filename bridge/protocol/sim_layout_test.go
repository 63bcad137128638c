package protocol

import (
	"slices"
	"strings"
	"time"
)

// The layout of the simulation (R17, R18), and what a replica does when it
// changes: bridge/layouts.go, crew.go.

// simLayoutKey is the key `layout` on the bus.
type simLayoutKey struct {
	Layout
	rev    uint64
	absent bool
}

// life: what a replica asked before it crashed is not answered to the next one.
func (n *simNode) later(d time.Duration, fn func()) {
	w, life := n.w, n.life
	var f func()
	f = func() {
		switch {
		case n.life != life:
		case n.paused > w.now:
			w.at(n.paused-w.now+w.rnd(0, 400), f)
		default:
			fn()
		}
	}
	w.at(d, f)
}

// request is as that of a term, of a replica that leads nothing.
func (n *simNode) request(what string, apply func() error, done func(error)) {
	w, life := n.w, n.life
	there, back := w.rnd(1, 8), w.rnd(1, 8)
	switch {
	case w.p(0.025):
		w.log("   node%d request lost: %s", n.id, what)
		n.later(250*ms, func() { done(errSimUnknown) })
	case w.p(0.02):
		w.log("   node%d confirmation lost: %s", n.id, what)
		w.at(there, func() { _ = apply() })
		n.later(250*ms, func() { done(errSimUnknown) })
	case w.p(w.late):
		w.log("   node%d delayed: %s", n.id, what)
		w.lateRequest(func() {
			w.log("   late node%d %s", n.id, what)
			_ = apply()
		})
		n.later(250*ms, func() { done(errSimUnknown) })
	default:
		var err error
		w.at(there, func() {
			if err = apply(); n.life == life {
				n.later(back, func() { done(err) })
			}
		})
	}
}

// ---- the key

// followLayout sees changes of the layout; seats of another one hand over.
func (n *simNode) followLayout() {
	w := n.w
	if n.asking == 0 && (n.layout.Shards == 0 || w.now >= n.deaf && (w.quiet || w.r.IntN(3) == 0)) {
		n.settleLayout(n.leadsAny(), func(Layout, error) {})
	}
	if w.p(0.01) {
		n.deaf = w.now + w.rnd(300, 6000) // the watch is
	}
	if n.layout.Shards == 0 {
		return
	}
	for _, seat := range slices.Clone(n.seats) {
		switch {
		case n.seated(seat):
		case seat.term != nil:
			seat.term.leave()
		case !seat.trying:
			n.seats = slices.DeleteFunc(n.seats, func(x *simSeat) bool { return x == seat })
		}
	}
	for k := range n.layout.Shards {
		if s := n.layout.Shard(k); !slices.ContainsFunc(n.seats, func(x *simSeat) bool { return x.shard == s }) {
			n.seat(s)
		}
	}
	n.closeFormers()
	n.missLayout()
}

// missLayout: a lease of the present layout is closed for good, so there was
// another one; nobody may be left who knows it.
func (n *simNode) missLayout() {
	w := n.w
	closed := func(seat *simSeat) bool { return n.seated(seat) && seat.standby.Known && seat.standby.Entry.Closed }
	if n.asking > 0 || !slices.ContainsFunc(n.seats, closed) {
		return
	}
	n.asking++
	var got simLayoutKey
	n.request("read layout", func() error { got = w.layout; return nil }, func(err error) {
		n.asking--
		if err == nil && !got.absent {
			w.stats["layout missed"]++
			n.writeLayout(got, Layout{}, func(Layout, error) {})
		}
	})
}

// seated tells whether the seat is of the layout that the replica knows.
func (n *simNode) seated(seat *simSeat) bool {
	return n.layout.Shards > 0 && seat.shard == n.layout.Shard(seat.shard.Number)
}

func (n *simNode) leadsAny() bool {
	return slices.ContainsFunc(n.terms(), func(t *simTerm) bool { return t.core.opened })
}

// settleLayout reads the key; where it is gone or of an earlier time, and write
// says so or the replica knows none, it is written again.
func (n *simNode) settleLayout(write bool, done func(Layout, error)) {
	w := n.w
	n.asking++
	var got simLayoutKey
	n.request("read layout", func() error { got = w.layout; return nil }, func(err error) {
		n.asking--
		known := n.layout
		switch {
		case err != nil:
			done(known, err)
		case !got.absent && (known.Shards == 0 || !got.Before(known)):
			n.knowLayout(got.Layout)
			done(got.Layout, nil)
		case known.Shards > 0 && got.absent && !write:
			done(known, nil)
		default:
			n.writeLayout(got, known, done)
		}
	})
}

func (n *simNode) knowLayout(l Layout) {
	if !n.layout.Same(l) {
		n.w.log("   node%d sees layout %+v", n.id, l)
		n.closer = nil
	}
	n.layout = l
}

// writeLayout makes the key again: as the replica knows it, or as the bus tells it.
func (n *simNode) writeLayout(got simLayoutKey, known Layout, done func(Layout, error)) {
	w := n.w
	n.asking++
	var l Layout
	n.request("look for layouts", func() error { l = w.layoutAgain(known); return nil }, func(err error) {
		if err != nil {
			n.asking--
			done(l, err)
			return
		}
		if !got.absent && !got.Before(l) { // nothing is known that is newer
			n.asking--
			done(got.Layout, nil)
			return
		}
		n.request("write layout", func() error { return w.putLayout(l, got.rev) }, func(err error) {
			n.asking--
			if err == nil {
				n.knowLayout(l)
			}
			done(l, err)
		})
	})
}

// layoutAgain is what the layout should be where its key does not tell.
func (w *simWorld) layoutAgain(known Layout) Layout {
	if known.Shards > 0 {
		return known
	}
	leases := map[Shard]LeaseEntry{}
	for _, sh := range w.shards {
		if !sh.lease.Absent() {
			leases[Shard{Layout: sh.Shard.Layout, Number: sh.Number}] = sh.lease // a key does not tell of how many
		}
	}
	if l, ok := LayoutOf(leases); ok {
		return l
	}
	var newest *simShard // what durables and fences tell
	for _, sh := range w.shards {
		if sh.there() && (newest == nil || sh.Shard.Layout > newest.Shard.Layout) {
			newest = sh
		}
	}
	if newest == nil {
		return FirstLayout(w.settings, false)
	}
	l := newest.layout
	l.Done = !slices.ContainsFunc(w.shards, func(sh *simShard) bool { return sh.Shard.Layout < l.Generation && sh.there() }) && l.Former > 0 || l.Generation == 0
	return l
}

// there tells whether a durable or a fence of the shard is.
func (sh *simShard) there() bool {
	for _, b := range sh.w.buckets {
		if !b.gone && b.of(sh).number > 0 {
			return true
		}
	}
	return slices.ContainsFunc(sh.cons, func(c *simConsumer) bool { return !c.gone })
}

// putLayout is a compare-and-set of the key.
func (w *simWorld) putLayout(l Layout, expect uint64) error {
	if w.layout.rev != expect {
		return ErrDeposed
	}
	w.log("LAYOUT %+v", l)
	w.layout = simLayoutKey{Layout: l, rev: expect + 1}
	return nil
}

// checkLayout: after the win and before anything else the layout is read from the
// leader of its stream; where it is another one, the lease is freed again.
func (seat *simSeat) checkLayout(won Won) {
	n, w := seat.n, seat.n.w
	if w.mutant == "NoLayoutRecheck" {
		seat.lead(won)
		return
	}
	seat.trying = true
	n.settleLayout(true, func(l Layout, err error) {
		switch {
		case n.boot() >= won.At+3000*ms-simLimits().Margin:
			seat.trying, seat.standby.Known = false, false // too late
			return
		case err != nil:
			n.later(50*ms, func() { seat.checkLayout(won) })
			return
		}
		seat.trying = false
		if !l.Same(won.Layout) || !n.seated(seat) {
			w.log("   node%d gives %v up: the layout is %+v", n.id, seat.sh.reign(won.Entry.Epoch), l)
			w.stats["given up"]++
			seat.giveUp(won)
			return
		}
		if won.Layout = l; !l.Regards(won.Entry) {
			won.Formers = nil
		}
		seat.lead(won)
	})
}

// giveUp frees a lease that was won for a layout that is not the present one.
func (seat *simSeat) giveUp(won Won) {
	sh := seat.sh
	e := won.Entry
	e.Free = true
	seat.standby.Known = false
	seat.n.request("free the lease again", func() error {
		if sh.leaseRev == won.Revision {
			sh.leaseRev++
			sh.lease = e
		}
		return nil
	}, func(error) {})
	sh.w.ends[sh.reign(e.Epoch)] = simEnd{sh.w.now, "given up"}
}

// ---- former shards

// simCloser closes the former shards for one replica.
type simCloser struct {
	n       *simNode
	layout  Layout
	leases  []Closing
	entries []LeaseEntry // closed
	shut    [][2]bool    // their fences
	asking  int
	done    bool
}

// formers are the closed leases that the seat has to regard; nil: none.
func (seat *simSeat) formers() []LeaseEntry {
	n := seat.n
	if !n.w.resharding || !n.layout.Regards(seat.standby.Entry) {
		return nil
	}
	return n.closer.entries
}

// mayTake: nobody wins a lease before all former ones are closed and fenced, and
// whoever has his part leaves a free one to others for a while.
func (seat *simSeat) mayTake() bool {
	n, w := seat.n, seat.n.w
	if n.layout.Regards(seat.standby.Entry) && (n.closer == nil || !n.closer.done) && w.mutant != "StartEarly" {
		return false
	}
	if n.layout.Regards(seat.standby.Entry) && (n.closer == nil || !n.closer.readAgain()) {
		return false
	}
	if seat.free == 0 {
		seat.free = max(n.boot(), 1)
	}
	return n.boot()-seat.free >= n.sharing().Wait()
}

// readAgain reads the closed leases once more, as each take-over does. One that is
// not closed any more is closed again first: somebody has deleted it.
func (c *simCloser) readAgain() bool {
	if c.n.w.mutant == "StartEarly" {
		return true
	}
	for k := range c.entries {
		sh := c.n.w.shard(c.layout.FormerShard(k))
		if !sh.lease.Closed {
			c.n.closer = nil
			return false
		}
		c.entries[k] = sh.lease
	}
	return true
}

// closeFormers closes the leases of all former shards for good, and then
// overwrites their fences.
func (n *simNode) closeFormers() {
	l := n.layout
	if l.Former == 0 || l.Done {
		n.closer = nil
		return
	}
	if n.closer == nil {
		n.closer = &simCloser{n: n, layout: l, leases: make([]Closing, l.Former), entries: make([]LeaseEntry, l.Former), shut: make([][2]bool, l.Former)}
	}
	c := n.closer
	if c.done || c.asking > 0 {
		return
	}
	closed := true
	for k := range c.entries {
		if !c.entries[k].Closed {
			closed = false
			c.closeLease(k)
		}
	}
	if !closed && n.w.mutant != "StartEarly" {
		return
	}
	c.done = closed
	for k := range c.shut {
		for b, shut := range c.shut[k] {
			if !shut && n.w.mutant != "NoCloseFence" {
				c.done = false
				c.closeFence(k, Bucket(b))
			}
		}
	}
	if c.done {
		n.w.strike()
		n.w.log("   node%d: the shards before layout %d are closed", n.id, l.Generation)
	}
}

func (c *simCloser) ask(what string, apply func() error, done func(error)) {
	c.asking++
	c.n.request(what, apply, func(err error) {
		c.asking--
		done(err)
	})
}

// closeLease looks at the lease, and closes it as soon as that may be.
func (c *simCloser) closeLease(k int) {
	n, w := c.n, c.n.w
	sh := w.shard(c.layout.FormerShard(k))
	var sight LeaseSight
	c.ask("read a former lease", func() error {
		sight = LeaseSight{Entry: sh.lease, Revision: sh.leaseRev}
		return nil
	}, func(err error) {
		if err != nil {
			return
		}
		x := &c.leases[k]
		x.Observe(sight, n.boot())
		x.Fresh, x.Patience = !sh.traces(sh.Shard).Any, time.Duration(float64(simPatience)*n.drift)
		e, rev := x.Seen()
		switch {
		case x.Closed():
			c.entries[k] = e
			return
		case x.Wait(n.boot()) > 0:
			if w.mutant == "StartEarly" {
				c.entries[k] = e
			}
			return
		}
		if e.Absent() { // it may be gone because the layout is done
			if l := w.layout; !l.absent && (l.Done || !l.Same(c.layout)) {
				return
			}
			for _, x := range sh.cons {
				if !x.gone {
					e.Floor = max(e.Floor, uint64(x.floor))
				}
			}
		}
		e = Closed(e)
		e.Layout = &c.layout
		c.ask("close a former lease", func() error {
			if sh.leaseRev != rev {
				return ErrDeposed
			}
			sh.leaseRev++
			sh.ended(sh.leads)
			sh.lease, sh.closed = e, true
			w.stats["closed"]++
			w.strike()
			w.log("   node%d closes %v: %+v", n.id, sh.reign(e.Epoch), e)
			w.release(0.3)
			return nil
		}, func(err error) {
			if err == nil {
				c.entries[k] = e
			}
		})
	})
}

// closeFence overwrites a fence: what a former leader still writes is refused.
func (c *simCloser) closeFence(k int, b Bucket) {
	w := c.n.w
	sh := w.shard(c.layout.FormerShard(k))
	c.ask("close a former fence", func() error {
		if f := w.buckets[b].of(sh); !w.buckets[b].gone && f.epoch != maxEpoch {
			w.n++
			f.number, f.epoch, f.term = w.n, maxEpoch, "closed"
		}
		w.release(0.3)
		return nil
	}, func(err error) { c.shut[k][b] = c.shut[k][b] || err == nil })
}

// ---- who leads shard 0

// leave hands over, because there is another layout or another one is to lead.
func (t *simTerm) leave() {
	w := t.w
	if t.graceful || t.core.handover.step != leading {
		return
	}
	w.log("LEAVES %v", t)
	t.graceful = true
	t.later(2500*ms, func() { w.log("   %v takes too long", t); t.end("lease") })
	t.step(Stop{})
}

// attend is what the leader of shard 0 does once in a while: it ends a resharding.
func (t *simTerm) attend() {
	w, n := t.w, t.n
	t.later(w.rnd(50, 600), t.attend)
	if !t.core.opened || t.core.stopping || t.offline > w.now {
		return
	}
	var got simLayoutKey
	var leases []LeaseEntry
	t.request("read the leases", func() error {
		got, leases = w.layout, nil
		for _, sh := range w.present() {
			leases = append(leases, sh.lease)
		}
		return nil
	}, func(err error) {
		l := got.Layout
		next := l
		switch {
		case err != nil || got.absent || l.Shard(t.shard.Number) != t.shard:
			return
		case !l.Done && l.Complete(leases):
			next.Done = true
			w.stats["resharded"]++
			w.strike()
		case !l.Done:
			return
		case w.anyBefore(l.Generation):
			t.request("remove the former shards", func() error { w.removeBefore(l.Generation); return nil }, func(error) {})
			return
		case l.Want > 0:
			next, _ = l.Next(l.Want)
		default:
			return
		}
		t.request("write layout", func() error { return w.putLayout(next, got.rev) }, func(err error) {
			if err == nil {
				n.knowLayout(next)
			}
		})
	})
}

func (w *simWorld) anyBefore(generation uint64) bool {
	return slices.ContainsFunc(w.shards, func(sh *simShard) bool {
		return sh.Shard.Layout < generation && (sh.there() || !sh.lease.Absent())
	})
}

// removeBefore removes all that is left of former layouts.
func (w *simWorld) removeBefore(generation uint64) {
	for _, sh := range w.shards {
		if sh.Shard.Layout >= generation {
			continue
		}
		sh.lease, sh.leaseRev = LeaseEntry{}, sh.leaseRev+1
		for _, c := range sh.cons {
			c.gone = true
		}
		sh.cons, sh.keeper = nil, 0
		for _, b := range w.buckets {
			delete(b.fences, sh)
		}
	}
	w.log("LAYOUT: what was before %d is removed", generation)
}

// reshard is the command of an operator.
func (w *simWorld) reshard(want int) {
	t := w.leader(w.shard(w.layout.Shard(0)))
	if t == nil || w.layout.absent {
		return
	}
	got := w.layout
	next, changed := got.Next(want)
	if !changed {
		return
	}
	w.log("RESHARD to %d", want)
	t.request("reshard", func() error {
		err := w.putLayout(next, got.rev)
		if err == nil && next.Generation != got.Generation {
			w.stats["resharding"]++
			w.strike()
		}
		return err
	}, func(error) {})
}

// owns tells whether a key of a state bucket is the shard's.
func (s Shard) owns(key string) bool {
	id, _, _ := strings.Cut(key, ".")
	return s.Has(id)
}

// sharing is what the replica knows of who leads how many.
func (n *simNode) sharing() Sharing {
	s := Sharing{Shards: n.layout.Shards, Own: simName(n.id), Leads: map[string]int{}, Patience: 1500 * ms}
	for _, x := range n.w.nodes {
		if x == n || n.w.now >= x.down && n.w.now >= x.paused {
			s.Leads[simName(x.id)] = len(x.terms())
		}
	}
	return s
}

func simName(node int) string { return string(rune('a' + node)) }

// otherLayout: what is gone of a shard may have been removed with it, so whoever
// makes it again looks at the layout first.
func (t *simTerm) otherLayout() bool {
	l := t.w.layout
	return t.w.resharding && !l.absent && l.Generation > t.shard.Layout
}
