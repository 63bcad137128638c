package protocol

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// # R16, a state bucket that is gone, new or purged deposes nobody
//
// The leader makes it, fences it, writes all entries
// from memory, and then seals it (key =fence.complete); only a bucket that holds everything, confirmed, is named in
// the lease by its creation time. So a successor knows whether what it finds is all that there was. One that was
// restored together with the lease, of the same leader, is that as well: the lease names its own bucket, too. The leader
// looks every 2 s, also when nothing is written; entries that somebody else changed or removed are written again. What is
// under way at that moment is written once more, as a new write: of a write that it has lost since, the server says
// "duplicate". A bucket that vanishes during a take-over ends the term: what was in it is in nobody's memory.

// Buckets names, by their creation, the state buckets that hold all that they
// should; 0: it does not at present.
type Buckets struct {
	Status int64 `json:"status"`
	Owed   int64 `json:"owed"`
	Lease  int64 `json:"lease,omitempty"` // the bucket in which that stands; 0: a former build wrote it
}

func (n *Buckets) of(b Bucket) int64 {
	switch {
	case n == nil:
		return 0
	case b == BucketStatus:
		return n.Status
	}
	return n.Owed
}

// bucketState is what the leader knows of one state bucket.
type bucketState struct {
	made     Made
	named    int64 // in the lease
	lost     bool  // at the take-over: what is there is not all that was there
	restored bool  // at the take-over: all that was there is there, in another bucket
	fencing  bool  // gone while we lead: it is being made and fenced
	filling  *filling
	round    int        // how often it was fenced: what an earlier bucket confirmed does not count
	held     []*request // writes that wait until it is fenced
	checked  bool       // a check is under way
	meddled  bool       // somebody has changed entries, and they are not written again yet
	again    time.Duration
}

// ErrStateGone ends a term whose take-over has met a bucket that vanished under it.
var ErrStateGone = errors.New("a state bucket vanished during the take-over")

// tellState adds to a lease entry what it says of the bridge's own state.
func (c *Machine) tellState(e *LeaseEntry) {
	e.Applied = c.appliedSoFar()
	e.Buckets = &Buckets{Status: c.buckets[BucketStatus].named, Owed: c.buckets[BucketOwed].named,
		Lease: c.buckets[BucketOwed].made.Lease}
}

// found judges, at the take-over, whether a bucket is the one that the
// predecessor filled. The first build named and sealed none: then the fences
// say whether it was purged.
func (c *Machine) found(b Bucket, made Made) {
	x := &c.buckets[b]
	x.made = made
	switch named := c.old.Buckets.of(b); {
	case c.old.Buckets == nil:
		x.lost = made.Unfenced && !c.firstStart && !c.old.Inherited
	case named == made.Created && made.Sealed:
		x.named = named
	case named != 0 && restored(c.old.Buckets, c.old.Epoch, made):
		x.named, x.restored = made.Created, true
	default:
		x.lost = true
	}
}

// restored tells whether a bucket that is another one than the lease names is the
// same as the lease knows it: all of it is there, the lease stands in another bucket
// as well, so that both were restored, and what was restored here is of the leader
// before this one, not of an earlier one.
func restored(named *Buckets, epoch uint64, made Made) bool {
	return made.Sealed && named.Lease != 0 && made.Lease != 0 && made.Lease != named.Lease && made.Epoch+1 >= epoch
}

// sealAll names the buckets once the take-over is done: all that the rules ask
// for is confirmed by then.
func (c *Machine) sealAll() {
	for b := range c.buckets {
		if c.buckets[b].named == 0 {
			c.seal(Bucket(b))
		}
	}
	c.after(c.Watch, timer{what: dueBuckets})
}

func (c *Machine) seal(b Bucket) {
	c.ask(request{out: SealBucket{c.newRequest(), b}, round: c.buckets[b].round})
}

func (c *Machine) bucketSealed(q *request, err error) {
	b := q.out.(SealBucket).Bucket
	x := &c.buckets[b]
	switch {
	case x.round != q.round || x.fencing:
	case errors.Is(err, ErrDeposed):
		c.end(fmt.Errorf("seal bucket %s: %w", b, err))
	case errors.Is(err, ErrLost):
		c.bucketLost(b)
	case err != nil:
		c.complain("a state bucket cannot be sealed yet", b.String(), "bucket", b.String(), "error", err)
		c.again(q)
	default:
		x.named, x.lost = x.made.Created, false
	}
}

// checkBuckets looks whether the buckets are still there though nothing is written.
func (c *Machine) checkBuckets() {
	c.after(c.Watch, timer{what: dueBuckets})
	c.checkAll()
}

func (c *Machine) checkAll() {
	for b := range c.buckets {
		if c.opened {
			c.checkBucket(Bucket(b))
		}
	}
}

func (c *Machine) checkBucket(b Bucket) {
	x := &c.buckets[b]
	if x.checked || x.fencing {
		return
	}
	x.checked = true
	c.ask(request{out: CheckBucket{c.newRequest(), b}, round: x.round})
}

func (c *Machine) bucketChecked(q *request, err error) {
	b := q.out.(CheckBucket).Bucket
	x := &c.buckets[b]
	x.checked = false
	switch {
	case x.round != q.round || x.fencing:
	case errors.Is(err, ErrLost):
		c.bucketLost(b)
	default:
		x.meddled = x.meddled || errors.Is(err, ErrMeddled)
		c.mendEntries(b)
	}
}

// mendEntries writes again what somebody has changed, not too often: it may be a
// program that does it.
func (c *Machine) mendEntries(b Bucket) {
	x := &c.buckets[b]
	if !x.meddled || x.filling != nil || c.now.Boot < x.again && c.handover.step == leading {
		return
	}
	x.meddled, x.again = false, c.now.Boot+15*c.Watch
	text := fmt.Sprintf("somebody has changed or removed entries of the bucket %s: all of it is written again, as the leader knows it", b)
	c.log(Warn, text, "bucket", b.String())
	c.raiseState(text)
	c.fill(b, false)
}

// bucketLost begins again with a bucket that is gone or another one.
func (c *Machine) bucketLost(b Bucket) {
	x := &c.buckets[b]
	switch {
	case x.fencing:
		return
	case c.now.Boot >= c.leaseEnd: // another one may lead: an empty bucket is not ours to fill
		c.end(ErrLeaseOver)
		return
	case !c.opened:
		c.end(fmt.Errorf("bucket %s: %w", b, ErrStateGone))
		return
	}
	text := fmt.Sprintf("the bucket %s was deleted, recreated or purged by somebody while the bridge runs: it is made and filled again from memory, nothing is lost as long as the leader lives", b)
	c.log(Warn, text, "bucket", b.String())
	c.raiseState(text)
	x.fencing, x.named, x.filling, x.meddled = true, 0, nil, false
	c.ask(request{out: FenceBucket{c.newRequest(), b, c.epoch, c.term}, until: "a state bucket cannot be made again yet", args: []any{"bucket", b.String()}})
}

// fencedAgain: the bucket is there again, and ours.
func (c *Machine) fencedAgain(b Bucket, made Made) {
	x := &c.buckets[b]
	if c.now.Boot >= c.leaseEnd {
		c.end(ErrLeaseOver)
		return
	}
	x.made, x.fencing = made, false
	x.round++
	held := x.held
	x.held = nil
	for _, q := range held {
		c.send(q)
	}
	c.fill(b, true)
}

// mending tells whether a bucket lacks what it should hold, or may.
func (c *Machine) mending() bool {
	return slices.ContainsFunc(c.buckets[:], func(x bucketState) bool { return x.fencing || x.filling != nil || x.checked })
}

// refilling tells whether a bucket is written from memory.
func (c *Machine) refilling() bool {
	return slices.ContainsFunc(c.buckets[:], func(x bucketState) bool { return x.fencing || x.filling != nil })
}

// stateReasons are why a leader is not ready.
func (c *Machine) stateReasons() (reasons []string) {
	for b := range c.buckets {
		if x := &c.buckets[b]; x.fencing || x.filling != nil && x.named == 0 {
			reasons = append(reasons, fmt.Sprintf("the bucket %s was deleted, recreated or purged: it is being made and filled again", Bucket(b)))
		}
	}
	return reasons
}

// standsStill gives a subscription that is deactivated, deleted, paused or invalid
// and whose mark is lost a new one: it owes nothing up to the position and, unless
// it is only paused or invalid, nothing above. Without one it would be taken for live. The mark
// is to be written.
func (c *Machine) standsStill(s *sub) bool {
	if s.mode != live || s.active && s.valid && !s.paused {
		return false
	}
	reason := reasonDeactivated
	switch {
	case !s.deletedAt.IsZero():
		reason = reasonDeleted
	case !s.valid:
		reason = reasonInvalid
	case s.active:
		reason = reasonPaused
	}
	r := s.startReading(max(s.position()+1, s.liveFrom), reason)
	s.enter(reading)
	s.fromLoad, s.liveMark = false, 0
	delete(c.liveMarks, s)
	if !s.active {
		r.until = r.from - 1
	}
	return true
}

// confirmBeforeOpen writes the mark; the feed opens only when it is confirmed.
func (s *sub) confirmBeforeOpen() {
	s.begin(confirmingOwn, revision{})
	s.writeMark(effect{what: goesOn, sub: s})
}

// tellLost says what the buckets have lost while nobody led.
func (c *Machine) tellLost(l *Loaded) {
	for b := range c.buckets {
		if c.buckets[b].restored {
			c.log(Warn, fmt.Sprintf("the bucket %s was restored together with the lease, and holds what the lease knows of: what was settled after the backup comes again", Bucket(b)), "bucket", Bucket(b).String())
		}
	}
	if c.buckets[BucketStatus].lost && (len(l.Marks) > 0 || len(l.Lanes) > 0 || c.old.Applied != nil) {
		text := "the bucket " + BucketStatus.String() + " was deleted or purged while no bridge ran: the records are taken as their history and the lease tell them"
		c.log(Warn, text)
		c.raiseState(text)
	}
	blind := c.buckets[BucketStatus].lost && c.old.Buckets.of(BucketOwed) != 0 // both are lost, and there was something
	if !c.buckets[BucketOwed].lost || len(l.Status) == 0 && len(c.resting) == 0 && !blind {
		return
	}
	var owed []string
	for _, id := range sorted(l.Status) {
		switch l.Status[id].State {
		case StateRetrying, StateReading, StateSuspended:
			owed = append(owed, id)
		}
	}
	happened := "deleted or purged"
	if c.buckets[BucketOwed].made.Sealed {
		happened = "replaced, by one that may be older than the lease (a backup?),"
	}
	text := fmt.Sprintf("the bucket %s was %s while no bridge ran: what only it told is lost, that is the orders that waited in it and how far subscriptions had read; %d subscriptions were retrying, reading or suspended", BucketOwed, happened, len(owed))
	if n := min(len(owed), 20); n > 0 {
		text += fmt.Sprintf(" (%s)", strings.Join(owed[:n], ", "))
	}
	if blind {
		text += "; more may have been, the bucket " + BucketStatus.String() + " is lost as well"
	}
	c.log(Error, text)
	c.raiseState(text)
}
