package bridge

import (
	"container/heap"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"orderbridge/internal/limits"
)

// term is one leadership in the real world: it runs the core on one goroutine
// and answers what the core asks by the ports.
type term struct {
	b      *Bridge
	logger *slog.Logger
	core   *core
	feed   Feed
	fan    *FanOut
	guard  *guard

	ctx      context.Context // of everything but attempts; ends with the term
	cancel   context.CancelCauseFunc
	done     chan struct{}
	cause    error // why it ended; nil: handed over
	finished bool

	inbox     inbox
	timers    timerHeap
	timerN    int
	now       time.Duration // boot time of the present batch of inputs
	tasks     sync.WaitGroup
	reads     *readTurns // readers that may ask the bus at the same time
	condition atomic.Pointer[Condition]
	counting  counting
	notMade   string // why the last attempt that was not made was not
}

func (b *Bridge) newTerm(w won) (*term, error) {
	e := w.entry
	feed, err := b.o.Feed()
	if err != nil {
		return nil, fmt.Errorf("make the feed: %w", err)
	}
	t := &term{b: b, logger: b.o.Logger, feed: feed, guard: newGuard(b.o.Clock), done: make(chan struct{}), reads: newReadTurns(32)}
	t.inbox.signal = make(chan struct{}, 1)
	t.fan = &FanOut{t: t, out: make(chan *message.Message, 256)}
	t.ctx, t.cancel = context.WithCancelCause(context.Background())
	t.now = b.o.Clock.Boot()
	t.condition.Store(&Condition{Role: RoleTakingOver, Epoch: e.Epoch, Reasons: []string{"taking over"}})
	t.core = newCore(t, b.bounds, rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), e.Epoch, b.o.Holder, w.at, w.revision, e)
	t.core.fresh = w.fresh
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

	t.core.start()
	t.loop(ctx)

	t.cancel(context.Canceled)
	t.guard.close()
	closed := t.feed.Close()
	t.fan.tasks.Wait()
	close(t.fan.out)
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
	r.AddMiddleware(Owe)
	r.AddConsumerHandler("deliver", "deliveries", t.fan, func(m *message.Message) error {
		d := DeliveryOf(m.Context())
		if most := t.b.o.MaxEventBytes; most > 0 && len(d.Event.Data) > most {
			return &AttemptError{Fault: FaultRender, Reason: tooLarge(len(d.Event.Data), most)}
		}
		return t.b.o.Publisher.Publish(d.Subscription.ID, m)
	})
	return r, nil
}

// Owe turns a failed attempt into an outcome for the core, which makes a
// ledger entry or a dead letter of it: the message itself is acked.
func Owe(next message.HandlerFunc) message.HandlerFunc {
	return func(m *message.Message) ([]*message.Message, error) {
		produced, err := next(m)
		if err != nil {
			Report(m.Context(), Judge(err, DeliveryOf(m.Context()).Subscription.PerOrderURL()))
		}
		return produced, nil
	}
}

// loop is the core's goroutine.
func (t *term) loop(ctx context.Context) {
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
			t.post(func() { t.core.stop(t.finish) })
		case <-deadline:
			t.finish(errStopUnconfirmed)
		}
		t.now = t.b.o.Clock.Boot()
		for _, f := range t.inbox.take() {
			if t.finished {
				return
			}
			f()
		}
		for len(t.timers) > 0 && t.timers[0].at <= t.now && !t.finished {
			heap.Pop(&t.timers).(timerItem).fn()
		}
		if now := time.Now(); now.After(next) {
			next = now.Add(250 * time.Millisecond)
			t.publishCondition()
		}
		wait := time.Second
		if len(t.timers) > 0 {
			wait = min(wait, t.timers[0].at-t.b.o.Clock.Boot())
		}
		timer.Reset(max(wait, 0))
	}
}

func (t *term) finish(cause error) {
	t.publishCondition()
	t.finished = true
	t.cause = cause
	t.core.dead = true
}

func (t *term) publishCondition() {
	c := t.core
	t.window()
	f := c.figures
	f.Alerts = maps.Clone(f.Alerts)
	o := t.counting.at(time.Now(), c.owes)
	f.Unsettled, f.Owed, f.Suspended, f.Subscriptions = o.events, o.deliveries, o.suspended, o.subscriptions
	f.Running, f.Reading = c.running, len(c.readers)
	cond := &Condition{Role: RoleTakingOver, Epoch: c.epoch, Figures: f, Changes: c.changes}
	for _, x := range c.changes {
		cond.Notes = append(cond.Notes, x.String()+"; `orderbridge stream adopt` acknowledges it")
	}
	if c.opened {
		cond.Role = RoleLeader
	} else {
		cond.Reasons = append(cond.Reasons, c.takingOver())
	}
	cond.Usage = c.usage()
	for _, u := range cond.Usage {
		if note := u.note(); note != "" {
			cond.Notes = append(cond.Notes, note)
		}
	}
	if c.missing {
		cond.Reasons = append(cond.Reasons, "the bucket of the subscription records is missing: the last ones stay in force")
	}
	if c.opened && t.now-c.lastFlush >= c.Stale {
		cond.Reasons = append(cond.Reasons, "the lease cannot be renewed: no attempt is started")
	}
	for _, k := range c.keys {
		if k.bucket == BucketOwed && t.now-k.since > c.Stale {
			cond.Reasons = append(cond.Reasons, "the ledger takes no writes: nothing that depends on them is settled")
			break
		}
	}
	cond.Reasons = append(cond.Reasons, c.stateReasons()...)
	if n := len(c.unstored); n > 0 {
		cond.Reasons = append(cond.Reasons, fmt.Sprintf("dead letters cannot be stored: %d orders wait for it", n))
	}
	t.condition.Store(cond)
}

// ---- inputs

// inbox is what waits for the core: a queue that is taken as a whole.
type inbox struct {
	mu     sync.Mutex
	items  []func()
	spare  []func()
	signal chan struct{}
}

func (t *term) post(f func()) {
	t.inbox.mu.Lock()
	t.inbox.items = append(t.inbox.items, f)
	first := len(t.inbox.items) == 1
	t.inbox.mu.Unlock()
	if first {
		select {
		case t.inbox.signal <- struct{}{}:
		default:
		}
	}
}

func (in *inbox) take() []func() {
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

type timerItem struct {
	at time.Duration
	n  int
	fn func()
}
type timerHeap []timerItem

func (h timerHeap) Len() int { return len(h) }
func (h timerHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].n < h[j].n
}
func (h timerHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *timerHeap) Push(x any)   { *h = append(*h, x.(timerItem)) }
func (h *timerHeap) Pop() any {
	o := *h
	x := o[len(o)-1]
	o[len(o)-1] = timerItem{}
	*h = o[:len(o)-1]
	return x
}

// ---- outside: what the core asks

func (t *term) boot() time.Duration { return t.now }
func (t *term) wall() time.Time     { return t.b.o.Clock.Now() }

func (t *term) after(d time.Duration, fn func()) {
	t.timerN++
	heap.Push(&t.timers, timerItem{t.now + max(d, 0), t.timerN, fn})
}

// do asks the bus beside the core, with a deadline, and posts the answer.
func (t *term) do(ask func(ctx context.Context) (answer func())) {
	t.tasks.Add(1)
	go func() {
		defer t.tasks.Done()
		ctx, cancel := t.call(limits.TermCallTime)
		defer cancel()
		t.post(ask(ctx))
	}()
}

// call is the context of one request to the bus.
func (t *term) call(timeout time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(t.ctx, timeout)
	if t.b.o.Connection == nil {
		return ctx, cancel
	}
	stop := context.AfterFunc(t.b.o.Connection(), cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

func (t *term) known(r Ref) { t.feed.Know(r) }

func (t *term) startFeed() {
	events, err := t.feed.Subscribe(t.ctx, "")
	if err != nil {
		t.over(fmt.Errorf("subscribe to the feed: %w", err))
		return
	}
	t.tasks.Add(1)
	go func() {
		defer t.tasks.Done()
		t.fan.take(events)
		if t.ctx.Err() == nil {
			t.post(func() { t.core.lookBack(func() { t.over(fmt.Errorf("the feed ended: %w", ErrDeposed)) }) })
		}
	}()
}

func (t *term) settle(w *windowEvent) {
	if m, ok := w.token.(*message.Message); ok {
		m.Ack()
	}
}

func (t *term) confirm(done func(error)) {
	t.do(func(ctx context.Context) func() {
		err := t.feed.Confirm(ctx)
		return func() { done(err) }
	})
}

func (t *term) fence(b Bucket, epoch uint64, term string, done func(Made, error)) {
	t.do(func(ctx context.Context) func() {
		made, err := t.b.o.Ledger.Fence(ctx, b, epoch, term)
		return func() { done(made, err) }
	})
}

func (t *term) seal(b Bucket, done func(error)) {
	t.do(func(ctx context.Context) func() {
		err := t.b.o.Ledger.Seal(ctx, b)
		return func() { done(err) }
	})
}

func (t *term) checkBucket(b Bucket, done func(error)) {
	t.do(func(ctx context.Context) func() {
		err := t.b.o.Ledger.Check(ctx, b)
		return func() { done(err) }
	})
}

func (t *term) load(done func(*loaded, error)) {
	t.tasks.Add(1)
	go func() {
		defer t.tasks.Done()
		ctx, cancel := t.call(limits.TermLoadTime)
		defer cancel()
		l, err := loadState(ctx, t.b.o.Ledger)
		t.post(func() { done(l, err) })
	}()
}

func loadState(ctx context.Context, ledger Ledger) (*loaded, error) {
	l := &loaded{status: map[string]Status{}, marks: map[string]Mark{}, lanes: map[string]map[string]LaneEntry{}}
	err := ledger.Load(ctx, BucketStatus, func(key string, value []byte) error {
		var s Status
		if json.Unmarshal(value, &s) != nil || s.Generation == 0 {
			l.bad = append(l.bad, "status "+key)
			return nil
		}
		l.status[key] = s
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the status bucket: %w", err)
	}
	err = ledger.Load(ctx, BucketOwed, func(key string, value []byte) error {
		id, token, isLane := strings.Cut(key, ".")
		if isLane {
			e, err := ParseLaneEntry(value)
			if err != nil {
				l.bad = append(l.bad, "owed "+key+": "+err.Error())
				return nil
			}
			if l.lanes[id] == nil {
				l.lanes[id] = map[string]LaneEntry{}
			}
			l.lanes[id][token] = e
			return nil
		}
		m, err := ParseMark(value)
		if err != nil {
			l.bad = append(l.bad, "owed "+key+": "+err.Error())
			return nil
		}
		l.marks[key] = m
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the owed bucket: %w", err)
	}
	return l, nil
}

func (t *term) watchRecords() {
	t.tasks.Add(1)
	go func() {
		defer t.tasks.Done()
		census := t.firstCensus()
		err := t.b.o.Records.Watch(t.ctx, func(r Revision) {
			var rec *Subscription
			var problems Problems
			if !r.Deleted {
				rec, problems = t.b.o.Parse(r.Key, r.Value)
				if problems.Err() != nil {
					rec = nil
				}
			}
			t.post(func() { t.core.record(r, rec, problems) })
		}, func() {
			t.post(t.core.recordsCaughtUp)
			t.tasks.Go(func() { t.watchPresence(census) })
		}, func(missing bool) {
			t.post(func() { t.core.bucketMissing(missing) })
		})
		if t.ctx.Err() == nil {
			t.post(func() { t.over(fmt.Errorf("watch the subscription records: %w", err)) })
		}
	}()
}

func (t *term) write(w Write, done func(error)) {
	t.do(func(ctx context.Context) func() {
		err := t.b.o.Ledger.Write(ctx, w)
		return func() { done(err) }
	})
}

func (t *term) lease(e LeaseEntry, expect uint64, id string, done func(uint64, error)) {
	t.do(func(ctx context.Context) func() {
		revision, err := t.b.o.Lease.Put(ctx, encode(e), expect, id)
		return func() { done(revision, err) }
	})
}

func (t *term) readLease(done func(leaseSight, error)) {
	t.do(func(ctx context.Context) func() {
		s, err := readLease(ctx, t.b.o.Lease)
		return func() { done(s, err) }
	})
}

func (t *term) leaseUntil(until time.Duration) { t.guard.extend(until) }

func (t *term) sequenceAt(at time.Time, done func(seq uint64, last Ref, err error)) {
	t.do(func(ctx context.Context) func() {
		seq, last, err := t.b.o.Source.SequenceAt(ctx, at)
		return func() { done(seq, last, err) }
	})
}

func (t *term) latest(key string, done func(Revision, error)) {
	t.do(func(ctx context.Context) func() {
		r, err := t.b.o.Records.Latest(ctx, key)
		return func() { done(r, err) }
	})
}

func (t *term) read(key string, from uint64, filters []string, most, maxBytes int, done func([]*Event, Reading, error)) {
	tenant := ""
	if s := t.core.subs[key]; s != nil {
		tenant = s.tenant()
	}
	t.tasks.Add(1)
	go func() {
		defer t.tasks.Done()
		if !t.reads.take(t.ctx, tenant) {
			return
		}
		defer t.reads.give()
		ctx, cancel := t.call(limits.TermCallTime)
		defer cancel()
		msgs, got, err := t.b.o.Source.Read(ctx, key, from, filters, most, maxBytes)
		evs := make([]*Event, len(msgs))
		for i, m := range msgs {
			evs[i] = t.b.o.Decoder.Decode(m)
		}
		t.post(func() { done(evs, got, err) })
	}()
}

func (t *term) forget(key string) { t.b.o.Source.Forget(key) }

func (t *term) attempt(a *attempt) { t.fan.attempt(a) }

func (t *term) cut(a *attempt) {
	if r, ok := a.token.(*run); ok {
		r.cancel()
	}
}

func (t *term) bury(d DeadLetter, done func(error)) {
	t.do(func(ctx context.Context) func() {
		if d.message.known() {
			d.MessageTime = time.Unix(0, d.message.Time).UTC()
		}
		if d.Event == nil && !d.Vanished { // gone from memory; it may still be on the bus
			if m, err := t.get(ctx, Ref{d.Sequence, d.message.Time}, d.top); err == nil {
				d.Event = t.b.o.Decoder.Decode(m)
				d.DeliveryID, d.Order = d.idOf(d.Event), d.Event.order()
			} else if !errors.Is(err, ErrNotFound) {
				return func() { done(err) }
			}
		}
		d.Stream = t.b.o.Decoder.Stream
		err := t.b.o.DeadLetters.Store(ctx, d)
		return func() { done(err) }
	})
}

func (t *term) unbury(seq uint64, done func(error)) {
	t.do(func(ctx context.Context) func() {
		err := t.b.o.DeadLetters.Remove(ctx, seq)
		return func() { done(err) }
	})
}

func (t *term) keep(from uint64) {
	f, ok := t.feed.(interface {
		Keep(ctx context.Context, from uint64) error
	})
	if !ok {
		return
	}
	t.do(func(ctx context.Context) func() {
		err := f.Keep(ctx, from)
		return func() {
			if err != nil {
				t.core.kept = false // tried again in a second
				t.core.out.log(logDebug, "what is owed is kept by the stream's limits only", "error", err)
			}
		}
	})
}

// holdBack and Window are what a feed may do beside its port.
func (t *term) holdBack(from uint64) {
	if f, ok := t.feed.(interface{ HoldBack(from uint64) }); ok {
		f.HoldBack(from)
	}
}

// window follows the feed's, since a server may allow fewer unsettled events than
// were asked for, and the room of the ledger its bucket's.
func (t *term) window() {
	if f, ok := t.feed.(interface{ Window() int }); ok {
		t.core.Window = min(t.b.bounds.Window, max(1, f.Window()))
	}
	if l, ok := t.b.o.Ledger.(interface{ Room() int64 }); ok && l.Room() > 0 {
		t.core.shares.pools[space].size = l.Room()
	}
}

func (t *term) retention(fractions []float64, done func(Retention, error)) {
	t.do(func(ctx context.Context) func() {
		r, err := t.b.o.Source.Retention(ctx, fractions)
		return func() { done(r, err) }
	})
}

// alert tries a few times; an alert that cannot be stored is in the log.
func (t *term) alert(a Alert) {
	if t.b.o.Alerts == nil {
		return
	}
	t.tasks.Add(1)
	go func() {
		defer t.tasks.Done()
		var err error
		for range 5 {
			ctx, cancel := context.WithTimeout(t.ctx, limits.TermCallTime)
			err = t.b.o.Alerts.Raise(ctx, a)
			cancel()
			if err == nil || t.ctx.Err() != nil {
				return
			}
			select {
			case <-t.ctx.Done():
			case <-time.After(time.Second):
			}
		}
		t.logger.Warn("alert could not be stored", "kind", a.Kind, "subscription_id", a.Subscription, "text", a.Text, "error", err)
	}()
}

func (t *term) over(cause error) { t.finish(cause) }

var slogLevels = map[logLevel]slog.Level{logDebug: slog.LevelDebug, logInfo: slog.LevelInfo, logWarn: slog.LevelWarn, logError: slog.LevelError}

func (t *term) log(level logLevel, msg string, args ...any) {
	t.logger.Log(t.ctx, slogLevels[level], msg, args...)
}
