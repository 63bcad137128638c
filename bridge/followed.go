package bridge

import (
	"context"
	"time"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

// What terms take of what a replica follows, and hear of it afterwards.

// take gives a term what is known of its shard, once that is what the bucket of
// the statuses held when the term's fences were written; bad are the keys there
// that cannot be read.
func (f *following) take(ctx context.Context, t *term, created int64, last uint64) (known *protocol.Followed, bad []string, err error) {
	shard := t.b.shard
	for {
		f.mu.Lock()
		turn, ready := f.turn, f.statuses && f.waiting[shard] != nil
		if f.waiting[shard] == nil {
			f.waiting[shard] = protocol.NewFollowed()
			f.beginAgain()
		}
		f.mu.Unlock()
		if ready {
			if err := f.o.Statuses.Through(ctx, created, last); err != nil {
				return nil, nil, err
			}
			f.lookForAll(ctx) // what has vanished from the bucket is not taken over
			if known, bad := f.takeNow(t, turn); known != nil {
				return known, bad, nil
			}
		}
		if err := rest(ctx, 5*time.Millisecond); err != nil {
			return nil, nil, err
		}
	}
}

// takeNow takes what waits, unless it is another by now; nil: not yet.
func (f *following) takeNow(t *term, turn uint64) (known *protocol.Followed, bad []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	shard := t.b.shard
	known = f.waiting[shard]
	switch {
	case f.turn != turn || known == nil:
		return nil, nil
	case !known.Complete():
		f.log.Info("the status of a record is lost: all records are read again")
		f.beginAgain()
		return nil, nil
	}
	delete(f.waiting, shard)
	f.terms[t] = &listener{shard: shard, known: known, heard: known.Seen()}
	if f.missing {
		t.post(protocol.RecordsMissing{Missing: true})
	}
	for id := range f.bad {
		if shard.Has(id) {
			bad = append(bad, "status "+id)
		}
	}
	return known, bad
}

// giveBack: the term could not begin with what it took.
func (f *following) giveBack(t *term) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.terms[t]
	delete(f.terms, t)
	for _, in := range x.held {
		x.known.See(in)
	}
	f.waiting[x.shard] = x.known
}

// hear has a term hear of the revisions: those that have come since it took what
// was known, then that it has heard of all that the bucket holds, then what changes.
func (f *following) hear(t *term) {
	f.mu.Lock()
	x := f.terms[t]
	for _, in := range x.held {
		t.post(in)
	}
	x.known, x.held = nil, nil
	if len(f.waiting) == 0 {
		f.enough()
	}
	f.mu.Unlock()
	for t.ctx.Err() == nil {
		f.mu.Lock()
		ready := f.records
		f.mu.Unlock()
		if ready {
			ctx, cancel := context.WithTimeout(t.ctx, limits.TermLoadTime)
			err := f.o.Records.Through(ctx)
			cancel()
			if err == nil {
				f.mu.Lock()
				x.pass(t)
				f.mu.Unlock()
				t.post(protocol.RecordsCaughtUp{})
				return
			}
			t.logger.Debug("the subscription records are not read yet", "error", err)
		}
		_ = rest(t.ctx, 20*time.Millisecond)
	}
}

// leave: the term is over. What it knew goes with it, so its shard is read again.
func (f *following) leave(t *term) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.terms[t]
	if x == nil {
		return
	}
	delete(f.terms, t)
	for _, s := range f.standing {
		if s == x.shard && !f.led(s) {
			f.waiting[s] = protocol.NewFollowed()
			f.beginAgain()
		}
	}
}
