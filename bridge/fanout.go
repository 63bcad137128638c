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

	workers workers
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
		r.status = int32(status)
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
		return protocol.Outcome{Verdict: protocol.Delivered, Status: int(r.status)}
	}
}

// Settle is the middleware through which deliveries come back to the core.
// Outermost, so that nothing in between can lose one. The goroutine that the
// Router has started for a delivery stays, and does others (workers.go).
func (f *fanOut) Settle(next message.HandlerFunc) message.HandlerFunc {
	return func(m *message.Message) ([]*message.Message, error) {
		f.settle(next, m)
		w := worker{next: make(chan *run, 1)}
		for r := f.workers.wait(&w); r != nil; r = f.workers.wait(&w) {
			f.settle(next, &r.message)
		}
		return nil, nil // nobody but the core is told
	}
}

// settle does one delivery.
func (f *fanOut) settle(next message.HandlerFunc, m *message.Message) {
	_, err := next(m)
	o := Reported(m.Context())
	if err != nil && o.Verdict == protocol.Delivered {
		o = protocol.Outcome{Verdict: protocol.Retry, Reason: "the handler failed: " + err.Error()}
	}
	f.end(runOf(m.Context()), o)
}

// attempt makes a message of a delivery. The message's context ends with the
// time that the record gives an attempt, or that of the lease (R10).
func (f *fanOut) attempt(a *protocol.StartAttempt) *run {
	timeout := a.Delivery.Subscription.AttemptTimeout()
	if a.Delivery.Event == nil {
		timeout += limits.TermCallTime // to read it
	}
	now := time.Now()
	r := newRun(a, now.Add(timeout))
	f.t.noted(r)
	f.tasks.Add(1)
	f.t.deadline.begin(r, f.t.boot(now))
	ready := a.Delivery.Event != nil && !filtered(&a.Delivery) && a.Delivery.Subscription.Refusal(a.Delivery.Event) == ""
	if !ready || !f.hand(r) {
		go f.prepare(r)
	}
	return r
}

// hand gives an attempt to a goroutine that waits for one, or to the Router,
// which starts another; false if that is busy.
func (f *fanOut) hand(r *run) bool {
	r.addressed()
	if f.workers.give(r) {
		return true
	}
	select {
	case f.out <- &r.message:
		return true
	default:
		return false
	}
}

// end brings an attempt back to the core.
func (f *fanOut) end(r *run, o protocol.Outcome) {
	f.t.deadline.end(r)
	r.cancel(context.Canceled)
	f.t.logSettled(r, &o)
	in := &protocol.AttemptEnded{Attempt: r.attempt.Attempt, Outcome: o}
	if d := &r.attempt.Delivery; r.read || o.Verdict != protocol.Delivered {
		in.Event, in.Known = d.Event, d.Known
	}
	f.t.post(in)
	f.tasks.Done()
}

// prepare does what may take time before the router has the message: it reads
// the event and evaluates the filter.
func (f *fanOut) prepare(r *run) {
	var ctx context.Context = r
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
		d.Event, r.read = ev, true
		t.post(protocol.AttemptWeighed{Attempt: r.attempt.Attempt, Bytes: ev.Weight()})
	}
	if d.Event.Not != "" { // a former build held it
		f.end(r, protocol.Outcome{Verdict: protocol.Filtered})
		return
	}
	if err := refusal(d); err != nil {
		f.end(r, Judge(err, false))
		return
	}
	wanted, err := t.b.o.wants(ctx, d)
	switch {
	case err != nil:
		f.end(r, Judge(err, false))
		return
	case !wanted:
		f.end(r, protocol.Outcome{Verdict: protocol.Filtered})
		return
	}
	r.addressed()
	if f.workers.give(r) {
		return
	}
	select {
	case f.out <- &r.message:
	case <-ctx.Done():
		f.end(r, Judge(ErrCut, false))
	}
}

func filtered(d *protocol.Delivery) bool {
	return d.Subscription.More != nil && d.Subscription.More.Filter != ""
}

// refusal is why the subscription cannot get the event that it hears; nil if it can.
func refusal(d *protocol.Delivery) error {
	if why := d.Subscription.Refusal(d.Event); why != "" {
		return &AttemptError{Fault: FaultRender, Reason: why}
	}
	return nil
}

// fits is the error of an event that is too large to be delivered.
func (o *Options) fits(e *event.Event) error {
	if most := o.MaxEventBytes; most > 0 && len(e.Data) > most {
		return &AttemptError{Fault: FaultRender, Reason: tooLarge(len(e.Data), most)}
	}
	return nil
}

// wants evaluates the filter of the delivery's subscription.
func (o *Options) wants(ctx context.Context, d *protocol.Delivery) (bool, error) {
	if !filtered(d) {
		return true, nil
	}
	wanted, err := o.Filter.Wants(WithDelivery(ctx, d), d.Subscription.More.Filter, d.Event)
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

func tooLarge(size, most int) string {
	return "the event has " + strconv.Itoa(size) + " bytes, at most " + strconv.Itoa(most) +
		" are delivered (ORDERBRIDGE_MAX_EVENT_BYTES)"
}
