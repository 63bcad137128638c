package protocol

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"orderbridge/bridge/event"
)

var (
	simSeeds = flag.Int("sim.seeds", 0, "seeds of the simulation (0: as many as a quick test run allows)")
	simFrom  = flag.Uint64("sim.from", 1, "first seed of the simulation")
	simTrace = flag.Bool("sim.trace", false, "print the trace of each seed that violates a promise")
	simFirst = flag.Bool("sim.first", false, "stop at the first seed that violates a promise")
	simBreak = flag.String("sim.break", "", "switch a rule off, to see what it prevents")
)

// TestSimulation holds the promises over thousands of seeded runs. To see one
// seed again: go test ./bridge/protocol -run TestSimulation -sim.from SEED -sim.seeds 1 -sim.trace
func TestSimulation(t *testing.T) {
	t.Parallel()
	testSeeds(t, 2000, simWorld{mutant: *simBreak}, "takeovers", "graceful", "handed over", "cut", "reopened", "late", "fenced", "dead letters", "redriven", "at rest", "newcomers", "followed", "filtered", "filtered probes", "retried now", "skipped", "paused", "rewound", "replayed delivered")
}

// testSeeds simulates seeds of a world, so many where the flags do not say it,
// and demands that some things have happened.
func testSeeds(t *testing.T, seeds int, how simWorld, musts ...string) {
	t.Helper()
	least := seeds / 10
	if testing.Short() {
		seeds = least
	}
	if *simSeeds > 0 {
		seeds = *simSeeds
	}
	total := map[string]int{}
	failed := 0
	for seed := *simFrom; seed < *simFrom+uint64(seeds); seed++ {
		w := simulateWith(seed, how)
		for k, n := range w.stats {
			if k == "worst repeat ms" {
				total[k] = max(total[k], n)
			} else {
				total[k] += n
			}
		}
		total["events"] += len(w.orders)
		total["deliveries"] += len(w.got)
		total["dead letters"] += len(w.dead)
		if len(w.bad) == 0 {
			continue
		}
		t.Errorf("seed %d: %s", seed, w.bad[0])
		if *simTrace {
			traced := how
			traced.trace = true
			fmt.Fprintln(os.Stderr, strings.Join(simulateWith(seed, traced).lines, "\n"))
		}
		if failed++; failed == 10 || *simFirst {
			t.Fatalf("given up after %d seeds", seed-*simFrom+1)
		}
	}
	t.Logf("seeds %d to %d: %v", *simFrom, *simFrom+uint64(seeds)-1, total)
	for _, must := range musts {
		if total[must] == 0 && seeds >= least && *simBreak == "" {
			t.Errorf("the simulation never came to %q: it proves nothing about it", must)
		}
	}
}

// TestSimulationFindsBrokenRules: the checker must reject what a rule prevents.
func TestSimulationFindsBrokenRules(t *testing.T) {
	t.Parallel()
	for rule, resharding := range map[string]bool{"NoFence": false, "NewWriteIDs": false, "NoIdleCheck": false, "OldIDs": false, "AbsentIsFree": false, "StartAtEnd": false,
		"StartEarly": true, "NoCloseFence": true, "NoLayoutRecheck": true} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			for seed := uint64(1); seed <= 3000; seed++ {
				if w := simulateWith(seed, simWorld{mutant: rule, resharding: resharding}); len(w.bad) > 0 {
					t.Logf("seed %d: %s", seed, w.bad[0])
					return
				}
			}
			t.Errorf("3000 seeds without the rule %s, and no promise was broken", rule)
		})
	}
}

// idle says what keeps the world from being at rest, "" if nothing does.
func (w *simWorld) idle() string {
	if why := w.unsettled(); why != "" {
		return why
	}
	var of []*simTerm
	for _, sh := range w.present() {
		t := w.leader(sh)
		if t == nil {
			return fmt.Sprint("no leader of ", sh.Shard)
		}
		if why := t.idle(); why != "" {
			return why
		}
		of = append(of, t)
	}
	for s := range w.ops {
		if why := of[ShardOf(simID(s), len(of))].idleFor(s); why != "" {
			return why
		}
	}
	for _, t := range of {
		if t.core.running != 0 {
			return fmt.Sprintf("%d running", t.core.running)
		}
	}
	return ""
}

// idle says what keeps a leader from being at rest, beside single subscriptions.
func (t *simTerm) idle() string {
	w, c := t.w, t.core
	if int(c.taken) < w.lastThere() || int(c.taken) > len(w.orders) || len(c.win) != 0 || len(c.pending) != 0 {
		return fmt.Sprintf("feed at %d of %d, window %d", c.taken, len(w.orders), len(c.win))
	}
	atRest := true // one that stands still may keep an event that was read when it came to
	for s := range w.ops {
		_, active, valid, _, _ := w.current(s)
		atRest = atRest && active && valid
	}
	if c.owed != 0 || atRest && c.readBytes != 0 {
		return fmt.Sprintf("owed %d, bytes of readers %d", c.owed, c.readBytes)
	}
	if c.writing() {
		return "writing"
	}
	return ""
}

// idleFor says what keeps one of its subscriptions from being at rest.
func (t *simTerm) idleFor(s int) string {
	w := t.w
	if len(w.ops[s]) == 0 {
		return ""
	}
	_, active, valid, deleted, _ := w.current(s)
	sb := t.core.peek(simID(s))
	owed := ""
	for key := range w.buckets[BucketOwed].state {
		if string(w.buckets[BucketOwed].state[key]) == simBroken || t.leftAlone[key] {
			continue // and if somebody has mended it since, its successor takes it as it is: it tells what is owed
		}
		if key == simID(s) || strings.HasPrefix(key, simID(s)+".") {
			owed = key
		}
	}
	if deleted {
		if owed != "" {
			return fmt.Sprintf("sub%d deleted, %s stays", s, owed)
		}
		return ""
	}
	if sb == nil || sb.busy() || len(sb.revs) > 0 || sb.applied != w.ops[s][len(w.ops[s])-1].rev {
		return fmt.Sprintf("sub%d: record not applied", s)
	}
	var st Status
	simDecode(w.buckets[BucketStatus].state[simID(s)], &st)
	if state, _ := sb.verdict(); st.State != state || st.Revision != sb.applied {
		return fmt.Sprintf("sub%d: status %s of revision %d, is %s of %d", s, st.State, st.Revision, state, sb.applied)
	}
	if !active || !valid {
		return ""
	}
	if sb.mode != live {
		return fmt.Sprintf("sub%d not live: mode %d %+v breaker %v", s, sb.mode, sb.reader, sb.failing())
	}
	if owed != "" && !(owed == simID(s) && t.waitsForEvent(sb)) {
		return fmt.Sprintf("sub%d is live, but %s = %s stays", s, owed, w.buckets[BucketOwed].state[owed])
	}
	if sb.rewinding != nil || sb.replays != nil {
		return fmt.Sprintf("sub%d: being set back %v, replays %v", s, sb.rewinding, sb.replays)
	}
	if len(sb.lanes) > 0 || sb.inFlight != 0 || sb.held != 0 {
		return fmt.Sprintf("sub%d: %d lanes, %d in flight, %d held", s, len(sb.lanes), sb.inFlight, sb.held)
	}
	return ""
}

// waitsForEvent: a mark {live} goes when the floor has passed it (R7), and the floor moves by events only.
// Where the stream has dropped all that the feed had still to bring, the next one that is published moves it.
func (t *simTerm) waitsForEvent(sb *sub) bool {
	return sb.liveMark > t.core.prefix+1 && sb.reader == nil && t.w.lastThere() <= int(t.core.prefix)
}

const simRepeatSlack = 3000 * ms

// check holds the promises: nothing lost, nothing spurious, order per order
// key, no mixed-up generation, repeats only where promise 4 allows them.
func (w *simWorld) check() {
	if r := w.idle(); r != "" {
		w.violate("progress", "%s", r)
		return
	}
	for seq, how := range w.redriven {
		d := w.letters[seq]
		sub := simSub(d.Subscription)
		gen, active, _, deleted, _ := w.current(sub)
		if how == "owed" && active && !deleted && w.genOf(sub, d.Generation) == gen && !w.wasDropped(sub) {
			if len(w.bothLost) > 0 || w.forgiven(0) {
				continue
			}
			w.violate("redrive", "dead letter %d vanished, never sent", seq)
		}
	}
	type key struct{ sub, gen, seq int }
	bySeq := map[key][]*simGot{}
	var keys []key
	for _, g := range w.got {
		if g.target != w.ops[g.sub][g.gen].target {
			w.violate("generation", "sub%d gen%d seq %d sent to target %d", g.sub, g.gen, g.seq, g.target)
		}
		if g.beside {
			continue
		}
		k := key{g.sub, g.gen, g.seq}
		if bySeq[k] == nil {
			keys = append(keys, k)
		}
		bySeq[k] = append(bySeq[k], g)
	}
	for s := range w.ops {
		for g, o := range w.ops[s] {
			if o.kind == "put" && len(w.bad) == 0 {
				w.checkGeneration(s, g)
			}
		}
	}
	for _, k := range keys {
		got := bySeq[k]
		for i, later := range got {
			for _, earlier := range got[:i] {
				if earlier.known != 0 && earlier.known < later.t && !later.stray && len(w.bad) == 0 {
					w.checkRepeat(earlier, later)
				}
			}
		}
	}
}

// wasDropped: a deletion was old enough for its debts to be dropped.
func (w *simWorld) wasDropped(s int) bool {
	for _, o := range w.ops[s] {
		if o.kind == "del" {
			return true
		}
	}
	return false
}

func (w *simWorld) checkRepeat(p, j *simGot) {
	w.stats["repeats"]++
	if w.rewound(p, j) {
		return
	}
	if slices.ContainsFunc(w.bothLost, func(at time.Duration) bool { return p.t < at && at <= j.t }) || w.forgiven(p.t) {
		return
	}
	for _, at := range w.changes { // R15: what was settled between checkpoint and cut is repeated
		if at > p.t-2000*ms && at < j.t {
			return
		}
	}
	if p.reign == j.reign {
		w.violate("repeat", "sub%d gen%d seq %d sent again at %d in the same %v, success known at %d", p.sub, p.gen, p.seq, j.t.Milliseconds(), j.reign, p.known.Milliseconds())
		return
	}
	e := w.ends[p.reign]
	if e.how == "graceful" {
		w.violate("repeat", "sub%d gen%d seq %d sent again at %d after a graceful stop of %v (known %d)", p.sub, p.gen, p.seq, j.t.Milliseconds(), p.reign, p.known.Milliseconds())
		return
	}
	for _, v := range w.outages {
		if p.known > v[0]-1500*ms && p.known < v[1]+1500*ms {
			return
		}
	}
	flush := w.flushAt[p.reign]
	for _, v := range w.pauses {
		if flush >= v && flush < v+2500*ms {
			return
		}
	}
	worst := flush - p.known
	w.stats["worst repeat ms"] = max(w.stats["worst repeat ms"], int(worst.Milliseconds()))
	if worst > simRepeatSlack {
		w.violate("repeat", "sub%d gen%d seq %d sent again at %d; success was known at %d, %d ms before the last flush of %v, which ended by %s at %d",
			p.sub, p.gen, p.seq, j.t.Milliseconds(), p.known.Milliseconds(), worst.Milliseconds(), p.reign, e.how, e.t.Milliseconds())
	}
}

type simInterval struct {
	from, to   int // sequences
	since, end time.Duration
}

func (w *simWorld) checkGeneration(s, g int) {
	h := w.ops[s]
	o := h[g]
	var active []simInterval
	on, deleted := true, false
	from, since := o.pos, o.t
	last := len(h) - 1
	for i := g + 1; i < len(h); i++ {
		x := h[i]
		if x.kind == "put" {
			last = i - 1
			break
		}
		if on && (x.kind == "deact" || x.kind == "del") {
			active = append(active, simInterval{from, x.pos, since, x.t})
			on = false
		}
		if !on && (x.kind == "act" || x.kind == "undel") {
			on, from, since = true, x.pos, x.t
		}
		deleted = x.kind == "del" || deleted && x.kind != "undel"
	}
	if on {
		active = append(active, simInterval{from, 1 << 30, since, 1 << 60})
	}
	const overlap = 2000*ms + 800*ms
	orderKey := func(order int) int {
		if o.ordering == event.OrderingStrict {
			return 0
		}
		return order
	}
	seen, rewinds, lastT := map[int]bool{}, w.rewindsOf(s, g), time.Duration(0)
	lastSeq, lastReign := map[int]int{}, map[int]simReign{}
	newest, final := map[int]int{}, map[int]int{}
	for _, j := range w.got {
		if j.sub != s || j.gen != g || j.beside {
			continue
		}
		e := w.all[j.seq-1]
		if w.filtered[simDead{s, g, j.seq}] {
			w.violate("spurious", "sub%d gen%d got seq %d, which its filter rejects", s, g, j.seq)
			return
		}
		ok := false
		for _, v := range active {
			ok = ok || e.t >= v.since-overlap && e.t <= v.end+overlap
		}
		for _, x := range rewinds {
			ok = ok || x.from <= j.seq && x.asked <= j.t
		}
		if !ok && (w.forgiven(e.t) || w.resurfaced(e, j.t) || w.whileStood(e.t)) {
			continue
		}
		if !ok || o.typ != 0 && e.typ != o.typ-1 {
			w.violate("spurious", "sub%d gen%d got seq %d published at %d, active %v", s, g, j.seq, e.t.Milliseconds(), active)
			return
		}
		if j.stray {
			continue
		}
		unsure := false // whether it was set back
		for _, x := range rewinds {
			unsure = unsure || x.answered == 0 && x.from <= j.seq && x.asked <= j.t
			if x.answered > lastT && x.answered <= j.t { // all from there on comes once more, in order
				for k := range lastSeq {
					lastSeq[k] = min(lastSeq[k], x.from-1)
				}
				for seq := range seen {
					if seq >= x.from {
						delete(seen, seq)
					}
				}
			}
		}
		lastT = j.t
		k := orderKey(j.order)
		newest[k], final[k] = max(newest[k], j.seq), j.seq
		if seen[j.seq] {
			continue
		}
		seen[j.seq] = true
		if w.dead[simDead{s, g, j.seq}] > 0 || unsure {
			continue
		}
		if lastSeq[k] > j.seq && w.resurfaced(e, j.t) {
			continue
		}
		if lastSeq[k] > j.seq && !(o.coalesce && j.reign != lastReign[k]) && !w.forgiven(e.t) && len(w.bothLost) == 0 {
			w.violate("order", "sub%d gen%d key%d: first success of %d after %d (t=%d)", s, g, k, j.seq, lastSeq[k], j.t.Milliseconds())
			return
		}
		if !o.coalesce || lastSeq[k] <= j.seq {
			lastSeq[k], lastReign[k] = j.seq, j.reign
		}
	}
	if o.coalesce && g == len(h)-1 && len(rewinds) == 0 {
		for k := range newest {
			if newest[k] != final[k] && w.dead[simDead{s, g, final[k]}] == 0 {
				if w.resurfaced(w.all[final[k]-1], 1<<60) {
					continue
				}
				w.violate("order", "coalesce: sub%d gen%d key%d ends with %d, newest sent is %d", s, g, k, final[k], newest[k])
				return
			}
		}
	}
	if last != len(h)-1 || !on || deleted {
		return // what a deleted generation still owed was dropped
	}
	for _, x := range rewinds {
		if w.checkRewound(s, g, x); len(w.bad) > 0 {
			return
		}
	}
	for _, j := range w.got {
		if j.sub == s && j.gen == g && !j.beside {
			seen[j.seq] = true
		}
	}
	best := map[int]int{}
	for _, e := range w.all {
		if seen[e.uid] || w.dead[simDead{s, g, e.uid}] > 0 {
			best[orderKey(e.order)] = e.uid
		}
	}
	if o.coalesce { // what was superseded stays so if the newer event then vanishes with its stream
		there := map[int]bool{}
		for _, e := range w.orders {
			there[e.uid] = !e.gone
		}
		for _, e := range w.all {
			if k := orderKey(e.order); !there[e.uid] && (o.typ == 0 || e.typ == o.typ-1) {
				best[k] = max(best[k], e.uid)
			}
		}
	}
	for _, e := range w.orders { // what vanished cannot be delivered any more
		dropped := w.all[e.uid-1].dropped > 0
		if e.gone && !dropped {
			continue
		}
		e.watched, e.dropped = w.all[e.uid-1].watched, w.all[e.uid-1].dropped
		e.seq = e.uid
		must := o.typ == 0 || e.typ == o.typ-1
		in := false
		for _, v := range active {
			in = in || e.seq >= v.from && e.seq < v.to
		}
		if !must || !in || seen[e.seq] || w.filtered[simDead{s, g, e.seq}] || w.dead[simDead{s, g, e.seq}] > 0 && !(e.watched && w.byReference[simDead{s, g, e.seq}]) || o.coalesce && best[orderKey(e.order)] > e.seq {
			continue
		}
		if w.forgiven(e.t) {
			continue
		}
		if dropped {
			w.checkDropped(s, g, e)
			continue
		}
		w.violate("loss", "sub%d gen%d never got seq %d (order %d, published %d)", s, g, e.seq, e.order, e.t.Milliseconds())
		return
	}
}
