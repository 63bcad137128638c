package bridge

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

// How far a replay has got, and how that is kept.

// answered goes on when an attempt has ended.
func (run *replayRun) answered(out protocol.ReplayAttempted) {
	x := run.asked[out.Command]
	delete(run.asked, out.Command)
	if x == nil {
		return
	}
	x.busy, x.last = false, out.Outcome
	run.r.Why = ""
	switch o := out.Outcome; o.Verdict {
	case protocol.Delivered:
		run.r.Sent++
		run.r.Attempts++
		run.settle(x)
	case protocol.Filtered:
		run.r.Filtered++
		run.settle(x)
	case protocol.NotAttempted:
		x.sent--
		x.next = time.Now().Add(time.Second)
	default:
		run.r.Attempts++
		run.r.LastError = o.Reason
		run.dirty = true
		if out.Waits {
			run.r.Why = "it waits: the endpoint fails"
		} else {
			x.tries++
		}
		if x.dead = o.Verdict == protocol.GiveUp || x.tries >= limits.ReplayTries; !x.dead {
			x.next = time.Now().Add(max(run.pauseAfter(x), o.RetryAfter))
		}
	}
}

// pauseAfter is the time until the next attempt: by the record's schedule, within bounds.
func (run *replayRun) pauseAfter(x *replayed) time.Duration {
	schedule := run.rec.RetrySchedule()
	if len(schedule) == 0 {
		return limits.ProbeFirst
	}
	return min(schedule[min(max(x.tries, 1), len(schedule))-1], limits.ReplayWait)
}

// bury stores the dead letters of what failed for good.
func (run *replayRun) bury() {
	t := run.t
	for _, seq := range sortedSeqs(run.open) {
		x := run.open[seq]
		if !x.dead || time.Now().Before(x.next) {
			continue
		}
		delivery := protocol.Delivery{Subscription: run.rec, Event: x.ev, Generation: run.r.Generation, Replay: run.r.ID, NewID: run.r.IDs == ReplayNew}
		d := protocol.DeadLetter{Subscription: run.r.Subscription, Generation: run.r.Generation, Lane: x.lane, Key: x.key, Order: x.ev.Order(),
			Reason: "replay " + run.r.ID + ": " + x.last.Reason, Attempts: x.sent, LastStatus: x.last.Status, DeliveryID: delivery.ID(),
			Sequence: seq, Time: t.b.o.Clock.Now(), Event: x.ev, ID: strings.Join([]string{"replay", run.r.ID, x.ev.ID}, "-"), Message: x.ev.Ref()}
		ctx, cancel := t.call(limits.TermCallTime)
		err := t.bury(ctx, d)
		cancel()
		if err != nil {
			x.next = time.Now().Add(time.Second)
			run.r.LastError = "a dead letter cannot be stored: " + err.Error()
			continue
		}
		run.r.Failed++
		run.settle(x)
	}
}

func sortedSeqs(m map[uint64]*replayed) []uint64 {
	list := make([]uint64, 0, len(m))
	for seq := range m {
		list = append(list, seq)
	}
	slices.Sort(list)
	return list
}

// settle: it need not be sent any more.
func (run *replayRun) settle(x *replayed) {
	run.dirty = true
	run.bytes -= x.ev.Size()
	delete(run.open, x.ev.Seq)
	run.done[x.ev.Seq] = true
	if q := run.lanes[x.lane][1:]; len(q) > 0 {
		run.lanes[x.lane] = q
	} else {
		delete(run.lanes, x.lane)
	}
	run.advance()
}

// advance moves Next over what is done.
func (run *replayRun) advance() {
	next := run.at + 1
	for seq := range run.open {
		next = min(next, seq)
	}
	if next <= run.r.Next {
		return
	}
	run.r.Next, run.dirty = next, true
	for seq := range run.done {
		if seq < next {
			delete(run.done, seq)
		}
	}
}

// write says how far it is: protocol.ErrDeposed if another leader goes on with it;
// any other error: it is tried again, and nothing more is sent meanwhile.
func (run *replayRun) write() error {
	t, began := run.t, time.Now()
	run.r.Written = t.b.o.Clock.Now().UTC().Truncate(time.Millisecond)
	run.r.Done = nil
	for seq := range run.done {
		run.r.Done = append(run.r.Done, seq)
	}
	slices.Sort(run.r.Done)
	ctx, cancel := t.call(limits.TermCallTime)
	defer cancel()
	rev, err := t.b.o.Replays.Put(ctx, run.r, run.rev)
	if errors.Is(err, protocol.ErrDeposed) { // or it is a copy of our own whose answer was lost
		if rev, err = run.ownRevision(ctx); err == nil {
			rev, err = t.b.o.Replays.Put(ctx, run.r, rev)
		}
	}
	if err != nil {
		return err
	}
	run.rev, run.confirmed, run.dirty = rev, began, false
	return nil
}

// ownRevision is that of the entry, if this leadership has written it.
func (run *replayRun) ownRevision(ctx context.Context) (uint64, error) {
	all, err := run.t.b.o.Replays.All(ctx)
	if err != nil {
		return 0, err
	}
	for _, r := range all {
		if r.ID == run.r.ID && r.Epoch == run.r.Epoch && r.State == ReplayRunning {
			return r.Revision, nil
		}
	}
	return 0, protocol.ErrDeposed
}

// insist writes until it is confirmed; false if it is not ours any more, or the term ends.
func (run *replayRun) insist() bool {
	for {
		err := run.write()
		if err == nil || errors.Is(err, protocol.ErrDeposed) || run.t.ctx.Err() != nil {
			return err == nil
		}
		wait(run.t.ctx, time.Second)
	}
}

// finish ends it: nothing more is asked for, and what is under way is awaited for
// a moment. why is "" if another leader is to go on.
func (run *replayRun) finish(why string) {
	run.t.post(protocol.EndReplay{Subscription: run.r.Subscription, Replay: run.r.ID})
	over := time.After(limits.ReplayDrain)
	for waits := true; waits && len(run.asked) > 0; {
		select {
		case out := <-run.answers:
			run.answered(out)
		case <-run.t.ctx.Done():
			return
		case <-over:
			waits = false
		}
	}
	if why == "" {
		run.insist()
		return
	}
	run.conclude(ReplayStopped, why)
}

// conclude says that it has ended.
func (run *replayRun) conclude(state, why string) {
	run.r.State, run.r.Why, run.r.Ended = state, why, run.t.b.o.Clock.Now().UTC().Truncate(time.Millisecond)
	if run.insist() {
		run.t.logger.Info("replay ended", "replay", run.r.ID, "subscription_id", run.r.Subscription, "state", state, "reason", why, "sent", run.r.Sent, "failed", run.r.Failed)
	}
}
