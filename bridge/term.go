package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"orderbridge/bridge/flight"
	"orderbridge/bridge/protocol"
)

// term is one leadership in the real world: it runs the core on one goroutine
// and answers what the core asks by the ports.
type term struct {
	b        *seat
	logger   *slog.Logger
	core     *protocol.Machine
	start    flight.Start // what it was made from
	recorder *flight.Recorder
	feed     Feed
	fan      *fanOut
	deadline *leaseDeadline
	began    time.Time

	ctx      context.Context // of everything but attempts; ends with the term
	cancel   context.CancelCauseFunc
	done     chan struct{}
	cause    error // why it ended; nil: handed over
	finished bool

	inbox     inbox
	now       time.Duration // boot time of the present batch of inputs
	nowAt     time.Time     // when that was read
	unsettled unsettled
	runs      map[uint64]*run // attempts under way
	ended     *run            // that of the present input; nil: it is of another kind
	commands  commands
	replays   termReplays
	compared  chan bool // answers the listing under way
	tasks     sync.WaitGroup
	reads     *readTurns // readers that may ask the bus at the same time
	condition atomic.Pointer[Condition]
	owing     counting
	room      protocol.RoomChanged // as it was told last
}

func (b *seat) newTerm(w protocol.Won) (*term, error) {
	feed, err := b.o.Feed()
	if err != nil {
		return nil, fmt.Errorf("make the feed: %w", err)
	}
	t := &term{b: b, logger: b.logger, feed: feed, deadline: newLeaseDeadline(b.o.Clock), began: b.o.Clock.Now().UTC(), done: make(chan struct{}),
		reads: newReadTurns(32),
		runs:  map[uint64]*run{}, compared: make(chan bool, 1)}
	t.inbox.signal = make(chan struct{}, 1)
	t.fan = &fanOut{t: t, out: make(chan *message.Message, 256)}
	t.ctx, t.cancel = context.WithCancelCause(context.Background())
	t.now, t.nowAt = b.o.Clock.Boot(), time.Now()
	t.condition.Store(&Condition{Role: RoleTakingOver, Epoch: w.Entry.Epoch, Reasons: []string{"taking over"}})
	bounds := b.bounds
	bounds.Verbose = t.logger.Enabled(t.ctx, slog.LevelDebug)
	bounds.TellFailures = b.o.AttemptLog != nil
	bounds.TellSuperseded = b.o.AttemptLog != nil && !b.o.LogFailures
	t.start = flight.Start{Bounds: bounds, Seed: [2]uint64{rand.Uint64(), rand.Uint64()}, Won: w}
	t.core, t.recorder = t.start.Machine(), flight.NewRecorder(t.start, flight.DefaultRoom)
	return t, nil
}

// run leads until the lease is lost (an error) or, after ctx ended, handed over (nil).
func (t *term) run(ctx context.Context) error {
	router, err := t.router()
	if err != nil {
		return err
	}
	routed := make(chan error, 1)
	go func() { routed <- router.Run(context.WithoutCancel(ctx)) }()
	<-router.Running()

	t.post(protocol.Start{})
	t.loop(ctx)

	t.cancel(context.Canceled)
	t.deadline.close()
	t.keepTrace()
	closed := t.feed.Close()
	t.fan.tasks.Wait()
	close(t.fan.out)
	t.fan.workers.dismiss()
	t.tasks.Wait()
	close(t.done)
	return errors.Join(t.cause, closed, router.Close(), <-routed)
}

// router is the way of a delivery: one static handler, and what stands around
// it. Order is decided before it, in the core.
func (t *term) router() (*message.Router, error) {
	r, err := message.NewRouter(message.RouterConfig{CloseTimeout: 5 * time.Second}, watermill.NopLogger{})
	if err != nil {
		return nil, fmt.Errorf("make the router: %w", err)
	}
	r.AddMiddleware(t.fan.Settle)
	r.AddMiddleware(middleware.Recoverer)
	r.AddMiddleware(t.b.o.Middleware...)
	r.AddMiddleware(owe)
	r.AddConsumerHandler("deliver", "deliveries", t.fan, func(m *message.Message) error {
		d := DeliveryOf(m.Context())
		if err := t.b.o.fits(d.Event); err != nil {
			return err
		}
		return t.b.o.Publisher.Publish(d.Subscription.ID, m)
	})
	return r, nil
}

// owe turns a failed attempt into an outcome for the core, which makes a
// ledger entry or a dead letter of it: the message itself is acked.
func owe(next message.HandlerFunc) message.HandlerFunc {
	return func(m *message.Message) ([]*message.Message, error) {
		produced, err := next(m)
		if err != nil {
			report(m.Context(), Judge(err, DeliveryOf(m.Context()).Subscription.PerOrderURL()))
		}
		return produced, nil
	}
}

// loop is the core's goroutine.
func (t *term) loop(ctx context.Context) {
	defer t.recovered()
	stop := ctx.Done()
	var deadline <-chan time.Time
	timer := time.NewTimer(0)
	defer timer.Stop()
	next := time.Now()
	for !t.finished {
		select {
		case <-t.inbox.signal:
		case <-timer.C:
		case <-stop:
			stop = nil
			deadline = time.After(t.b.o.ShutdownTimeout)
			t.tasks.Go(func() {
				t.drainReplays()
				t.post(protocol.Stop{})
			})
		case <-deadline:
			t.finish(protocol.ErrStopUnconfirmed)
		}
		t.now, t.nowAt = t.b.o.Clock.Boot(), time.Now()
		for i, x := range t.inbox.drain() {
			if i%256 == 255 { // however much has come: what is due is not kept waiting
				t.now = t.b.o.Clock.Boot()
				t.tick()
			}
			switch {
			case t.finished:
				return
			case x.look != nil:
				x.look(t.core)
			default:
				t.step(x.in)
			}
		}
		t.tick()
		now := time.Now()
		if now.After(next) {
			next = now.Add(250 * time.Millisecond)
			t.publishCondition()
		}
		wait := time.Second
		if at, ok := t.core.Next(); ok {
			wait = min(wait, at-t.boot(now))
		}
		timer.Reset(max(wait, 0))
	}
}

// boot is the time since boot, without asking the system: it may lack a suspend
// that began within the present batch of inputs.
func (t *term) boot(now time.Time) time.Duration { return t.now + now.Sub(t.nowAt) }

// tick lets the machine do what is due.
func (t *term) tick() {
	if at, ok := t.core.Next(); ok && at <= t.now && !t.finished {
		t.step(protocol.Tick{})
	}
}

func (t *term) finish(cause error) {
	t.publishCondition()
	t.finished = true
	t.cause = cause
}

// step tells the machine, and carries out what it wants.
func (t *term) step(in protocol.Input) {
	if x, ok := in.(*protocol.AttemptEnded); ok {
		t.ended = t.runs[x.Attempt]
		delete(t.runs, x.Attempt)
		defer t.forgetEnded()
	}
	now := protocol.Now{Boot: t.now, Wall: t.b.o.Clock.Now().Round(0)} // as it is recorded: without Go's own clock
	for _, out := range t.recorder.Step(t.core, now, in) {
		t.perform(out)
	}
}

func (t *term) publishCondition() {
	t.fan.workers.trim()
	t.roomChanged()
	t.owing.count(time.Now(), t.owes)
	r := t.core.Overview(t.now, t.owing.last)
	cond := &Condition{Role: RoleTakingOver, Epoch: r.Epoch, Figures: r.Figures, Changes: r.Changes, Usage: r.Usage,
		Notes: r.Notes, Reasons: r.Reasons, Oldest: r.Oldest, States: r.States, Debtors: r.Debtors, taken: r.Taken}
	if r.Leads {
		cond.Role = RoleLeader
	}
	t.condition.Store(cond)
}

func (t *term) owes() protocol.Owing {
	var w protocol.Wanted
	if t.b.o.Wanted != nil {
		w = t.b.o.Wanted()
	}
	return t.core.Owes(w)
}

// roomChanged follows the feed's window, since a server may allow fewer unsettled
// events than were asked for, and the room of the ledger its bucket's.
func (t *term) roomChanged() {
	var room protocol.RoomChanged
	if f, ok := t.feed.(interface{ Window() int }); ok {
		room.Window = min(t.b.bounds.Window, max(1, f.Window()))
	}
	if l, ok := t.b.o.Ledger.(interface{ Room() int64 }); ok {
		room.Ledger = max(0, l.Room()) / int64(len(t.b.crew.seats))
	}
	if room != t.room {
		t.room = room
		t.post(room)
	}
}

// ---- inputs

// inbox is what waits for the core: a queue that is taken as a whole.
type inbox struct {
	mu     sync.Mutex
	items  []posted
	spare  []posted
	signal chan struct{}
}

// posted is an input, or somebody who wants to look at the machine.
type posted struct {
	in   protocol.Input
	look func(*protocol.Machine)
}

func (t *term) post(in protocol.Input) { t.put(posted{in: in}) }

func (t *term) look(fn func(*protocol.Machine)) { t.put(posted{look: fn}) }

func (t *term) put(x posted) {
	t.inbox.mu.Lock()
	t.inbox.items = append(t.inbox.items, x)
	first := len(t.inbox.items) == 1
	t.inbox.mu.Unlock()
	if first {
		select {
		case t.inbox.signal <- struct{}{}:
		default:
		}
	}
}

func (in *inbox) drain() []posted {
	in.mu.Lock()
	defer in.mu.Unlock()
	items := in.items
	in.items = in.spare[:0]
	in.spare = items
	if cap(items) > 1<<16 {
		in.spare = nil
	}
	return items
}
