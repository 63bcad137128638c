package bridge

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"orderbridge/internal/limits"
)

// The bounds and times of the protocol. They are variables of the core and not
// constants, because the simulation runs the same code in a smaller world.
type bounds struct {
	Window      int // W: unsettled events of the feed; the feed holds it, the core only judges by it
	Deliveries  int // D: unsettled deliveries in memory
	Lane        int // references in one held lane
	Lanes       int // held lanes of one subscription, whatever the others hold
	LanesMost   int // held lanes of one subscription
	HeldMost    int // held lanes of all; beyond it a subscription has no more than Lanes
	Outstanding int // deliveries that a reading subscription has in memory
	ReadBytes   int // of one read
	ReadTotal   int // of all readers together
	Parked      int // lanes of one subscription parked at one time before it reads instead
	Applying    int // record revisions applied at the same time
	MaxRunning  int // attempts at the same time, over all subscriptions
	Keen        int // k of all shares; 0: each its own (sharing.go)

	FlightBytes int // of the events of attempts
	LedgerBytes int // of all entries in the ledger

	Lease      time.Duration // length of the lease
	Margin     time.Duration // attempts end so long before the lease does
	Renew      time.Duration // lease renewals, position flushes
	Stale      time.Duration // unconfirmed for so long: no attempt (R3)
	Park       time.Duration // R5
	ParkSoon   time.Duration // the same where an endpoint leaves an attempt without an answer
	Overlap    time.Duration // clock difference allowed between publisher and operator (R12, R13)
	Keep       time.Duration // debts of a deleted record
	Tick       time.Duration
	Poll       time.Duration // a reader that found nothing new
	Drain      time.Duration // of a graceful stop (R10b): until old attempts have ended
	Freeze     time.Duration // then, nothing starts: until young attempts have ended
	Last       time.Duration // then the lease is freed, whatever is confirmed
	Busy       time.Duration // until a refused or unanswered request is repeated
	ProbeMin   time.Duration
	ProbeMax   time.Duration
	Guard      time.Duration // between looks at the limits of the stream
	Check      time.Duration // between looks at which stream it is (R15)
	Watch      time.Duration // between looks at the state buckets
	RampRate   float64       // of the slow start, attempts a second
	RampDouble time.Duration // until the rate doubles
	RampTime   time.Duration // until full speed
	Failures   int           // in a row, open the breaker
}

func defaultLimits() bounds {
	return bounds{
		Window: limits.WindowEvents, Deliveries: limits.WindowDeliveries, Lane: limits.LaneReferences, Lanes: limits.LanesLeast,
		LanesMost: limits.LanesMost, HeldMost: limits.LanesHeld, Outstanding: limits.ReaderDeliveries,
		ReadBytes: limits.ReaderBytes, ReadTotal: limits.ReadersBytes, Parked: limits.ParkedLanes,
		Applying: limits.RevisionsApplying, MaxRunning: limits.AttemptsRunning, Lease: limits.LeaseTime,
		Margin: limits.LeaseMargin, Renew: limits.LeaseRenewal, Stale: limits.LeaseStale, Park: limits.ParkAfter,
		ParkSoon: limits.ParkSoonAfter, Overlap: limits.ClockOverlap, Keep: limits.DeletedKept, Tick: limits.CoreTick,
		Poll: limits.ReaderPoll, Drain: limits.StopDrain, Freeze: limits.StopFreeze, Last: limits.StopLast,
		Busy: limits.BusyPause, ProbeMin: limits.ProbeFirst, ProbeMax: limits.ProbeLast, Failures: limits.BreakerFailures,
		Watch: limits.BucketWatch, Guard: limits.RetentionWatch, Check: limits.StreamWatch, RampRate: limits.RampRate,
		RampDouble: limits.RampDouble, RampTime: limits.RampTime,
		FlightBytes: limits.FlightBytes, LedgerBytes: limits.OwedBytes,
	}
}

// outside is what the core asks of the world. Nothing here blocks: whatever
// takes time answers later by calling done, one at a time, never from inside
// the call itself. In the program the term answers (term.go), in the
// simulation the simulated world.
type outside interface {
	boot() time.Duration // R10: time since boot, suspend included
	wall() time.Time
	after(d time.Duration, fn func())

	survey(e *LeaseEntry, done func(Survey, error))              // R15, at a take-over
	openFeed(epoch uint64, at Ref, done func(Ref, error))        // R1; answers the message at the position, if it is there
	look(witnesses Witnesses, floor Ref, done func(Look, error)) // R15
	judge(entries [][]Ref, done func(highest []int, err error))  // R15: of each entry, the last message that is there; -1: none
	known(r Ref)                                                 // R15: somebody else has seen this message, the feed not yet
	startFeed()                                                  // R9: the last step; events may come from now on
	settle(w *windowEvent)                                       // nothing of it is owed in memory any more
	confirm(done func(error))
	fence(b Bucket, epoch uint64, term string, done func(Made, error))
	seal(b Bucket, done func(error))
	checkBucket(b Bucket, done func(error))
	load(done func(*loaded, error))
	watchRecords()
	write(w Write, done func(error))
	lease(e LeaseEntry, expect uint64, id string, done func(revision uint64, err error))
	readLease(done func(s leaseSight, err error))
	leaseUntil(t time.Duration) // attempts are cut when the boot clock reaches it
	sequenceAt(t time.Time, done func(seq uint64, last Ref, err error))
	latest(key string, done func(Revision, error))
	read(key string, from uint64, filters []string, max, maxBytes int, done func(evs []*Event, r Reading, err error))
	forget(key string)
	attempt(a *attempt)
	cut(a *attempt)
	bury(d DeadLetter, done func(error))
	unbury(seq uint64, done func(error))
	keep(from uint64)     // the stream is to keep what lies from there on; noLimit: nothing
	holdBack(from uint64) // the feed acknowledges nothing from there on
	retention(fractions []float64, done func(Retention, error))
	alert(a Alert)
	over(cause error) // the term ends; nothing may be asked any more
	log(level logLevel, msg string, args ...any)
}

type logLevel int

const (
	logDebug logLevel = iota
	logInfo
	logWarn
	logError
)

// loaded is the state that a take-over finds, in the order in which it is read (R9).
type loaded struct {
	status map[string]Status
	marks  map[string]Mark
	lanes  map[string]map[string]LaneEntry // subscription, lane token
	bad    []string                        // keys that hold no valid entry
}

// core is the protocol: the rules R1 to R14 as a deterministic state machine.
// All of it belongs to one goroutine. Its inputs are the methods take, record,
// recordsCaughtUp, ended, redrive, stop and the answers of outside.
type core struct {
	bounds
	out outside
	rng *rand.Rand

	epoch     uint64
	term      string     // random: what write ids begin with (R16)
	old       LeaseEntry // as it was won: carried over until the feed is open (R3)
	fresh     bool       // nothing of ours was there before this term
	beat      uint64     // of the last lease write
	holder    string
	leaseRev  uint64
	leaseEnd  time.Duration
	renewSent time.Duration // when the last renewal was sent
	lastFlush time.Duration // when the last confirmed renewal was sent
	renewing  bool
	counter   uint64
	dead      bool

	opened   bool // the feed is open
	caughtUp bool // all revisions that the bucket holds were seen
	stopping bool
	handover handover

	formerIDs *uint64 // LeaseEntry.FormerIDs; nil: not known yet
	inherited seqSet  // settled above the floor by predecessors
	cursor    Cursor

	stream      StreamState // as the term knows it
	top         Ref         // the highest message known (R15)
	witnesses   Witnesses   // top and some below it
	floorRef    Ref         // the message at prefix
	checkpoints []Checkpoint
	changes     []StreamChange // not yet acknowledged by an operator
	placed      placement
	told15      bool     // a change of the stream was met: to be said once the term leads
	lookQ       []func() // wait for the answer to a look that is asked after them
	looking     bool
	lookedAt    time.Duration
	leaving     bool // the stream has changed: the term ends (leaving.go)

	taken        uint64 // the last event taken in
	prefix       uint64 // everything up to here is settled
	floorDurable uint64
	win          []*windowEvent
	winBytes     int
	pending      []*windowEvent // taken from the feed, not yet in the window: an older one is not fully expanded
	owed         int            // deliveries and other debts in memory
	running      int
	runs         runs
	shares       shares
	collapsing   map[*sub]struct{} // deleted, their lanes are still in the ledger
	slow         map[*sub]struct{} // had an attempt without an answer for long, at slowAt
	slowAt       time.Duration
	turns        turns
	readBytes    int

	directory *Directory
	subs      map[string]*sub
	keys      map[string]*keyWriter
	readers   map[*sub]struct{}
	liveMarks map[*sub]struct{} // mark {live} written, not yet removed (R7)
	holding   map[*sub]struct{} // lanes in the ledger
	deletions map[*sub]struct{} // deleted, their debts are kept
	drained   []*lane           // of predecessors, empty: their entries wait for the floor
	newMarks  []*sub            // {live} being written, not yet a debt of an event
	blocked   map[*sub]struct{} // could not start an attempt for a reason that passes by time
	dirty     map[*sub]struct{} // status changed
	applyQ    []*sub
	applying  int

	unstored map[*lane]struct{}       // whose dead letter is refused or not confirmed
	told     map[string]time.Duration // complaints, and when they were last said aloud

	buckets  [2]bucketState
	orphans  *loaded           // of the ledger: of records that have no status
	seen     Applied           // the newest revision of the records that was seen
	behind   map[*sub]struct{} // with revisions that are not applied, and some without
	invalid  invalidTold
	missing  bool          // the records' bucket
	counted  bool          // what expired before this term is known
	guarding bool          // the limits of the stream are being asked for
	first    uint64        // of the stream
	counting uint64        // holes in the feed's numbers below it are counted already
	untold   uint64        // events missed and not yet told
	missedAt time.Duration // when they were last told
	expiring uint64        // the stream is about to drop everything up to here
	kept     bool          // a consumer keeps what is owed
	losing   string        // why it deletes what is owed; "": it does not
	stuck    string        // what the take-over waits for
	figures  Figures
	passed   map[string]bool // kinds of messages that are no events, told
}

// Figures are counts since the term began; see Bridge.Figures.
type Figures struct {
	Missed                                                                         uint64 // events that the stream dropped before they could be matched
	NotEvents                                                                      uint64 // messages of the stream that are no events (noevent.go); Taken counts them too
	Untold                                                                         uint64 // events of no tenant (tenant.go)
	Overlong                                                                       uint64 // events that tell a value that is too long (bounds.go)
	Changes                                                                        uint64 // of the source stream (R15)
	Vanished                                                                       uint64 // events, at most, that were owed and vanished with the former stream
	Removed                                                                        uint64 // deliveries whose event was removed from the stream while it was owed
	Taken, Matched, Filtered, Delivered, Failed, Retried, Dead, Superseded, Parked uint64
	Alerts                                                                         map[string]uint64 // by kind
	Unsettled, Owed, Held, Reading, Suspended, Subscriptions, Running              int
}

// windowEvent is one event of the feed's window.
type windowEvent struct {
	ev                         *Event
	token                      any // of whoever gave it, for settle
	version                    uint64
	matches                    []*Subscription // by id
	next                       int             // matches before it are expanded
	items                      []*item
	debts                      int
	at                         time.Duration
	expanded, settled, touched bool
	marks                      []*sub // R7: confirmation of their {live} marks is a debt of this event
}

func (w *windowEvent) seq() uint64 { return w.ev.Seq }

// unexpanded tells whether the event is not yet expanded for a subscription.
func (w *windowEvent) unexpanded(id string) bool {
	return !w.expanded && !w.settled && w.next < len(w.matches) && id >= w.matches[w.next].ID
}

func newCore(out outside, l bounds, rng *rand.Rand, epoch uint64, holder string, won time.Duration, rev uint64, old LeaseEntry) *core {
	c := &core{
		bounds: l, out: out, rng: rng, epoch: epoch, holder: holder, leaseRev: rev, lastFlush: won,
		directory: NewDirectory(), subs: map[string]*sub{}, keys: map[string]*keyWriter{},
		unstored: map[*lane]struct{}{}, told: map[string]time.Duration{},
		readers: map[*sub]struct{}{}, liveMarks: map[*sub]struct{}{}, behind: map[*sub]struct{}{}, blocked: map[*sub]struct{}{}, dirty: map[*sub]struct{}{},
		holding: map[*sub]struct{}{}, deletions: map[*sub]struct{}{}, collapsing: map[*sub]struct{}{},
		prefix: old.Floor, old: old, term: old.Term, formerIDs: old.FormerIDs, checkpoints: old.Checkpoints, changes: old.Changes,
	}
	c.shares.pools = c.sharing()
	c.inherited.load(old.Settled)
	c.inherited.learn(old.Known)
	if old.Cursor != nil {
		c.cursor = *old.Cursor
	}
	c.extendLease(won)
	return c
}

// start begins the take-over (R9). The lease is won, its value carried over.
func (c *core) start() {
	c.after(c.Renew, c.renewLoop)
	c.after(c.Tick, c.tick)
	c.after(c.Guard, c.guardRetention)
	c.after(c.Check, c.checkStream)
	c.open()
}

// after calls fn later, unless the term is over by then.
func (c *core) after(d time.Duration, fn func()) {
	c.out.after(d, func() {
		if !c.dead {
			fn()
		}
	})
}

// retry repeats fn after a failure that is not final; ends the term if it is.
func (c *core) retry(what string, err error, fn func()) {
	if errors.Is(err, ErrDeposed) {
		c.end(fmt.Errorf("%s: %w", what, err))
		return
	}
	c.complain("take-over waits", what, "step", what, "error", err)
	c.stuck = fmt.Sprintf("%s: %v", what, err)
	c.after(c.Busy, fn)
}

// complain warns of a failure that is met again at each repetition: aloud at
// first and every ten seconds, in between for debugging only. what tells apart
// the things that may fail.
func (c *core) complain(msg, what string, args ...any) {
	now := c.out.boot()
	level := logDebug
	if last, ok := c.told[msg+what]; !ok || now-last >= 10*time.Second {
		if len(c.told) >= 1024 {
			clear(c.told)
		}
		c.told[msg+what] = now
		level = logWarn
	}
	c.out.log(level, msg, args...)
}

func (c *core) end(cause error) {
	if c.dead {
		return
	}
	c.dead = true
	c.out.over(cause)
}

// position is how far events are dispatched, by us or by a predecessor (R9).
func (c *core) position() uint64 {
	return max(c.taken, c.inherited.max(), c.cursor.Seq)
}

// ---- take-over, R9

// open fixes the position and makes the durable there, between two looks at
// which stream it is (R1, R15).
func (c *core) open() {
	c.out.survey(&c.old, func(s Survey, err error) {
		if c.dead {
			return
		}
		if err != nil {
			c.streamMissing(err)
			c.retry("look at the stream", err, c.open)
			return
		}
		p := place(&c.old, &s, c.fresh)
		c.out.openFeed(c.epoch, p.at, func(at Ref, err error) {
			if c.dead {
				return
			}
			if err != nil {
				c.retry("open the feed", err, c.open)
				return
			}
			p.at = at
			c.begin(p, s.Stream)
		})
	})
}

func (c *core) begin(p placement, st StreamState) {
	c.stream, c.placed, c.top, c.floorRef = st, p, p.top, p.at
	c.witnesses = Witnesses{p.top}
	c.know(p.at)
	c.out.look(c.witnesses, c.floorRef, func(l Look, err error) {
		switch {
		case c.dead:
			return
		case err != nil:
			c.retry("look at the stream", err, func() { c.begin(p, st) })
			return
		}
		if why := c.differs(l, c.floorRef); why != "" {
			c.complain("the stream changes while it is taken over", "begin", "reason", why)
			c.after(c.Busy, c.open)
			return
		}
		if p.changed != "" {
			c.out.log(logError, "the source stream has changed: nothing of it is passed over, what was settled may be repeated under the same ids",
				"stream", st.Name, "reason", p.changed, "position", p.at.Seq, "floor", c.old.Floor, "known", c.old.Top.Seq, "last", st.Last)
			c.inherited.top(p.common)
			c.checkpoints = slices.DeleteFunc(slices.Clone(c.checkpoints), func(x Checkpoint) bool { return x.Ref.Seq > p.common })
			if c.formerIDs != nil && *c.formerIDs > p.common {
				c.formerIDs = &p.common
			}
			if c.cursor.Seq > p.common {
				c.cursor = Cursor{}
			}
		}
		if c.old.none && c.top.known() { // a crash before the feed opens must not forget where it was to begin
			c.old.Floor, c.old.Top, c.old.Known, c.old.Stream = p.at.Seq, c.top, refs(p.at), &StreamName{st.Name, st.Created}
			c.renew(nil)
		}
		c.taken, c.prefix = p.at.Seq, p.at.Seq
		c.inherited.cut(c.taken + 1)
		if c.cursor.Seq <= c.taken {
			c.cursor = Cursor{}
		}
		c.fence()
	})
}

func (c *core) fence() { c.fenceFrom(BucketStatus) }

func (c *core) fenceFrom(b Bucket) {
	c.stuck = ""
	c.out.fence(b, c.epoch, c.term, func(made Made, err error) {
		switch {
		case c.dead:
		case err != nil:
			c.retry("write the fences", err, func() { c.fenceFrom(b) })
		default:
			c.found(b, made)
			if b == BucketStatus {
				c.fenceFrom(BucketOwed)
				return
			}
			c.load()
		}
	})
}

func (c *core) load() {
	c.stuck = ""
	c.out.load(func(l *loaded, err error) {
		switch {
		case c.dead:
		case errors.Is(err, ErrLost):
			c.end(fmt.Errorf("read the state: %w: %w", errStateGone, err))
		case err != nil:
			c.retry("read the state", err, c.load)
		default:
			c.relocate(l, func() {
				c.rebuild(l)
				c.stuck = "the subscription records are not read yet"
				c.out.watchRecords()
			})
		}
	})
}

func (c *core) rebuild(l *loaded) {
	for _, key := range l.bad {
		c.out.log(logError, "state entry cannot be read and is left alone", "key", key)
	}
	for _, id := range sorted(l.status) {
		st := l.status[id]
		s := c.newSub(id, st.Generation)
		s.active, s.valid, s.suspended = st.Active, st.Valid, st.Suspended
		s.applied, s.bucket, s.told = st.Revision, st.Bucket, announced{state: st.State, reason: st.Reason, since: st.Since, expired: st.Expired,
			said: append(Problems(st.Errors), st.Warnings...).digest()}
		s.expired = st.Expired
		if st.DeletedAt != nil {
			s.deletedAt = *st.DeletedAt
			c.expireDebts(s)
		}
		s.mode, s.fromLoad, s.liveFrom = live, true, st.Anchor
		if st.Anchor == 0 {
			s.mode = unseen
		}
		c.subs[id] = s
		s.anchorTime = st.AnchorTime
		if c.adopt(s, l) {
			s.confirmBeforeOpen()
		}
		s.resumePace(&st)
	}
	c.tellLost(l)
	c.orphans = &loaded{marks: map[string]Mark{}, lanes: map[string]map[string]LaneEntry{}}
	for id, m := range l.marks {
		if c.subs[id] == nil {
			c.orphans.marks[id] = m
		}
	}
	for id, lanes := range l.lanes {
		if c.subs[id] == nil {
			c.orphans.lanes[id] = lanes
		}
	}
}

// adopt takes over what the ledger holds of a subscription. It tells whether its
// mark must be written anew, confirmed before the feed opens.
func (c *core) adopt(s *sub, l *loaded) (confirm bool) {
	id := s.id
	if m, ok := l.marks[id]; ok {
		switch {
		case m.Generation != s.gen:
			c.put(BucketOwed, id, nil, nil)
		case m.Live > 0 && m.From == 0:
			s.liveFrom = max(s.liveFrom, m.Live)
			s.liveMark = m.Live
			c.liveMarks[s] = struct{}{}
		default:
			confirm = s.adoptMark(m)
		}
	}
	for _, token := range sorted(l.lanes[id]) {
		e := l.lanes[id][token]
		if e.Generation != s.gen {
			c.put(BucketOwed, laneKey(id, token), nil, nil)
			continue
		}
		s.loadLane(token, e)
	}
	return c.standsStill(s) || confirm
}

// adoptMark goes on with the reading of a predecessor.
func (s *sub) adoptMark(m Mark) (confirm bool) {
	c := s.core
	r := s.startReading(m.From, m.Reason)
	r.uncounted = true
	s.mode, s.fromLoad = reading, false
	if m.Until != nil {
		r.until = *m.Until
	}
	r.done.load(m.Done)
	r.done.learn(m.Known)
	for _, x := range m.Known {
		if x.Seq == m.From-1 {
			r.before = x
		}
	}
	s.untilTime = m.UntilTime
	if m.Live == 0 {
		return false
	}
	// A predecessor was live again, with leftovers: the feed's part is settled as
	// far as the lease says. It reads from here on, so the floor must say nothing
	// of it any more: confirmed before the feed opens.
	r.done.add(m.Live, c.prefix)
	for _, x := range c.inherited.spans {
		r.done.addAt(max(x.From, m.Live), x.To, x.At)
	}
	if c.cursor.Seq >= m.Live && s.id < c.cursor.ID {
		r.done.add(c.cursor.Seq, c.cursor.Seq)
	}
	return true
}

// recordsCaughtUp is called once all revisions that the bucket holds were seen.
func (c *core) recordsCaughtUp() {
	if c.dead || c.caughtUp {
		return
	}
	c.caughtUp = true
	c.recollect()
	c.stuck = ""
	for _, id := range sorted(c.subs) {
		s := c.subs[id]
		if n := len(s.revs); s.mode == unseen && s.applied == 0 && n > 0 && s.revs[n-1].Deleted && c.out.wall().Sub(s.revs[n-1].Time) > c.Keep {
			delete(c.subs, id) // its debts were dropped long ago
			continue
		}
		if s.vanished() {
			s.vanishBeforeOpen()
		}
		c.applySoon(s)
	}
	c.startFeed()
}

// startFeed is the last step of the take-over: when everything known is
// applied, and what the stream has dropped meanwhile is counted.
func (c *core) startFeed() {
	if c.opened || c.dead || c.stopping || !c.caughtUp {
		return
	}
	switch {
	case !c.counted:
		c.countGap()
		return
	case c.formerIDs == nil:
		c.askFormerIDs()
		return
	}
	if c.applying > 0 || len(c.applyQ) > 0 {
		c.after(c.Tick/10, c.startFeed)
		return
	}
	c.opened = true
	c.sealAll()
	c.tell()
	c.adoptEarly()
	c.renew(nil) // from now on the lease says which stream it speaks of
	c.out.log(logInfo, "leading", "epoch", c.epoch, "position", c.taken, "subscriptions", len(c.subs))
	c.out.startFeed()
	c.suspendResumed()
	for _, s := range c.which(func(s *sub) bool { return len(s.lanes) > 0 || s.mode == reading }) {
		s.kick()
	}
}

// ---- periodic

func (c *core) tick() {
	c.after(c.Tick, c.tick)
	if c.out.boot() >= c.leaseEnd {
		c.end(errLeaseOver)
		return
	}
	c.parkOld()
	c.renewSoon()
	if c.canSend() && len(c.blocked) > 0 {
		again := c.blocked
		c.blocked = map[*sub]struct{}{}
		for _, s := range ordered(again) {
			s.kick()
		}
	}
	c.takeTurns(turnsAtTick)
	c.collapseDeleted()
	for _, s := range ordered(c.readers) {
		s.pumpReader()
	}
	if c.caughtUp && !c.stopping { // a successor tells what it takes over
		for _, s := range ordered(c.dirty) {
			c.flushStatus(s)
		}
	}
}

var errLeaseOver = errors.New("the lease could not be renewed in time")

func (c *core) canSend() bool {
	now := c.out.boot()
	return !c.dead && !c.stopping && c.opened && now < c.leaseEnd-c.Margin && now-c.lastFlush < c.Stale
}

// ---- lease, R3 and R10

func (c *core) extendLease(sent time.Duration) {
	c.leaseEnd = max(c.leaseEnd, sent+c.Lease)
	c.out.leaseUntil(c.leaseEnd - c.Margin)
}

func (c *core) renewLoop() {
	c.after(c.Renew, c.renewLoop)
	if c.handover.step == releasing {
		return
	}
	c.renew(nil)
	c.keepSoon()
	if !c.opened {
		return
	}
	c.out.confirm(func(error) {})
	for _, s := range ordered(c.readers) {
		if s.mode != going && s.reader.moved {
			s.writeMark(nil)
		}
	}
}

func (c *core) leaseEntry() LeaseEntry {
	c.beat++
	if !c.opened { // nothing that it says may change before all is taken over (R3, R15)
		e := c.old
		e.Epoch, e.Holder, e.Beat, e.Length, e.FormerIDs = c.epoch, c.holder, c.beat, c.Lease.String(), c.formerIDs
		return e
	}
	c.checkpoints = checkpointed(c.checkpoints, c.floorRef, c.out.wall())
	e := LeaseEntry{Epoch: c.epoch, Holder: c.holder, Term: c.term, Beat: c.beat, Leading: true, Floor: c.prefix, Length: c.Lease.String(), FormerIDs: c.formerIDs,
		Stream: &StreamName{c.stream.Name, c.stream.Created}, Top: c.top, Checkpoints: c.checkpoints, Changes: c.changes}
	c.tellState(&e)
	settled := seqSet{spans: append([]Span(nil), c.inherited.spans...)}
	settled.cut(c.prefix + 1)
	for _, w := range c.win {
		if w.settled {
			settled.addRef(w.ev.Ref())
		}
	}
	e.Settled = settled.list()
	e.Known = refs(append(append(settled.ends(), c.floorRef), c.witnesses[:]...)...)
	if c.cursor.Seq > c.prefix {
		cur := c.cursor
		e.Cursor = &cur
	}
	return e
}

// renew writes the lease once; a renewal whose outcome is unknown is repeated
// as it was first sent, with the revision that was known then (R3).
func (c *core) renew(done func()) {
	if c.renewing {
		return
	}
	c.renewing = true
	e := c.leaseEntry()
	if done != nil {
		e.Free = true
		for _, w := range c.win {
			if w.expanded || w.settled || w.debts > 0 { // a stop that could not confirm all: the event is matched again
				continue
			}
			id := w.matches[w.next].ID
			if w.seq() != c.cursor.Seq {
				if w.next > 0 {
					e.Cursor = &Cursor{w.seq(), id}
				}
			} else if e.Cursor != nil {
				e.Cursor.ID = max(e.Cursor.ID, id)
			}
		}
	}
	id, rev := c.nextID(), c.leaseRev
	c.renewSent = c.out.boot()
	sent := c.out.boot() // of the first copy: a stand-by counts from when that one lands
	var send func()
	send = func() {
		c.out.lease(e, rev, id, func(got uint64, err error) {
			if c.dead {
				return
			}
			switch {
			case errors.Is(err, ErrDeposed): // definite: it may be written again, as another write (R16)
				c.leaseRefused(err, func(revision uint64) {
					c.beat++
					e.Beat = c.beat
					id, rev, sent = c.nextID(), revision, c.out.boot()
					send()
				})
			case err != nil:
				c.after(c.Busy, send)
			default:
				c.renewing = false
				c.leaseRev = got
				c.lastFlush = max(c.lastFlush, sent)
				c.floorDurable = max(c.floorDurable, e.Floor)
				c.extendLease(sent)
				c.floorMoved()
				if done != nil {
					done()
				}
			}
		})
	}
	send()
}

func (c *core) nextID() string {
	c.counter++
	return fmt.Sprintf("%s:%d:%d", c.term, c.epoch, c.counter)
}

const noLimit = math.MaxUint64
