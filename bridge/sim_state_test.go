package bridge

import (
	"fmt"
	"strings"
	"time"
)

// simBucket is a state bucket of the simulated bus.
type simBucket struct {
	state     map[string][]byte
	ids       map[string]bool // of writes that have landed
	created   int64
	gone      bool
	fence     int // its number; 0: absent
	epoch     uint64
	term      string
	sealed    bool
	lostAt    time.Duration // when it was last deleted or purged
	unrewrote bool
}

func newSimBucket(created int64) *simBucket {
	return &simBucket{state: map[string][]byte{}, ids: map[string]bool{}, created: created}
}

func (t *simTerm) fence(b Bucket, epoch uint64, term string, done func(Made, error)) {
	w := t.w
	var made Made
	seq := 0
	t.request(fmt.Sprint("fence ", b), func() error {
		x := w.buckets[b]
		if x.gone {
			created := x.created + 1
			x = newSimBucket(created)
			w.buckets[b] = x
		}
		if x.epoch > epoch || x.epoch == epoch && x.term != term {
			return ErrDeposed
		}
		made = Made{Created: x.created, Unfenced: x.fence == 0, Sealed: x.sealed}
		if x.term != term || x.fence == 0 {
			w.n++
			x.fence, x.epoch, x.term = w.n, epoch, term
		}
		seq = x.fence
		return nil
	}, func(err error) {
		if err == nil {
			t.fences[b] = seq
		}
		done(made, err)
	})
}

// fenced says why a write that expects a fence is refused; nil: it is not.
func (w *simWorld) fenced(b Bucket, expect int, term string) error {
	x := w.buckets[b]
	switch {
	case x.gone || x.fence == 0:
		return ErrLost
	case x.fence == expect || w.mutant == "NoFence":
		return nil
	case x.term == term:
		return errSimUnknown // by our own newer fence: once more
	}
	w.stats["fenced"]++
	return ErrDeposed
}

func (t *simTerm) seal(b Bucket, done func(error)) {
	expect := t.fences[b]
	t.request(fmt.Sprint("seal ", b), func() error {
		if err := t.w.fenced(b, expect, t.core.term); err != nil {
			return err
		}
		t.w.buckets[b].sealed = true
		return nil
	}, done)
}

func (t *simTerm) checkBucket(b Bucket, done func(error)) {
	expect := t.fences[b]
	t.request(fmt.Sprint("check ", b), func() error {
		if x := t.w.buckets[b]; x.gone || x.fence != expect {
			return ErrLost
		}
		return nil
	}, done)
}

func (t *simTerm) write(x Write, done func(error)) {
	w := t.w
	if w.mutant == "NewWriteIDs" {
		x.ID += fmt.Sprint(w.n)
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
		if err := w.fenced(x.Bucket, expect, t.core.term); err != nil {
			return err
		}
		k.ids[x.ID] = true
		if x.Value == nil {
			delete(k.state, x.Key)
		} else {
			k.state[x.Key] = x.Value
		}
		w.log("   e%d %s = %s", t.epoch, x.Key, x.Value)
		return nil
	}, done)
}
