// Package share divides a bounded number of places among those who ask for
// them, so that nobody who takes many keeps others out.
package share

import (
	"context"
	"sync"
)

// Pool has a fixed number of places. A key may take one as long as it holds
// fewer than are free: one key alone gets half of them, two get a third each, and
// whoever comes next always finds as many free as each of the others has. Safe for
// concurrent use.
type Pool[K comparable] struct {
	mu    sync.Mutex
	free  int
	taken map[K]int
	given chan struct{} // closed when a place is given back
}

// New returns a Pool of so many places.
func New[K comparable](places int) *Pool[K] {
	return &Pool[K]{free: places, taken: map[K]int{}, given: make(chan struct{})}
}

// Take takes a place for the key; false if it holds its share. give returns the
// place, once however often it is called.
func (p *Pool[K]) Take(key K) (give func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken[key] >= p.free {
		return nil, false
	}
	p.free--
	p.taken[key]++
	return sync.OnceFunc(func() { p.give(key) }), true
}

// Wait is Take that waits for a place until ctx ends.
func (p *Pool[K]) Wait(ctx context.Context, key K) (give func(), ok bool) {
	for {
		p.mu.Lock()
		given := p.given
		p.mu.Unlock()
		if give, ok = p.Take(key); ok {
			return give, true
		}
		select {
		case <-given:
		case <-ctx.Done():
			return nil, false
		}
	}
}

func (p *Pool[K]) give(key K) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free++
	if p.taken[key]--; p.taken[key] == 0 {
		delete(p.taken, key)
	}
	close(p.given)
	p.given = make(chan struct{})
}
