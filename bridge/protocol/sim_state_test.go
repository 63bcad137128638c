package protocol

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// simBucket is a state bucket of the simulated bus.
type simBucket struct {
	state   map[string][]byte
	ids     map[string]bool // of writes that have landed
	created int64
	gone    bool
	fences  map[*simShard]*simFence
	before  map[string][]byte // what stood under a key before
}

// simFence are the fence and the seal of a shard in a state bucket.
type simFence struct {
	number  int // 0: absent
	epoch   uint64
	term    string
	sealed  bool
	meddled bool // somebody has changed entries, and the leader was not told
}

func newSimBucket(created int64) *simBucket {
	return &simBucket{state: map[string][]byte{}, before: map[string][]byte{}, ids: map[string]bool{}, created: created, fences: map[*simShard]*simFence{}}
}

func (x *simBucket) of(sh *simShard) *simFence {
	f := x.fences[sh]
	if f == nil {
		f = &simFence{}
		x.fences[sh] = f
	}
	return f
}

// whole tells whether the bucket holds all that it should of the shard; where it
// has led never, that is so if it holds all of the former ones.
func (x *simBucket) whole(sh *simShard) bool {
	l := sh.layout
	if x.of(sh).sealed || l.Former == 0 || l.Done {
		return x.of(sh).sealed
	}
	for k := range l.Former {
		if !x.of(sh.w.shard(l.FormerShard(k))).sealed {
			return false
		}
	}
	return true
}

func (t *simTerm) fence(b Bucket, epoch uint64, term string, done func(Made, error)) {
	w := t.w
	var made Made
	seq := 0
	was, number := *w.buckets[b], w.buckets[b].of(t.sh).number // what the request expects to be there still
	t.request(fmt.Sprint("fence ", b), func() error {
		x := w.buckets[b]
		f := x.of(t.sh)
		switch {
		case (x.gone || f.number == 0) && t.core.opened && t.otherLayout():
			return ErrDeposed
		case x.gone && !was.gone, !x.gone && !was.gone && x.created == was.created && f.number != number && f.term != term:
			return errSimUnknown
		case x.gone:
			created := x.created + 1
			x = newSimBucket(created)
			w.buckets[b], f = x, x.of(t.sh)
		}
		if w.mutant == "OldIDs" && f.epoch == epoch {
			f.term = term // as the first build took it: an earlier call of ours
		}
		if f.epoch > epoch || f.epoch == epoch && f.term != term {
			return ErrDeposed
		}
		f.meddled = false // the counting of writes begins again
		f.sealed = x.whole(t.sh)
		made = Made{Created: x.created, Unfenced: f.number == 0, Sealed: f.sealed}
		if f.term != term || f.number == 0 {
			w.n++
			f.number, f.epoch, f.term = w.n, epoch, term
		}
		seq = f.number
		return nil
	}, func(err error) {
		if err == nil {
			t.fences[b], t.made[b], t.sealed[b] = seq, made.Created, made.Sealed
		}
		done(made, err)
	})
}

// fenced says why a write that expects a fence is refused; nil: it is not.
func (t *simTerm) fenced(b Bucket, expect int) error {
	w := t.w
	f := w.buckets[b].of(t.sh)
	switch {
	case w.buckets[b].gone || f.number == 0:
		return ErrLost
	case f.number == expect || w.mutant == "NoFence":
		return nil
	case f.term == t.core.term:
		t.fences[b] = f.number // our own newer one: once more
		return errSimUnknown
	}
	w.stats["fenced"]++
	return ErrDeposed
}

func (t *simTerm) seal(b Bucket, done func(error)) {
	expect := t.fences[b]
	t.request(fmt.Sprint("seal ", b), func() error {
		if err := t.fenced(b, expect); err != nil {
			return err
		}
		t.w.buckets[b].of(t.sh).sealed = true
		if b == BucketOwed {
			t.complete()
		}
		return nil
	}, func(err error) {
		t.sealed[b] = t.sealed[b] || err == nil
		done(err)
	})
}

func (t *simTerm) checkBucket(b Bucket, done func(error)) {
	made, sealed := t.made[b], t.sealed[b]
	t.request(fmt.Sprint("check ", b), func() error {
		x := t.w.buckets[b]
		if f := x.of(t.sh); x.gone || f.number == 0 || x.created != made || sealed && !f.sealed {
			return ErrLost
		} else if f.meddled {
			return ErrMeddled
		}
		return nil
	}, func(err error) {
		if err == ErrMeddled {
			t.w.buckets[b].of(t.sh).meddled, t.noticed[b] = false, t.w.now
		}
		done(err)
	})
}

func (t *simTerm) write(x Write, done func(error)) {
	w := t.w
	switch w.mutant {
	case "NewWriteIDs":
		x.ID += fmt.Sprint(w.n)
	case "OldIDs":
		_, x.ID, _ = strings.Cut(x.ID, ":")
	}
	expect := t.fences[x.Bucket] // as it was known when this copy was sent
	t.request(fmt.Sprintf("%s = %s", x.Key, x.Value), func() error {
		k := w.buckets[x.Bucket]
		lane := x.Bucket == BucketOwed && strings.Contains(x.Key, ".") && x.Value != nil
		if !k.gone && k.ids[x.ID] {
			return nil
		}
		if !k.gone && (w.now < w.ledgerDown && x.Bucket == BucketOwed || w.now < w.ledgerFull && lane) {
			return ErrRefused
		}
		if err := t.fenced(x.Bucket, expect); err != nil {
			return err
		}
		k.ids[x.ID] = true
		if x.Bucket == BucketOwed {
			delete(t.leftAlone, x.Key)
		}
		k.before[x.Key] = k.state[x.Key]
		if x.Value == nil {
			delete(k.state, x.Key)
		} else {
			k.state[x.Key] = x.Value
		}
		w.log("   %v %s = %s", t, x.Key, x.Value)
		return nil
	}, done)
}

// ---- what somebody does to the bridge's own state

// simLoss is a debts bucket that was deleted or purged.
type simLoss struct {
	at, until time.Duration // until it was complete again
	sub       int           // whose
	reign     simReign      // who led then; none: nobody
	covered   bool          // filled again by the same leader, from memory
	entries   bool          // single entries were changed or removed
	bucket    Bucket        // in which
}

func (w *simWorld) meddle() {
	if len(w.shards) == 0 {
		return
	}
	if w.entries && w.r.IntN(3) > 0 {
		w.meddleEntry(Bucket(w.r.IntN(2)))
		return
	}
	k := w.r.IntN(8)
	if only, ok := map[string]int{"OnlyLease": 0, "OnlyLeaseBucket": 1, "OnlyOwed": 2, "OnlyOwedPurged": 3, "OnlyStatus": 4, "OnlyStatusPurged": 5}[w.only]; ok {
		k = only
	}
	w.stats["meddled"]++
	switch k {
	case 0, 6, 7:
		w.log("LEASE deleted")
		if k == 7 && len(w.terms()) == 0 {
			w.log("DURABLES deleted") // and nobody leads: what an old remedy said
			w.dropDurables()
		}
		w.stats["lease deleted"]++
		sh := w.shards[0]
		if w.resharding {
			sh = w.shards[max(len(w.shards)-1-w.r.IntN(8), 0)] // of the last layouts
		}
		sh.lease, sh.leaseRev = LeaseEntry{}, sh.leaseRev+1
	case 1:
		w.log("BUCKET of the lease deleted")
		w.stats["lease deleted"]++
		for _, sh := range w.shards {
			sh.lease, sh.leaseRev, sh.leaseIDs = LeaseEntry{}, 0, map[string]uint64{}
		}
		w.layout = simLayoutKey{absent: true}
	case 2:
		w.dropBucket(BucketOwed, false)
	case 3:
		w.dropBucket(BucketOwed, true)
	case 4:
		w.dropBucket(BucketStatus, false)
	case 5:
		w.dropBucket(BucketStatus, true)
	}
}

func (w *simWorld) dropBucket(b Bucket, purge bool) {
	w.log("BUCKET %s deleted (purged %v)", b, purge)
	w.stats["bucket "+b.String()]++
	x := w.buckets[b]
	x.state = map[string][]byte{}
	clear(x.fences)
	if !purge {
		x.gone = true
		x.ids = map[string]bool{}
	}
	if b != BucketOwed {
		if len(w.running()) == 0 {
			w.statusLost = append(w.statusLost, w.now)
		}
		if slices.ContainsFunc(w.shards, func(sh *simShard) bool { return sh.lease.Applied == nil }) {
			w.bothLost = append(w.bothLost, w.now)
		}
		return
	}
	w.loses(simLoss{at: w.now})
}

// running are the terms of leaders that neither stand still nor have lost their lease.
func (w *simWorld) running() []*simTerm {
	return slices.DeleteFunc(w.terms(), func(t *simTerm) bool { return !t.core.opened || t.n.paused > w.now || w.now >= t.expires() })
}

// loses notes for each subscription what was lost, and who led it then.
func (w *simWorld) loses(what simLoss) {
	for s := range w.ops {
		l := what
		l.sub = s
		for _, t := range w.running() {
			if t.shard.Has(simID(s)) {
				l.reign = t.reign()
			}
		}
		w.owedLost = append(w.owedLost, &l)
	}
}

// complete notes that the leader has sealed the debts.
func (t *simTerm) complete() {
	w := t.w
	for _, l := range w.owedLost {
		if l.until == 0 && !l.entries && t.shard.Has(simID(l.sub)) {
			l.until, l.covered = w.now, l.reign == t.reign()
			if l.covered {
				w.stats["filled again"]++
			}
		}
	}
}

// forgiven: only a deleted debts bucket told of it, and no leader lived to write it again.
func (w *simWorld) forgiven(published time.Duration) bool {
	for _, l := range w.owedLost {
		if !l.covered && (l.until == 0 || published <= l.until) {
			w.stats["forgiven"]++
			return true
		}
	}
	return false
}

// vanish removes a record without a trace: a TTL, a purge, a limit.
func (w *simWorld) vanish(s int) {
	// What vanishes before it was applied was never there for anybody.
	if n := len(w.ops[s]); n == 0 || !w.applied(s, w.ops[s][n-1].rev) {
		return
	}
	w.log("KV sub%d vanishes", s)
	w.stats["vanished"]++
	for _, o := range w.ops[s] {
		o.gone = true
	}
	w.unknown[s] = true
	for _, t := range w.terms() {
		t.later(w.rnd(50, 3000), t.census)
	}
}

func (w *simWorld) applied(s int, rev uint64) bool {
	return slices.ContainsFunc(w.terms(), func(t *simTerm) bool {
		x := t.core.peek(simID(s))
		return t.core.opened && x != nil && x.applied == rev && !x.busy()
	})
}

// census compares the records in force with the bucket, until all are compared.
func (t *simTerm) census() {
	w := t.w
	l := &Listing{Bucket: 1, Through: w.kvRev, Newest: map[string]uint64{}}
	for s, ops := range w.ops {
		for _, o := range ops {
			if !o.gone && t.shard.Has(simID(s)) {
				l.Newest[simID(s)] = o.rev
			}
		}
	}
	t.step(RecordsListed{l})
	if !t.compared {
		t.later(w.rnd(50, 1000), t.census)
	}
}
