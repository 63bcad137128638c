package bridge

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

// termReplays are the replays that a term carries out, each on a goroutine of its own.
type termReplays struct {
	mu      sync.Mutex
	last    uint64                // number of the last attempt that was asked for
	runs    map[string]*replayRun // by id
	waiting map[uint64]*replayRun // whose attempt it is
	closing bool
	running sync.WaitGroup
}

// replayRun carries one replay out: it reads the stream, keeps what belongs to one
// order in order, asks the machine for attempts, and says how far it is.
type replayRun struct {
	t    *term
	r    Replay
	rev  uint64
	rec  *record.Subscription
	stop chan string // why it is to end

	pause   time.Duration // between two attempts
	allowed time.Time     // when the next attempt may be asked for
	at      uint64        // read up to here
	bytes   int           // of what is in memory
	lanes   map[string][]*replayed
	open    map[uint64]*replayed // by sequence: read, not settled
	asked   map[uint64]*replayed // by number of the attempt
	done    map[uint64]bool      // settled, above r.Next
	answers chan protocol.ReplayAttempted
	again   time.Time // nothing new was there: when to read again

	dirty     bool
	confirmed time.Time // when the last write that was confirmed began
	looked    time.Time
}

// replayed is one event of a replay.
type replayed struct {
	ev    *event.Event
	lane  string
	key   string
	tries int // failed, those of a failing endpoint left out
	sent  int // attempts
	busy  bool
	next  time.Time
	last  protocol.Outcome
	dead  bool // a dead letter is to be stored
}

// answer takes what became of an attempt to whoever asked for it.
func (x *termReplays) answer(out protocol.ReplayAttempted) {
	x.mu.Lock()
	run := x.waiting[out.Command]
	delete(x.waiting, out.Command)
	x.mu.Unlock()
	if run != nil {
		run.answers <- out // there is room for all that it has asked for
	}
}

// resumeReplays goes on with those that a predecessor has left.
func (t *term) resumeReplays() {
	if t.b.o.Replays == nil {
		return
	}
	t.tasks.Go(func() {
		for t.ctx.Err() == nil {
			ctx, cancel := t.call(limits.TermCallTime)
			all, err := t.b.o.Replays.All(ctx)
			cancel()
			if err == nil {
				for _, r := range all {
					if r.State == ReplayRunning && t.b.shard.Has(r.Subscription) {
						t.startReplay(r)
					}
				}
				return
			}
			t.logger.Debug("replays cannot be read, tried again", "error", err)
			wait(t.ctx, time.Second)
		}
	})
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// startReplay begins to carry a replay out.
func (t *term) startReplay(s StoredReplay) {
	x := &t.replays
	run := &replayRun{t: t, r: s.Replay, rev: s.Revision, stop: make(chan string, 1), at: s.Next - 1,
		lanes: map[string][]*replayed{}, open: map[uint64]*replayed{}, asked: map[uint64]*replayed{}, done: map[uint64]bool{},
		answers: make(chan protocol.ReplayAttempted, limits.ReplayEvents)}
	run.pause, _ = replayPause(run.r.Rate)
	for _, seq := range run.r.Done {
		run.done[seq] = true
	}
	run.r.Epoch = t.start.Won.Entry.Epoch
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closing || x.runs[s.ID] != nil {
		return
	}
	if x.runs == nil {
		x.runs, x.waiting = map[string]*replayRun{}, map[uint64]*replayRun{}
	}
	x.runs[s.ID] = run
	x.running.Add(1)
	t.tasks.Go(func() {
		defer x.running.Done()
		run.run()
		x.mu.Lock()
		delete(x.runs, s.ID)
		x.mu.Unlock()
	})
}

// drainReplays ends all, with what they have come to said, as long as the lease
// holds: before a term hands over.
func (t *term) drainReplays() {
	x := &t.replays
	x.mu.Lock()
	x.closing = true
	for _, run := range x.runs {
		run.end("")
	}
	x.mu.Unlock()
	ended := make(chan struct{})
	t.tasks.Go(func() {
		x.running.Wait()
		close(ended)
	})
	select {
	case <-ended:
	case <-time.After(limits.ReplayDrain + limits.ReplayLook):
	}
}

// end lets it end, and why; "": it is to be gone on with by another leader.
func (run *replayRun) end(why string) {
	select {
	case run.stop <- why:
	default:
	}
}

// run carries the replay out, until it is done, stopped, or the term is over.
func (run *replayRun) run() {
	t := run.t
	defer func() {
		t.post(protocol.EndReplay{Subscription: run.r.Subscription, Replay: run.r.ID})
		t.b.o.Source.Forget(run.source())
	}()
	if !run.insist() { // nobody else goes on with it from now on
		return
	}
	t.logger.Info("replay runs", "replay", run.r.ID, "subscription_id", run.r.Subscription, "from", run.r.Next, "until", run.r.Until)
	if run.otherStream() {
		run.conclude(ReplayStopped, "the source stream was made again, or has lost its end, since it was asked for")
		return
	}
	tick := time.NewTicker(limits.CoreTick)
	defer tick.Stop()
	for {
		select {
		case <-t.ctx.Done():
			return
		case why := <-run.stop:
			run.finish(why)
			return
		case out := <-run.answers:
			run.answered(out)
		case <-tick.C:
		}
		if why := run.look(); why != "" {
			run.finish(why)
			return
		}
		run.read()
		run.bury()
		if run.r.Failed >= limits.ReplayFailures {
			run.finish("too many of its events became dead letters")
			return
		}
		if run.at >= run.r.Until && len(run.open) == 0 {
			run.conclude(ReplayDone, "")
			return
		}
		if since := time.Since(run.confirmed); since >= limits.ReplayProgress && (run.dirty || since > limits.ReplayWait) {
			if err := run.write(); errors.Is(err, protocol.ErrDeposed) {
				return
			}
		}
		run.ask()
	}
}

// otherStream tells whether the sequences speak of another stream: a stream that
// changes under a leader ends its term, so that it is asked once in each.
func (run *replayRun) otherStream() bool {
	source, known := run.t.b.o.Source, run.r.Known
	for known.Known() && run.t.ctx.Err() == nil {
		ctx, cancel := run.t.call(limits.TermCallTime)
		at, err := source.Stamp(ctx, known.Seq)
		st, stateErr := source.State(ctx)
		cancel()
		switch {
		case err == nil:
			return at != known.Time
		case errors.Is(err, protocol.ErrNotFound) && stateErr == nil:
			return st.Last < known.Seq
		}
		wait(run.t.ctx, time.Second)
	}
	return false
}

func (run *replayRun) source() string { return "replay " + run.r.ID }

// look sees whether the subscription still is as it was; else it says why not.
func (run *replayRun) look() string {
	if run.rec != nil && time.Since(run.looked) < limits.ReplayLook {
		return ""
	}
	x, ok := run.t.replayable(run.t.ctx, run.r.Subscription)
	switch {
	case !ok:
		return ""
	case x.why != "":
		return x.why
	case x.generation != run.r.Generation:
		return "the subscription was deleted and put again for another endpoint"
	}
	run.rec, run.looked = x.rec, time.Now()
	return ""
}

// replayable is what the machine says of a subscription.
type replayable struct {
	rec        *record.Subscription
	generation uint64
	heard      uint64
	why        string
}

// replayable asks the machine; false: the term or ctx is over.
func (t *term) replayable(ctx context.Context, subscription string) (x replayable, ok bool) {
	got := make(chan replayable, 1)
	t.look(func(c *protocol.Machine) {
		var x replayable
		x.rec, x.generation, x.why = c.Replayable(subscription)
		x.heard = c.Heard(subscription)
		got <- x
	})
	select {
	case x = <-got:
		return x, true
	case <-t.done:
	case <-t.ctx.Done():
	case <-ctx.Done():
	}
	return x, false
}

// read takes in what comes next, as far as there is room.
func (run *replayRun) read() {
	t := run.t
	if run.rec == nil || run.at >= run.r.Until || len(run.open) >= limits.ReplayEvents-limits.ReplayRead ||
		len(run.done) >= limits.ReplayEvents || run.bytes >= limits.ReplayBytes || time.Now().Before(run.again) {
		return
	}
	if !t.reads.await(t.ctx, run.rec.Tenant) {
		return
	}
	ctx, cancel := t.call(limits.TermCallTime)
	msgs, got, err := t.b.o.Source.Read(ctx, run.source(), run.at+1, run.rec.Subjects, limits.ReplayRead, limits.ReaderBytes)
	cancel()
	t.reads.pass()
	if err != nil {
		run.again = time.Now().Add(time.Second)
		run.r.LastError = "the stream cannot be read: " + err.Error()
		return
	}
	for _, m := range msgs {
		ev := t.b.o.Decoder.Decode(m)
		if ev.Seq > run.r.Until {
			run.at = run.r.Until
			break
		}
		if ev.Seq <= run.at {
			continue
		}
		run.at = ev.Seq
		if run.done[ev.Seq] || !wantedBy(&run.r, run.rec, ev) {
			continue
		}
		x := &replayed{ev: ev}
		x.lane, x.key = ev.Key(run.rec.Ordering)
		run.lanes[x.lane] = append(run.lanes[x.lane], x)
		run.open[ev.Seq] = x
		run.bytes += ev.Size()
	}
	if through := min(got.Through, run.r.Until); through > run.at {
		run.at = through
	} else if len(msgs) == 0 {
		run.again = time.Now().Add(limits.ReaderPoll)
	}
	run.advance()
}

// wantedBy tells whether the replay sends the event; the filter of the record is
// asked when it is attempted.
func wantedBy(r *Replay, rec *record.Subscription, ev *event.Event) bool {
	return rec.MatchesEvent(ev) && (r.EventType == "" || r.EventType == ev.Type) &&
		(r.Order == "" || r.Order == ev.OrderID || r.Order == ev.LegacyOrderID)
}

// ask asks for attempts of what is due, one for each order.
func (run *replayRun) ask() {
	t, now := run.t, time.Now()
	if run.rec == nil || run.dirty && now.Sub(run.confirmed) > limits.LeaseStale {
		return // what cannot be recorded is not sent
	}
	due := make([]*replayed, 0, len(run.lanes))
	for _, q := range run.lanes {
		if x := q[0]; !x.busy && !x.dead && !now.Before(x.next) {
			due = append(due, x)
		}
	}
	slices.SortFunc(due, func(a, b *replayed) int { return int(a.ev.Seq) - int(b.ev.Seq) })
	for _, x := range due {
		if len(run.asked) >= min(max(1, run.rec.MaxInFlight/4), limits.ReplayWaiting) || !run.pace(now) {
			return
		}
		x.busy = true
		x.sent++
		n := t.replays.ask(run)
		run.asked[n] = x
		t.post(&protocol.ReplayAttempt{Command: n, Replay: run.r.ID, Subscription: run.r.Subscription, Generation: run.r.Generation,
			Event: x.ev, Attempt: x.sent, NewID: run.r.IDs == ReplayNew})
	}
}

// pace tells whether the rate allows one more attempt, and counts it. What was
// allowed since the last look counts too: looks are further apart than attempts.
func (run *replayRun) pace(now time.Time) bool {
	if run.pause <= 0 {
		return true
	}
	if now.Before(run.allowed) {
		return false
	}
	if since := now.Add(-limits.CoreTick); run.allowed.Before(since) {
		run.allowed = since
	}
	run.allowed = run.allowed.Add(run.pause)
	return true
}

func (x *termReplays) ask(run *replayRun) uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.last++
	x.waiting[x.last] = run
	return x.last
}
