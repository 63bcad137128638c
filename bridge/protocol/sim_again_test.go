package protocol

import (
	"slices"
	"sort"
	"time"
)

// What operators have sent again, in the simulation: rewinds, replays, and several
// dead letters of one order.

// simRewind is a rewind that a leader was asked for.
type simRewind struct {
	sub, gen        int
	from, to        int           // uids: of the first event and of the last one that had been heard
	asked, answered time.Duration // answered 0: it may be done, or not
}

// sendAgain is what somebody asks a leader for.
func (w *simWorld) sendAgain() {
	terms := w.terms()
	if len(terms) == 0 {
		return
	}
	t := terms[w.r.IntN(len(terms))]
	s := w.r.IntN(len(w.ops))
	what := []func(*simTerm, int){w.rewind, w.redriveOrder, w.replay, w.replay}[w.r.IntN(4)]
	if len(w.ops[s]) > 0 && t.shard.Has(simID(s)) {
		t.later(0, func() { what(t, s) })
	}
}

func (w *simWorld) rewind(t *simTerm, s int) {
	sub, last := t.core.peek(simID(s)), int(t.core.position())
	if sub == nil || last == 0 || last > len(w.orders) {
		return
	}
	from := max(1, last-w.r.IntN(20))
	x := &simRewind{sub: s, gen: w.genOf(s, sub.gen), from: w.orders[from-1].uid, to: w.orders[last-1].uid, asked: w.now}
	w.rewinds = append(w.rewinds, x)
	w.log("REWIND sub%d to %d", s, from)
	n := t.command(func(a Answer) {
		w.log("   rewind of sub%d: %v", s, a.Err)
		if a.Err != nil {
			w.rewinds = slices.DeleteFunc(w.rewinds, func(y *simRewind) bool { return x == y })
			return
		}
		x.answered = w.now
		w.stats["rewound"]++
	})
	t.step(Rewind{n, simID(s), uint64(from)})
}

// redriveOrder puts all letters of one order back, in any sequence.
func (w *simWorld) redriveOrder(t *simTerm, s int) {
	lines := map[string][]uint64{}
	for seq, d := range w.letters {
		if d.Subscription == simID(s) {
			lines[d.Key] = append(lines[d.Key], seq)
		}
	}
	keys := sorted(lines)
	if len(keys) == 0 {
		return
	}
	line := lines[keys[w.r.IntN(len(keys))]]
	sort.Slice(line, func(i, j int) bool { return line[i] < line[j] })
	for _, i := range w.r.Perm(len(line)) {
		w.redriveLetter(t, line[i])
	}
}

// replay asks for attempts of what the subscription has heard.
func (w *simWorld) replay(t *simTerm, s int) {
	rec, gen, why := t.core.Replayable(simID(s))
	heard := min(int(t.core.Heard(simID(s))), len(w.orders))
	if rec == nil || why != "" || heard == 0 {
		return
	}
	for range 1 + w.r.IntN(5) {
		seq := heard - w.r.IntN(min(heard, 20))
		ev := w.event(seq)
		if w.orders[seq-1].gone || !rec.MatchesEvent(ev) {
			continue
		}
		w.log("REPLAY sub%d %d", s, seq)
		n := uint64(len(t.replays) + 1)
		if t.replays == nil {
			t.replays = map[uint64]bool{}
		}
		t.replays[n] = true
		t.step(&ReplayAttempt{Command: n, Replay: "replay", Subscription: simID(s), Generation: gen, Event: ev, Attempt: 1, NewID: w.r.IntN(2) == 0})
	}
	if w.r.IntN(4) == 0 {
		t.step(EndReplay{simID(s), "replay"})
	}
}

func (t *simTerm) replayed(out ReplayAttempted) {
	if !t.replays[out.Command] {
		t.w.violate("replay", "attempt %d is answered, and nothing was asked for", out.Command)
	}
	t.replays[out.Command] = false
	t.w.stats["replayed "+out.Outcome.Verdict.String()]++
}

// checkAgain holds what is said of an attempt of something that is sent again when it starts.
func (t *simTerm) checkAgain(a *attempt) {
	s := a.lane.sub
	if a.replay != nil {
		running := 0
		for x := range t.running {
			if x.replay != nil && x.lane.sub == s {
				running++
			}
		}
		if s.failing() || a.probe || running > max(1, s.rec.MaxInFlight/4) {
			t.w.violate("replay", "%s: attempt of %d starts, failing %v, with %d others", s.id, a.Seq, s.failing(), running)
		}
	}
	if a.DeadLetter == 0 {
		return
	}
	key := t.w.letters[a.DeadLetter].Key
	for _, x := range s.lanes {
		if x == a.lane || x.redrive == 0 || len(x.q) == 0 || t.w.letters[x.redrive].Key != key {
			continue
		}
		if x.q[0].seq < a.Seq || t.running != nil && x.run != nil && !x.run.burial {
			t.w.violate("letters", "%s: letter %d (event %d) is sent before letter %d (event %d)", s.id, a.DeadLetter, a.Seq, x.redrive, x.q[0].seq)
		}
	}
}

// rewound tells whether a rewind lets what was sent before be sent again.
func (w *simWorld) rewound(before, again *simGot) bool {
	return slices.ContainsFunc(w.rewinds, func(x *simRewind) bool {
		return x.sub == again.sub && x.gen == again.gen && x.from <= again.seq && x.asked <= again.t && (x.answered == 0 || before.t <= x.answered)
	})
}

// of are the rewinds of a generation.
func (w *simWorld) rewindsOf(s, g int) (list []*simRewind) {
	for _, x := range w.rewinds {
		if x.sub == s && x.gen == g {
			list = append(list, x)
		}
	}
	return list
}

// checkRewound: everything from there on was sent once more.
func (w *simWorld) checkRewound(s, g int, x *simRewind) {
	o := w.ops[s][g]
	if x.answered == 0 || o.coalesce || len(w.changes) > 0 || len(w.bothLost) > 0 || w.forgiven(0) ||
		slices.ContainsFunc(w.statusLost, func(at time.Duration) bool { return x.asked <= at }) { // with it who is of which generation
		return
	}
	sent := map[int]bool{}
	for _, j := range w.got {
		if j.sub == s && j.gen == g && !j.beside && j.t >= x.asked {
			sent[j.seq] = true
		}
	}
	for _, e := range w.orders {
		k := simDead{s, g, e.uid}
		if e.uid < x.from || e.uid > x.to || e.gone || o.typ != 0 && e.typ != o.typ-1 || sent[e.uid] || w.filtered[k] || w.dead[k] > 0 {
			continue
		}
		w.violate("rewind", "sub%d gen%d was set back to %d at %d, and never got seq %d again", s, g, x.from, x.asked.Milliseconds(), e.uid)
		return
	}
}
