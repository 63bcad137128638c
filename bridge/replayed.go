package bridge

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

// What operators ask of the leader about replays and rewinds.

// RewindRequest asks to set a subscription back.
type RewindRequest struct {
	Subscription string    `json:"subscription,omitempty"`
	ToSeq        uint64    `json:"toSeq,omitempty"` // the first event that is owed again; or Since
	Since        time.Time `json:"since,omitzero"`  // events stored at or after it
	DryRun       bool      `json:"dryRun,omitempty"`
}

// Check says what is wrong with the request; nil: nothing.
func (r *RewindRequest) Check() error {
	if r.Since.IsZero() == (r.ToSeq == 0) {
		return errors.New("toSeq: give either toSeq or since")
	}
	return nil
}

// term is the one that leads the subscription's shard; ErrNotLeader if another
// replica does.
func (r *Replica) termOf(subscription string) (*term, error) {
	if s := r.seatOf(subscription); s != nil {
		if t := s.term.Load(); t != nil {
			return t, nil
		}
	}
	return nil, ErrNotLeader
}

// Replay begins a replay, by whom it is asked for, and returns it; of a dry run
// it counts only, and returns what would be sent. ErrNotLeader if another replica
// must be asked; any other error says why it is not done.
func (r *Replica) Replay(ctx context.Context, in ReplayRequest, by string) (*Replay, *ReplayCount, error) {
	t, err := r.termOf(in.Subscription)
	if err != nil {
		return nil, nil, err
	}
	if err := in.Check(nil); err != nil {
		return nil, nil, err
	}
	x, err := t.forReplay(ctx, in.Subscription)
	if err != nil {
		return nil, nil, err
	}
	from, until, gone, err := t.rangeOf(ctx, in.Since, in.FromSeq, in.Until, in.UntilSeq, x.heard)
	if err != nil {
		return nil, nil, err
	}
	re := Replay{ID: newReplayID(), Subscription: in.Subscription, Generation: x.generation, Tenant: x.rec.Tenant, State: ReplayRunning, From: from, Until: until,
		Order: in.Order, EventType: in.EventType, Rate: in.Rate, IDs: in.IDs, By: by, Asked: t.b.o.Clock.Now().UTC().Truncate(time.Millisecond),
		Progress: Progress{Next: from, Gone: gone}, Epoch: t.start.Won.Entry.Epoch}
	if re.IDs == "" {
		re.IDs = ReplayOriginal
	}
	if st, err := t.b.o.Source.State(ctx); err == nil {
		re.Known = event.Ref{Seq: st.Last, Time: st.LastTime}
	}
	if in.DryRun {
		n, err := t.count(ctx, &re, &x)
		return nil, n, err
	}
	stored, err := t.b.o.admitReplay(ctx, re)
	if err != nil {
		return nil, nil, err
	}
	t.startReplay(stored)
	return &stored.Replay, nil, nil
}

// forReplay is what must be known of a subscription that is sent something again.
func (t *term) forReplay(ctx context.Context, subscription string) (replayable, error) {
	if t.condition.Load().Role != RoleLeader {
		return replayable{}, errors.New("the leader is just taking over: try again")
	}
	x, ok := t.replayable(ctx, subscription)
	switch {
	case !ok:
		return x, ErrNotLeader
	case x.why != "":
		return x, fmt.Errorf("%q: %s", subscription, x.why)
	}
	return x, nil
}

// rangeOf makes sequences of times and brings them within what the stream holds
// and the subscription has heard. gone: those of the range that are not there.
func (t *term) rangeOf(ctx context.Context, since time.Time, from uint64, until time.Time, last, heard uint64) (first, end, gone uint64, err error) {
	source := t.b.o.Source
	st, err := source.State(ctx)
	if err != nil {
		return 0, 0, 0, fmt.Errorf("look at the stream: %w", err)
	}
	if !since.IsZero() {
		if from, _, err = source.SequenceAt(ctx, since); err != nil {
			return 0, 0, 0, fmt.Errorf("look at the stream: %w", err)
		}
	}
	if !until.IsZero() {
		if last, _, err = source.SequenceAt(ctx, until); err != nil {
			return 0, 0, 0, fmt.Errorf("look at the stream: %w", err)
		}
		last--
	}
	if last == 0 && until.IsZero() || last > heard {
		last = heard
	}
	asked := max(from, 1)
	from = max(asked, st.First)
	if from > last {
		return 0, 0, 0, fmt.Errorf("there is nothing in that range: it begins at sequence %d, the stream holds %d to %d, and the subscription has heard up to %d", asked, st.First, st.Last, heard)
	}
	gone, err = source.Gone(ctx, from, last)
	if err != nil {
		return 0, 0, 0, fmt.Errorf("look at the stream: %w", err)
	}
	return from, last, gone + from - asked, nil
}

func newReplayID() string {
	var b [10]byte
	_, _ = rand.Read(b[:]) // never fails
	return strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
}

// admitReplay stores a replay, unless there are too many.
func (o *Options) admitReplay(ctx context.Context, re Replay) (s StoredReplay, err error) {
	if o.Replays == nil {
		return s, errors.New("this program knows of no replays")
	}
	all, err := o.Replays.All(ctx)
	if err != nil {
		return s, fmt.Errorf("read the replays: %w", err)
	}
	running, own, oldest := 0, 0, StoredReplay{}
	for _, x := range all {
		switch {
		case x.State != ReplayRunning:
			if oldest.ID == "" || x.Ended.Before(oldest.Ended) {
				oldest = x
			}
			continue
		case x.Subscription == re.Subscription:
			return s, fmt.Errorf("replay %s of subscription %q runs already: wait for its end, or stop it (`orderbridge replays stop %s`)", x.ID, x.Subscription, x.ID)
		case x.Tenant == re.Tenant:
			own++
		}
		running++
	}
	switch {
	case own >= limits.ReplaysOfTenant:
		return s, fmt.Errorf("%d replays run for the tenant already, and no more may at once: wait for the end of one, or stop one", own)
	case running >= limits.ReplaysAtOnce:
		return s, fmt.Errorf("%d replays run already, and no more may at once: wait for the end of one, or stop one", running)
	case len(all) >= limits.ReplaysKept && oldest.ID != "":
		if err := o.Replays.Remove(ctx, oldest.ID, oldest.Revision); err != nil && !errors.Is(err, protocol.ErrDeposed) {
			return s, fmt.Errorf("make room for the replay: %w", err)
		}
	}
	re.Written = re.Asked
	s.Replay = re
	if s.Revision, err = o.Replays.Put(ctx, re, 0); err != nil {
		return s, fmt.Errorf("store the replay: %w", err)
	}
	return s, nil
}

// count counts what would be sent, within bounds.
func (t *term) count(ctx context.Context, re *Replay, x *replayable) (*ReplayCount, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.ReplayCountTime)
	defer cancel()
	n := &ReplayCount{From: re.From, Until: re.Until, Gone: re.Gone, Through: re.From - 1, Sample: []ReplaySample{}}
	key := "count " + re.ID
	defer t.b.o.Source.Forget(key)
	for n.Through < n.Until {
		msgs, got, err := t.b.o.Source.Read(ctx, key, n.Through+1, x.rec.Subjects, 4*limits.ReplayRead, limits.ReaderBytes)
		if ctx.Err() != nil && n.Looked > 0 {
			n.More = true
			return n, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the stream: %w", err)
		}
		for _, m := range msgs {
			if m.Seq > n.Until {
				n.Through = n.Until
				break
			}
			wanted, err := t.counts(ctx, re, x, m, n)
			if err != nil {
				n.More = true
				return n, nil //nolint:nilerr // what was counted so far is told
			}
			n.Looked, n.Through = n.Looked+1, m.Seq
			if wanted {
				n.Matches++
			}
		}
		n.Through = max(n.Through, min(got.Through, n.Until))
		if n.More = n.Through < n.Until; n.More && (n.Looked >= limits.ReplayCount || ctx.Err() != nil) {
			return n, nil
		}
		if len(msgs) == 0 && n.More {
			wait(ctx, limits.ReaderPoll)
		}
	}
	return n, nil
}

// counts tells whether the replay would send the event, by the code that decides
// it for a delivery.
func (t *term) counts(ctx context.Context, re *Replay, x *replayable, m *event.Message, n *ReplayCount) (bool, error) {
	ev := t.b.o.Decoder.Decode(m)
	if !wantedBy(re, x.rec, ev) {
		return false, nil
	}
	d := protocol.Delivery{Subscription: x.rec, Event: ev, Generation: re.Generation, Replay: re.ID, NewID: re.IDs == ReplayNew}
	if refusal(&d) != nil || t.b.o.fits(ev) != nil {
		return false, nil // it becomes a dead letter
	}
	wanted, err := t.b.o.wants(ctx, &d)
	if errors.Is(err, ErrCut) {
		return false, err
	}
	if err != nil || !wanted { // what cannot be told becomes a dead letter
		return false, nil //nolint:nilerr // it is not sent
	}
	if len(n.Sample) < limits.ReplaySample {
		n.Sample = append(n.Sample, ReplaySample{ev.Seq, ev.Time.UTC(), ev.Order(), ev.Type, d.ID()})
	}
	return true, nil
}

// StopReplay ends a replay. ErrNotLeader if another replica must be asked.
func (r *Replica) StopReplay(ctx context.Context, subscription, id, by string) error {
	t, err := r.termOf(subscription)
	if err != nil {
		return err
	}
	t.replays.mu.Lock()
	run := t.replays.runs[id]
	t.replays.mu.Unlock()
	if run == nil {
		return fmt.Errorf("replay %s does not run; `orderbridge replays show %s` tells how it ended", id, id)
	}
	run.end("stopped by " + by)
	for { // it says so within a moment
		t.replays.mu.Lock()
		gone := t.replays.runs[id] != run
		t.replays.mu.Unlock()
		switch {
		case gone:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("stop replay %s: not confirmed: %w", id, context.Cause(ctx))
		}
		wait(ctx, limits.CoreTick)
	}
}

// Rewind sets a subscription back, and returns what it owes from there on; of a dry
// run only that. ErrNotLeader if another replica must be asked.
func (r *Replica) Rewind(ctx context.Context, in RewindRequest) (*ReplayCount, error) {
	t, err := r.termOf(in.Subscription)
	if err != nil {
		return nil, err
	}
	if err := in.Check(); err != nil {
		return nil, err
	}
	x, err := t.forReplay(ctx, in.Subscription)
	if err != nil {
		return nil, err
	}
	from, until, gone, err := t.rangeOf(ctx, in.Since, in.ToSeq, time.Time{}, 0, x.heard)
	if err != nil {
		return nil, err
	}
	re := Replay{ID: newReplayID(), Subscription: in.Subscription, Generation: x.generation, From: from, Until: until, IDs: ReplayOriginal, Progress: Progress{Gone: gone}}
	n, err := t.count(ctx, &re, &x)
	if err != nil || in.DryRun {
		return n, err
	}
	_, err = t.b.command(ctx, fmt.Sprintf("rewind %s: ", in.Subscription),
		func(number uint64) protocol.Input {
			return protocol.Rewind{Command: number, Subscription: in.Subscription, From: from}
		})
	return n, err
}
