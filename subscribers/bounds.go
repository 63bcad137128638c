package subscribers

import (
	"context"
	"sync"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

// bounds asks for the ends of the stream. Calls that come while a request is
// under way share the next one: an answer is never older than its question.
type bounds struct {
	read func(context.Context) (view, error)

	mu   sync.Mutex
	busy bool
	next *boundsCall
}

// view is what the leader says of the stream's ends.
type view struct {
	first, last uint64
	settled     bool // no former leader can answer: what is not found is not there
	state       protocol.StreamState
}

func (v view) lastRef() event.Ref { return event.Ref{Seq: v.last, Time: v.state.LastTime} }

type boundsCall struct {
	done chan struct{}
	view
	err error
}

func (b *bounds) get(ctx context.Context) (view, error) {
	b.mu.Lock()
	if !b.busy {
		b.busy = true
		b.mu.Unlock()
		v, err := b.read(ctx)
		b.pass()
		return v, err
	}
	if b.next == nil {
		b.next = &boundsCall{done: make(chan struct{})}
	}
	c := b.next
	b.mu.Unlock()
	select {
	case <-c.done:
		return c.view, c.err
	case <-ctx.Done():
		return view{}, ctx.Err()
	}
}

// pass serves those who came meanwhile, with a request of its own.
func (b *bounds) pass() {
	b.mu.Lock()
	c := b.next
	b.next = nil
	if c == nil {
		b.busy = false
	}
	b.mu.Unlock()
	if c == nil {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), limits.JetStreamTime)
		defer cancel()
		c.view, c.err = b.read(ctx)
		close(c.done)
		b.pass()
	}()
}
