package bridge

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
)

// FanOut is a Watermill Subscriber that decorates the feed: it takes events
// and gives deliveries, one message for each that may run now. Ack means
// delivered, or that Report has told what else became of it; Nack a failed
// attempt. When an event's last delivery is settled, FanOut acks the event.
// Which delivery runs when is decided by the core.
type FanOut struct {
	t     *term
	out   chan *message.Message
	tasks sync.WaitGroup
}

// Subscribe returns the deliveries; there is one topic, whatever its name. The
// feed itself is subscribed when the core opens it. The channel is closed when
// the term is over.
func (f *FanOut) Subscribe(context.Context, string) (<-chan *message.Message, error) {
	return f.out, nil
}

// Close does nothing: the term ends the fan-out.
func (f *FanOut) Close() error { return nil }

// take feeds the core: it decodes and matches events beside it, in order.
func (f *FanOut) take(events <-chan *message.Message) {
	t := f.t
	for m := range events {
		src := SourceOf(m.Context())
		if src == nil {
			src = &Message{Data: m.Payload}
		}
		ev := t.b.o.Decoder.Decode(src)
		matches, version := t.core.directory.Match(ev, nil)
		t.post(func() { t.core.take(ev, matches, version, m) })
	}
}

type runKey struct{}

// run is one attempt under way.
type run struct {
	a       *attempt
	cancel  context.CancelFunc
	mu      sync.Mutex
	outcome *Outcome
}

// Report tells the fan-out what became of the delivery whose message has this
// context. Whoever reports acks the message: the debt has passed to the ledger.
func Report(ctx context.Context, o Outcome) {
	if r, ok := ctx.Value(runKey{}).(*run); ok {
		r.mu.Lock()
		r.outcome = &o
		r.mu.Unlock()
	}
}

// Reported is what was reported, Delivered if nothing was.
func Reported(ctx context.Context) Outcome {
	if r, ok := ctx.Value(runKey{}).(*run); ok {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.outcome != nil {
			return *r.outcome
		}
	}
	return Outcome{Verdict: Delivered}
}

// attempt makes a message of a delivery and waits for what becomes of it. The
// message's context ends with the time that the record gives an attempt, or
// that of the lease (R10).
func (f *FanOut) attempt(a *attempt) {
	t := f.t
	timeout := a.Delivery.Subscription.AttemptTimeout()
	if a.Delivery.Event == nil {
		timeout += callTimeout // to read it
	}
	ctx, cancel := context.WithTimeout(t.guard.context(), timeout)
	r := &run{a: a, cancel: cancel}
	a.token = r
	f.tasks.Add(1)
	go func() {
		defer f.tasks.Done()
		defer cancel()
		o, ev := f.attemptNow(ctx, r)
		t.post(func() { t.ended(a, o, ev) })
	}()
}

func (f *FanOut) attemptNow(ctx context.Context, r *run) (Outcome, *Event) {
	t := f.t
	d := &r.a.Delivery
	if d.Event == nil {
		ev, err := t.fetch(ctx, r.a)
		if err != nil {
			if ctx.Err() != nil {
				err = ErrCut
			}
			return Judge(err, d.Subscription.PerOrderURL()), nil
		}
		d.Event = ev
	}
	wanted, err := t.wants(ctx, d)
	switch {
	case err != nil:
		return Judge(err, false), d.Event
	case !wanted:
		return Outcome{Verdict: Filtered}, d.Event
	}
	if most := t.b.o.MaxEventBytes; most > 0 && len(d.Event.Data) > most {
		return Judge(&AttemptError{Fault: FaultRender, Reason: tooLarge(len(d.Event.Data), most)}, false), d.Event
	}
	m := message.NewMessage(d.ID(), d.Event.Data)
	m.SetContext(context.WithValue(WithDelivery(ctx, d), runKey{}, r))
	select {
	case f.out <- m:
	case <-ctx.Done():
		return Judge(ErrCut, false), d.Event
	}
	o := Outcome{Verdict: Delivered}
	select {
	case <-m.Acked():
	case <-m.Nacked():
		o = Outcome{Verdict: Retry, Reason: "the handler failed"}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.outcome != nil {
		o = *r.outcome
	}
	return o, d.Event
}

// wants evaluates the filter of the delivery's subscription.
func (t *term) wants(ctx context.Context, d *Delivery) (bool, error) {
	if d.Subscription.More == nil || d.Subscription.More.Filter == "" {
		return true, nil
	}
	wanted, err := t.b.o.Filter.Wants(ctx, d.Subscription.More.Filter, d.Event)
	switch {
	case err == nil:
		return wanted, nil
	case ctx.Err() != nil:
		return false, ErrCut
	}
	return false, err
}

// fetch reads the event of a delivery that is not in memory.
func (t *term) fetch(ctx context.Context, a *attempt) (*Event, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if a.DeadLetter > 0 {
		letter, err := t.b.o.DeadLetters.Get(ctx, a.DeadLetter)
		switch {
		case errors.Is(err, ErrNotFound):
			return nil, &AttemptError{Fault: FaultExpired, Reason: "the dead letter is gone", Err: err}
		case err != nil:
			return nil, &AttemptError{Fault: FaultSource, Reason: "the dead letter cannot be read now: " + err.Error(), Err: err}
		case letter.Event != nil:
			return letter.Event, nil
		}
	}
	m, err := t.b.o.Source.Get(ctx, a.Seq)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, &AttemptError{Fault: FaultExpired, Reason: "the event is gone from the stream", Err: err}
	case err != nil:
		return nil, &AttemptError{Fault: FaultSource, Reason: "the event cannot be read now: " + err.Error(), Err: err}
	}
	return t.b.o.Decoder.Decode(m), nil
}

// guard cuts attempts when the lease comes to its end (R10); a renewal moves
// the end away.
type guard struct {
	clock Clock
	mu    sync.Mutex
	until time.Duration
	ctx   context.Context
	cut   context.CancelCauseFunc
	timer *time.Timer
	over  bool
}

func newGuard(clock Clock) *guard {
	g := &guard{clock: clock}
	g.ctx, g.cut = context.WithCancelCause(context.Background())
	return g
}

// context is that of an attempt which starts now: cancelled with ErrCut when
// the lease is no longer sure.
func (g *guard) context() context.Context {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.clock.Boot() >= g.until {
		g.cut(ErrCut)
	}
	return g.ctx
}

func (g *guard) extend(until time.Duration) {
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

func (g *guard) expire() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.clock.Boot() >= g.until {
		g.cut(ErrCut)
	} else if !g.over {
		g.timer = time.AfterFunc(g.until-g.clock.Boot(), g.expire)
	}
}

func (g *guard) close() {
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
	return "the event has " + strconv.Itoa(size) + " bytes, at most " + strconv.Itoa(most) + " are delivered (ORDERBRIDGE_MAX_EVENT_BYTES)"
}
