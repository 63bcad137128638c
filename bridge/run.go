package bridge

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"orderbridge/bridge/protocol"
)

// run is one attempt under way, its message, and the context of that message:
// one allocation for all of it. It is never used again, since somebody may hold the
// context for longer than the attempt lasts.
//
// The context starts no timer unless somebody waits for its end: a connection
// has the deadline itself, and is told of what comes before by OnCut.
type run struct {
	attempt *protocol.StartAttempt
	message message.Message
	outcome *protocol.Outcome // only the handler's goroutine touches it
	status  int32             // of a success, likewise
	read    bool              // the event was read for it
	trace   *Trace            // under which it is told; nil: none

	noting *noting // for the delivery log; nil: there is none

	deadline time.Time

	lease        *leaseDeadline // nil: no lease bounds it
	older, newer *run           // in its ring

	mu    sync.Mutex
	err   error         // why it is over; nil: it is not
	cut   func()        // of OnCut
	done  chan struct{} // nil: nobody has asked for it
	timer *time.Timer   // nil: nobody waits
	after []*func()     // of AfterFunc
}

var _ context.Context = (*run)(nil)

// errLeaseCut is how the context of an attempt ends with the lease.
var errLeaseCut error = leaseCut{}

type leaseCut struct{}

func (leaseCut) Error() string { return ErrCut.Error() }

func (leaseCut) Is(target error) bool { return target == ErrCut || target == context.Canceled }

func newRun(a *protocol.StartAttempt, deadline time.Time) *run {
	return &run{attempt: a, deadline: deadline}
}

// addressed makes the message, once the event is there. It has no channels that
// tell of its Ack: what became of it comes back by Settle.
func (r *run) addressed() {
	d := &r.attempt.Delivery
	r.message.UUID, r.message.Payload = d.KeepID(), d.Event.Data
	r.message.SetContext(r)
}

type runKey struct{}

func runOf(ctx context.Context) *run {
	r, _ := ctx.Value(runKey{}).(*run)
	return r
}

// MayBegin is the last look before a request is sent: publishers take it right
// before they write the first byte. It looks at the clock of the lease, since a
// process that was stopped, or slept, goes on before its timers do (R10). The
// error is why the attempt of ctx must not be sent, and ctx has ended with it:
// ErrCut where the lease is over.
func MayBegin(ctx context.Context) error {
	r := runOf(ctx)
	if r == nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return nil
	}
	if r.lease != nil && r.lease.passed() {
		r.cancel(errLeaseCut)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Deadline implements context.Context.
func (r *run) Deadline() (time.Time, bool) { return r.deadline, true }

// Value implements context.Context: the delivery and its run.
func (r *run) Value(key any) any {
	switch key.(type) {
	case deliveryKey:
		return &r.attempt.Delivery
	case runKey:
		return r
	case exchangeKey:
		if r.noting != nil {
			return &r.noting.exchange
		}
	}
	return nil
}

// Err implements context.Context. After the end of the lease it is both ErrCut
// and context.Canceled.
func (r *run) Err() error {
	r.mu.Lock()
	err := r.err
	r.mu.Unlock()
	if err != nil || time.Now().Before(r.deadline) {
		return err
	}
	r.cancel(context.DeadlineExceeded)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Done implements context.Context.
func (r *run) Done() <-chan struct{} {
	_ = r.Err() // looks at the time
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.done != nil:
	case r.err != nil:
		r.done = closed
	default:
		r.done = make(chan struct{})
		r.watchTime()
	}
	return r.done
}

// AfterFunc makes contexts that are derived from this one need no goroutine: see
// context.AfterFunc, which calls it.
func (r *run) AfterFunc(f func()) (stop func() bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		go f()
		return func() bool { return false }
	}
	entry := &f
	r.after = append(r.after, entry)
	r.watchTime()
	return func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for i, x := range r.after {
			if x == entry {
				r.after = append(r.after[:i], r.after[i+1:]...)
				return true
			}
		}
		return false
	}
}

// OnCut has f called when the attempt is cut off before its deadline; f must not
// block. There is one f at a time: nil takes it back. False: the attempt was cut
// already; then f is not called, and the one before was, or is about to be.
func (r *run) OnCut(f func()) (uncut bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return false
	}
	r.cut = f
	return true
}

func (r *run) watchTime() {
	if r.timer == nil {
		r.timer = time.AfterFunc(time.Until(r.deadline), func() { r.cancel(context.DeadlineExceeded) })
	}
}

// cancel ends the context.
func (r *run) cancel(why error) {
	r.mu.Lock()
	if r.err != nil {
		r.mu.Unlock()
		return
	}
	r.err = why
	cut, after := r.cut, r.after
	r.cut, r.after = nil, nil
	if r.timer != nil {
		r.timer.Stop()
	}
	if r.done != nil {
		close(r.done)
	}
	r.mu.Unlock()
	if cut != nil && !errors.Is(why, context.DeadlineExceeded) {
		cut()
	}
	for _, f := range after {
		go (*f)()
	}
}
