package bridge

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"orderbridge/bridge/flight"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

// The flight recorder of a term, and what becomes of a term whose machine panics.

// errPanicked ends such a term. Nothing is settled by it: no message of the feed
// is acknowledged, attempts are cut, the lease is not freed. It passes as after
// a crash, and this replica waits for it like any other (Run), so a machine that
// panics at the same input again does so once in the time of a lease.
var errPanicked = errors.New("the machine panicked")

// recovered is deferred by the goroutine of the machine.
func (t *term) recovered() {
	x := recover()
	if x == nil {
		return
	}
	t.finished = true // and the machine is not looked at any more
	t.cause = fmt.Errorf("%w: %v", errPanicked, x)
	t.logger.Error("the machine panicked: the term ends, nothing is settled by it", "epoch", t.start.Won.Entry.Epoch, "panic", fmt.Sprint(x),
		"stack", string(debug.Stack()))
}

// keepTrace writes what the recorder has kept to a file if the term did not end
// as terms do: by a stop, by the lease, or by a stream that has changed.
func (t *term) keepTrace() {
	if t.cause == nil || errors.Is(t.cause, protocol.ErrDeposed) || errors.Is(t.cause, protocol.ErrLeaseOver) ||
		errors.Is(t.cause, protocol.ErrStreamChanged) {
		return
	}
	now := t.b.o.Clock.Boot()
	if last := t.b.traced; last > 0 && now-last < limits.TraceInterval {
		t.logger.Warn("no trace of the term is written: the last one is less than a minute old", "epoch", t.start.Won.Entry.Epoch)
		return
	}
	t.b.traced = now
	if path, err := t.b.writeTrace(t.trace(t.cause.Error())); err != nil {
		t.logger.Warn("the trace of the term could not be written", "error", err)
	} else if path != "" {
		t.cause = fmt.Errorf("%w (trace: %s)", t.cause, path)
	}
}

// trace is for the goroutine of the machine, or after its end.
func (t *term) trace(why string) *flight.Trace {
	return t.recorder.Trace(t.b.o.Build, t.b.o.Clock.Now(), why)
}

func (b *seat) writeTrace(t *flight.Trace) (path string, err error) {
	if b.o.TraceDir == "" {
		return "", nil
	}
	path, err = t.WriteFile(b.o.TraceDir)
	if err == nil {
		b.logger.Warn("trace written: `orderbridge debug trace` shows it", "file", path, "epoch", t.Head.Epoch, "reason", t.Head.Why)
	}
	return path, err
}

// writeTrace writes what the recorder has kept to a file, and returns its path.
func (t *term) writeTrace(ctx context.Context) (path string, err error) {
	got := make(chan *flight.Trace, 1)
	t.look(func(*protocol.Machine) { got <- t.trace("somebody asked for it") })
	select {
	case trace := <-got:
		return t.b.writeTrace(trace)
	case <-t.done:
		return "", ErrNotLeader
	case <-ctx.Done():
		return "", fmt.Errorf("write trace: %w", context.Cause(ctx))
	}
}
