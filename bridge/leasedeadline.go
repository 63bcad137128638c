package bridge

import (
	"sync"
	"time"
)

// leaseDeadline cuts attempts when the lease comes to its end (R10); a renewal
// moves the end away.
type leaseDeadline struct {
	clock Clock
	mu    sync.Mutex
	until time.Duration
	timer *time.Timer
	over  bool
	runs  run // the ring of attempts under way begins and ends here
}

func newLeaseDeadline(clock Clock) *leaseDeadline {
	g := &leaseDeadline{clock: clock}
	g.runs.older, g.runs.newer = &g.runs, &g.runs
	return g
}

// begin: an attempt starts at that time since boot. It is cut at once where the
// lease is no longer sure.
func (g *leaseDeadline) begin(r *run, at time.Duration) {
	g.mu.Lock()
	r.older, r.newer = g.runs.older, &g.runs
	r.older.newer, g.runs.older = r, r
	r.lease = g
	over := at >= g.until
	g.mu.Unlock()
	if over {
		r.cancel(errLeaseCut)
	}
}

// passed looks at the clock: is the lease no longer sure?
func (g *leaseDeadline) passed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.clock.Boot() >= g.until
}

// end: the attempt is over.
func (g *leaseDeadline) end(r *run) {
	g.mu.Lock()
	r.older.newer, r.newer.older = r.newer, r.older
	g.mu.Unlock()
}

func (g *leaseDeadline) extend(until time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over || until <= g.until {
		return
	}
	g.until = until
	if g.timer != nil {
		g.timer.Stop()
	}
	g.timer = time.AfterFunc(until-g.clock.Boot(), g.expire)
}

func (g *leaseDeadline) expire() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.clock.Boot() >= g.until {
		g.cut()
	} else if !g.over {
		g.timer = time.AfterFunc(g.until-g.clock.Boot(), g.expire)
	}
}

func (g *leaseDeadline) cut() {
	for r := g.runs.newer; r != &g.runs; r = r.newer {
		r.cancel(errLeaseCut)
	}
}

func (g *leaseDeadline) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.over = true
	g.until = 0
	g.cut()
	if g.timer != nil {
		g.timer.Stop()
	}
}
