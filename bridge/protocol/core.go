package protocol

import (
	"errors"
	"math"
	"math/rand/v2"
	"time"

	"orderbridge/bridge/event"
	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

// Bounds are the bounds and times of the protocol. They are variables of the machine
// and not constants, because the simulation runs the same code in a smaller world.
type Bounds struct {
	Window      int  // W: unsettled events of the feed; the feed holds it, the core only judges by it
	Deliveries  int  // D: unsettled deliveries in memory
	Lane        int  // references in one held lane
	Lanes       int  // held lanes of one subscription, whatever the others hold
	LanesMost   int  // held lanes of one subscription
	HeldMost    int  // held lanes of all; beyond it a subscription has no more than Lanes
	Outstanding int  // deliveries that a reading subscription has in memory
	ReadBytes   int  // of one read
	ReadTotal   int  // of all readers together
	Parked      int  // lanes of one subscription parked at one time before it reads instead
	Applying    int  // record revisions applied at the same time
	MaxRunning  int  // attempts at the same time, over all subscriptions
	Keen        int  // k of all shares; 0: each its own (sharing.go)
	Verbose     bool // every attempt is told

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

// DefaultBounds are those of internal/limits.
func DefaultBounds() Bounds {
	return Bounds{
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

// Machine is the protocol: the rules R1 to R14 as a deterministic state machine.
// It has no clock, goroutine, lock or I/O: it is told what happens (inputs.go) and
// says what is to be done (outputs.go). See Step.
type Machine struct {
	Bounds
	rng *rand.Rand
	now Now

	outputs  []Output // of the present step
	over     bool     // the term has ended
	timers   timers
	requests map[uint64]*request
	requestN uint64
	attempts map[uint64]*attempt // under way
	attemptN uint64

	epoch     uint64
	term      string     // random: what write ids begin with (R16)
	old       LeaseEntry // as it was won: carried over until the feed is open (R3)
	fresh     bool       // nothing of ours was there before this term
	beat      uint64     // of the last lease write
	holder    string
	leaseRev  uint64
	leaseEnd  time.Duration
	renewSent time.Duration // when the last renewal was sent
	leaseSent time.Duration // when the first copy of the present write of the lease was
	lastFlush time.Duration // when the last confirmed renewal was sent
	renewing  bool
	freeing   bool // the lease is freed by the write under way, or the next one
	counter   uint64

	step     takeoverStep
	loading  *Loaded
	moving   *moving
	adopting adopting
	opened   bool // the feed is open
	caughtUp bool // all revisions that the bucket holds were seen
	stopping bool
	handover handover

	formerIDs *uint64 // LeaseEntry.FormerIDs; nil: not known yet
	inherited seqSet  // settled above the floor by predecessors
	cursor    Cursor

	stream      StreamState // as the term knows it
	top         event.Ref   // the highest message known (R15)
	witnesses   Witnesses   // top and some below it
	floorRef    event.Ref   // the message at prefix
	checkpoints []Checkpoint
	changes     []StreamChange // not yet acknowledged by an operator
	placed      placement
	told15      bool   // a change of the stream was met: to be said once the term leads
	doubtful    []held // wait for the answer to a look that is asked after them
	inLook      []held // wait for the answer to the look under way
	looking     bool
	lookedAt    time.Duration
	leaving     error // why the term ends: the stream has changed (leaving.go)
	leaveUntil  time.Duration

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

	Directory *record.Directory
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
	orphans  *Loaded           // of the ledger: of records that have no status
	seen     Applied           // the newest revision of the records that was seen
	behind   map[*sub]struct{} // with revisions that are not applied, and some without
	invalid  invalidTold
	missing  bool          // the records' bucket
	guarding bool          // the limits of the stream are being asked for
	first    uint64        // of the stream
	counting uint64        // holes in the feed's numbers below it are counted already
	untold   uint64        // events missed and not yet told
	missedAt time.Duration // when they were last told
	expiring uint64        // the stream is about to drop everything up to here
	kept     bool          // a consumer keeps what is owed
	losing   string        // why it deletes what is owed; "": it does not
	held     uint64        // nothing is acknowledged from there on (losing.go)
	stuck    string        // what the take-over waits for
	figures  Figures
	notMade  string          // why the last attempt that was not made was not
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

// Won is a lease as it was won.
type Won struct {
	Entry    LeaseEntry
	Revision uint64
	At       time.Duration // boot time: counted from the sending of the write
	Fresh    bool          // nothing of the bridge's was there before
}

// New makes the machine of one term, which leads once it has taken over: its first
// input is Start. The generator is all the chance that it has.
func New(b Bounds, rng *rand.Rand, w Won) *Machine {
	old := w.Entry
	c := &Machine{
		Bounds: b, rng: rng, requests: map[uint64]*request{}, attempts: map[uint64]*attempt{},
		epoch: old.Epoch, holder: old.Holder, leaseRev: w.Revision, lastFlush: w.At, fresh: w.Fresh,
		Directory: record.NewDirectory(), held: noLimit, subs: map[string]*sub{}, keys: map[string]*keyWriter{},
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
	c.leaseEnd = w.At + c.Lease
	return c
}

// complain warns of a failure that is met again at each repetition: aloud at
// first and every ten seconds, in between for debugging only. what tells apart
// the things that may fail.
func (c *Machine) complain(msg, what string, args ...any) {
	now := c.now.Boot
	level := Debug
	if last, ok := c.told[msg+what]; !ok || now-last >= 10*time.Second {
		if len(c.told) >= 1024 {
			clear(c.told)
		}
		c.told[msg+what] = now
		level = Warn
	}
	c.log(level, msg, args...)
}

// position is how far events are dispatched, by us or by a predecessor (R9).
func (c *Machine) position() uint64 {
	return max(c.taken, c.inherited.max(), c.cursor.Seq)
}

// ---- periodic

func (c *Machine) tick() {
	c.after(c.Tick, timer{what: dueTick})
	if c.now.Boot >= c.leaseEnd {
		c.end(ErrLeaseOver)
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

// ErrLeaseOver ends a term whose lease ran out before it could be renewed.
var ErrLeaseOver = errors.New("the lease could not be renewed in time")

func (c *Machine) canSend() bool {
	now := c.now.Boot
	return !c.stopping && c.opened && now < c.leaseEnd-c.Margin && now-c.lastFlush < c.Stale
}

const noLimit = math.MaxUint64
