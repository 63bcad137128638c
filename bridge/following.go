package bridge

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

// following is what a replica knows of all subscriptions, whether it leads or
// not: it reads the records and their statuses once, and follows them. What it
// knows of a shard that it does not lead waits for a term to take it over
// (protocol.Followed). The terms hear from it of each revision of their records.
type following struct {
	o   *Options
	log *slog.Logger

	mu       sync.Mutex
	standing []protocol.Shard                      // all that there are
	waiting  map[protocol.Shard]*protocol.Followed // of those that are not led here
	bad      map[string]struct{}                   // statuses that cannot be read
	terms    map[*term]*listener
	missing  bool            // the records' bucket
	census   protocol.Census // of the records, as of the last look; zero: none yet
	listed   sync.Mutex      // one census at a time

	// A round is one reading from the beginning; another one begins where
	// something is needed that is not kept.
	again    context.CancelFunc
	enough   context.CancelFunc // of statuses: all shards are led here
	turn     uint64             // counts how often what waits began again
	statuses bool               // those of this turn come
	records  bool               // those of this round come
	read     [2]bool            // all records, all statuses of this round were told
	began    time.Time
}

// listener is a term that has taken what was known of its shard.
type listener struct {
	shard  protocol.Shard
	known  *protocol.Followed     // until the machine goes on with it
	held   []*protocol.RecordSeen // likewise: what came meanwhile
	heard  protocol.RecordsPassed // all up to there
	told   time.Time              // that nothing came that concerns it
	passed bool                   // it has not been told of what came since
}

func newFollowing(o *Options) *following {
	return &following{o: o, log: o.Logger, waiting: map[protocol.Shard]*protocol.Followed{}, terms: map[*term]*listener{},
		again: func() {}, enough: func() {}}
}

// stand follows the shards of a layout. What is known of those of another is dropped.
func (f *following) stand(l protocol.Layout) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.standing = nil
	for k := range l.Shards {
		f.standing = append(f.standing, l.Shard(k))
	}
	former := f.waiting
	f.waiting = map[protocol.Shard]*protocol.Followed{}
	added := false
	for _, s := range f.standing {
		switch {
		case f.led(s):
		case former[s] != nil:
			f.waiting[s] = former[s]
		default:
			f.waiting[s], added = protocol.NewFollowed(), true
		}
	}
	if added {
		f.beginAgain()
	}
}

func (f *following) led(s protocol.Shard) bool {
	for _, x := range f.terms {
		if x.shard == s {
			return true
		}
	}
	return false
}

func (f *following) beginAgain() {
	f.turn++
	f.statuses, f.records, f.read = false, false, [2]bool{}
	f.again()
}

// run reads and follows until ctx ends.
func (f *following) run(ctx context.Context) {
	var parts sync.WaitGroup
	defer parts.Wait()
	parts.Go(func() { f.watchPresence(ctx) })
	for ctx.Err() == nil {
		round, end := f.begin(ctx)
		var both sync.WaitGroup
		both.Go(func() { f.watchRecords(round) })
		both.Go(func() { f.watchStatuses(round) })
		both.Wait()
		if round.Err() == nil { // the connection is closed for good
			<-ctx.Done()
		}
		end()
	}
}

// begin begins a round, with nothing known.
func (f *following) begin(ctx context.Context) (round context.Context, end context.CancelFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	round, end = context.WithCancel(ctx)
	f.again = end
	for s := range f.waiting {
		f.waiting[s] = protocol.NewFollowed()
	}
	f.turn++
	f.statuses, f.records, f.read = false, false, [2]bool{}
	f.bad, f.census, f.began = map[string]struct{}{}, protocol.Census{}, time.Now()
	return round, end
}

// caughtUp says that all that was there was told.
func (f *following) caughtUp(part int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.read[part] = true
	if f.read == [2]bool{true, true} && len(f.waiting) > 0 {
		n := 0
		for _, known := range f.waiting {
			n += known.Len()
		}
		f.log.Info("the records are followed: a take-over need not read them", "subscriptions", n,
			"took", time.Since(f.began).Round(time.Millisecond).String())
	}
}

// ready tells whether all records and statuses were read, so that a shard can be
// taken over at once; also where none is left to be taken over.
func (f *following) ready() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.standing) > 0 && len(f.waiting) == 0 || f.read == [2]bool{true, true}
}

// ---- the records

func (f *following) watchRecords(ctx context.Context) {
	f.count(ctx)
	err := f.o.Records.Watch(ctx, func(r protocol.Revision) {
		in := &protocol.RecordSeen{Revision: r}
		in.Record, in.Problems = f.parse(&r)
		in.Revision.Value = nil
		f.see(in)
	}, func() { f.caughtUp(0) }, f.miss)
	if ctx.Err() == nil {
		f.log.Error("the subscription records cannot be followed any more", "error", err)
	}
}

// miss says that the bucket is gone, or there (again).
func (f *following) miss(missing bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.missing, f.records = missing, f.records || !missing
	for t := range f.terms {
		t.post(protocol.RecordsMissing{Missing: missing})
	}
}

// parse is what a machine is told of a revision.
func (f *following) parse(r *protocol.Revision) (*record.Subscription, record.Problems) {
	if r.Deleted {
		return nil, nil
	}
	rec, problems := f.o.Parse(r.Key, r.Value)
	if problems.Err() != nil {
		rec = nil
	}
	return rec, problems
}

func (f *following) see(in *protocol.RecordSeen) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for s, known := range f.waiting {
		if s.Has(in.Revision.Key) {
			known.See(in)
		}
	}
	for t, x := range f.terms {
		if r := &in.Revision; !x.hears(r.Bucket, r.Revision) {
			continue // it is told again, for others
		}
		switch {
		case !x.shard.Has(in.Revision.Key):
			x.passed = true
			if time.Since(x.told) > limits.LayoutLook {
				x.pass(t)
			}
		case x.known != nil:
			x.held = append(x.held, in)
		default:
			t.post(in)
		}
	}
}

// hears is false for a revision of which the term has heard.
func (x *listener) hears(bucket int64, revision uint64) bool {
	if bucket == x.heard.Bucket && revision <= x.heard.Revision {
		return false
	}
	x.heard = protocol.RecordsPassed{Bucket: bucket, Revision: revision}
	return true
}

// pass tells the term how far revisions were seen that are none of its shard's.
func (x *listener) pass(t *term) {
	if x.known == nil && x.passed {
		t.post(x.heard)
		x.told, x.passed = time.Now(), false
	}
}

// ---- the statuses

// watchStatuses follows them while there is a shard that is not led here.
func (f *following) watchStatuses(ctx context.Context) {
	whole := ctx
	f.mu.Lock()
	idle := len(f.waiting) == 0
	ctx, f.enough = context.WithCancel(ctx)
	defer f.enough()
	f.mu.Unlock()
	if idle {
		<-whole.Done()
		return
	}
	err := f.o.Statuses.Watch(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.turn++
		f.statuses = true
		clear(f.bad)
		for _, known := range f.waiting {
			known.ForgetStatuses()
		}
	}, f.tell, func() { f.caughtUp(1) })
	if ctx.Err() == nil {
		f.log.Error("the statuses cannot be followed any more", "error", err)
	}
	<-whole.Done()
}

func (f *following) tell(id string, value []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for s, known := range f.waiting {
		if s.Has(id) {
			known.Told(id, f.status(id, value))
		}
	}
}

func (f *following) status(id string, value []byte) *protocol.Status {
	delete(f.bad, id)
	if value == nil {
		return nil
	}
	st := new(protocol.Status)
	if json.Unmarshal(value, st) != nil || st.Generation == 0 {
		f.bad[id] = struct{}{}
		return nil
	}
	return st
}

func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
