package bridge

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// keyWriter writes one key of a state bucket: one write at a time, the newest
// wanted value next, each repeated with its own id until the answer is definite (R4).
type keyWriter struct {
	bucket Bucket
	key    string
	want   any // *LaneEntry, *Mark, *Status; nil removes the key
	then   []func(confirmed any)
	wanted bool          // want is not yet sent
	busy   bool          // a write is under way
	since  time.Duration // unconfirmed since
}

func laneKey(sub, token string) string { return sub + "." + token }

func writerKey(b Bucket, key string) string {
	if b == BucketStatus {
		return "s/" + key
	}
	return key
}

// put wants a value under the key. then is called with the value that a later
// confirmation speaks of: that one, or a newer one that replaced it meanwhile.
func (c *core) put(b Bucket, key string, value any, then func(confirmed any)) {
	wk := writerKey(b, key)
	k := c.keys[wk]
	if k == nil {
		k = &keyWriter{bucket: b, key: key}
		c.keys[wk] = k
	}
	k.want = value
	if b == BucketOwed {
		c.weighEntry(key, value)
	}
	if then != nil {
		k.then = append(k.then, then)
	}
	if !k.wanted {
		k.wanted = true
		if !k.busy {
			k.since = c.out.boot()
		}
	}
	c.send(k)
}

func (c *core) send(k *keyWriter) {
	if k.busy || !k.wanted {
		if !k.busy {
			delete(c.keys, writerKey(k.bucket, k.key))
		}
		return
	}
	k.busy, k.wanted = true, false
	value, then := k.want, k.then
	k.then = nil
	w := Write{Bucket: k.bucket, Key: k.key, ID: c.nextID()}
	if value != nil {
		w.Value = encode(value)
	}
	unknown := false
	var try func()
	try = func() {
		if c.awaitFence(k.bucket, try) {
			return
		}
		round := c.buckets[k.bucket].round
		c.out.write(w, func(err error) {
			if c.dead {
				return
			}
			switch {
			case err == nil && round != c.buckets[k.bucket].round:
				try() // confirmed by a bucket that is gone
			case errors.Is(err, ErrLost):
				unknown = true
				c.bucketLost(k.bucket)
				c.after(c.Busy, try)
			case err == nil:
				k.busy = false
				if !k.wanted {
					then = append(then, k.then...)
					k.then = nil
				}
				k.since = c.out.boot()
				for _, f := range then {
					f(value)
				}
				c.send(k)
				c.expandNext()
			case errors.Is(err, ErrDeposed):
				c.end(fmt.Errorf("write %s: %w", k.key, err))
			case errors.Is(err, ErrRefused) && !unknown:
				// Certainly not written: the newest wanted value may take its place.
				c.refused(k, err)
				c.after(c.Busy, func() {
					k.busy = false
					if !k.wanted {
						k.wanted, k.want = true, value
					}
					k.then = append(then, k.then...)
					c.send(k)
				})
			default:
				// It may have landed or may yet land: the very same again.
				unknown = true
				c.out.log(logDebug, "write repeated", "key", k.key, "error", err)
				c.after(c.Busy, try)
			}
		})
	}
	try()
}

// refused is R8: what cannot be written as a lane is written as a mark.
func (c *core) refused(k *keyWriter, err error) {
	c.complain("the ledger refuses an entry: nothing is settled, it is tried again", k.key, "key", k.key, "error", err)
	if k.bucket != BucketOwed {
		return
	}
	if id, _, isLane := strings.Cut(k.key, "."); isLane {
		if s := c.subs[id]; s != nil {
			s.goReading(reasonLedger, nil)
		}
	}
}

// stale tells whether a key is unconfirmed for longer than R3 allows.
func (c *core) stale(key string) bool {
	k := c.keys[key]
	return k != nil && (k.busy || k.wanted) && c.out.boot()-k.since > c.Stale
}

// writing tells whether any key is not confirmed as it is wanted.
func (c *core) writing() bool { return len(c.keys) > 0 }
