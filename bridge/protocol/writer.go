package protocol

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// # R8 A ledger that refuses
//
// When a lane entry is refused, the subscription goes to reading (R6): one mark replaces many entries. The
// lane's key is still written until the answer is definite. If the mark cannot be written either, nothing is settled:
// the debts remain, the feed brings no more when the window is full, and the log says so every ten seconds. Nothing is
// acknowledged past what is owed.

// # R4 Writing
//
// Every write to a state bucket, removals included, is checked by the server against the writer's fence. At
// take-over the leader writes its epoch to 64 fence keys of each bucket, by compare-and-set; each write then carries
// "the last sequence of my fence key is still N" (the entry's key is hashed to one of the 64; a replicated stream takes
// only one checked write at a time for one fence key and answers busy otherwise: then it is repeated). A fence that
// holds a newer epoch means deposed: the term ends at once and writes nothing more.
//
//   - Each logical write has an id of its own, <random text of the term>:<epoch>:<counter>, and is
//     repeated with that same id until the answer is definite. It is never given up, also when
//     nobody wants the value any more.
//   - One write at a time for each key. What is wanted next waits, and only the newest wanted value
//     is kept.
//   - An unknown outcome changes nothing in memory. What has to wait for a confirmation (settling a
//     debt, opening a lane) happens when it is there, never before.
//   - Each copy of a write carries the fence as it was known when that copy was sent.
//   - After a refusal, and only if no earlier copy has an unknown outcome, a newer wanted value may
//     take the write's place, as a new write with a new id.
//   - Only the leader writes state. What others want (redrive, adopt) reaches it as a request.
//   - The client's reconnect buffer is off: it would send a write later, without its sender.
//
// New lane entries are refused by the bridge itself when the bucket is 90 % full; marks may use the rest (R8).

// The writer of the state buckets (R4): one write of a key at a time, the newest
// wanted value next, each sent again under its own id until the answer is
// definite. What depends on a write happens when it is confirmed: that is said
// by effects, which are values (confirmed.go).

// keyWriter writes one key of a state bucket.
type keyWriter struct {
	bucket Bucket
	key    string
	want   any // *LaneEntry, *Mark, *Status; nil removes the key
	then   []effect
	wanted bool          // want is not yet sent
	busy   bool          // a write is under way
	sent   any           // that it writes
	after  []effect      // of it
	since  time.Duration // unconfirmed since
}

func laneKey(sub, token string) string { return sub + "." + token }

func writerKey(b Bucket, key string) string {
	if b == BucketStatus {
		return "s/" + key
	}
	return key
}

// put wants a value under the key. Its effects follow when it, or a newer value
// that replaced it meanwhile, is confirmed.
func (c *Machine) put(b Bucket, key string, value any, then ...effect) {
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
	k.then = append(k.then, then...)
	if !k.wanted {
		k.wanted = true
		if !k.busy {
			k.since = c.now.Boot
		}
	}
	c.writeNext(k)
}

// writeNext sends the newest wanted value, unless a write is under way.
func (c *Machine) writeNext(k *keyWriter) {
	if k.busy || !k.wanted {
		if !k.busy {
			delete(c.keys, writerKey(k.bucket, k.key))
		}
		return
	}
	k.busy, k.wanted = true, false
	k.sent, k.after, k.then = k.want, k.then, nil
	w := Write{Bucket: k.bucket, Key: k.key, ID: c.nextID()}
	if k.sent != nil {
		w.Value = Encode(k.sent)
	}
	c.ask(request{out: WriteEntry{c.newRequest(), w}, key: k})
}

// entryWritten is the answer to a write.
func (c *Machine) entryWritten(q *request, err error) {
	k := q.key
	switch {
	case err == nil && q.round != c.buckets[k.bucket].round:
		c.send(q) // confirmed by a bucket that is gone
	case err == nil:
		c.entryConfirmed(k)
	case errors.Is(err, ErrLost):
		q.unknown = true
		c.bucketLost(k.bucket)
		c.again(q)
	case errors.Is(err, ErrDeposed):
		c.end(fmt.Errorf("write %s: %w", k.key, err))
	case errors.Is(err, ErrRefused) && !q.unknown:
		// Certainly not written: the newest wanted value may take its place.
		c.refused(k, err)
		c.after(c.Busy, timer{what: dueEntry, key: k})
	default:
		// It may have landed or may yet land: the very same again.
		q.unknown = true
		c.log(Debug, "write repeated", "key", k.key, "error", err)
		c.again(q)
	}
}

func (c *Machine) entryConfirmed(k *keyWriter) {
	k.busy = false
	value, then := k.sent, k.after
	k.sent, k.after = nil, nil
	if !k.wanted {
		then = append(then, k.then...)
		k.then = nil
	}
	k.since = c.now.Boot
	for _, e := range then {
		c.confirmed(e, value)
	}
	c.writeNext(k)
	c.expandNext()
}

// writeWanted tries again after a refusal.
func (c *Machine) writeWanted(k *keyWriter) {
	k.busy = false
	if !k.wanted {
		k.wanted, k.want = true, k.sent
	}
	k.then = append(k.after, k.then...)
	k.sent, k.after = nil, nil
	c.writeNext(k)
}

// refused is R8: what cannot be written as a lane is written as a mark.
func (c *Machine) refused(k *keyWriter, err error) {
	c.complain("the ledger refuses an entry: nothing is settled, it is tried again", k.key, "key", k.key, "error", err)
	if k.bucket != BucketOwed {
		return
	}
	if id, _, isLane := strings.Cut(k.key, "."); isLane {
		if s := c.sub(id); s != nil {
			s.goReading(reasonLedger)
		}
	}
}

// stale tells whether a key is unconfirmed for longer than R3 allows.
func (c *Machine) stale(key string) bool {
	k := c.keys[key]
	return k != nil && (k.busy || k.wanted) && c.now.Boot-k.since > c.Stale
}

// writing tells whether any key is not confirmed as it is wanted.
func (c *Machine) writing() bool { return len(c.keys) > 0 }

// Bucket names a state bucket of the leader.
type Bucket int

const (
	BucketStatus Bucket = iota // subscription_status: key <subscription>
	BucketOwed                 // owed: keys <subscription> (mark) and <subscription>.<lane>
)

// String is the name of the bucket without prefix.
func (b Bucket) String() string { return [...]string{"subscription_status", "owed"}[b] }

// Made tells a state bucket from another of the same name, and whether it is
// complete.
type Made struct {
	Created  int64 // Unix nanoseconds
	Unfenced bool  // a fence was absent
	Sealed   bool
	Epoch    uint64 // the lowest that its fences held; 0: one was absent, or not readable
	Lease    int64  // when the bucket of the lease was made, Unix nanoseconds
}

// Write is one write to a state bucket, checked by the server against the
// writer's fence (R4). It is repeated with the same ID until the answer is definite.
type Write struct {
	Bucket Bucket
	Key    string
	Value  []byte // nil removes the key (a KV-Operation marker)
	ID     string // Nats-Msg-Id: <term>:<epoch>:<counter>, the term a random text
}
