package protocol

import (
	"errors"
	"fmt"

	"orderbridge/bridge/event"
)

// step tells the machine, and carries out what it wants.
func (t *simTerm) step(in Input) {
	if t.dead {
		return
	}
	outputs := t.tell(Now{Boot: t.n.boot(), Wall: t.n.wall()}, in)
	for _, out := range append([]Output(nil), outputs...) {
		if t.dead {
			return
		}
		t.perform(out)
	}
	t.mended()
	t.rested()
	t.wake()
}

// wake lets a tick come when one is due.
func (t *simTerm) wake() {
	at, ok := t.core.Next()
	if !ok || t.tickAt > 0 && t.tickAt <= at {
		return
	}
	t.tickAt = at
	t.later(max(at-t.n.boot(), 0), func() {
		if t.tickAt == at {
			t.tickAt = 0
			t.step(Tick{})
		}
	})
}

func (t *simTerm) perform(out Output) {
	answer := func(of Request, in func(Reply) Input) func(error) {
		return func(err error) { t.step(in(of.Reply(err))) }
	}
	switch out := out.(type) {
	case SurveyStream:
		t.survey(&out.Entry, func(s Survey, err error) { t.step(StreamSurveyed{out.Reply(err), s}) })
	case OpenFeed:
		t.openFeed(out.Epoch, out.At, func(at event.Ref, err error) { t.step(FeedOpened{out.Reply(err), at}) })
	case LookAtStream:
		t.look(out.Witnesses, out.Floor, func(l Look, err error) { t.step(StreamSeen{out.Reply(err), l}) })
	case JudgeMessages:
		t.judge(out.Entries, func(highest []int, err error) { t.step(MessagesJudged{out.Reply(err), highest}) })
	case FindSequence:
		t.sequenceAt(out.Time, func(seq uint64, last event.Ref, err error) { t.step(SequenceFound{out.Reply(err), seq, last}) })
	case AskRetention:
		t.retention(out.Fractions, func(r Retention, err error) { t.step(RetentionTold{out.Reply(err), r}) })
	case ReadEvents:
		t.read(out.From, out.Subjects, out.Most, func(evs []*event.Event, r Reading, err error) { t.step(EventsRead{out.Reply(err), evs, r}) })
	case ConfirmSettled:
		t.ack(answer(out.Request, func(r Reply) Input { return SettledConfirmed{r} }))
	case KeepFrom:
		t.keepFrom(out.From, answer(out.Request, func(r Reply) Input { return StreamKeeps{r} }))
	case WriteLease:
		t.lease(out.Entry, out.Expect, out.WriteID, func(revision uint64, err error) { t.step(LeaseWritten{out.Reply(err), revision}) })
	case ReadLease:
		t.readLease(func(s LeaseSight, err error) { t.step(LeaseRead{out.Reply(err), s}) })
	case FenceBucket:
		t.fence(out.Bucket, out.Epoch, out.Term, func(made Made, err error) { t.step(BucketFenced{out.Reply(err), made}) })
	case SealBucket:
		t.seal(out.Bucket, answer(out.Request, func(r Reply) Input { return BucketSealed{r} }))
	case CheckBucket:
		t.checkBucket(out.Bucket, answer(out.Request, func(r Reply) Input { return BucketChecked{r} }))
	case LoadState:
		t.load(func(l *Loaded, err error) { t.step(StateLoaded{out.Reply(err), l}) })
	case WriteEntry:
		t.write(out.Write, answer(out.Request, func(r Reply) Input { return EntryWritten{r} }))
	case FindRecord:
		t.latest(out.Subscription, func(r Revision, err error) { t.step(RecordFound{out.Reply(err), r}) })
	case StoreLetter:
		t.bury(out.Letter, answer(out.Request, func(r Reply) Input { return LetterStored{r} }))
	case RemoveLetter:
		t.unbury(out.Sequence, answer(out.Request, func(r Reply) Input { return LetterRemoved{r} }))
	case *StartAttempt:
		t.attempt(t.core.attempts[out.Attempt])
	case CutAttempt:
		t.cut(out.Attempt)
	case SettleEvent:
		t.settle(out.Sequence)
	case StartFeed:
		t.startFeed()
	case WatchRecords:
		t.watchRecords()
	case NoteMessage:
		t.taken.Know(out.Message)
	case HoldAttempts:
		t.leaseUntil(out.Until)
	case RaiseAlert:
		t.w.alerted(out.Alert)
	case Answer:
		t.commands[out.Command](out)
	case ReplayAttempted:
		t.replayed(out)
	case ListingCompared:
		t.compared = out.All
	case Log:
		if t.w.trace {
			t.w.log("   %v %s %v", t, out.Message, out.Args)
		}
	case EndTerm:
		t.over(out.Cause)
	case HoldAcks:
		t.hold = out.From
	case ForgetReader, *AttemptTold:
	default:
		panic(fmt.Sprintf("nobody carries %T out", out))
	}
}

// over ends the term as the machine wants it.
func (t *simTerm) over(cause error) {
	w := t.w
	how := "graceful"
	switch {
	case !t.graceful || cause != nil && !errors.Is(cause, ErrStopUnconfirmed):
		w.log("   %v over: %v", t, cause)
		t.end("lease")
		return
	case cause != nil:
		how = "forced"
		w.stats["handed over by force"]++
	default:
		w.stats["handed over"]++
		t.cutOff()
		w.stats["frozen ms"] += int((t.n.boot() - t.core.handover.frozen) / ms)
	}
	w.ends[t.reign()] = simEnd{w.now, how}
	t.end(how)
}
