package protocol

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// What the simulated bus holds of each shard, and what a replica does about it:
// it has a seat for each, which stands by, wins the lease, and leads.

// simShard is what the bus holds of one shard, beside its fences.
type simShard struct {
	Shard    // of as many as whoever won it last has said
	w        *simWorld
	lease    LeaseEntry
	leaseRev uint64
	leaseIDs map[string]uint64
	leads    uint64 // the epoch that was won last
	closed   bool   // and nobody leads since: the lease was closed for good
	cons     []*simConsumer
	keeper   int    // where a consumer of the shard keeps the stream's messages; 0: there is none
	layout   Layout // as durables and fences tell it
}

// shard is the shard's part of the bus, made when it is first asked for.
func (w *simWorld) shard(s Shard) *simShard {
	for _, sh := range w.shards {
		if sh.Layout == s.Layout && sh.Number == s.Number {
			return sh
		}
	}
	sh := &simShard{Shard: s, w: w, leaseIDs: map[string]uint64{}}
	w.shards = append(w.shards, sh)
	return sh
}

// simReign names one leadership of a shard.
type simReign struct {
	Shard
	epoch uint64
}

func (r simReign) String() string {
	if r.Layout == 0 {
		return fmt.Sprint("e", r.epoch)
	}
	return fmt.Sprintf("g%d.%d.e%d", r.Layout, r.Number, r.epoch)
}

func (sh *simShard) reign(epoch uint64) simReign {
	return simReign{Shard{Layout: sh.Shard.Layout, Number: sh.Number}, epoch}
}

func (t *simTerm) reign() simReign { return t.sh.reign(t.epoch) }
func (t *simTerm) String() string  { return t.reign().String() }

// leadBy tells whether nobody else has won or closed the shard since.
func (sh *simShard) leadBy(t *simTerm) bool { return sh.leads == t.epoch && !sh.closed }

// ended notes that a leadership is over, because its lease is another's.
func (sh *simShard) ended(epoch uint64) {
	w, r := sh.w, sh.reign(epoch)
	if epoch == 0 || w.ends[r].how != "" {
		return
	}
	w.ends[r] = simEnd{w.now, "lease"}
	for _, t := range w.terms() {
		if t.reign() == r && t.n.paused > w.now {
			w.ends[r] = simEnd{t.n.pausedAt, "pause"}
		}
	}
}

// terms are those that the replica leads.
func (n *simNode) terms() (list []*simTerm) {
	for _, seat := range n.seats {
		if seat.term != nil {
			list = append(list, seat.term)
		}
	}
	return list
}

// terms are all leaders, or who take themselves for one.
func (w *simWorld) terms() (list []*simTerm) {
	for _, n := range w.nodes {
		list = append(list, n.terms()...)
	}
	return list
}

// leads is the leader of a shard that has taken over, nil if there is none.
func (w *simWorld) leader(sh *simShard) (leader *simTerm) {
	for _, t := range w.terms() {
		if t.sh == sh && t.core.opened {
			leader = t
		}
	}
	return leader
}

// present are the shards that there are to be.
func (w *simWorld) present() (list []*simShard) {
	if !w.resharding {
		return w.shards
	}
	for k := range w.layout.Shards {
		list = append(list, w.shard(w.layout.Shard(k)))
	}
	return list
}

// led tells whether each shard has a leader for which it holds.
func (w *simWorld) led(holds func(*simTerm) bool) bool {
	terms, all := w.terms(), w.present()
	for _, sh := range all {
		if !slices.ContainsFunc(terms, func(t *simTerm) bool { return t.sh == sh && holds(t) }) {
			return false
		}
	}
	return len(all) > 0
}

func (w *simWorld) durables() (list []*simConsumer) {
	for _, sh := range w.shards {
		list = append(list, sh.cons...)
	}
	return list
}

func (w *simWorld) dropDurables() {
	for _, sh := range w.shards {
		for _, c := range sh.cons {
			c.gone = true
		}
		sh.cons = nil
	}
}

// traces are what terms leave beside the lease.
func (sh *simShard) traces(of Shard) (t Traces) {
	for _, c := range sh.cons {
		if !c.gone {
			t.Any, t.Epoch = true, max(t.Epoch, c.epoch)
		}
	}
	for _, b := range sh.w.buckets {
		if b.gone {
			continue
		}
		f := b.of(sh)
		t.Any, t.Epoch = t.Any || f.number > 0, max(t.Epoch, f.epoch)
		if sh.layout.Former == 0 {
			t.Any = t.Any || slices.ContainsFunc(sorted(b.state), of.owns)
		}
	}
	return t
}

// ---- seats

// simSeat is a replica's part in one shard.
type simSeat struct {
	n       *simNode
	shard   Shard
	sh      *simShard
	term    *simTerm
	standby Standby
	trying  bool
	free    time.Duration // since when the lease is seen to be free; 0: it is not
}

// seat makes the replica stand by for a shard.
func (n *simNode) seat(s Shard) *simSeat {
	seat := &simSeat{n: n, shard: s, sh: n.w.shard(s), standby: Standby{Patience: simPatience}}
	n.seats = append(n.seats, seat)
	return seat
}

func (n *simNode) tick() {
	w := n.w
	w.at(100*ms, n.tick)
	if w.now < n.down || w.now < n.paused {
		return
	}
	if w.resharding {
		n.followLayout()
	}
	for _, seat := range n.seats {
		seat.tick()
	}
}

func (seat *simSeat) tick() {
	n, sh, w := seat.n, seat.sh, seat.n.w
	if seat.term != nil || seat.trying || w.resharding && !n.seated(seat) {
		return
	}
	if w.quiet || w.r.IntN(4) > 0 {
		seat.standby.Observe(sh.lease, sh.leaseRev, n.boot())
	}
	if !seat.standby.Known {
		return
	}
	traces := sh.traces(seat.shard)
	seat.standby.Fresh = !traces.Any || w.mutant == "AbsentIsFree"
	patience := seat.standby.Patience
	seat.standby.Patience = time.Duration(float64(patience) * n.drift)
	wait := seat.standby.Wait(n.boot())
	seat.standby.Patience = patience
	if wait > 0 {
		seat.free = 0
		return
	}
	if w.resharding && !seat.mayTake() {
		return
	}
	seat.take(traces)
}

// take wins the lease, if nobody is faster.
func (seat *simSeat) take(traces Traces) {
	n, sh, w := seat.n, seat.sh, seat.n.w
	seat.trying = true
	rev, old := seat.standby.Revision, seat.standby.Entry
	fresh := seat.standby.Fresh && old.Absent()
	before := old.Epoch
	formers, layout := seat.formers(), n.layout
	if old.Absent() && len(formers) > 0 {
		old, fresh = Inherit(formers), false
	}
	if w.mutant != "OldIDs" {
		old.Epoch = max(old.Epoch, traces.Epoch)
	}
	t0, life := n.boot(), n.life
	w.at(w.rnd(1, 30), func() {
		seat.trying = false
		if w.now < n.down || sh.leaseRev != rev || w.now < n.paused || n.life != life {
			return
		}
		sh.leaseRev++
		e := old.Succession(fmt.Sprint("node", n.id), fmt.Sprint("term", w.n), 3*time.Second)
		if w.mutant == "WinDropsIntervals" {
			e.Settled, e.Cursor = nil, nil
		}
		if layout.Generation > 0 {
			e.Layout = &layout
		}
		sh.ended(max(before, sh.leads))
		if e.Applied == nil && traces.Any && (!w.buckets[BucketStatus].whole(sh) || len(sh.cons) == 0) {
			w.bothLost = append(w.bothLost, w.now)
		}
		sh.lease, sh.leads, sh.closed, sh.layout, sh.Of = e, e.Epoch, false, layout, seat.shard.Of
		seat.standby.Observe(sh.lease, sh.leaseRev, n.boot())
		if w.p(0.02) { // the answer is lost: nobody leads until the lease passes
			return
		}
		w.log("=== node%d wins %v (floor %d, settled %v, cursor %v)", n.id, sh.reign(e.Epoch), e.Floor, e.Settled, e.Cursor)
		w.stats["takeovers"]++
		won := Won{Entry: e, Revision: sh.leaseRev, At: t0, Fresh: fresh || w.mutant == "StartAtEnd", Layout: layout, Number: seat.shard.Number, Formers: formers}
		if w.resharding {
			seat.checkLayout(won)
			return
		}
		seat.lead(won)
	})
}

func (seat *simSeat) lead(won Won) {
	n, w := seat.n, seat.n.w
	t := &simTerm{w: w, n: n, seat: seat, sh: seat.sh, shard: seat.shard, epoch: won.Entry.Epoch}
	l := simLimits()
	if w.crowded {
		l.Lanes, l.LanesMost, l.HeldMost = 1, 1, 1
	}
	l.Window, l.Deliveries, l.Check, l.Watch = w.window, w.deliveries, 700*ms, 1000*ms
	if w.limits {
		l.Retention = 500 * ms
	}
	if w.clocks {
		l.Keep += 2 * simClockJump
	}
	if w.greedy {
		l.MaxRunning, l.Keen, l.LedgerBytes, l.ReadTotal = 6, 1, 6000, 2500
	}
	if n := max(won.Layout.Shards, 1); n > 1 { // each shard's part is as much as the only one has in TestSimulation
		for _, x := range []*int{&l.Deliveries, &l.HeldMost, &l.MaxRunning, &l.LedgerBytes, &l.ReadTotal, &l.Applying} {
			*x *= n
		}
		l = l.For(n)
	}
	t.hold = noLimit
	seed := [2]uint64{uint64(w.r.Int64()), 1}
	t.core = New(l, rand.New(rand.NewPCG(seed[0], seed[1])), won)
	t.tell = t.core.Step
	if w.record != nil {
		t.tell = w.record(t.core, SimStart{l, seed, won})
	}
	seat.term = t
	t.step(Start{})
	w.release(0.3)
}
