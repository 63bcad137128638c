package bridge

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
)

// commands are those of operators that the machine has not answered yet.
type commands struct {
	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan protocol.Answer
}

func (c *commands) add() (uint64, chan protocol.Answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	answer := make(chan protocol.Answer, 1)
	if c.waiting == nil {
		c.waiting = map[uint64]chan protocol.Answer{}
	}
	c.waiting[c.last] = answer
	return c.last, answer
}

func (c *commands) answer(a protocol.Answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if answer := c.waiting[a.Command]; answer != nil {
		answer <- a
		delete(c.waiting, a.Command)
	}
}

func (c *commands) forget(n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, n)
}

// command gives the leader a command, and waits for its answer.
func (b *seat) command(ctx context.Context, what string, in func(number uint64) protocol.Input) (protocol.Done, error) {
	t := b.term.Load()
	if t == nil {
		return protocol.Done{}, ErrNotLeader
	}
	n, answer := t.commands.add()
	defer t.commands.forget(n)
	t.post(in(n))
	select {
	case a := <-answer:
		return a.Done, a.Err
	case <-t.done:
		return protocol.Done{}, ErrNotLeader
	case <-ctx.Done():
		return protocol.Done{}, fmt.Errorf("%snot confirmed: %w", what, context.Cause(ctx))
	}
}

func (b *seat) stream(ctx context.Context) (protocol.StreamReport, error) {
	t := b.term.Load()
	if t == nil {
		return protocol.StreamReport{}, ErrNotLeader
	}
	type answer struct {
		report protocol.StreamReport
		err    error
	}
	got := make(chan answer, 1)
	t.look(func(c *protocol.Machine) {
		report, err := c.StreamReport()
		got <- answer{report, err}
	})
	select {
	case a := <-got:
		return a.report, a.err
	case <-t.done:
		return protocol.StreamReport{}, ErrNotLeader
	case <-ctx.Done():
		return protocol.StreamReport{}, fmt.Errorf("not confirmed: %w", context.Cause(ctx))
	}
}

func (b *seat) adopt(ctx context.Context, begin Begin) (protocol.Adoption, error) {
	a, err := begin.Adoption(ctx, b.o.Source, b.o.Clock.Now())
	if err != nil {
		return a, err
	}
	_, err = b.command(ctx, "", func(n uint64) protocol.Input { return &protocol.Adopt{Command: n, Adoption: a} })
	return a, err
}

func (b *seat) redrive(ctx context.Context, subscription string, generation, sequence uint64) error {
	d, err := b.o.DeadLetters.Get(ctx, sequence)
	switch {
	case errors.Is(err, protocol.ErrNotFound):
		return fmt.Errorf("there is no dead letter %d: %w", sequence, protocol.ErrNotFound)
	case err != nil:
		return fmt.Errorf("read dead letter %d: %w", sequence, err)
	case d.Subscription != subscription || generation != 0 && d.Generation != generation:
		return fmt.Errorf("dead letter %d belongs to subscription %q, generation %d, not to %q, generation %d",
			sequence, d.Subscription, d.Generation, subscription, generation)
	}
	_, err = b.command(ctx, fmt.Sprintf("redrive dead letter %d: ", sequence),
		func(n uint64) protocol.Input { return &protocol.Redrive{Command: n, Letter: d, Sequence: sequence} })
	return err
}

func (b *seat) retryNow(ctx context.Context, r RetryNow) (protocol.Done, error) {
	in := protocol.RetryNow{Order: r.Order, Subscriptions: []string{r.Subscription}, Named: r.Subscription != ""}
	if !in.Named {
		ids, err := b.waiting(ctx, r.concerns)
		if err != nil {
			return protocol.Done{}, err
		}
		in.Subscriptions = ids
	}
	return b.command(ctx, "retry now: ", func(n uint64) protocol.Input {
		in.Command = n
		return &in
	})
}

// waiting are the subscriptions that want says yes to, without those that wait for nothing.
func (b *seat) waiting(ctx context.Context, want func(*record.Subscription) bool) ([]string, error) {
	t := b.term.Load()
	if t == nil {
		return nil, ErrNotLeader
	}
	got := make(chan []string, 1)
	t.look(func(c *protocol.Machine) { got <- c.Waiting(want) })
	select {
	case ids := <-got:
		return ids, nil
	case <-t.done:
		return nil, ErrNotLeader
	case <-ctx.Done():
		return nil, fmt.Errorf("not confirmed: %w", context.Cause(ctx))
	}
}
