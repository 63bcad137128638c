package store

import (
	"context"
	"sync"
)

// progress is how far a watch of a bucket has told what is in it. Safe for
// concurrent use.
type progress struct {
	mu      sync.Mutex
	created int64  // of the bucket, Unix nanoseconds; 0: nothing was told yet
	seen    uint64 // all up to here was told
	moved   chan struct{}
}

// begin says that a bucket is told from its beginning.
func (p *progress) begin(created int64) { p.set(func() { p.created, p.seen = created, 0 }) }

// reach says that all up to the sequence was told.
func (p *progress) reach(seq uint64) { p.set(func() { p.seen = max(p.seen, seq) }) }

func (p *progress) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	if p.moved != nil { // somebody waits
		close(p.moved)
		p.moved = nil
	}
}

// await waits until all up to the sequence was told of the bucket that was made then.
func (p *progress) await(ctx context.Context, created int64, seq uint64) error {
	for {
		p.mu.Lock()
		done := p.created == created && p.seen >= seq
		if !done && p.moved == nil {
			p.moved = make(chan struct{})
		}
		moved := p.moved
		p.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
