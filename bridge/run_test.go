package bridge

import (
	"context"
	"errors"
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

type clockFunc func() time.Duration

func (f clockFunc) Boot() time.Duration { return f() }
func (clockFunc) Now() time.Time        { return time.Now() }
