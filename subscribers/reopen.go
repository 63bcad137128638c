package subscribers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

// watch consumes from the present durable and makes a new one whenever it is in doubt.
func (f *feed) watch(ctx context.Context) {
	defer f.stop()
	status := f.nc.StatusChanged(nats.CONNECTED)
	defer f.nc.RemoveStatusListener(status)
	idle := time.NewTicker(f.o.idleCheck)
	defer idle.Stop()
	for {
		f.mu.Lock()
		gen, cons := f.gen, f.cons
		f.mu.Unlock()
		cc, err := f.consume(gen, cons)
		for err == nil {
			select {
			case <-ctx.Done():
				cc.Stop()
				return
			case <-f.done:
				cc.Stop()
				return
			case <-status:
				err = errors.New("reconnected")
			case d := <-f.doubt:
				if d.gen == gen {
					err = d.err
				}
			case <-idle.C:
				err = f.checkIdle(ctx, gen, cons)
			}
		}
		if cc != nil {
			cc.Stop()
		}
		if err := f.reopen(ctx, err, status); err != nil {
			if ctx.Err() == nil {
				f.log.Error("the feed ends", "stream", f.d.stream, "error", err)
			}
			return
		}
	}
}

func (f *feed) consume(gen durable, cons jetstream.Consumer) (jetstream.ConsumeContext, error) {
	return cons.Consume(func(m jetstream.Msg) { f.takeIn(gen, m) },
		pullLimit(cons.CachedInfo(), max(limits.FeedPullBytes, 2*int(f.nc.MaxPayload()))),
		jetstream.PullExpiry(limits.FeedPullTime), jetstream.PullHeartbeat(limits.FeedHeartbeat),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) { f.suspect(gen, err) }))
}

func (f *feed) suspect(gen durable, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.suspectLocked(gen, err)
}

// suspectLocked has the durable reopened; one word about it is enough.
func (f *feed) suspectLocked(gen durable, err error) {
	if gen != f.gen {
		return
	}
	select {
	case f.doubt <- doubt{gen, err}:
	default:
	}
}

// checkIdle looks for messages that the server has sent and that got lost at
// the end of what was received, where no gap tells of them.
func (f *feed) checkIdle(ctx context.Context, gen durable, cons jetstream.Consumer) error {
	f.mu.Lock()
	consumed, idle := f.intake.Consumed(), !f.waiting && time.Since(f.takenAt) > time.Second
	f.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, limits.JetStreamTime)
	defer cancel()
	made := cons.CachedInfo()
	info, err := cons.Info(ctx)
	if err != nil {
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			return err
		}
		return nil // the connection's own signs decide
	}
	if why := difference(made, info); why != "" {
		f.log.Warn("the consumer of the feed is recreated, since it is not as it was made", "stream", f.d.stream,
			"consumer", f.d.name(gen), "cause", why)
		return fmt.Errorf("consumer %q is not as it was made: %s", f.d.name(gen), why)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if idle && f.gen == gen && f.intake.Consumed() == consumed && info.Delivered.Consumer > consumed {
		return fmt.Errorf("the server has delivered %d messages, %d came", info.Delivered.Consumer, consumed)
	}
	return nil
}

// reopen makes a new durable at the own settled prefix (R1); nothing that comes
// from the old one counts any more.
func (f *feed) reopen(ctx context.Context, cause error, reconnected <-chan nats.Status) error {
	f.mu.Lock()
	last := f.gen
	f.gen = durable{} // nobody's, until there is a new one
	f.handle = ""
	f.room.Broadcast()
	f.mu.Unlock()
	wait := limits.FeedReopenFirst
	for {
		f.mu.Lock()
		prefix, taken := f.intake.Prefix(), f.taken
		f.mu.Unlock()
		octx, cancel := context.WithTimeout(ctx, 2*limits.JetStreamTime)
		lost := make(chan bool)
		go func() { // what was asked before a reconnect gets no answer
			select {
			case <-reconnected:
				cancel()
				lost <- true
			case <-octx.Done():
				lost <- false
			}
		}()
		gen, cons, err := f.d.reopen(octx, last, prefix, taken)
		cancel()
		if <-lost && err == nil {
			err = errors.New("reconnected meanwhile")
		}
		if err == nil {
			f.log.Info("feed reopened", "stream", f.d.stream, "consumer", f.d.name(gen), "from", prefix+1, "cause", cause)
			f.mu.Lock()
			select {
			case <-f.doubt: // of the old one
			default:
			}
			f.gen, f.cons = gen, cons
			f.intake.Opened(prefix)
			f.handled, f.acked, f.takenAt = prefix, prefix, time.Now()
			f.mu.Unlock()
			return nil
		}
		if errors.Is(err, protocol.ErrDeposed) || errors.Is(err, errRecreated) || f.nc.IsClosed() {
			return err
		}
		f.log.Warn("feed cannot be reopened yet", "stream", f.d.stream, "error", err, "cause", cause)
		select {
		case <-reconnected:
			wait = limits.FeedReopenFirst
		case <-ctx.Done():
			return ctx.Err()
		case <-f.done:
			return errors.New("closed")
		case <-time.After(wait):
			wait = min(2*wait, limits.FeedReopenMost)
		}
	}
}
