package protocol

import (
	"errors"
	"math"
	"math/rand/v2"
	"time"

	"orderbridge/bridge/event"
	"orderbridge/bridge/record"
)

// Machine is the protocol: the rules R1 to R18 as a deterministic state machine.
// It has no clock, goroutine, lock or I/O: it is told what happens (inputs.go) and
// says what is to be done (outputs.go). See Step.
type Machine struct {
	Bounds
	rng *rand.Rand
	now Now

	outputs  []Output // of the present step
	over     bool     // the term has ended
	unfit    error    // why it cannot begin: what it was made from does not fit together
	timers   timers
	requests map[uint64]*request
	requestN uint64
	attempts map[uint64]*attempt // under way
	attemptN uint64

	epoch      uint64
	term       string     // random: what write ids begin with (R16)
	old        LeaseEntry // as it was won: carried over until the feed is open (R3)
	firstStart bool       // nothing of ours was there before this term
	beat       uint64     // of the last lease write
	holder     string
	leaseRev   uint64
	leaseEnd   time.Duration
	renewSent  time.Duration // when the last renewal was sent
	leaseSent  time.Duration // when the first copy of the present write of the lease was
	lastFlush  time.Duration // when the last confirmed renewal was sent
	renewing   bool
	freeing    bool // the lease is freed by the write under way, or the next one
	counter    uint64

	step     takeoverStep
	loading  *Loaded
	moving   *moving
	adopting adopting
	opened   bool // the feed is open
	caughtUp bool // all revisions that the bucket holds were seen
	stopping bool
	handover handover

	formerIDs *uint64 // LeaseEntry.FormerIDs; nil: not known yet
	layout    Layout
	formers   formers // what the shards of the layout before had settled (R18); nil: the floor is past all of it
	inherited seqSet  // settled above the floor by predecessors
	cursor    Cursor

	stream      StreamState // as the term knows it
	top         event.Ref   // the highest message known (R15)
	witnesses   Witnesses   // top and some below it
	floorRef    event.Ref   // the message at prefix
	checkpoints []Checkpoint
	changes     []StreamChange // not yet acknowledged by an operator
	surveys     int            // asked of the present look at the stream: the own entry, then the former shards'
	survey      Survey         // of the own entry
	placed      placement
	changeMet   bool   // a change of the stream was met: to be said once the term leads
	doubtful    []held // wait for the answer to a look that is asked after them
	inLook      []held // wait for the answer to the look under way
	looking     bool
	lookedAt    time.Duration
	leaving     error // why the term ends: the stream has changed (leaving.go)
	leaveUntil  time.Duration

	taken        uint64 // the last event taken in
	takenAt      int64  // its time; 0: none of this term
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
	subs      map[string]*sub     // those that are not at rest
	resting   map[string]*resting // the others
	awake     []*sub              // whether they can rest is looked at
	crowd     int                 // how many there were that are not at rest, since the maps were made
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
	followed  *Followed // at a take-over, until its revisions are seen
	unseenYet []string  // likewise: whose are not seen yet
	newcomers newcomers // wait until there is room to apply them
	applying  int

	unstored map[*lane]struct{}       // whose dead letter is refused or not confirmed
	told     map[string]time.Duration // complaints, and when they were last said aloud

	buckets      [2]bucketState
	orphans      *Loaded           // of the ledger: of records that have no status
	seen         Applied           // the newest revision of the records that was seen
	behind       map[*sub]struct{} // with revisions that are not applied, and some without
	invalid      invalidTold
	missing      bool          // the records' bucket
	askingLimits bool          // the limits of the stream are being asked for
	first        uint64        // of the stream
	counting     uint64        // holes in the feed's numbers below it are counted already
	untold       uint64        // events missed and not yet told
	missedAt     time.Duration // when they were last told
	expiring     uint64        // the stream is about to drop everything up to here
	kept         bool          // a consumer keeps what is owed
	losing       string        // why it deletes what is owed; "": it does not
	held         uint64        // nothing is acknowledged from there on (losing.go)
	stuck        string        // what the take-over waits for
	figures      Figures
	states       map[State]int   // told of subscriptions that are not at rest (debtors.go)
	notMade      string          // why the last attempt that was not made was not
	passed       map[string]bool // kinds of messages that are not events, told
}

// Won is a lease as it was won.
type Won struct {
	Entry    LeaseEntry
	Revision uint64
	At       time.Duration // boot time: counted from the sending of the write
	Fresh    bool          // nothing of the bridge's was there before
	Layout   Layout        // as it was read after that
	Number   int           // of the shard
	Formers  []LeaseEntry  // closed, by number, of all former shards; nil: none has to be regarded (Layout.Regards)
}

// New makes the machine of one term, which leads once it has taken over: its first
// input is Start. The generator is all the chance that it has.
func New(b Bounds, rng *rand.Rand, w Won) *Machine {
	old := w.Entry
	c := &Machine{
		Bounds: b, rng: rng, requests: map[uint64]*request{}, attempts: map[uint64]*attempt{},
		epoch: old.Epoch, holder: old.Holder, leaseRev: w.Revision, lastFlush: w.At, firstStart: w.Fresh,
		Directory: record.NewDirectory(), held: noLimit, subs: map[string]*sub{}, resting: map[string]*resting{}, keys: map[string]*keyWriter{},
		unstored: map[*lane]struct{}{}, told: map[string]time.Duration{},
		readers: map[*sub]struct{}{}, liveMarks: map[*sub]struct{}{}, behind: map[*sub]struct{}{}, blocked: map[*sub]struct{}{}, dirty: map[*sub]struct{}{},
		holding: map[*sub]struct{}{}, deletions: map[*sub]struct{}{}, collapsing: map[*sub]struct{}{},
		prefix: old.Floor, old: old, term: old.Term, layout: w.Layout, formers: asFormers(w.Formers), unfit: w.unfit(), formerIDs: old.FormerIDs, checkpoints: old.Checkpoints, changes: old.Changes,
	}
	if w.Layout.Generation > 0 {
		c.old.Layout = &w.Layout
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

// position is how far events are dispatched, by us or by a predecessor (R9). For
// a subscription that came from a former shard it is sub.position.
func (c *Machine) position() uint64 {
	return max(c.taken, c.inherited.max(), c.cursor.Seq)
}

// position is how far events are dispatched for the subscription: by us, a
// predecessor or, before that, its former shard (R18).
func (s *sub) position() uint64 { return max(s.core.position(), s.core.formers.position(s.id)) }

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
	c.restSome()
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
