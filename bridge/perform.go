package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

// How a term carries out what the machine wants. What takes time is done beside
// the loop, and answered by an input.

// perform carries an output out.
func (t *term) perform(out protocol.Output) {
	switch out := out.(type) {
	case *protocol.StartAttempt:
		t.runs[out.Attempt] = t.fan.attempt(out)
	case protocol.CutAttempt:
		if r := t.runs[out.Attempt]; r != nil {
			r.cancel(context.Canceled)
		}
	case protocol.SettleEvent:
		t.unsettled.ack(out.Tag)
	case protocol.Log:
		t.logger.Log(t.ctx, slogLevels[out.Level], out.Message, out.Args...)
	case *protocol.AttemptTold:
		t.tell(out)
		t.logFailed(out)
	case *protocol.SupersededTold:
		t.logSuperseded(out)
	case protocol.HoldAttempts:
		t.deadline.extend(out.Until)
	case protocol.StartFeed:
		t.startFeed()
		t.resumeReplays()
	case protocol.ReplayAttempted:
		t.replays.answer(out)
	case protocol.WatchRecords:
		t.tasks.Go(func() { t.b.crew.r.following.hear(t) })
	case protocol.NoteMessage:
		t.feed.Know(out.Message)
	case protocol.HoldAcks:
		if f, ok := t.feed.(interface{ HoldBack(from uint64) }); ok {
			f.HoldBack(out.From)
		}
	case protocol.ForgetReader:
		t.b.o.Source.Forget(out.Subscription)
	case protocol.RaiseAlert:
		t.raise(out.Alert)
	case protocol.Answer:
		t.commands.answer(out)
	case protocol.ListingCompared:
		t.compared <- out.All
	case protocol.EndTerm:
		t.finish(out.Cause)
	case protocol.ReadEvents:
		t.read(out)
	default:
		t.performState(out)
	}
}

// performState is perform for requests that concern the bridge's own state.
func (t *term) performState(out protocol.Output) {
	o := &t.b.o
	switch out := out.(type) {
	case protocol.WriteEntry:
		t.ask(limits.TermCallTime, func(ctx context.Context) protocol.Input {
			return protocol.EntryWritten{Reply: out.Reply(o.Ledger.Write(ctx, out.Write))}
		})
	case protocol.WriteLease:
		t.ask(limits.TermCallTime, func(ctx context.Context) protocol.Input {
			revision, err := o.Lease.Put(ctx, protocol.Encode(out.Entry), out.Expect, out.WriteID)
			return protocol.LeaseWritten{Reply: out.Reply(err), Revision: revision}
		})
	case protocol.ReadLease:
		t.ask(limits.TermCallTime, func(ctx context.Context) protocol.Input {
			s, err := readLease(ctx, o.Lease)
			if err == nil && s.Entry.Absent() { // it may be gone because the layout is
				err = t.b.sameLayout(ctx)
			}
			return protocol.LeaseRead{Reply: out.Reply(err), Sight: s}
		})
	case protocol.FenceBucket:
		t.ask(limits.TermCallTime, func(ctx context.Context) protocol.Input {
			if err := t.b.sameLayout(ctx); err != nil {
				return protocol.BucketFenced{Reply: out.Reply(err)}
			}
			made, err := o.Ledger.Fence(ctx, out.Bucket, out.Epoch, out.Term)
			return protocol.BucketFenced{Reply: out.Reply(err), Made: made}
		})
	case protocol.SealBucket:
		t.ask(limits.TermCallTime, func(ctx context.Context) protocol.Input {
			return protocol.BucketSealed{Reply: out.Reply(o.Ledger.Seal(ctx, out.Bucket))}
		})
	case protocol.CheckBucket:
		t.ask(limits.TermCallTime, func(ctx context.Context) protocol.Input {
			return protocol.BucketChecked{Reply: out.Reply(o.Ledger.Check(ctx, out.Bucket))}
		})
	case protocol.LoadState:
		t.ask(limits.TermLoadTime, func(ctx context.Context) protocol.Input {
			l, err := t.loadState(ctx)
			return protocol.StateLoaded{Reply: out.Reply(err), State: l}
		})
	case protocol.FindRecord:
		t.ask(limits.TermCallTime, func(ctx context.Context) protocol.Input {
			r, err := o.Records.Latest(ctx, out.Subscription)
			return protocol.RecordFound{Reply: out.Reply(err), Revision: r}
		})
	case protocol.StoreLetter:
		t.ask(limits.TermCallTime, func(ctx context.Context) protocol.Input {
			return protocol.LetterStored{Reply: out.Reply(t.bury(ctx, out.Letter))}
		})
	case protocol.RemoveLetter:
		t.ask(limits.TermCallTime, func(ctx context.Context) protocol.Input {
			return protocol.LetterRemoved{Reply: out.Reply(o.DeadLetters.Remove(ctx, out.Sequence))}
		})
	default:
		t.performStream(out)
	}
}

// performStream is perform for requests that concern the source stream.
func (t *term) performStream(out protocol.Output) {
	o := &t.b.o
	switch out := out.(type) {
	case protocol.SurveyStream:
		t.ask(limits.TermCallTime, func(ctx context.Context) protocol.Input {
			s, err := t.surveyNow(ctx, &out.Entry)
			return protocol.StreamSurveyed{Reply: out.Reply(err), Survey: s}
		})
	case protocol.OpenFeed:
		t.ask(limits.TermCallTime, func(ctx context.Context) protocol.Input {
			at, err := t.openFeed(ctx, out.Epoch, out.At)
			return protocol.FeedOpened{Reply: out.Reply(err), At: at}
		})
	case protocol.LookAtStream:
		t.ask(limits.TermCallTime, func(ctx context.Context) protocol.Input {
			l, err := t.lookNow(ctx, out.Witnesses, out.Floor)
			return protocol.StreamSeen{Reply: out.Reply(err), Look: l}
		})
	case protocol.JudgeMessages:
		t.ask(limits.EntriesJudgeTime, func(ctx context.Context) protocol.Input {
			found, err := t.judge(ctx, out.Entries)
			return protocol.MessagesJudged{Reply: out.Reply(err), Highest: found}
		})
	case protocol.FindSequence:
		t.ask(limits.TermCallTime, func(ctx context.Context) protocol.Input {
			seq, last, err := o.Source.SequenceAt(ctx, out.Time)
			return protocol.SequenceFound{Reply: out.Reply(err), Sequence: seq, Last: last}
		})
	case protocol.AskRetention:
		t.ask(limits.TermCallTime, func(ctx context.Context) protocol.Input {
			r, err := o.Source.Retention(ctx, out.Fractions)
			return protocol.RetentionTold{Reply: out.Reply(err), Retention: r}
		})
	case protocol.ConfirmSettled:
		t.ask(limits.TermCallTime, func(ctx context.Context) protocol.Input {
			return protocol.SettledConfirmed{Reply: out.Reply(t.feed.Confirm(ctx))}
		})
	case protocol.KeepFrom:
		t.ask(limits.TermCallTime, func(ctx context.Context) protocol.Input {
			var err error
			if f, ok := t.feed.(interface {
				Keep(ctx context.Context, from uint64) error
			}); ok {
				err = f.Keep(ctx, out.From)
			}
			return protocol.StreamKeeps{Reply: out.Reply(err)}
		})
	default:
		panic(fmt.Sprintf("the machine wants %T, which nobody carries out", out))
	}
}

// ask asks the bus beside the loop, with a deadline, and posts the answer.
func (t *term) ask(timeout time.Duration, what func(ctx context.Context) protocol.Input) {
	t.tasks.Go(func() {
		ctx, cancel := t.call(timeout)
		defer cancel()
		t.post(what(ctx))
	})
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

func (t *term) startFeed() {
	if t.b.o.AlertFeed != nil {
		t.tasks.Go(t.hearAlerts)
	}
	events, err := t.feed.Subscribe(t.ctx, "")
	if err != nil {
		t.finish(fmt.Errorf("subscribe to the feed: %w", err))
		return
	}
	t.tasks.Go(func() {
		t.fan.forward(events)
		if t.ctx.Err() == nil {
			t.post(protocol.FeedEnded{})
		}
	})
}

// read reads on for a subscription. Tenants take turns.
func (t *term) read(out protocol.ReadEvents) {
	t.tasks.Go(func() {
		if !t.reads.await(t.ctx, out.Tenant) {
			return
		}
		defer t.reads.pass()
		ctx, cancel := t.call(limits.TermCallTime)
		defer cancel()
		msgs, got, err := t.b.o.Source.Read(ctx, out.Subscription, out.From, out.Subjects, out.Most, out.MostBytes)
		evs := make([]*event.Event, len(msgs))
		for i, m := range msgs {
			evs[i] = t.b.o.Decoder.Decode(m)
		}
		t.post(protocol.EventsRead{Reply: out.Reply(err), Events: evs, Reading: got})
	})
}

// bury stores a dead letter, with its event if that is in memory or on the bus.
func (t *term) bury(ctx context.Context, d protocol.DeadLetter) error {
	if d.Message.Known() {
		d.MessageTime = time.Unix(0, d.Message.Time).UTC()
	}
	if d.Event == nil && !d.Vanished {
		m, err := t.get(ctx, event.Ref{Seq: d.Sequence, Time: d.Message.Time}, d.Top)
		switch {
		case err == nil:
			d.Event = t.b.o.Decoder.Decode(m)
			d.DeliveryID, d.Order = d.IDOf(d.Event), d.Event.Order()
		case !errors.Is(err, protocol.ErrNotFound):
			return err
		}
	}
	d.Stream = t.b.o.Decoder.Stream
	err := t.b.o.DeadLetters.Store(ctx, d)
	if err == nil {
		t.logDead(&d)
	}
	return err
}

// alert tries a few times; an alert that cannot be stored is in the log.
func (t *term) raise(a protocol.Alert) {
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
		t.logger.Warn("alert could not be stored", "kind", a.Kind, "subscription_id", a.Subscription, "text", a.Text,
			"error", err)
	}()
}

var slogLevels = [...]slog.Level{protocol.Debug: slog.LevelDebug, protocol.Info: slog.LevelInfo,
	protocol.Warn: slog.LevelWarn, protocol.Error: slog.LevelError}
