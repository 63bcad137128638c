package bridge

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"orderbridge/bridge/protocol"
)

func runFor(d time.Duration) *run {
	return newRun(&protocol.StartAttempt{}, time.Now().Add(d))
}

// What those see who use an attempt's context, or one that is derived from it.
func TestAttemptContextEnds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end         func(*run)
		want        error
		ours, tells bool // of our own making; OnCut tells
	}{
		"by its deadline":  {func(*run) { <-time.After(time.Second) }, context.DeadlineExceeded, false, false},
		"with the lease":   {func(r *run) { r.cancel(errLeaseCut) }, context.Canceled, true, true},
		"cut by the core":  {func(r *run) { r.cancel(context.Canceled) }, context.Canceled, false, true},
		"twice, first won": {func(r *run) { r.cancel(errLeaseCut); r.cancel(context.Canceled) }, context.Canceled, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				quiet, r := runFor(time.Second), runFor(time.Second)
				derived, cancel := context.WithTimeout(r, time.Hour)
				defer cancel()
				after, cut := false, false
				context.AfterFunc(r, func() { after = true })
				if !r.OnCut(func() { cut = true }) || r.Err() != nil || derived.Err() != nil {
					t.Fatal("over before its end")
				}
				c.end(quiet)
				c.end(r)
				synctest.Wait()
				for _, ctx := range []context.Context{r, derived, quiet} {
					select {
					case <-ctx.Done():
					default:
						t.Fatal("the end is not told")
					}
					if !errors.Is(ctx.Err(), c.want) || errors.Is(context.Cause(ctx), ErrCut) != c.ours {
						t.Errorf("Err %v, cause %v", ctx.Err(), context.Cause(ctx))
					}
				}
				if !after || cut != c.tells {
					t.Errorf("AfterFunc called: %v, OnCut: %v", after, cut)
				}
				if r.OnCut(func() { t.Error("called after the end") }) {
					t.Error("OnCut of an attempt that is over")
				}
				called := make(chan struct{})
				stop := r.AfterFunc(func() { close(called) })
				<-called
				if stop() {
					t.Error("AfterFunc of an attempt that is over can be stopped")
				}
			})
		})
	}
}

func TestAttemptContextIsLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := runFor(time.Second)
		stop := context.AfterFunc(r, func() { t.Error("called although it was stopped") })
		r.OnCut(func() { t.Error("called although it was taken back") })
		if !stop() || stop() || !r.OnCut(nil) {
			t.Error("what was not called cannot be stopped, or can be twice")
		}
		r.cancel(errLeaseCut)
		synctest.Wait()
	})
}

// The end of the lease cuts what runs and what begins, until it is renewed.
func TestLeaseDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		clock := clockFunc(func() time.Duration { return time.Since(start) })
		g := newLeaseDeadline(clock)
		begin := func() *run {
			r := runFor(time.Hour)
			g.begin(r, clock.Boot())
			return r
		}
		if early := begin(); !errors.Is(early.Err(), ErrCut) {
			t.Error("begins without a lease")
		}
		g.extend(2 * time.Second)
		ended, long := begin(), begin()
		<-time.After(time.Second)
		g.end(ended)
		g.extend(3 * time.Second)
		<-time.After(1500 * time.Millisecond)
		if long.Err() != nil {
			t.Error("cut although the lease was renewed")
		}
		<-time.After(time.Second)
		if synctest.Wait(); !errors.Is(long.Err(), ErrCut) || ended.Err() != nil {
			t.Errorf("after the lease: %v, and what had ended: %v", long.Err(), ended.Err())
		}
		if late := begin(); !errors.Is(late.Err(), ErrCut) {
			t.Error("begins after the lease")
		}
		g.extend(time.Hour)
		again := begin()
		if again.Err() != nil {
			t.Error("cut although the lease was renewed late")
		}
		if g.close(); !errors.Is(again.Err(), ErrCut) {
			t.Error("goes on after the term")
		}
	})
}

// The last look before a request is sent sees the clock, not the timers: those of a
// process that was stopped are late, those of a machine that slept even later.
func TestMayBegin(t *testing.T) {
	t.Parallel()
	var boot atomic.Int64
	clock := clockFunc(func() time.Duration { return time.Duration(boot.Load()) })
	g := newLeaseDeadline(clock)
	g.extend(time.Hour)
	defer g.close()
	begin := func() (*run, context.Context) {
		r := runFor(time.Hour)
		g.begin(r, clock.Boot())
		ctx, cancel := context.WithTimeout(WithDelivery(r, nil), time.Minute)
		t.Cleanup(cancel)
		return r, ctx
	}
	cut, cutCtx := begin()
	cut.cancel(context.Canceled)
	r, ctx := begin()
	if err := MayBegin(ctx); err != nil || !errors.Is(MayBegin(cutCtx), context.Canceled) {
		t.Errorf("while the lease is sure: %v; cut by the core: %v", err, MayBegin(cutCtx))
	}
	boot.Store(int64(time.Hour))
	if err := MayBegin(ctx); !errors.Is(err, ErrCut) || !errors.Is(r.Err(), ErrCut) || Judge(err, false).Verdict != protocol.NotAttempted {
		t.Errorf("after the lease: %v, and the context %v", err, r.Err())
	}
	over, cancel := context.WithCancelCause(context.Background())
	if err := MayBegin(over); err != nil {
		t.Errorf("no attempt of a term: %v", err)
	}
	if cancel(ErrCut); !errors.Is(MayBegin(over), ErrCut) {
		t.Errorf("cut, no attempt of a term: %v", MayBegin(over))
	}
}

type clockFunc func() time.Duration

func (f clockFunc) Boot() time.Duration { return f() }
func (clockFunc) Now() time.Time        { return time.Now() }
