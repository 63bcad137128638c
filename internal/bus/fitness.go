package bus

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"orderbridge/internal/limits"
)

// The fence that keeps a deposed replica from writing is checked by the server
// that leads a state bucket. A NATS server before 2.11 takes the write and
// checks nothing, so the bridge neither begins nor goes on where one leads:
// at the start it waits for better servers, and while it runs it lets the lease
// go. It asks again and again, since servers are replaced one after another,
// and an old one may come to lead a stream at any time.

// Fitness is whether the servers of the bus are new enough, as they were last
// asked. The zero value has not asked yet. Safe for concurrent use.
type Fitness struct{ unfit atomic.Pointer[string] }

// Problem says which server is too old; "" if none is.
func (f *Fitness) Problem() string {
	if unfit := f.unfit.Load(); unfit != nil {
		return *unfit
	}
	return ""
}

// Await waits until check, which is FitAccount or FitStreams, is content, and
// says in the log with what it is not. A bus that cannot answer is left to what
// comes next.
func (f *Fitness) Await(ctx context.Context, log *slog.Logger, check func(context.Context) error) error {
	said := time.Time{}
	for {
		unfit, err := f.ask(ctx, check)
		switch {
		case !unfit && err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !unfit:
			return nil // the bus cannot answer: the next step says so, and waits
		case time.Since(said) > limits.FitSayAgain:
			log.Error(err.Error())
			said = time.Now()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(limits.FitCheck):
		}
	}
}

// ask asks once and remembers the verdict. A bus that does not answer leaves it
// as it was.
func (f *Fitness) ask(ctx context.Context, check func(context.Context) error) (unfit bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, limits.FitTime)
	defer cancel()
	err = check(ctx)
	var old *tooOldError
	switch {
	case errors.As(err, &old):
		text := old.Error()
		f.unfit.Store(&text)
		return true, err
	case err == nil:
		f.unfit.Store(nil)
	}
	return false, err
}

// Watch goes on asking until ctx ends.
func (f *Fitness) Watch(ctx context.Context, nc *nats.Conn, log *slog.Logger, check func(context.Context) error) error {
	tick := time.NewTicker(limits.FitCheck)
	defer tick.Stop()
	said := time.Time{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if !nc.IsConnected() {
			continue
		}
		was := f.Problem() != ""
		switch unfit, err := f.ask(ctx, check); {
		case unfit && (!was || time.Since(said) > limits.FitSayAgain):
			log.Error(err.Error())
			said = time.Now()
		case was && err == nil:
			log.Info("the servers of the bus are new enough now")
		}
	}
}
