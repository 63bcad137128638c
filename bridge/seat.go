package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"orderbridge/bridge/protocol"
)

// seat is what a replica has for one shard: it stands by, leads a term when the
// shard's lease falls to it, and hands over.
type seat struct {
	o struct {
		*Options
		Parts
	}
	crew   *crew
	shard  protocol.Shard
	logger *slog.Logger // tells the shard, where there are several
	bounds protocol.Bounds
	term   atomic.Pointer[term]
	lacks  atomic.Pointer[string] // why a stand-by is not ready; nil: it never saw the lease
	led    atomic.Int64           // boot time at which a stand-by last saw somebody lead
	leader atomic.Pointer[leader] // as a stand-by saw it last

	release  func() // hands over what it leads; it stands by again. Guarded by crew.taking
	claiming bool   // it is taking the lease; likewise
	handed   bool   // it was handed over, so that another takes it; likewise

	traced time.Duration // boot time of the last trace that nobody asked for
	total  struct {
		sync.Mutex
		protocol.Figures // counts of earlier terms
	}
}

// leader is who holds the lease of a shard, "": nobody, and whether it has taken over.
type leader struct {
	holder string
	leads  bool
}

func newSeat(o *Options, c *crew, number int) *seat {
	l := c.layout
	b := &seat{crew: c, shard: l.Shard(number), logger: o.Logger, bounds: boundsOf(o).For(l.Shards), release: func() {}}
	if l.Shards > 1 {
		b.logger = o.Logger.With("shard", number)
	}
	b.o.Options, b.o.Parts = o, o.Seat(l, number)
	b.leader.Store(&leader{})
	return b
}

func boundsOf(o *Options) protocol.Bounds {
	l := protocol.DefaultBounds()
	if o.Window > 0 {
		l.Window = o.Window
	}
	// The last part of the time is for writing down what is left.
	l.Drain = max(o.ShutdownTimeout-2*time.Second, o.ShutdownTimeout/4)
	l.Freeze = min(l.Freeze, o.ShutdownTimeout/4)
	l.Last = o.ShutdownTimeout - min(500*time.Millisecond, o.ShutdownTimeout/8)
	return l
}

// run stands by and leads until ctx ends; then it hands over, which takes at
// most ShutdownTimeout. It returns nil after a graceful stop. After it returns
// nothing of the seat runs any more.
func (b *seat) run(ctx context.Context) error {
	succeed := b.o.Successor
	for ctx.Err() == nil {
		won, err := b.standBy(ctx, succeed)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		err = b.lead(ctx, won)
		// A lease that still carries our name after a term of ours has ended
		// binds nobody: nothing of that term runs any more. But after a panic it
		// has to pass, so that one that comes again is paced.
		succeed = !errors.Is(err, errPanicked)
		switch {
		case err == nil: // handed over
		case errors.Is(err, errOtherLayout):
			b.logger.Info("the shard is not led: there is another layout", "epoch", won.Entry.Epoch)
			<-ctx.Done()
		case errors.Is(err, protocol.ErrStreamChanged):
			b.logger.Warn("taking over again", "epoch", won.Entry.Epoch, "reason", err)
		case errors.Is(err, protocol.ErrDeposed), errors.Is(err, protocol.ErrLeaseOver),
			errors.Is(err, protocol.ErrStateGone):
			b.logger.Warn("leadership lost: standing by", "epoch", won.Entry.Epoch, "reason", err)
		case ctx.Err() != nil:
			return fmt.Errorf("stop: %w", err)
		case errors.Is(err, errPanicked), errors.Is(err, protocol.ErrStopUnconfirmed):
			b.logger.Warn("standing by until the lease has passed", "epoch", won.Entry.Epoch, "reason", err)
			succeed = false
		default:
			return err
		}
	}
	return nil
}

// lead leads a term with a lease that was won, if it is one of the present layout.
func (b *seat) lead(ctx context.Context, won protocol.Won) error {
	defer b.crew.unclaim(b)
	if err := b.agree(ctx, &won); err != nil {
		return err
	}
	t, err := b.newTerm(won)
	if err != nil {
		return err
	}
	ctx, release := context.WithCancel(ctx)
	defer release()
	b.term.Store(t)
	b.crew.took(b, release)
	err = t.run(ctx)
	b.term.Store(nil)
	b.crew.r.following.leave(t)
	b.addFigures(t)
	return err
}

// ready says that a stand-by has what it needs, notReady what it lacks.
func (b *seat) ready() { b.notReady("") }

func (b *seat) notReady(why string) { b.lacks.Store(&why) }

func (b *seat) condition() Condition {
	c := Condition{Role: RoleStandby}
	if t := b.term.Load(); t != nil {
		c = *t.condition.Load()
	} else if r := b.lacks.Load(); r == nil {
		c.Reasons = []string{"the bus has not answered yet"}
	} else {
		if *r != "" {
			c.Reasons = []string{*r}
		}
		if text, tooLong := b.leaderless(); tooLong {
			c.Reasons = append(c.Reasons, text)
		} else if text != "" {
			c.Notes = append(c.Notes, text)
		}
	}
	b.total.Lock()
	c.Figures = c.Figures.Plus(b.total.Figures)
	b.total.Unlock()
	return c
}

func (b *seat) addFigures(t *term) {
	last := t.condition.Load().Figures
	b.total.Lock()
	defer b.total.Unlock()
	b.total.Figures = last.Plus(b.total.Figures)
	b.total.Unsettled, b.total.Owed, b.total.Kept, b.total.Held, b.total.Reading = 0, 0, 0, 0, 0
	b.total.Suspended, b.total.Subscriptions, b.total.Running = 0, 0, 0
}
