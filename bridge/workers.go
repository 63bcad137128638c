package bridge

import (
	"sync"

	"orderbridge/internal/limits"
)

// workers are goroutines that the Router has started for a delivery and that
// wait for another one: their stacks are as large as an attempt needs, which a new
// goroutine's is not (decisions/0036-warm-workers.md). Whoever came last is taken
// first, and those that nobody has needed for a while end.
type workers struct {
	mu    sync.Mutex
	idle  []*worker
	spare int // so many were idle all the time since the last trim
	over  bool
}

// worker is one goroutine.
type worker struct {
	next chan *run // room for one; closed: it ends
}

// wait returns the next attempt for a worker; nil: it ends.
func (x *workers) wait(w *worker) *run {
	x.mu.Lock()
	if x.over || len(x.idle) >= limits.IdleWorkers {
		x.mu.Unlock()
		return nil
	}
	x.idle = append(x.idle, w)
	x.mu.Unlock()
	return <-w.next
}

// give has a worker do an attempt; false if none waits.
func (x *workers) give(r *run) bool {
	x.mu.Lock()
	last := len(x.idle) - 1
	if last < 0 {
		x.mu.Unlock()
		return false
	}
	w := x.idle[last]
	x.idle[last] = nil
	x.idle = x.idle[:last]
	x.spare = min(x.spare, last)
	x.mu.Unlock()
	w.next <- r
	return true
}

// trim ends a part of those that were not needed since it was last called.
func (x *workers) trim() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.end((x.spare + 3) / 4)
	x.spare = len(x.idle)
}

// dismiss ends all.
func (x *workers) dismiss() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.over = true
	x.end(len(x.idle))
}

// end ends n of those that have waited longest.
func (x *workers) end(n int) {
	for i := range n {
		close(x.idle[i].next)
	}
	rest := copy(x.idle, x.idle[n:])
	clear(x.idle[rest:])
	x.idle = x.idle[:rest]
}
