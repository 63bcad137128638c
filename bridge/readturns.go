package bridge

import (
	"context"
	"sync"
)

// readTurns lets so many readers ask the bus at the same time. Where more want
// to, tenants take turns, and the readers of each come in their order: the past
// of a thousand records of one tenant does not keep another's waiting.
type readTurns struct {
	mu      sync.Mutex
	free    int
	tenants []string // those with somebody that waits, in turn
	waiting map[string][]chan struct{}
}

func newReadTurns(atOnce int) *readTurns {
	return &readTurns{free: atOnce, waiting: map[string][]chan struct{}{}}
}

// await waits for a place; false if the context, which is everybody's, is over.
func (r *readTurns) await(ctx context.Context, tenant string) bool {
	r.mu.Lock()
	if r.free > 0 {
		r.free--
		r.mu.Unlock()
		return true
	}
	turn := make(chan struct{})
	if len(r.waiting[tenant]) == 0 {
		r.tenants = append(r.tenants, tenant)
	}
	r.waiting[tenant] = append(r.waiting[tenant], turn)
	r.mu.Unlock()
	select {
	case <-turn:
		return true
	case <-ctx.Done():
		return false
	}
}

// pass passes the place on.
func (r *readTurns) pass() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.tenants) == 0 {
		r.free++
		return
	}
	tenant := r.tenants[0]
	r.tenants = r.tenants[1:]
	line := r.waiting[tenant]
	close(line[0])
	if line = line[1:]; len(line) > 0 {
		r.waiting[tenant] = line
		r.tenants = append(r.tenants, tenant)
	} else {
		delete(r.waiting, tenant)
	}
}
