package bridge

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

// vigil is a stand-by at work: it watches the lease and wins it when it may.
type vigil struct {
	b         *seat
	s         protocol.Standby
	told      bool          // who leads
	unread    bool          // that the lease cannot be read
	free      time.Duration // boot time since which the lease may be taken; 0: it may not
	sightings chan protocol.LeaseSight
}

// standBy waits for the lease and wins it; at once if it carries the name of
// this replica and succeed says that it is of a former life.
func (b *seat) standBy(ctx context.Context, succeed bool) (protocol.Won, error) {
	watchCtx, cancel := context.WithCancel(ctx)
	v := &vigil{b: b, s: protocol.Standby{Patience: b.patience()}, sightings: make(chan protocol.LeaseSight, 1)}
	v.s.Led = b.o.Clock.Boot()
	b.led.Store(int64(v.s.Led))
	if succeed {
		v.s.Holder = b.o.Holder
	}
	watching := make(chan error, 1)
	go func() {
		watching <- b.o.Lease.Watch(watchCtx, func(value []byte, revision uint64) {
			select {
			case v.sightings <- protocol.Sight(value, revision):
			case <-watchCtx.Done():
			}
		})
	}()
	defer func() {
		cancel()
		<-watching //nolint:errcheck // ended by us
	}()

	if err := v.look(ctx); err != nil && ctx.Err() == nil {
		b.logger.Warn("the lease cannot be read yet", "error", err)
	}
	for {
		w, wait, err := v.turn(ctx)
		if err == nil && w.Revision > 0 || ctx.Err() != nil {
			return w, ctx.Err()
		}
		timer := time.NewTimer(max(min(wait, time.Second), time.Millisecond))
		select {
		case <-ctx.Done():
		case x := <-v.sightings:
			v.observe(x)
		case err := <-watching:
			watching <- nil
			timer.Stop()
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return protocol.Won{}, fmt.Errorf("watch the lease: %w", err)
		case <-timer.C:
			if wait > time.Second {
				_ = v.look(ctx) // the watch may be deaf
			}
		}
		timer.Stop()
	}
}

// patience is how long a stand-by waits for a lease that nobody renews.
func (b *seat) patience() time.Duration { return b.bounds.Lease + 2*time.Second }

// turn tries to win the lease if it may be taken; otherwise, and if that fails,
// it says how long to wait.
func (v *vigil) turn(ctx context.Context) (w protocol.Won, wait time.Duration, err error) {
	log, now := v.b.logger, v.b.o.Clock.Boot()
	v.s.Fresh = false
	wait = v.s.Wait(now)
	if v.s.Known && (wait == 0 || v.s.Entry.Absent()) {
		formers, later := v.mayClaim(now)
		if later > 0 {
			return w, later, nil
		}
		w, err = v.claim(ctx, formers)
		if err == nil && w.Revision > 0 {
			log.Info("lease won", "epoch", w.Entry.Epoch, "floor", w.Entry.Floor)
			return w, 0, nil
		}
		v.b.crew.unclaim(v.b)
		switch {
		case ctx.Err() != nil, err == nil: // absent, and not ours to take yet
		case errors.Is(err, protocol.ErrDeposed):
			log.Debug("lease not won: another was faster")
		default:
			log.Warn("lease not won", "error", err)
		}
		if err != nil {
			if err := v.look(ctx); err != nil {
				wait = v.b.bounds.Renew
			} else if wait = v.s.Wait(v.b.o.Clock.Boot()); wait == 0 {
				wait = v.b.bounds.Busy
			}
		}
	} else {
		v.free = 0
	}
	if v.s.Known && v.s.Entry.Closed {
		if err := v.b.crew.r.closedThough(ctx, v.b.crew.layout); err != nil {
			log.Debug("the shard is closed, and its layout cannot be read", "error", err)
		}
	}
	v.tell(wait)
	return protocol.Won{}, wait, err
}

// tell says once what a stand-by has found.
func (v *vigil) tell(wait time.Duration) {
	if !v.s.Known || v.told {
		return
	}
	v.told = true
	switch log := v.b.logger; {
	case v.s.Entry.Closed:
		log.Info("standing by: the shard is closed, there is another layout")
	case v.s.Entry.Absent():
		log.Warn("the lease is absent, though the bridge has worked on this bus before: somebody may have deleted it under a leader. It is taken when nobody has made it again by then", "wait", wait)
	default:
		log.Info("standing by", "leader", v.s.Entry.Holder, "epoch", v.s.Entry.Epoch)
	}
}

// mayClaim lets the seat claim the lease, with the former shards that it has to
// regard, once all of them are closed and unless the lease is left to other
// replicas for a while; else it says how long to wait.
func (v *vigil) mayClaim(now time.Duration) (formers []protocol.LeaseEntry, wait time.Duration) {
	formers, open := v.b.crew.formersFor(v.s.Entry)
	if open {
		v.free = 0
		return nil, v.b.bounds.Busy
	}
	if v.free == 0 {
		v.free = now
	}
	return formers, v.b.crew.claim(v.b, now-v.free)
}

// claim wins the lease above all epochs that were ever there (R16). It takes an
// absent one only when its time is up, or nothing of ours is on the bus.
func (v *vigil) claim(ctx context.Context, formers []protocol.LeaseEntry) (protocol.Won, error) {
	traces, err := v.b.o.Traces(ctx)
	if err != nil {
		v.b.notReady("what former leaders left on the bus cannot be read: " + err.Error())
		return protocol.Won{}, fmt.Errorf("read what former leaders left: %w", err)
	}
	v.s.Fresh = !traces.Any
	if v.s.Wait(v.b.o.Clock.Boot()) > 0 {
		return protocol.Won{}, nil
	}
	if v.s.Entry.Holder == "unknown" {
		v.s.Entry = protocol.LeaseEntry{} // nothing of it is carried over
	}
	if formers, err = v.b.crew.readFormers(ctx, formers); err != nil {
		return protocol.Won{}, err
	}
	e := v.s.Entry
	if len(formers) > 0 && e.Absent() {
		e = protocol.Inherit(formers)
	}
	e.Epoch = max(e.Epoch, traces.Epoch)
	if e.FormerIDs == nil && traces.PresentIDs {
		e.FormerIDs, e.ByHand = new(uint64), true // somebody wrote the entry: no former build did
	}
	if l := v.b.crew.layout; l.Generation > 0 {
		e.Layout = &l
	}
	w, err := v.b.win(ctx, e.Succession(v.b.o.Holder, crand.Text(), v.b.bounds.Lease), v.s.Revision)
	w.Fresh, w.Formers = v.s.Fresh && v.s.Entry.Absent() && v.b.crew.layout.Former == 0, formers
	return w, err
}

// errOtherLayout ends a leadership that has not begun: the shard is one of a
// layout that is over, or the replica stops.
var errOtherLayout = errors.New("there is another layout")

// agree asks for the layout once the lease is won, before anything is done with
// it (R17): where it is another one, the lease is free again.
func (b *seat) agree(ctx context.Context, w *protocol.Won) error {
	for {
		l, err := b.crew.r.tryLayout(ctx, true)
		switch {
		case err == nil && l.Same(b.crew.layout):
			if w.Layout, w.Number = l, b.shard.Number; !l.Regards(w.Entry) {
				w.Formers = nil
			}
			return nil
		case err == nil, ctx.Err() != nil:
			b.giveBack(ctx, w)
			return errOtherLayout
		case b.o.Clock.Boot()-w.At > b.bounds.Lease-b.bounds.Margin:
			return fmt.Errorf("%w: %w", protocol.ErrLeaseOver, err)
		}
		b.notReady("the lease cannot be read: " + err.Error())
		select {
		case <-ctx.Done():
		case <-time.After(b.bounds.Busy):
		}
	}
}

// sameLayout is asked before a lease or fence that is gone is made again: it may
// have been removed with its whole layout while this process slept (R17).
func (b *seat) sameLayout(ctx context.Context) error {
	l, err := b.crew.r.settleLayout(ctx, true)
	if err == nil && !l.Same(b.crew.layout) {
		err = fmt.Errorf("%w: there is another layout", protocol.ErrDeposed)
	}
	return err
}

// giveBack frees a lease with which nothing was done; if that fails it runs out.
func (b *seat) giveBack(ctx context.Context, w *protocol.Won) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limits.TermCallTime)
	defer cancel()
	e := w.Entry
	e.Free = true
	_, _ = b.win(ctx, e, w.Revision)
}

func (v *vigil) observe(x protocol.LeaseSight) {
	if x.Unreadable != nil && !v.unread {
		v.b.logger.Error("the lease cannot be read: it is treated as held by somebody", "error", x.Unreadable)
	}
	v.unread = x.Unreadable != nil
	v.s.Observe(x.Entry, x.Revision, v.b.o.Clock.Boot())
	v.b.led.Store(int64(v.s.Led))
	v.b.leader.Store(v.leader())
	// Held by another is a good state; free, it is good only once we have it.
	if v.s.Wait(v.b.o.Clock.Boot()) > 0 {
		v.b.ready()
	}
}

func (v *vigil) leader() *leader {
	if e := v.s.Entry; !e.Free && !e.Absent() {
		return &leader{e.Holder, e.Leading}
	}
	return &leader{}
}

func (v *vigil) look(ctx context.Context) error {
	x, err := readLease(ctx, v.b.o.Lease)
	if err == nil {
		v.observe(x)
	} else if ctx.Err() == nil {
		v.b.notReady("the lease cannot be read: " + err.Error())
	}
	return err
}

// win writes the entry until the answer is definite: an unknown outcome may
// have made us the leader.
func (b *seat) win(ctx context.Context, e protocol.LeaseEntry, expect uint64) (protocol.Won, error) {
	id := fmt.Sprintf("win:%d:%s:%x", e.Epoch, b.o.Holder, rand.Uint64())
	sent := b.o.Clock.Boot()
	for {
		revision, err := b.o.Lease.Put(ctx, protocol.Encode(e), expect, id)
		if err != nil && !errors.Is(err, protocol.ErrDeposed) {
			b.notReady("the lease cannot be written: " + err.Error())
		}
		switch {
		case err == nil && b.o.Clock.Boot()-sent < b.bounds.Lease-b.bounds.Margin:
			return protocol.Won{Entry: e, Revision: revision, At: sent}, nil
		case err == nil:
			return protocol.Won{}, protocol.ErrLeaseOver
		case errors.Is(err, protocol.ErrDeposed), errors.Is(err, protocol.ErrRefused), ctx.Err() != nil,
			b.o.Clock.Boot()-sent > b.bounds.Lease:
			return protocol.Won{}, err
		}
		select {
		case <-ctx.Done():
			return protocol.Won{}, ctx.Err()
		case <-time.After(b.bounds.Busy):
		}
	}
}

// leaderless says of a stand-by since when it has seen nobody lead, and whether
// that lasts longer than any take-over should.
func (b *seat) leaderless() (text string, tooLong bool) {
	silent := b.o.Clock.Boot() - time.Duration(b.led.Load())
	if silent < 3*b.bounds.Renew {
		return "", false
	}
	return "nobody leads since " + b.o.Clock.Now().Add(-silent).UTC().Format(time.RFC3339), silent > 2*b.patience()
}

func readLease(ctx context.Context, l Lease) (protocol.LeaseSight, error) {
	value, revision, err := l.Get(ctx)
	if err != nil {
		return protocol.LeaseSight{}, err
	}
	return protocol.Sight(value, revision), nil
}
