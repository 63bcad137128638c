package filter

import (
	"context"
	"sync"
)

// turns lets a few evaluations run at once and the others wait. Whose turn it
// is goes round: first over the tenants that wait, within a tenant over its
// subscriptions, within one in the order of coming. So whoever asks for much
// waits alone.
type turns struct {
	mu      sync.Mutex
	free    int
	tenants round[*crowd]
	byName  map[string]*crowd
}

// crowd is the waiting ones of a tenant.
type crowd struct {
	name   string
	subs   round[*queue]
	byName map[string]*queue
}

type queue struct {
	name    string
	waiting []*waiter
}

type waiter struct {
	turn    chan struct{}
	granted bool
	gone    bool
}

// round is a ring of those who wait.
type round[T any] struct {
	list []T
	at   int
}

func (r *round[T]) add(v T) { r.list = append(r.list, v) }

// next is the one whose turn it is.
func (r *round[T]) next() T { return r.list[r.at] }

// pass gives the turn to the one behind; out takes the present one out.
func (r *round[T]) pass(out bool) {
	if out {
		r.list = append(r.list[:r.at], r.list[r.at+1:]...)
	} else {
		r.at++
	}
	if r.at >= len(r.list) {
		r.at = 0
	}
}

// await waits for a turn; the error is the context's.
func (t *turns) await(ctx context.Context, tenant, subscription string) error {
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return nil
	}
	w := t.enqueue(tenant, subscription)
	t.mu.Unlock()
	select {
	case <-w.turn:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if w.granted {
		t.pass()
	}
	w.gone = true
	return ctx.Err()
}

func (t *turns) enqueue(tenant, subscription string) *waiter {
	l := t.byName[tenant]
	if l == nil {
		l = &crowd{name: tenant, byName: map[string]*queue{}}
		if t.byName == nil {
			t.byName = map[string]*crowd{}
		}
		t.byName[tenant] = l
		t.tenants.add(l)
	}
	q := l.byName[subscription]
	if q == nil {
		q = &queue{name: subscription}
		l.byName[subscription] = q
		l.subs.add(q)
	}
	w := &waiter{turn: make(chan struct{})}
	q.waiting = append(q.waiting, w)
	return w
}

// done gives a turn back.
func (t *turns) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pass()
}

// pass gives a turn to the next who waits and has not gone.
func (t *turns) pass() {
	for len(t.tenants.list) > 0 {
		l := t.tenants.next()
		q := l.subs.next()
		w := q.waiting[0]
		q.waiting = q.waiting[1:]
		if len(q.waiting) == 0 {
			delete(l.byName, q.name)
		}
		l.subs.pass(len(q.waiting) == 0)
		if len(l.subs.list) == 0 {
			delete(t.byName, l.name)
		}
		t.tenants.pass(len(l.subs.list) == 0)
		if !w.gone {
			w.granted = true
			close(w.turn)
			return
		}
	}
	t.free++
}
