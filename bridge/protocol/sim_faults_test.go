package protocol

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"
)

// What else befalls a seed: a stream that drops what is owed by its limits or
// because somebody has edited its retention, clocks that jump or stand still,
// single entries of the bridge's state that somebody changes or removes, records
// that vanish.

var simWith = flag.String("sim.with", "", "give every seed these faults of the simulation: limits, interest, clocks, entries, again (a list)")

// choose says which faults a seed gets. A few exclude each other, since the one
// would excuse whatever the other finds.
func (w *simWorld) choose(seed uint64) {
	with := func(kind string, otherwise bool) bool {
		if *simWith == "" {
			return otherwise
		}
		return slices.Contains(strings.Split(*simWith, ","), kind)
	}
	w.limits = with("limits", seed%8 == 6)
	w.interest = !w.limits && with("interest", seed%8 == 4)
	w.clocks = with("clocks", seed%5 == 3)
	w.again = with("again", seed%9 < 4)
	w.entries = with("entries", seed%8 == 1)
	w.meddling = !w.limits && !w.interest && (seed%4 < 2 || w.entries)
	w.changing = !w.limits && !w.interest && !w.meddling
	w.vanishing = w.changing && seed%4 == 2
	if w.limits {
		w.maxAge = w.margin() + w.rnd(3000, 8000)
	}
}

// befall lets the faults come until the end.
func (w *simWorld) befall(end time.Duration) {
	again := func(yes bool, from, least, most int, what func()) {
		if !yes {
			return
		}
		var next func()
		next = func() {
			if w.now <= end {
				what()
				w.at(w.rnd(least, most), next)
			}
		}
		w.at(w.rnd(from, most), next)
	}
	again(w.vanishing, 300, 500, 9000, func() { w.vanish(w.r.IntN(len(w.ops))) })
	again(w.meddling, 300, 500, 9000, w.meddle)
	again(w.again, 500, 300, 5000, w.sendAgain)
	again(w.clocks, 100, 500, 6000, w.clockFails)
	if w.interest {
		w.at(w.rnd(500, int(end/ms)), func() { w.editRetention(true) })
		w.at(w.rnd(int(end/ms), int(end/ms)+3000), func() { w.editRetention(false) })
		w.at(w.rnd(1, 1000), w.upkeep)
	}
}

// ---- clocks

// boot is the time since boot as the replica's own clock has it.
func (n *simNode) boot() time.Duration { return n.w.now - n.lag }

func (n *simNode) wall() time.Time { return simEpoch.Add(n.w.now + n.w.skew + n.ahead) }

// clockFails: somebody sets the clock of a replica, or its machine is suspended
// and does not notice.
func (w *simWorld) clockFails() {
	n := w.nodes[w.r.IntN(len(w.nodes))]
	if w.r.IntN(3) > 0 {
		n.ahead = w.rnd(0, 2*int(simClockJump/ms)) - simClockJump
		w.log("CLOCK of node%d is %v ahead", n.id, n.ahead)
		w.stats["clock set"]++
		return
	}
	d := w.rnd(300, 6000)
	w.log("SUSPENDED node%d for %v, its boot clock stands", n.id, d)
	w.stats["boot clock stood"]++
	n.paused, n.pausedAt = max(n.paused, w.now+d), w.now
	n.lag += d
	w.pauses = append(w.pauses, n.paused)
	w.stood = append(w.stood, [2]time.Duration{w.now, n.paused})
}

// whileStood: a leader whose boot clock stood knows nothing of its pause, so it
// goes on where it was, and hears of records as late as that.
func (w *simWorld) whileStood(at time.Duration) bool {
	return slices.ContainsFunc(w.stood, func(x [2]time.Duration) bool { return x[0] <= at && at <= x[1]+1500*ms })
}

// simClockJump is how far a clock may be off: minutes, scaled as all times are.
const simClockJump = 20 * time.Second

// ---- a stream that drops messages

// margin is how long before the stream drops an event the guard begins to copy it.
func (w *simWorld) margin() time.Duration { return w.timeout + 7000*ms }

// agesOut lets the stream drop an event when its time is over.
func (w *simWorld) agesOut(e simEvent) {
	w.at(w.maxAge, func() {
		if i := e.seq - 1; !w.quiet && i < len(w.orders) && w.orders[i].uid == e.uid {
			w.drop(i, w.calm(w.margin()))
		}
	})
}

// drop is what the stream does by itself. watched: a leader had the time to copy
// what is owed.
func (w *simWorld) drop(i int, watched bool) {
	if w.orders[i].gone {
		return
	}
	w.orders[i].gone = true
	w.stats["dropped"]++
	e := &w.all[w.orders[i].uid-1]
	e.dropped, e.watched = w.now, watched
	if watched {
		w.stats["dropped under a leader's eyes"]++
	}
	for id := range w.ops { // what is missing where a record catches up from its anchor was never owed
		if strings.Contains(string(w.buckets[BucketOwed].state[simID(id)]), reasonNew) {
			w.toldExpired[id] = true
		}
	}
}

// calm tells whether somebody has led undisturbed for so long.
func (w *simWorld) calm(long time.Duration) bool {
	for _, o := range w.outages {
		if w.now >= o[0] && w.now-o[1] < long {
			return false
		}
	}
	for _, p := range w.pauses {
		if w.now-p < long {
			return false
		}
	}
	return w.led(func(t *simTerm) bool {
		return t.feeding && w.now-t.startedAt >= long && w.now-t.offline >= long && t.core.handover.step == leading && w.now < t.expires()
	})
}

// expires is when the lease of the term is over.
func (t *simTerm) expires() time.Duration { return t.cutAt + t.n.lag }

// beyond is how far the stream's messages have gone of their way.
func (w *simWorld) beyond(fractions []float64) Retention {
	r := Retention{First: uint64(w.first()), Beyond: make([]uint64, len(fractions))}
	if w.maxAge == 0 {
		return r
	}
	ages := []time.Duration{w.maxAge * 3 / 10, w.maxAge / 2, w.maxAge - w.margin() - 500*ms, w.maxAge - w.margin()}
	for i := range fractions {
		r.Beyond[i] = uint64(max(w.seqAt(w.now-ages[min(i, len(ages)-1)]+w.skew), 1) - 1)
	}
	return r
}

// editRetention is what somebody does to the stream, to interest or back to limits.
func (w *simWorld) editRetention(interest bool) {
	w.byInterest = interest
	w.log("STREAM: retention by interest %v", interest)
	w.stats["retention edited"]++
	w.sweep()
}

// upkeep tells the leader whether the stream deletes what is owed.
func (w *simWorld) upkeep() {
	w.at(2000*ms, w.upkeep)
	for _, t := range w.terms() {
		why := ""
		if w.byInterest {
			why = "its retention is by interest"
		}
		t.later(0, func() {
			if why != "" && t.losing == 0 {
				t.losing = w.now
			} else if why == "" {
				t.losing = 0
			}
			t.step(StreamLoses{why})
		})
	}
}

// sweep is retention by interest: what no consumer waits for goes.
func (w *simWorld) sweep() {
	if !w.byInterest {
		return
	}
	low, there := 0, false
	for _, sh := range w.shards {
		for _, c := range sh.cons {
			if !c.gone && (!there || c.floor < low) {
				low, there = c.floor, true
			}
		}
		if sh.keeper > 0 && (!there || sh.keeper <= low) {
			low, there = sh.keeper-1, true
		}
	}
	if !there {
		return
	}
	told := w.led(func(t *simTerm) bool {
		return t.losing > 0 && w.now-t.losing > 1500*ms
	})
	for i := 0; i < low && i < len(w.orders); i++ {
		w.drop(i, told && w.calm(1500*ms) && w.known(w.orders[i].t))
	}
}

// known tells whether the leader knew all that the records said when an event was
// published: what is settled before it knows of a subscription is not kept for it.
func (w *simWorld) known(published time.Duration) bool {
	return w.led(func(t *simTerm) bool {
		for s, ops := range w.ops {
			for _, o := range ops {
				if !t.shard.Has(simID(s)) {
					break
				}
				if o.t <= published && (!t.seenOps[o] || o.visible+o.lag[t.n.id]+50*ms > published) && !o.gone {
					return false
				}
			}
		}
		return true
	})
}

func (t *simTerm) keepFrom(from uint64, done func(error)) {
	t.request(fmt.Sprint("keep from ", from), func() error {
		if t.sh.keeper = int(from); from == noLimit {
			t.sh.keeper = 0
		}
		t.w.sweep()
		return nil
	}, done)
}

// alerted notes what operators are told, so that nothing is lost in silence.
func (w *simWorld) alerted(a Alert) {
	w.stats["alert "+a.Kind]++
	switch a.Kind {
	case AlertExpired:
		w.toldExpired[simSub(a.Subscription)] = true
	case AlertMissed:
		w.toldMissed = true
	}
}

// checkDropped: what the stream has dropped was delivered or copied, if a leader
// could; else somebody was told.
func (w *simWorld) checkDropped(s, g int, e simEvent) {
	switch {
	case e.watched && !w.forgiven(e.t):
		w.violate("loss", "sub%d gen%d never got seq %d (order %d, published %d), which the stream dropped at %d under a leader's eyes", s, g, e.uid, e.order, e.t.Milliseconds(), e.dropped.Milliseconds())
	case !e.watched && w.maxAge > 0 && !w.hearsSubjects(s) && !w.toldExpired[s] && !w.toldMissed && !w.forgiven(e.t):
		w.violate("silence", "sub%d gen%d never got seq %d (order %d, published %d), which the stream dropped at %d, and nobody was told", s, g, e.uid, e.order, e.t.Milliseconds(), e.dropped.Milliseconds())
	}
}

// hearsSubjects: a reader with subject filters cannot tell a hole from what it does not hear.
func (w *simWorld) hearsSubjects(s int) bool {
	for _, o := range w.ops[s] {
		if o.value != nil && len(o.value.Subjects) > 0 {
			return true
		}
	}
	return false
}

// ---- single entries of the bridge's state

const simBroken = "{broken"

// meddleEntry changes or removes one entry of a state bucket.
func (w *simWorld) meddleEntry(b Bucket) {
	x := w.buckets[b]
	keys := sorted(x.state)
	if x.gone || len(keys) == 0 {
		return
	}
	key := keys[w.r.IntN(len(keys))]
	w.stats["entry meddled with"]++
	switch before := x.before[key]; {
	case w.r.IntN(3) == 0 && before != nil:
		w.log("ENTRY %s of %s put back to %s", key, b, before)
		x.state[key] = before
	case w.r.IntN(3) == 0:
		w.log("ENTRY %s of %s overwritten", key, b)
		x.state[key] = []byte(simBroken)
	default:
		w.log("ENTRY %s of %s removed", key, b)
		delete(x.state, key)
	}
	for _, sh := range w.shards {
		x.of(sh).meddled = x.of(sh).meddled || sh.owns(key)
	}
	w.loses(simLoss{at: w.now, entries: true, bucket: b})
}

// mended notes that a leader has written again what somebody had changed.
func (t *simTerm) mended() {
	w := t.w
	for _, l := range w.owedLost {
		x := &t.core.buckets[l.bucket]
		switch {
		case !l.entries || l.until > 0 || !t.core.opened || !t.shard.Has(simID(l.sub)):
		case l.reign != t.reign():
			l.until = w.now // the successor takes it as it is
		case t.noticed[l.bucket] > l.at && x.filling == nil && !x.meddled && !x.fencing:
			l.until, l.covered = w.now, true
			w.stats["entries mended"]++
		}
	}
}
