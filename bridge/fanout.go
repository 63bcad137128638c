package bridge

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

// fanOut is a Watermill Subscriber that decorates the feed: it takes events
// and gives deliveries, one message for each that may run now. Its middleware
// Settle, the outermost of the router, takes back what became of each. When an
// event's last delivery is settled, fanOut acks the event. Which delivery runs
// when is decided by the core.
type fanOut struct {
	t     *term
	out   chan *message.Message
	tasks sync.WaitGroup
}

// Subscribe returns the deliveries; there is one topic, whatever its name. The
// feed itself is subscribed when the core opens it. The channel is closed when
// the term is over.
func (f *fanOut) Subscribe(context.Context, string) (<-chan *message.Message, error) {
	return f.out, nil
}

// Close does nothing: the term ends the fan-out.
func (f *fanOut) Close() error { return nil }

// forward feeds the core: it decodes and matches events beside it, in order.
func (f *fanOut) forward(events <-chan *message.Message) {
	t := f.t
	for m := range events {
		src := SourceOf(m.Context())
		if src == nil {
			src = &event.Message{Data: m.Payload}
		}
		ev := t.b.o.Decoder.Decode(src)
		matches, version := t.core.Directory.Match(ev, nil)
		t.post(&protocol.EventTaken{Event: ev, Matches: matches, Version: version, Tag: t.unsettled.add(m)})
	}
}

type runKey struct{}

// run is one attempt under way.
type run struct {
	attempt *protocol.StartAttempt
	cancel  context.CancelFunc
	outcome *protocol.Outcome // only the handler's goroutine touches it
	status  int               // of a success, likewise
}

func runOf(ctx context.Context) *run {
	r, _ := ctx.Value(runKey{}).(*run)
	return r
}

// report tells the fan-out what became of the delivery whose message has this
// context, other than that it was delivered. Whoever reports acks the message:
// the debt passes to the ledger.
func report(ctx context.Context, o protocol.Outcome) {
	if r := runOf(ctx); r != nil {
		r.outcome = &o
	}
}

// Answered tells the fan-out with which status the endpoint took the delivery.
func Answered(ctx context.Context, status int) {
	if r := runOf(ctx); r != nil {
		r.status = status
	}
}

// Reported is what was reported, Delivered if nothing was.
func Reported(ctx context.Context) protocol.Outcome {
	switch r := runOf(ctx); {
	case r == nil:
		return protocol.Outcome{Verdict: protocol.Delivered}
	case r.outcome != nil:
		return *r.outcome
	default:
		return protocol.Outcome{Verdict: protocol.Delivered, Status: r.status}
	}
}

// Settle is the middleware through which deliveries come back to the core.
// Outermost, so that nothing in between can lose one.
func (f *fanOut) Settle(next message.HandlerFunc) message.HandlerFunc {
	return func(m *message.Message) ([]*message.Message, error) {
		produced, err := next(m)
		o := Reported(m.Context())
		if err != nil && o.Verdict == protocol.Delivered {
			o = protocol.Outcome{Verdict: protocol.Retry, Reason: "the handler failed: " + err.Error()}
		}
		f.end(runOf(m.Context()), o)
		return produced, err
	}
}

// attempt makes a message of a delivery. The message's context ends with the
// time that the record gives an attempt, or that of the lease (R10).
func (f *fanOut) attempt(a *protocol.StartAttempt) *run {
	timeout := a.Delivery.Subscription.AttemptTimeout()
	if a.Delivery.Event == nil {
		timeout += limits.TermCallTime // to read it
	}
	ctx, cancel := context.WithTimeout(f.t.deadline.context(), timeout)
	r := &run{attempt: a, cancel: cancel}
	f.tasks.Add(1)
	if a.Delivery.Event != nil && !filtered(&a.Delivery) && a.Delivery.Subscription.Refusal(a.Delivery.Event) == "" {
		select {
		case f.out <- f.message(ctx, r):
			return r
		default: // the router is busy: somebody else waits for it
		}
	}
	go f.prepare(ctx, r)
	return r
}

// end brings an attempt back to the core.
func (f *fanOut) end(r *run, o protocol.Outcome) {
	r.cancel()
	d := &r.attempt.Delivery
	f.t.post(&protocol.AttemptEnded{Attempt: r.attempt.Attempt, Outcome: o, Event: d.Event, Known: d.Known})
	f.tasks.Done()
}

func (f *fanOut) message(ctx context.Context, r *run) *message.Message {
	d := &r.attempt.Delivery
	m := message.NewMessage(d.KeepID(), d.Event.Data)
	m.SetContext(context.WithValue(WithDelivery(ctx, d), runKey{}, r))
	return m
}

// prepare does what may take time before the router has the message: it reads
// the event and evaluates the filter.
func (f *fanOut) prepare(ctx context.Context, r *run) {
	t := f.t
	d := &r.attempt.Delivery
	if d.Event == nil {
		ev, err := t.fetch(ctx, r.attempt)
		if err != nil {
			if ctx.Err() != nil {
				err = ErrCut
			}
			f.end(r, Judge(err, d.Subscription.PerOrderURL()))
			return
		}
		d.Event = ev
		t.post(protocol.AttemptWeighed{Attempt: r.attempt.Attempt, Bytes: ev.Weight()})
	}
	if d.Event.Not != "" { // a former build held it
		f.end(r, protocol.Outcome{Verdict: protocol.Filtered})
		return
	}
	if why := d.Subscription.Refusal(d.Event); why != "" {
		f.end(r, Judge(&AttemptError{Fault: FaultRender, Reason: why}, false))
		return
	}
	wanted, err := t.wants(ctx, d)
	switch {
	case err != nil:
		f.end(r, Judge(err, false))
		return
	case !wanted:
		f.end(r, protocol.Outcome{Verdict: protocol.Filtered})
		return
	}
	select {
	case f.out <- f.message(ctx, r):
	case <-ctx.Done():
		f.end(r, Judge(ErrCut, false))
	}
}

func filtered(d *protocol.Delivery) bool {
	return d.Subscription.More != nil && d.Subscription.More.Filter != ""
}

// wants evaluates the filter of the delivery's subscription.
func (t *term) wants(ctx context.Context, d *protocol.Delivery) (bool, error) {
	if !filtered(d) {
		return true, nil
	}
	wanted, err := t.b.o.Filter.Wants(WithDelivery(ctx, d), d.Subscription.More.Filter, d.Event)
	switch {
	case err == nil:
		return wanted, nil
	case ctx.Err() != nil:
		return false, ErrCut
	}
	return false, err
}

// fetch reads the event of a delivery that is not in memory.
func (t *term) fetch(ctx context.Context, a *protocol.StartAttempt) (*event.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.TermCallTime)
	defer cancel()
	if a.DeadLetter > 0 {
		letter, err := t.b.o.DeadLetters.Get(ctx, a.DeadLetter)
		switch {
		case errors.Is(err, protocol.ErrNotFound):
			return nil, &AttemptError{Fault: FaultExpired, Reason: "the dead letter is gone", Err: err}
		case err != nil:
			return nil, &AttemptError{Fault: FaultSource, Reason: "the dead letter cannot be read now: " + err.Error(),
				Err: err}
		case letter.Event != nil:
			a.Delivery.Known = letter.KnownID()
			return t.b.o.Decoder.Redriven(letter.Event, letter.Stream), nil
		}
	}
	m, err := t.get(ctx, a.Message, a.Top)
	switch {
	case errors.Is(err, protocol.ErrNotFound):
		return nil, &AttemptError{Fault: FaultExpired, Reason: protocol.ReasonRemoved, Err: err}
	case err != nil:
		return nil, &AttemptError{Fault: FaultSource, Reason: "the event cannot be read now: " + err.Error(), Err: err}
	}
	return t.b.o.Decoder.Decode(m), nil
}

// leaseDeadline cuts attempts when the lease comes to its end (R10); a renewal moves
// the end away.
type leaseDeadline struct {
	clock Clock
	mu    sync.Mutex
	until time.Duration
	ctx   context.Context
	cut   context.CancelCauseFunc
	timer *time.Timer
	over  bool
}

func newLeaseDeadline(clock Clock) *leaseDeadline {
	g := &leaseDeadline{clock: clock}
	g.ctx, g.cut = context.WithCancelCause(context.Background())
	return g
}

// context is that of an attempt which starts now: cancelled with ErrCut when
// the lease is no longer sure.
func (g *leaseDeadline) context() context.Context {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.clock.Boot() >= g.until {
		g.cut(ErrCut)
	}
	return g.ctx
}

func (g *leaseDeadline) extend(until time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over || until <= g.until {
		return
	}
	g.until = until
	if g.ctx.Err() != nil { // was cut, and the lease could be renewed after all
		g.ctx, g.cut = context.WithCancelCause(context.Background())
	}
	if g.timer != nil {
		g.timer.Stop()
	}
	g.timer = time.AfterFunc(until-g.clock.Boot(), g.expire)
}

func (g *leaseDeadline) expire() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.clock.Boot() >= g.until {
		g.cut(ErrCut)
	} else if !g.over {
		g.timer = time.AfterFunc(g.until-g.clock.Boot(), g.expire)
	}
}

func (g *leaseDeadline) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.over = true
	g.until = 0
	g.cut(ErrCut)
	if g.timer != nil {
		g.timer.Stop()
	}
}

func tooLarge(size, most int) string {
	return "the event has " + strconv.Itoa(size) + " bytes, at most " + strconv.Itoa(most) +
		" are delivered (ORDERBRIDGE_MAX_EVENT_BYTES)"
}
