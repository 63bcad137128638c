package protocol

import (
	"fmt"
	"strings"
	"testing"
)

// TestReshardSimulation is TestSimulation where there are several shards, whose
// number changes.
func TestReshardSimulation(t *testing.T) {
	t.Parallel()
	testSeeds(t, 250, simWorld{mutant: *simBreak, resharding: true}, "takeovers", "graceful", "handed over", "closed", "resharding", "resharded",
		"given up", "late", "dead letters")
}

// reshards lets an operator change the number of shards until the end, and the
// layout come to grief.
func (w *simWorld) reshards(end int) {
	var again func()
	again = func() {
		if w.quiet {
			return
		}
		w.reshard(1 + w.r.IntN(4))
		w.at(w.rnd(100, 2500), again)
	}
	w.at(w.rnd(300, 3000), again)
	if w.meddling {
		w.at(w.rnd(500, end), func() {
			w.log("LAYOUT deleted")
			w.stats["layout deleted"]++
			w.layout = simLayoutKey{absent: true, rev: w.layout.rev + 1}
		})
	}
}

// strike lets something befall the bridge at a moment that matters.
func (w *simWorld) strike() {
	if !w.p(0.3) {
		return
	}
	w.at(w.rnd(0, 400), func() {
		switch terms := w.terms(); {
		case w.quiet || len(terms) == 0:
		case w.meddling && w.r.IntN(2) == 0:
			w.meddle()
		case w.r.IntN(3) == 0:
			w.graceful(terms[w.r.IntN(len(terms))])
		case w.r.IntN(2) == 0:
			for _, n := range w.nodes {
				n.crash(w.rnd(50, 2000))
			}
		default:
			terms[w.r.IntN(len(terms))].n.crash(w.rnd(50, 2000))
		}
	})
}

// unsettled says what of the layout is not done.
func (w *simWorld) unsettled() string {
	switch l := w.layout; {
	case !w.resharding:
	case l.absent:
		return "no layout"
	case !l.Done || l.Want != 0, w.anyBefore(l.Generation):
		var leases []string
		for _, sh := range w.shards {
			leases = append(leases, fmt.Sprintf("%v closed %v own %v leading %v floor %d; ", sh.Shard, sh.lease.Closed, sh.lease.Own, sh.lease.Leading, sh.lease.Floor))
		}
		for _, n := range w.nodes {
			leases = append(leases, fmt.Sprintf("node%d asking %d deaf %v paused %v down %v layout %+v;", n.id, n.asking, n.deaf, n.paused, n.down, n.layout))
		}
		return fmt.Sprintf("the layout is %+v: %s", l.Layout, strings.Join(leases, ""))
	}
	return ""
}

// checkAlone: who starts an attempt leads, by its own clock and by what is on the
// bus, and nobody else does for that subscription.
func (t *simTerm) checkAlone(sub int) {
	w := t.w
	if w.clocks {
		return // a clock that stood knows nothing of it
	}
	if !t.sh.leadBy(t) {
		w.violate("two", "sub%d: %v starts an attempt at %d, though it does not lead any more", sub, t, w.now.Milliseconds())
		return
	}
	for _, x := range w.terms() {
		if x != t && x.shard.Has(simID(sub)) && x.core.canSend() && x.n.paused <= w.now && w.now < x.expires() {
			w.violate("two", "sub%d: %v starts an attempt at %d, and %v may as well", sub, t, w.now.Milliseconds(), x)
			return
		}
	}
}
