package protocol

import (
	"maps"
	"time"

	"orderbridge/bridge/event"
	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

// There may be a million subscriptions, of which a few thousand have anything to
// do. One that is live and in force, owes nothing and waits for nothing is at
// rest: what must be remembered of it stands in a resting, a tenth of a sub. It
// becomes a sub again when somebody asks for it (Machine.sub), with nothing lost:
// to be at rest changes no output.

// resting is a subscription at rest, with what its status says.
type resting struct {
	rec               *record.Subscription
	problems          *record.Problems // nil: there are none
	gen, applied      uint64
	bucket            int64
	liveFrom          uint64
	known             event.Ref // that proves it, as the status tells (R15); only of one that was loaded
	anchorTime, since int64     // Unix nanoseconds; 0: none
	usual             uint32    // microseconds
	fromLoad          bool
	unproven          bool
	lateStart         bool
}

// sub returns the subscription, nil if there is none.
func (c *Machine) sub(id string) *sub {
	if s := c.subs[id]; s != nil {
		return s
	}
	x := c.resting[id]
	if x == nil {
		return nil
	}
	delete(c.resting, id)
	s := x.wake(c)
	c.subs[id] = s
	c.watchRest(s)
	return s
}

// there tells whether there is a subscription of that name.
func (c *Machine) there(id string) bool { return c.subs[id] != nil || c.resting[id] != nil }

// wakeAll wakes those at rest that want says yes to.
func (c *Machine) wakeAll(want func(*resting) bool) {
	var ids []string
	for id, x := range c.resting {
		if want(x) {
			ids = append(ids, id)
		}
	}
	for _, id := range sortedList(ids) {
		c.sub(id)
	}
}

func (x *resting) wake(c *Machine) *sub {
	s := c.newSub(x.rec.ID, x.gen)
	s.rec, s.applied, s.lastSeen, s.bucket, s.liveFrom = x.rec, x.applied, x.applied, x.bucket, x.liveFrom
	s.anchorTime = moment(x.anchorTime)
	if x.problems != nil {
		s.problems = *x.problems
	}
	s.usual = time.Duration(x.usual) * time.Microsecond
	s.fromLoad, s.unproven, s.lateStart = x.fromLoad, x.unproven, x.lateStart
	s.paced()
	s.enter(live)
	s.tell(announced{state: StateActive, since: moment(x.since), said: s.remarks().Digest()})
	return s
}

// rest puts the subscription to rest if it can be; nobody may hold it afterwards.
func (c *Machine) rest(s *sub) bool {
	if !s.idle() || c.refilling() {
		return false
	}
	x := s.atRest()
	s.leaveShares()
	delete(c.behind, s)
	delete(c.holding, s)
	delete(c.subs, s.id)
	c.resting[s.id] = x
	s.count("")
	s.mode = gone // what still names it, a timer, say, is for nobody
	return true
}

// atRest is what is remembered of one that is idle.
func (s *sub) atRest() *resting {
	x := &resting{rec: s.rec, gen: s.gen, applied: s.applied, bucket: s.bucket, liveFrom: s.liveFrom,
		anchorTime: stamp(s.anchorTime), since: stamp(s.told.since),
		usual:    uint32(min(s.usual/time.Microsecond, 1<<32-1)),
		fromLoad: s.fromLoad, unproven: s.unproven, lateStart: s.lateStart}
	if len(s.problems) > 0 {
		x.problems = &s.problems
	}
	return x
}

// idle tells whether the subscription can be put to rest: nothing of it is worth
// remembering but what a resting does.
func (s *sub) idle() bool {
	c := s.core
	switch {
	case !c.opened || c.stopping || c.subs[s.id] != s:
	case s.mode != live || s.standing() != inForce || s.purged || s.lastSeen != s.applied || s.changing() || s.recalled != nil:
	case s.liveMark > 0 || s.markEvent != nil || s.reader != nil || len(s.lanes) > 0 || len(s.loadedMax) > 0 || len(s.entries) > 0 || s.replays != nil:
	case s.inFlight > 0 || s.retrying > 0 || s.held > 0 || s.letters != nil || s.waits || s.pacing || s.pace != nil && !s.pace.quiet(c.now.Boot):
	case s.notBefore > c.now.Boot || s.reason != "" || s.alerts != (AlertTrouble{}) || s.warned > 0 || s.expired > 0 || s.failing():
	case s.own != nil && s.own.used != [resources]int64{}:
	case s.breaker != nil && !s.breaker.quiet(c.now.Boot, c.Rest):
	case s.told.state != StateActive || s.told.reason != "" || s.told.warned > 0 || s.told.expired > 0 || s.told.failing || s.told.notBefore > 0:
	case s.told.said != s.remarks().Digest() || !restorable(s.anchorTime) || !restorable(s.told.since):
	case c.keys[s.id] != nil || c.keys[writerKey(BucketStatus, s.id)] != nil || c.inSet(s):
	default:
		return true
	}
	return false
}

// inSet tells whether the machine has something to do for the subscription.
func (c *Machine) inSet(s *sub) bool {
	for _, set := range []map[*sub]struct{}{c.dirty, c.blocked, c.slow, c.readers, c.liveMarks, c.deletions, c.collapsing} {
		if _, ok := set[s]; ok {
			return true
		}
	}
	return false
}

// quiet tells whether nothing that the breaker knows matters any more.
func (b *breaker) quiet(now, after time.Duration) bool {
	return !b.open && !b.half && len(b.recent) == 0 && now-b.succeeded >= after && (b.closed == 0 || now-b.closed >= after)
}

// watchRest has the subscription looked at from time to time, until it rests.
func (c *Machine) watchRest(s *sub) {
	if !s.watched {
		s.watched = true
		c.awake = append(c.awake, s)
	}
}

// restSome looks at some of those that are awake, so that each is looked at about
// once in the time after which one can rest.
func (c *Machine) restSome() {
	most := max(limits.RestLooks, len(c.awake)/max(1, int(c.Rest/c.Tick)))
	for range min(most, len(c.awake)) {
		s := c.awake[0]
		c.awake[0] = nil
		c.awake = c.awake[1:]
		if s.mode != gone && c.subs[s.id] == s && !c.rest(s) {
			c.awake = append(c.awake, s)
		}
	}
	if len(c.awake) == 0 {
		c.awake = nil
	}
	if c.crowd = max(c.crowd, len(c.subs)); c.crowd > mapKept && len(c.subs) < c.crowd/8 {
		c.subs, c.behind, c.dirty, c.keys = smaller(c.subs), smaller(c.behind), smaller(c.dirty), smaller(c.keys)
		c.crowd = len(c.subs)
	}
}

// mapKept is how many entries a map may have had without being made again: none
// ever becomes smaller by itself.
const mapKept = 4096

func smaller[K comparable, V any](m map[K]V) map[K]V {
	n := make(map[K]V, len(m))
	maps.Copy(n, m)
	return n
}

// stamp is a time in Unix nanoseconds; 0: none.
func stamp(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func moment(stamp int64) time.Time {
	if stamp == 0 {
		return time.Time{}
	}
	return time.Unix(0, stamp).UTC()
}

// restorable tells whether the time is the same when it was a stamp.
func restorable(t time.Time) bool { return moment(stamp(t)).Equal(t) }
