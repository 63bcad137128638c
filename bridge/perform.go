package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"orderbridge/internal/limits"
)

// How a term carries out what the machine wants. What takes time is done beside
// the loop, and answered by an input.

// perform carries an output out.
func (t *term) perform(out Output) {
	switch out := out.(type) {
	case *StartAttempt:
		t.runs[out.Attempt] = t.fan.attempt(out)
	case CutAttempt:
		if r := t.runs[out.Attempt]; r != nil {
			r.cancel()
		}
	case SettleEvent:
		t.unsettled.ack(out.Tag)
	case Log:
		t.logger.Log(t.ctx, slogLevels[out.Level], out.Message, out.Args...)
	case *AttemptTold:
		t.tell(out)
	case HoldAttempts:
		t.deadline.extend(out.Until)
	case StartFeed:
		t.startFeed()
	case WatchRecords:
		t.watchRecords()
	case NoteMessage:
		t.feed.Know(out.Message)
	case HoldAcks:
		if f, ok := t.feed.(interface{ HoldBack(from uint64) }); ok {
			f.HoldBack(out.From)
		}
	case ForgetReader:
		t.b.o.Source.Forget(out.Subscription)
	case RaiseAlert:
		t.raise(out.Alert)
	case Answer:
		t.commands.answer(out.Command, out.Err)
	case ListingCompared:
		t.compared <- out.All
	case EndTerm:
		t.finish(out.Cause)
	case ReadEvents:
		t.read(out)
	default:
		t.performState(out)
	}
}

// performState is perform for requests that concern the bridge's own state.
func (t *term) performState(out Output) {
	o := &t.b.o
	switch out := out.(type) {
	case WriteEntry:
		t.ask(limits.TermCallTime, func(ctx context.Context) Input {
			return EntryWritten{out.Reply(o.Ledger.Write(ctx, out.Write))}
		})
	case WriteLease:
		t.ask(limits.TermCallTime, func(ctx context.Context) Input {
			revision, err := o.Lease.Put(ctx, encode(out.Entry), out.Expect, out.WriteID)
			return LeaseWritten{out.Reply(err), revision}
		})
	case ReadLease:
		t.ask(limits.TermCallTime, func(ctx context.Context) Input {
			s, err := readLease(ctx, o.Lease)
			return LeaseRead{out.Reply(err), s}
		})
	case FenceBucket:
		t.ask(limits.TermCallTime, func(ctx context.Context) Input {
			made, err := o.Ledger.Fence(ctx, out.Bucket, out.Epoch, out.Term)
			return BucketFenced{out.Reply(err), made}
		})
	case SealBucket:
		t.ask(limits.TermCallTime, func(ctx context.Context) Input {
			return BucketSealed{out.Reply(o.Ledger.Seal(ctx, out.Bucket))}
		})
	case CheckBucket:
		t.ask(limits.TermCallTime, func(ctx context.Context) Input {
			return BucketChecked{out.Reply(o.Ledger.Check(ctx, out.Bucket))}
		})
	case LoadState:
		t.ask(limits.TermLoadTime, func(ctx context.Context) Input {
			l, err := loadState(ctx, o.Ledger)
			return StateLoaded{out.Reply(err), l}
		})
	case FindRecord:
		t.ask(limits.TermCallTime, func(ctx context.Context) Input {
			r, err := o.Records.Latest(ctx, out.Subscription)
			return RecordFound{out.Reply(err), r}
		})
	case StoreLetter:
		t.ask(limits.TermCallTime, func(ctx context.Context) Input {
			return LetterStored{out.Reply(t.bury(ctx, out.Letter))}
		})
	case RemoveLetter:
		t.ask(limits.TermCallTime, func(ctx context.Context) Input {
			return LetterRemoved{out.Reply(o.DeadLetters.Remove(ctx, out.Sequence))}
		})
	default:
		t.performStream(out)
	}
}

// performStream is perform for requests that concern the source stream.
func (t *term) performStream(out Output) {
	o := &t.b.o
	switch out := out.(type) {
	case SurveyStream:
		t.ask(limits.TermCallTime, func(ctx context.Context) Input {
			s, err := t.surveyNow(ctx, &out.Entry)
			return StreamSurveyed{out.Reply(err), s}
		})
	case OpenFeed:
		t.ask(limits.TermCallTime, func(ctx context.Context) Input {
			at, err := t.openFeed(ctx, out.Epoch, out.At)
			return FeedOpened{out.Reply(err), at}
		})
	case LookAtStream:
		t.ask(limits.TermCallTime, func(ctx context.Context) Input {
			l, err := t.lookNow(ctx, out.Witnesses, out.Floor)
			return StreamSeen{out.Reply(err), l}
		})
	case JudgeMessages:
		t.ask(limits.EntriesJudgeTime, func(ctx context.Context) Input {
			found, err := t.judge(ctx, out.Entries)
			return MessagesJudged{out.Reply(err), found}
		})
	case FindSequence:
		t.ask(limits.TermCallTime, func(ctx context.Context) Input {
			seq, last, err := o.Source.SequenceAt(ctx, out.Time)
			return SequenceFound{out.Reply(err), seq, last}
		})
	case AskRetention:
		t.ask(limits.TermCallTime, func(ctx context.Context) Input {
			r, err := o.Source.Retention(ctx, out.Fractions)
			return RetentionTold{out.Reply(err), r}
		})
	case ConfirmSettled:
		t.ask(limits.TermCallTime, func(ctx context.Context) Input {
			return SettledConfirmed{out.Reply(t.feed.Confirm(ctx))}
		})
	case KeepFrom:
		t.ask(limits.TermCallTime, func(ctx context.Context) Input {
			var err error
			if f, ok := t.feed.(interface {
				Keep(ctx context.Context, from uint64) error
			}); ok {
				err = f.Keep(ctx, out.From)
			}
			return StreamKeeps{out.Reply(err)}
		})
	default:
		panic(fmt.Sprintf("the machine wants %T, which nobody carries out", out))
	}
}

// ask asks the bus beside the loop, with a deadline, and posts the answer.
func (t *term) ask(timeout time.Duration, what func(ctx context.Context) Input) {
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
	events, err := t.feed.Subscribe(t.ctx, "")
	if err != nil {
		t.finish(fmt.Errorf("subscribe to the feed: %w", err))
		return
	}
	t.tasks.Go(func() {
		t.fan.forward(events)
		if t.ctx.Err() == nil {
			t.post(FeedEnded{})
		}
	})
}

func (t *term) watchRecords() {
	t.tasks.Go(func() {
		census := t.firstCensus()
		err := t.b.o.Records.Watch(t.ctx, func(r Revision) {
			rec, problems := t.parse(&r)
			t.post(&RecordSeen{r, rec, problems})
		}, func() {
			t.post(RecordsCaughtUp{})
			t.tasks.Go(func() { t.watchPresence(census) })
		}, func(missing bool) {
			t.post(RecordsMissing{missing})
		})
		if t.ctx.Err() == nil {
			t.look(func(*core) { t.finish(fmt.Errorf("watch the subscription records: %w", err)) })
		}
	})
}

// parse is what the machine is told of a revision.
func (t *term) parse(r *Revision) (*Subscription, Problems) {
	if r.Deleted {
		return nil, nil
	}
	rec, problems := t.b.o.Parse(r.Key, r.Value)
	if problems.Err() != nil {
		rec = nil
	}
	return rec, problems
}

// read reads on for a subscription. Tenants take turns.
func (t *term) read(out ReadEvents) {
	t.tasks.Go(func() {
		if !t.reads.await(t.ctx, out.Tenant) {
			return
		}
		defer t.reads.pass()
		ctx, cancel := t.call(limits.TermCallTime)
		defer cancel()
		msgs, got, err := t.b.o.Source.Read(ctx, out.Subscription, out.From, out.Subjects, out.Most, out.MostBytes)
		evs := make([]*Event, len(msgs))
		for i, m := range msgs {
			evs[i] = t.b.o.Decoder.Decode(m)
		}
		t.post(EventsRead{out.Reply(err), evs, got})
	})
}

// bury stores a dead letter, with its event if that is in memory or on the bus.
func (t *term) bury(ctx context.Context, d DeadLetter) error {
	if d.message.known() {
		d.MessageTime = time.Unix(0, d.message.Time).UTC()
	}
	if d.Event == nil && !d.Vanished {
		m, err := t.get(ctx, Ref{d.Sequence, d.message.Time}, d.top)
		switch {
		case err == nil:
			d.Event = t.b.o.Decoder.Decode(m)
			d.DeliveryID, d.Order = d.idOf(d.Event), d.Event.order()
		case !errors.Is(err, ErrNotFound):
			return err
		}
	}
	d.Stream = t.b.o.Decoder.Stream
	return t.b.o.DeadLetters.Store(ctx, d)
}

// alert tries a few times; an alert that cannot be stored is in the log.
func (t *term) raise(a Alert) {
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

var slogLevels = [...]slog.Level{Debug: slog.LevelDebug, Info: slog.LevelInfo, Warn: slog.LevelWarn, Error: slog.LevelError}
