package protocol

import (
	pq "container/heap"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sort"
	"strings"
	"time"

	"orderbridge/bridge/event"
	"orderbridge/bridge/record"
)

// A seeded event simulation of the real core: bus, clocks and endpoints are
// simulated behind `outside`; replicas crash, pause past their lease, lose
// their connection; writes and confirmations are lost or land late; records
// change all the time. sim_check_test.go holds the promises against what the
// endpoints got.

const ms = time.Millisecond

// Times are scaled: lease 10 s -> 3 s, timeout 30 s -> 1.5 s.
func simLimits() Bounds {
	l := DefaultBounds()
	l.Lane, l.Outstanding, l.Lanes, l.Parked, l.Applying = 5, 4, 8, 2, 2
	l.Lease, l.Margin, l.Keep = 3000*ms, 200*ms, 6000*ms
	l.Tick, l.Poll, l.Busy = 25*ms, 25*ms, 50*ms
	l.Drain, l.Freeze, l.Last = 700*ms, 200*ms, 2000*ms
	l.LanesMost, l.HeldMost = 8, 8
	l.Failures = 2 // there are few orders
	l.Rest = 500 * ms
	l.ProbeMin, l.ProbeMax = 300*ms, 2500*ms
	l.RampRate, l.RampDouble, l.RampTime = 10, 200*ms, 1500*ms
	return l
}

const (
	simPatience = 3600 * ms
	simTenant   = "t0" // of the events, and of every other record; the others have none
	simOrders   = 3
)

var simSchedule = []time.Duration{300 * ms, 500 * ms, 800 * ms, 1200 * ms}

type simItem struct {
	t  time.Duration
	n  int
	fn func()
}
type simQueue []simItem

func (p simQueue) Len() int           { return len(p) }
func (p simQueue) Less(i, j int) bool { return p[i].t < p[j].t || p[i].t == p[j].t && p[i].n < p[j].n }
func (p simQueue) Swap(i, j int)      { p[i], p[j] = p[j], p[i] }
func (p *simQueue) Push(x any)        { *p = append(*p, x.(simItem)) }
func (p *simQueue) Pop() any          { o := *p; x := o[len(o)-1]; *p = o[:len(o)-1]; return x }

type simEvent struct {
	seq, order, typ int
	t, stamp        time.Duration // true time, the stream's time
	uid             int           // of all events that ever were
	gone            bool          // removed from the stream
	dropped         time.Duration // by the stream itself
	watched         bool          // when it was, a leader had had the time to copy it
}

// simOp is one revision of a record.
type simOp struct {
	kind     string
	t        time.Duration
	pos      int // first sequence published after it
	gen      int // index of the op that began its generation
	rev      uint64
	target   int
	coalesce bool
	ordering event.Ordering
	typ      int
	value    *record.Subscription
	purged   bool // a deletion for good
	paused   bool
	gone     bool // no longer in the bucket, without a trace
	visible  time.Duration
	lag      [3]time.Duration // of each node
}

type simConsumer struct {
	epoch, n    uint64
	start, next int
	dseq        uint64
	floor       int
	gone        bool
	created     time.Duration // of its stream
}

// simGot is one delivery that an endpoint took with a 2xx.
type simGot struct {
	t                time.Duration
	sub, gen, target int
	order, seq       int
	reign            simReign
	known            time.Duration // when the leader processed the answer; 0: never
	beside           bool          // of a dead letter that was put back, or of a replay: it may repeat what was sent
	stray            bool          // the leader had given the attempt up, or was not the leader any more
}

type simEnd struct {
	t   time.Duration
	how string
}

type simDead struct{ sub, gen, seq int }

// simCut is an attempt that a stop has cut off: of a letter that was put back, or of what is owed (0).
type simCut struct {
	simDead
	letter uint64
}

type simWorld struct {
	r      *rand.Rand
	q      simQueue
	n      int
	now    time.Duration
	quiet  bool
	trace  bool
	lines  []string
	mutant string                                             // a rule that is switched off on purpose
	record func(*Machine, SimStart) func(Now, Input) []Output // steps the machine of each term; nil: it does by itself

	orders     []simEvent
	created    time.Duration   // when the stream was made
	changes    []time.Duration // when it became another one
	changing   bool
	letterUID  map[uint64]int
	all        []simEvent // that ever were published, by uid
	skew       time.Duration
	ops        [][]*simOp
	kvRev      uint64
	buckets    [2]*simBucket
	owedLost   []*simLoss
	unknown    []bool           // what the record said before it was deleted is not in the bucket
	bothLost   []time.Duration  // a lease and the statuses, or the durables, were lost while nobody led
	statusLost []time.Duration  // the statuses were, while no leader ran
	shown      [3]time.Duration // when the last revision is visible: to each node
	shownAll   time.Duration    // and at all
	only       string           // what alone is done to the bridge's state
	shards     []*simShard

	resharding bool // there are several shards, and their number changes
	settings   int  // shards that the settings name
	trickles   bool // a feed begins slowly
	layout     simLayoutKey

	cut      map[simCut]time.Duration // by a graceful stop -> own deadline of the attempt
	dead     map[simDead]uint64       // -> sequence in the dead-letter stream
	filtered map[simDead]bool
	deadSeq  uint64
	letters  map[uint64]DeadLetter
	redriven map[uint64]string
	rewinds  []*simRewind
	nodes    []*simNode
	got      []*simGot
	pool     []*simPooled
	pooled   bool

	ends                   map[simReign]simEnd
	flushAt                map[simReign]time.Duration
	down                   []time.Duration
	flaky, slow, late      float64
	filtering              float64 // how many events a filter rejects
	timeout                time.Duration
	poison                 map[[2]int]int
	ledgerDown, ledgerFull time.Duration
	outages                [][2]time.Duration
	pauses                 []time.Duration
	window, deliveries     int
	lagging                bool
	crowded                bool // hardly any lane may be held
	greedy                 bool // little is shared, and the endpoints of one tenant hang
	bad                    []string
	stats                  map[string]int

	limits, interest, clocks, entries bool // what befalls it: sim_faults_test.go
	meddling, vanishing               bool
	again                             bool          // operators let things be sent again
	maxAge                            time.Duration // of the stream; 0: no limit
	byInterest                        bool          // so it keeps its messages at present
	byReference                       map[simDead]bool
	toldExpired                       map[int]bool
	toldMissed                        bool
	stood                             [][2]time.Duration // a boot clock
}

type simPooled struct {
	fn  func()
	run bool
}

var simEpoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func (w *simWorld) at(d time.Duration, fn func()) {
	w.n++
	pq.Push(&w.q, simItem{w.now + d, w.n, fn})
}

func (w *simWorld) log(f string, a ...any) {
	if w.trace {
		w.lines = append(w.lines, fmt.Sprintf("%6d "+f, append([]any{w.now.Milliseconds()}, a...)...))
	}
}

func (w *simWorld) violate(kind, f string, a ...any) {
	s := kind + ": " + fmt.Sprintf(f, a...)
	w.bad = append(w.bad, s)
	w.log("!!! %s", s)
}
func (w *simWorld) p(x float64) bool { return !w.quiet && w.r.Float64() < x }
func (w *simWorld) rnd(a, b int) time.Duration {
	return time.Duration(a+w.r.IntN(b-a+1)) * ms
}

// seqAt is the first sequence stamped at or after a stream time.
func (w *simWorld) seqAt(t time.Duration) int {
	return sort.Search(len(w.orders), func(i int) bool { return w.orders[i].stamp >= t }) + 1
}

func (w *simWorld) event(seq int) *event.Event {
	e := w.orders[seq-1]
	return &event.Event{Message: event.Message{Seq: uint64(seq), Subject: fmt.Sprintf("orders.t%d", e.typ), Time: time.Unix(0, w.ref(seq).Time)},
		ID: fmt.Sprint(e.uid), Tenant: simTenant, Type: fmt.Sprintf("t%d", e.typ), OrderID: fmt.Sprintf("o%d", e.order)}
}

// ---- replicas

type simNode struct {
	w        *simWorld
	id       int
	drift    float64
	seats    []*simSeat // one for each shard that it stands by for or leads
	paused   time.Duration
	pausedAt time.Duration
	down     time.Duration
	lag      time.Duration // how long its boot clock stood
	ahead    time.Duration // its wall clock is

	life   int // counts its crashes
	layout Layout
	asking int           // so often the layout is being asked for
	deaf   time.Duration // until then it sees no change of it
	closer *simCloser
}

func (n *simNode) crash(down time.Duration) {
	w := n.w
	w.log("CRASH node%d", n.id)
	for _, t := range n.terms() {
		t.end("crash")
	}
	if n.life++; w.resharding {
		n.seats, n.layout, n.asking, n.closer = nil, Layout{}, 0, nil
	}
	n.down = w.now + down
}

// simTerm is one leadership: it answers what the core asks.
type simTerm struct {
	w         *simWorld
	n         *simNode
	seat      *simSeat
	sh        *simShard
	shard     Shard
	core      *Machine
	tell      func(Now, Input) []Output
	epoch     uint64
	dead      bool
	cutAt     time.Duration
	running   map[*attempt]*simRun
	intake    Intake
	taken     Witnesses // the last events of the feed
	pulls     int
	created   time.Duration // of the stream, when the feed was opened
	cons      *simConsumer
	consN     uint64
	inflight  int
	lastArr   time.Duration
	feeding   bool
	lost      bool // the connection, before the feed was started
	startedAt time.Duration
	reopening bool
	offline   time.Duration
	seenOps   map[*simOp]bool
	watching  bool
	matched   []func()
	tickAt    time.Duration
	graceful  bool
	compared  bool
	commands  map[uint64]func(Answer)
	replays   map[uint64]bool // attempts of replays that were asked for -> not answered yet
	cuts      map[*attempt]time.Duration
	fences    [2]int   // as the term knows them
	made      [2]int64 // likewise, when the buckets were
	sealed    [2]bool
	noticed   [2]time.Duration         // that somebody has changed entries
	losing    time.Duration            // since when it is told that the stream deletes what is owed; 0: it does not
	hold      uint64                   // nothing is acknowledged from there on
	leftAlone map[string]bool          // entries of the ledger that could not be read at the take-over, and were not written since
	starved   map[string]time.Duration // waits for a slot though its tenant has none, since
	touched   map[uint64]time.Duration // when a delivery of an event was first seen to be settled
}

type simRun struct {
	got   *simGot
	ev    *event.Event // that it sends; nil: of a dead letter
	ended bool
}

func (t *simTerm) end(how string) {
	if t.dead {
		return
	}
	t.dead = true
	t.core.over = true
	w := t.w
	if x := w.ends[t.reign()].how; x == "" || x == "lease" && how == "crash" {
		w.ends[t.reign()] = simEnd{w.now, how}
	}
	if t.seat.term == t {
		t.seat.term = nil
		t.seat.standby.Known = false
	}
	w.log("%v ends: %s", t, how)
}

// later runs fn on the replica: not after it ended, and not while it is paused.
func (t *simTerm) later(d time.Duration, fn func()) {
	w := t.w
	var f func()
	f = func() {
		if t.dead {
			return
		}
		if t.n.paused > w.now {
			w.at(t.n.paused-w.now+w.rnd(0, 400), f)
			return
		}
		fn()
	}
	w.at(d, f)
}

var errSimUnknown = errors.New("no answer")

// request sends something to the server: apply runs there, done here.
func (t *simTerm) request(what string, apply func() error, done func(error)) {
	w := t.w
	there, back := w.rnd(1, 8), w.rnd(1, 8)
	if t.offline > w.now {
		t.later(100*ms, func() { done(errSimUnknown) })
		return
	}
	switch {
	case w.p(0.025):
		w.log("   %v request lost: %s", t, what)
		t.later(250*ms, func() { done(errSimUnknown) })
	case w.p(0.02):
		w.log("   %v confirmation lost: %s", t, what)
		w.at(there, func() { _ = apply() })
		t.later(250*ms, func() { done(errSimUnknown) })
	case w.p(w.late):
		w.log("   %v delayed: %s", t, what)
		w.lateRequest(func() {
			if t.sh.leads != t.epoch {
				w.log("   late %v %s", t, what)
				w.stats["late"]++
			}
			_ = apply()
		})
		t.later(250*ms, func() { done(errSimUnknown) })
	default:
		var err error
		w.at(there, func() { err = apply(); t.later(back, func() { done(err) }) })
	}
}

func (w *simWorld) lateRequest(fn func()) {
	if !w.pooled || w.r.IntN(4) == 0 {
		w.at(w.rnd(50, 5000), fn)
		return
	}
	p := &simPooled{fn: fn}
	w.pool = append(w.pool, p)
	w.at(w.rnd(1000, 6000), func() {
		if !p.run {
			p.run = true
			fn()
		}
	})
}

// release lets late requests land at the moments that matter.
func (w *simWorld) release(x float64) {
	rest := w.pool[:0]
	for _, p := range w.pool {
		if !p.run && w.r.Float64() < x {
			p.run = true
			w.at(w.rnd(0, 3), p.fn)
		} else if !p.run {
			rest = append(rest, p)
		}
	}
	w.pool = rest
}

// ---- outside

func (t *simTerm) openFeed(_ uint64, at event.Ref, done func(event.Ref, error)) {
	t.reopenAt(func() int {
		if !at.Known() {
			at = t.w.ref(int(at.Seq))
		}
		return int(at.Seq)
	}, func() {
		t.intake = Intake{}
		t.intake.Opened(uint64(t.cons.floor))
		t.taken, t.created = Witnesses{at}, t.w.created
		done(at, nil)
	})
}

func (t *simTerm) reopenAt(floor func() int, then func()) {
	w := t.w
	t.reopening = true
	t.consN++
	n := t.consN
	var c *simConsumer
	t.request("new durable", func() error {
		fl := floor()
		c = &simConsumer{epoch: t.epoch, n: n, created: w.created, start: fl + 1, next: fl + 1, floor: fl}
		w.release(0.2)
		t.sh.cons = append(t.sh.cons, c)
		return nil
	}, func(err error) {
		if err != nil {
			t.later(50*ms, func() { t.reopenAt(floor, then) })
			return
		}
		t.request("delete older durables", func() error {
			for _, x := range t.sh.cons {
				if x.epoch < t.epoch || x.epoch == t.epoch && x.n < n {
					x.gone = true
				}
			}
			return nil
		}, func(error) {
			t.cons, t.inflight, t.reopening = c, 0, false
			then()
		})
	})
}

func (t *simTerm) reopen() {
	t.w.stats["reopened"]++
	t.cons = nil
	p := int(t.intake.Prefix())
	t.sameStream(func() {
		t.reopenAt(func() int { return p }, func() {
			c := t.cons
			t.cons, t.reopening = nil, true
			t.sameStream(func() {
				t.cons, t.reopening, t.inflight = c, false, 0
				t.intake.Opened(uint64(p))
			})
		})
	})
}

func (t *simTerm) startFeed() {
	t.feeding, t.startedAt = true, t.w.now
	if t.w.resharding && t.shard.Number == 0 {
		t.attend()
	}
	if t.lost {
		t.reopen()
	}
	t.w.release(0.3)
	t.pull()
}

// checkWindow is promise 2: nothing of which others are done holds the feed.
func (t *simTerm) checkWindow() {
	w := t.w
	calm := t.startedAt
	for _, o := range w.outages {
		if w.now >= o[0] {
			calm = max(calm, o[1])
		}
	}
	for _, p := range append(w.pauses, t.offline) {
		calm = max(calm, min(p, w.now))
	}
	if n := len(t.core.win); n > 0 && !t.core.win[n-1].expanded && !t.core.stopping {
		if e := t.core.win[n-1]; w.now-max(e.at+t.n.lag, calm) > 4000*ms {
			w.violate("isolation", "event %d is not expanded since %d: %d deliveries are owed", e.seq(), e.at.Milliseconds(), t.core.owed)
			return
		}
	}
	for _, e := range t.core.win {
		if !e.touched || e.settled || !e.expanded {
			continue
		}
		if t.touched == nil {
			t.touched = map[uint64]time.Duration{}
		}
		if t.touched[e.seq()] == 0 {
			t.touched[e.seq()] = w.now
		}
		if w.now-max(t.touched[e.seq()], calm) > 4000*ms && !t.core.stopping {
			w.violate("isolation", "event %d waits in the window since %d", e.seq(), e.at.Milliseconds())
			return
		}
	}
}

func (t *simTerm) pull() {
	w := t.w
	t.later(25*ms, t.pull)
	t.checkWindow()
	t.checkShares()
	c := t.cons
	if c == nil || t.reopening || t.core.stopping || t.offline > w.now {
		return
	}
	if t.inflight > 0 && t.lastArr+500*ms < w.now && w.mutant != "NoIdleCheck" { // R2: the idle check
		w.log("   %v idle check finds a gap", t)
		t.reopen()
		return
	}
	if c.created != w.created { // it went with its stream
		t.reopen()
		return
	}
	room := w.window - t.intake.unsettled() - t.inflight
	if w.trickles && w.now < t.startedAt+4000*ms { // long enough to crash between the floors of former shards
		if t.pulls++; t.pulls%5 > 0 {
			room = 0
		}
		room = min(room, 1)
	}
	at := w.now
	for i := 0; i < room && c.next <= len(w.orders); i++ {
		q := c.next
		c.next++
		if w.orders[q-1].gone {
			continue
		}
		c.dseq++
		d, ev := c.dseq, w.event(q)
		t.inflight++
		lost := 0.004
		if w.mutant == "NoIdleCheck" {
			lost = 0.03
		}
		if w.p(lost) {
			w.log("   feed loses message %d", q)
			continue
		}
		at = max(at, t.lastArr) + w.rnd(0, 4)
		t.lastArr = at
		t.later(at-w.now, func() {
			if t.cons != c {
				return
			}
			t.inflight--
			switch t.intake.Take(d, uint64(q), false) {
			case Gap:
				w.log("   %v gap at consumer sequence %d", t, d)
				t.reopen()
			case Deliver:
				t.taken.Know(ev.Ref())
				matches, version := t.core.Directory.Match(ev, nil)
				t.matched = append(t.matched, func() { t.step(&EventTaken{Event: ev, Matches: matches, Version: version}) })
				if w.p(0.3) { // matched, then it waits while the directory changes
					t.later(w.rnd(1, 5), t.takeMatched)
				} else {
					t.takeMatched()
				}
			}
		})
	}
}

func (t *simTerm) takeMatched() {
	for _, take := range t.matched {
		take()
	}
	t.matched = nil
}

func (t *simTerm) settle(seq uint64) {
	t.intake.Settle(seq)
	if t.w.r.IntN(3) == 0 {
		t.ack(func(error) {})
	}
}

func (t *simTerm) ack(done func(error)) {
	c := t.cons
	p := int(min(t.intake.Prefix(), t.hold-1))
	if c == nil || t.reopening || p < c.start || p >= c.next {
		done(nil)
		return
	}
	t.request(fmt.Sprintf("ack %d", p), func() error {
		if !c.gone {
			c.floor = max(c.floor, p)
			t.w.sweep()
		}
		return nil
	}, done)
}

// leaveAlone notes an entry of the ledger that the leader could not read.
func (t *simTerm) leaveAlone(key string) {
	if t.leftAlone == nil {
		t.leftAlone = map[string]bool{}
	}
	t.leftAlone[key] = true
}

func (t *simTerm) load(done func(*Loaded, error)) {
	w := t.w
	w.release(0.5)
	made := [2]int64{w.buckets[0].created, w.buckets[1].created}
	l := &Loaded{Status: map[string]Status{}, Marks: map[string]Mark{}, Lanes: map[string]map[string]LaneEntry{}}
	t.request("load", func() error {
		for b, x := range w.buckets {
			if f := x.of(t.sh); x.gone || x.created != made[b] || f.number != t.fences[b] && f.term != t.core.term {
				return ErrLost
			}
		}
		for _, key := range sorted(w.buckets[BucketStatus].state) {
			if !t.shard.owns(key) {
				continue
			}
			var s Status
			if simDecode(w.buckets[BucketStatus].state[key], &s) {
				l.Status[key] = s
			} else {
				l.Bad = append(l.Bad, key)
			}
		}
		for _, key := range sorted(w.buckets[BucketOwed].state) {
			v := w.buckets[BucketOwed].state[key]
			if !t.shard.owns(key) {
				continue
			}
			if id, token, ok := strings.Cut(key, "."); ok {
				var e LaneEntry
				if !simDecode(v, &e) {
					l.Bad = append(l.Bad, key)
					t.leaveAlone(key)
					continue
				}
				if l.Lanes[id] == nil {
					l.Lanes[id] = map[string]LaneEntry{}
				}
				l.Lanes[id][token] = e
			} else {
				var m Mark
				if simDecode(v, &m) {
					l.Marks[key] = m
				} else {
					l.Bad = append(l.Bad, key)
					t.leaveAlone(key)
				}
			}
		}
		if t.core.step == loading { // else a late copy of the request, whose answer counts no more
			t.follow(l)
		}
		return nil
	}, func(err error) { done(l, err) })
}

// simDecode is false for an entry that somebody has overwritten.
func simDecode(b []byte, v any) bool { return json.Unmarshal(b, v) == nil }

func (t *simTerm) lease(e LeaseEntry, expect uint64, id string, done func(uint64, error)) {
	w, sh := t.w, t.sh
	sent := w.now
	var got uint64
	t.request("lease", func() error {
		if rev, ok := sh.leaseIDs[id]; ok {
			got = rev
			return nil
		}
		if sh.leaseRev != expect {
			return ErrDeposed
		}
		sh.leaseRev++
		got = sh.leaseRev
		sh.leaseIDs[id] = got
		sh.lease = e
		sh.lease.none = false
		if e.Free {
			w.log("=== %v releases the lease: %+v", t, e)
		}
		return nil
	}, func(err error) {
		if err == nil && t.core.opened {
			w.flushAt[t.reign()] = sent
		}
		done(got, err)
	})
}

func (t *simTerm) readLease(done func(LeaseSight, error)) {
	var s LeaseSight
	t.request("read lease", func() error {
		s = LeaseSight{Entry: t.sh.lease, Revision: t.sh.leaseRev}
		if s.Entry.Absent() && t.otherLayout() {
			return ErrDeposed
		}
		return nil
	}, func(err error) { done(s, err) })
}

func (t *simTerm) leaseUntil(at time.Duration) {
	t.cutAt = at
	t.later(at-t.n.boot(), func() {
		if at < t.cutAt {
			return
		}
		if t.n.boot() < at { // the clock stood
			t.leaseUntil(at)
			return
		}
		for _, a := range sortedAttempts(t.running) {
			t.finish(a, Outcome{Verdict: NotAttempted})
		}
	})
}

func sortedAttempts(m map[*attempt]*simRun) []*attempt {
	var list []*attempt
	for a := range m {
		list = append(list, a)
	}
	sort.Slice(list, func(i, j int) bool {
		a, b := list[i], list[j]
		if a.lane.sub.id != b.lane.sub.id {
			return a.lane.sub.id < b.lane.sub.id
		}
		return a.lane.token < b.lane.token || a.lane.token == b.lane.token && a.number < b.number
	})
	return list
}

func (t *simTerm) sequenceAt(at time.Time, done func(uint64, event.Ref, error)) {
	w := t.w
	var seq int
	var last event.Ref
	t.request("sequence at", func() error {
		if at.IsZero() {
			seq = 1
		} else {
			seq = w.seqAt(at.Sub(simEpoch))
		}
		last = w.ref(len(w.orders))
		return nil
	}, func(err error) { done(uint64(seq), last, err) })
}

func (t *simTerm) latest(key string, done func(Revision, error)) {
	w := t.w
	var r Revision
	t.request("latest", func() error {
		ops := w.ops[simSub(key)]
		if ops[len(ops)-1].gone {
			return ErrNotFound
		}
		r = w.revision(key, ops[len(ops)-1])
		return nil
	}, func(err error) { done(r, err) })
}

func (t *simTerm) read(from uint64, filters []string, most int, done func([]*event.Event, Reading, error)) {
	w := t.w
	var evs []*event.Event
	through := from - 1
	var got Reading
	t.request("read", func() error {
		for q := int(from); q <= len(w.orders) && len(evs) < most; q++ {
			through = uint64(q)
			if w.orders[q-1].gone {
				continue
			}
			if ev := w.event(q); len(filters) == 0 || record.SubjectMatches(filters[0], ev.Subject) {
				evs = append(evs, ev)
			}
		}
		if n := len(evs); n > 0 && w.r.IntN(2) == 0 {
			through = evs[n-1].Seq
		}
		got = Reading{Through: through, Known: w.ref(int(through))}
		return nil
	}, func(err error) { done(evs, got, err) })
}

func (t *simTerm) attempt(a *attempt) {
	w := t.w
	sub := simSub(a.lane.sub.id)
	gen := w.genOf(sub, a.Delivery.Generation)
	rec := a.Delivery.Subscription
	seq, missing := w.uidOf(a)
	there, back := w.rnd(1, 60), w.rnd(1, 60)
	if w.p(w.slow) {
		there = w.rnd(100, int(w.timeout/ms)-100)
	}
	if w.p(0.005) {
		there = w.rnd(1000, 6000)
	}
	if w.greedy && sub%2 == 0 && w.p(0.6) {
		there = w.timeout + w.rnd(10, 500)
	}
	lost := w.p(0.02)
	run := &simRun{}
	if t.running == nil {
		t.running = map[*attempt]*simRun{}
	}
	t.running[a] = run
	if missing != nil {
		t.later(w.rnd(1, 8), func() { t.finish(a, *missing) })
		return
	}
	if run.ev = a.Delivery.Event; run.ev == nil && a.DeadLetter == 0 {
		run.ev = w.event(int(a.Seq))
	}
	if t.n.boot() >= t.cutAt { // R10: the publisher looks at its clock last of all
		t.later(0, func() { t.finish(a, Outcome{Verdict: NotAttempted}) })
		return
	}
	t.checkAlone(sub)
	t.checkAgain(a)
	if o := t.newestSeen(sub); o != nil && o.rev >= a.lane.sub.applied && (o.kind == "del" || o.value == nil || o.value.Inactive || o.value.Paused) {
		w.violate("record", "sub%d: attempt of seq %d starts at %d, though revision %d (%s) was seen", sub, seq, w.now.Milliseconds(), o.rev, o.kind)
	}
	if until := w.cut[simCut{simDead{sub, gen, seq}, a.DeadLetter}]; a.replay == nil && w.now+50*ms < until && !w.clocks && !w.resurfaced(w.all[seq-1], w.now) && len(w.bothLost) == 0 && !w.forgiven(0) {
		w.violate("cut", "sub%d: seq %d is tried at %d, though the attempt that a stop cut may last until %d", sub, seq, w.now.Milliseconds(), until.Milliseconds())
	}
	w.log("   %v sub%d %s attempt %d (%d)", t, sub, a.lane.token, seq, a.Delivery.Attempt)
	if w.fate(sub, seq) == 7 && !rec.Coalesce { // the filter is evaluated here, no request is sent
		t.later(w.rnd(0, 3), func() {
			w.filtered[simDead{sub, gen, seq}] = true
			w.stats["filtered"]++
			if a.probe {
				w.stats["filtered probes"]++
			}
			if a.DeadLetter > 0 {
				w.redriven[a.DeadLetter] = "filtered"
			}
			w.log("-- sub%d filters %d", sub, seq)
			t.finish(a, Outcome{Verdict: Filtered})
		})
		return
	}
	w.at(there, func() {
		o := w.answer(sub, seq)
		if o.Verdict == Delivered {
			g := &simGot{t: w.now, sub: sub, gen: gen, target: simTarget(rec), order: w.all[seq-1].order, seq: seq, reign: t.reign(),
				beside: a.DeadLetter > 0 || a.replay != nil, stray: run.ended || !t.sh.leadBy(t)}
			run.got = g
			w.got = append(w.got, g)
			if a.DeadLetter > 0 {
				w.redriven[a.DeadLetter] = "sent"
			}
			w.log("-> sub%d got %d (%v) lost=%v", sub, seq, t.reign(), lost)
		}
		if !lost {
			t.later(back, func() { t.finish(a, o) })
		}
	})
	t.later(w.timeout, func() {
		t.finish(a, Outcome{Verdict: Retry, Reason: "timeout", EndpointFault: true})
	})
}

// newestSeen is the newest revision of a record that the leader knows of.
func (t *simTerm) newestSeen(sub int) (newest *simOp) {
	for _, o := range t.w.ops[sub] {
		if t.seenOps[o] {
			newest = o
		}
	}
	return newest
}

func (t *simTerm) finish(a *attempt, o Outcome) {
	run := t.running[a]
	if run == nil {
		return
	}
	delete(t.running, a)
	run.ended = true
	if o.Verdict == Delivered && run.got != nil && !a.ended {
		run.got.known = t.w.now
	}
	t.step(&AttemptEnded{Attempt: a.number, Outcome: o, Event: run.ev})
}

func (t *simTerm) cut(number uint64) {
	t.w.stats["cut"]++
	var a *attempt
	for x := range t.running {
		if x.number == number {
			a = x
		}
	}
	if a == nil {
		return
	}
	if t.cuts == nil {
		t.cuts = map[*attempt]time.Duration{}
	}
	t.cuts[a] = a.at + t.n.lag + a.Delivery.Subscription.AttemptTimeout()
	t.later(0, func() { t.finish(a, Outcome{Verdict: NotAttempted}) })
}

func (t *simTerm) bury(d DeadLetter, done func(error)) {
	w := t.w
	byReference := d.Event == nil && !d.Vanished && !w.ref(int(d.Sequence)).Known() // read before it is stored
	t.request(fmt.Sprintf("dead letter %s %d", d.Subscription, d.Sequence), func() error {
		sub := simSub(d.Subscription)
		w.deadSeq++
		if uid := w.uidOfLetter(&d); uid > 0 {
			k := simDead{sub, w.genOf(sub, d.Generation), uid}
			if w.dead[k] == 0 || !byReference {
				w.byReference[k] = byReference
			}
			w.dead[k] = w.deadSeq
			w.letterUID[w.deadSeq] = uid
		}
		w.letters[w.deadSeq] = d
		return nil
	}, done)
}

func (t *simTerm) unbury(seq uint64, done func(error)) {
	w := t.w
	t.request("remove dead letter", func() error {
		if w.redriven[seq] == "owed" {
			w.redriven[seq] = "dead again"
		}
		delete(w.letters, seq)
		return nil
	}, done)
}

func (t *simTerm) retention(fractions []float64, done func(Retention, error)) {
	t.later(t.w.rnd(1, 8), func() { done(t.w.beyond(fractions), nil) })
}

func (t *simTerm) watchRecords() {
	t.watching = true
	t.later(t.w.rnd(1, 40), func() {
		t.recordsChanged()
		t.step(RecordsCaughtUp{})
	})
}

func (t *simTerm) recordsChanged() {
	w := t.w
	if !t.watching {
		return
	}
	if t.seenOps == nil {
		t.seenOps = map[*simOp]bool{}
	}
	passed := uint64(0)
	for s := range w.ops {
		for _, o := range w.ops[s] {
			if o.visible+o.lag[t.n.id] <= w.now {
				passed = max(passed, o.rev)
			}
			if !t.shard.Has(simID(s)) {
				continue
			}
			if !t.seenOps[o] && !o.gone && o.visible+o.lag[t.n.id] <= w.now {
				t.seenOps[o] = true
				t.step(w.sighting(s, o))
			}
		}
	}
	if w.resharding && passed > 0 {
		t.step(RecordsPassed{Bucket: 1, Revision: passed})
	}
}

// sighting is what a watch of the records tells of an operation.
func (w *simWorld) sighting(s int, o *simOp) *RecordSeen {
	r := w.revision(simID(s), o)
	var problems record.Problems
	if !r.Deleted && o.value == nil {
		problems = record.Problems{{Field: "method", Message: "bad"}}
	}
	return &RecordSeen{r, o.value, problems}
}

func (w *simWorld) revision(key string, o *simOp) Revision {
	return Revision{Key: key, Revision: o.rev, Bucket: 1, Time: simEpoch.Add(o.t), Deleted: o.kind == "del", Purged: o.purged}
}

func simID(s int) string { return fmt.Sprintf("sub%d", s) }
func simSub(id string) int {
	n := 0
	_, _ = fmt.Sscanf(id, "sub%d", &n)
	return n
}

func simTarget(rec *record.Subscription) int {
	n := 0
	_, _ = fmt.Sscanf(rec.TargetURL, "https://t%d.example/", &n)
	return n
}

func (w *simWorld) genOf(sub int, generation uint64) int {
	for i, o := range w.ops[sub] {
		if o.rev == generation {
			return i
		}
	}
	return -1
}

// ---- the feed's connection

func (t *simTerm) connectionLost(d time.Duration) {
	w := t.w
	w.log("CONNECTION lost for %v", d)
	t.offline = w.now + d
	t.inflight = 0
	if !t.feeding {
		t.lost = true // noticed when the feed starts
		return
	}
	if t.cons != nil {
		t.cons = nil
		t.reopening = true
		t.later(d+ms, t.reopen)
	}
}

// ---- endpoints

func (w *simWorld) answer(s, seq int) Outcome {
	refused := Outcome{Verdict: Retry, Status: 400, Reason: "400"}
	failing := Outcome{Verdict: Retry, Status: 500, Reason: "500", EndpointFault: true}
	gone := Outcome{Verdict: SuspendedByReceiver, Status: 410, Reason: "410"}
	k := w.fate(s, seq)
	switch {
	case k == 1:
		return refused
	case k == 4:
		return Outcome{Verdict: GiveUp, Reason: "cannot be rendered"}
	case k == 2:
		return failing
	case k == 9 && !w.quiet:
		return gone
	}
	if w.now < w.down[s] || w.p(w.flaky) {
		return failing
	}
	return Outcome{Verdict: Delivered}
}

// fate is what an event is to a subscription, whenever and how often it is attempted.
func (w *simWorld) fate(s, seq int) int {
	k, ok := w.poison[[2]int{s, seq}]
	if !ok {
		switch x := w.r.Float64(); {
		case w.quiet:
		case x < 0.03:
			k = 1
		case x < 0.04:
			k = 4
		case x < 0.06:
			k = 2
		case x < 0.063:
			k = 9
		case x < 0.063+w.filtering:
			k = 7
		}
		w.poison[[2]int{s, seq}] = k
	}
	return k
}

// ---- what operators do

func (w *simWorld) current(s int) (gen int, active, valid, deleted bool, deletedAt time.Duration) {
	gen, valid = -1, true
	for i, o := range w.ops[s] {
		switch o.kind {
		case "put":
			gen, active, valid, deleted = i, true, true, false
		case "deact":
			active = false
		case "act":
			active = true
		case "inv":
			valid = false
		case "rep":
			valid = true
		case "del":
			deleted, active, deletedAt = true, false, o.t
		case "undel":
			deleted, active, valid = false, true, true
		}
	}
	return
}

func (w *simWorld) operate(s int) {
	if len(w.ops[s]) == 0 {
		w.addOp(s, "put")
		return
	}
	_, active, valid, deleted, at := w.current(s)
	pick := func(kinds ...string) { w.addOp(s, kinds[w.r.IntN(len(kinds))]) }
	switch {
	case deleted:
		if w.now-at < simLimits().Keep/2 && w.r.IntN(2) == 0 && !w.unknown[s] {
			w.addOp(s, "undel")
		} else {
			w.addOp(s, "put")
		}
	case !valid:
		pick("rep", "rep", "rep", "del")
	case !active:
		pick("act", "act", "act", "del", "inv")
	case w.ops[s][len(w.ops[s])-1].paused:
		pick("resume", "resume", "resume", "upd", "deact", "inv", "del")
	default:
		pick("upd", "deact", "deact", "inv", "del", "deact", "pause", "pause")
	}
}

func (w *simWorld) addOp(s int, kind string) {
	gen, _, _, _, _ := w.current(s)
	w.kvRev++
	o := &simOp{kind: kind, t: w.now, pos: len(w.all) + 1, gen: gen, rev: w.kvRev}
	if kind == "put" {
		o.gen = len(w.ops[s])
		o.target = s*1000 + o.gen
		o.coalesce, o.typ = w.r.IntN(5) == 0, w.r.IntN(3)
		if w.r.IntN(5) == 0 {
			o.ordering = event.OrderingStrict
		}
	} else {
		g := w.ops[s][gen]
		o.target, o.coalesce, o.ordering, o.typ = g.target, g.coalesce, g.ordering, g.typ
	}
	o.paused = w.pausedBy(s, kind)
	w.ops[s] = append(w.ops[s], o)
	o.purged = kind == "del" && w.r.IntN(3) == 0
	if o.purged {
		for _, x := range w.ops[s][:len(w.ops[s])-1] {
			x.gone = true
		}
	}
	_, active, valid, deleted, _ := w.current(s)
	if valid && !deleted {
		o.value = &record.Subscription{ID: simID(s), TargetURL: fmt.Sprintf("https://t%d.example/", o.target), Method: "GET", Payload: "event",
			Inactive: !active, Paused: active && o.paused, Coalesce: o.coalesce, Ordering: o.ordering, MaxInFlight: 2, More: &record.More{Schedule: simSchedule, Timeout: w.timeout}}
		if s%2 == 0 {
			o.value.Tenant = simTenant
		}
		if w.greedy {
			o.value.MaxInFlight = 5
		}
		if s == 3 {
			o.value.More.RateLimit = &record.RateLimit{Requests: 5, Per: 100 * ms}
		}
		if o.typ > 0 {
			if s%2 == 0 {
				o.value.Types = []string{fmt.Sprintf("t%d", o.typ-1)}
			} else {
				o.value.Subjects = []string{fmt.Sprintf("orders.t%d", o.typ-1)}
			}
		}
	}
	if o.value != nil && o.value.Paused {
		w.stats["paused"]++
	}
	w.unknown[s] = o.purged || o.value == nil && w.unknown[s]
	w.log("KV sub%d rev%d %s target%d coalesce=%v ordering=%d typ%d pos=%d", s, o.rev, kind, o.target, o.coalesce, o.ordering, o.typ, o.pos)
	d := w.rnd(1, 60)
	if w.p(0.1) {
		d = w.rnd(60, 1500)
	}
	// Revisions come in the order of the bucket, whatever the key.
	o.visible = max(w.now+d, w.shownAll)
	w.shownAll = o.visible
	for i, n := range w.nodes {
		if w.lagging && w.p(0.3) {
			o.lag[i] = w.rnd(0, 900)
		}
		w.shown[i] = max(w.shown[i], o.visible+o.lag[i])
		o.lag[i] = w.shown[i] - o.visible
		w.at(o.visible+o.lag[i]-w.now+ms, func() {
			for _, t := range n.terms() {
				t.later(0, t.recordsChanged)
			}
		})
	}
}

// pausedBy tells whether the record is paused after that.
func (w *simWorld) pausedBy(s int, kind string) bool {
	switch kind {
	case "put", "act", "undel":
		return w.p(0.15)
	case "pause":
		return true
	case "upd", "inv", "rep": // as before
		return len(w.ops[s]) > 0 && w.ops[s][len(w.ops[s])-1].paused
	}
	return false
}

// retryNow ends the waits of one subscription, of all, or of an order.
func (w *simWorld) retryNow(t *simTerm) {
	ids := t.core.Waiting(func(*record.Subscription) bool { return true })
	if len(ids) == 0 {
		return
	}
	in := &RetryNow{Subscriptions: ids}
	if w.r.IntN(3) > 0 {
		in.Subscriptions, in.Named = []string{ids[w.r.IntN(len(ids))]}, true
	}
	if w.r.IntN(3) == 0 {
		in.Order = fmt.Sprintf("o%d", w.r.IntN(simOrders))
	}
	w.log("RETRY NOW %v %s", in.Subscriptions, in.Order)
	in.Command = t.command(func(a Answer) {
		w.log("   retry now: %v %v", a.Done, a.Err)
		w.stats["retried now"] += a.Done.Subscriptions
	})
	t.step(in)
}

// skip makes the head of an order a dead letter.
func (w *simWorld) skip(t *simTerm) {
	var held []*lane
	for _, id := range sorted(t.core.subs) {
		s := t.core.subs[id]
		for _, token := range sorted(s.lanes) {
			if ln := s.lanes[token]; ln.held && len(ln.q) > 0 {
				held = append(held, ln)
			}
		}
	}
	if len(held) == 0 {
		return
	}
	ln := held[w.r.IntN(len(held))]
	in := &SkipHead{Subscription: ln.sub.id, Order: ln.token, Reason: "skipped"}
	if w.r.IntN(2) == 0 {
		in.Sequence = ln.q[0].seq
	}
	w.log("SKIP %s %s %d", in.Subscription, in.Order, ln.q[0].seq)
	in.Command = t.command(func(a Answer) {
		w.log("   skip: %v %v", a.Done, a.Err)
		if a.Err == nil {
			w.stats["skipped"]++
		}
	})
	t.step(in)
}

func (w *simWorld) redrive(t *simTerm) {
	var seqs []uint64
	for seq, d := range w.letters {
		if t.shard.Has(d.Subscription) {
			seqs = append(seqs, seq)
		}
	}
	if len(seqs) == 0 {
		return
	}
	sort.Slice(seqs, func(i, j int) bool { return seqs[i] < seqs[j] })
	w.redriveLetter(t, seqs[w.r.IntN(len(seqs))])
}

func (w *simWorld) redriveLetter(t *simTerm, seq uint64) {
	w.log("REDRIVE dead letter %d", seq)
	n := t.command(func(a Answer) {
		w.log("   redrive %d: %v", seq, a.Err)
		if a.Err == nil && w.redriven[seq] == "" {
			w.redriven[seq] = "owed"
			w.stats["redriven"]++
		}
	})
	t.step(&Redrive{n, w.letters[seq], seq})
}

// command is the number of a command that is about to be given.
func (t *simTerm) command(answered func(Answer)) uint64 {
	if t.commands == nil {
		t.commands = map[uint64]func(Answer){}
	}
	n := uint64(len(t.commands) + 1)
	t.commands[n] = answered
	return n
}

// ---- one run

// simulateWith simulates with what of how the world is to be different.
func simulateWith(seed uint64, how simWorld) (w *simWorld) {
	w = &simWorld{record: how.record, byReference: map[simDead]bool{}, toldExpired: map[int]bool{}, r: rand.New(rand.NewPCG(seed, 7)), trace: how.trace, mutant: how.mutant, resharding: how.resharding,
		buckets: [2]*simBucket{newSimBucket(1), newSimBucket(1)},
		cut:     map[simCut]time.Duration{}, dead: map[simDead]uint64{}, filtered: map[simDead]bool{}, letters: map[uint64]DeadLetter{}, redriven: map[uint64]string{},
		ends: map[simReign]simEnd{}, flushAt: map[simReign]time.Duration{}, poison: map[[2]int]int{}, stats: map[string]int{}}
	w.window, w.deliveries = 4+w.r.IntN(13), 3+w.r.IntN(14)
	subs := 1 + w.r.IntN(4)
	end := w.rnd(6000, 20000)
	if seed%4 == 3 {
		subs, end = 1+w.r.IntN(2), w.rnd(2500, 9000)
	}
	w.skew = w.rnd(0, 1400) - 700*ms
	w.flaky = []float64{0, 0.02, 0.1, 0.3}[w.r.IntN(4)]
	w.slow = []float64{0, 0.02, 0.1}[w.r.IntN(3)]
	w.late, w.timeout = 0.015, 1500*ms
	w.filtering = []float64{0.05, 0.5, 0.05, 0.05, 0.05, 0.9, 0.05, 0.05}[seed/2%8]
	hard := seed%2 == 1
	if hard {
		w.late, w.timeout, w.slow = 0.06, 6000*ms, 0.15
		w.deliveries, w.window = 1+w.r.IntN(4), 6+w.r.IntN(11)
	}
	w.choose(seed)
	nodes := 2
	if w.resharding {
		subs, nodes = 2+w.r.IntN(5), 2+w.r.IntN(2)
		w.settings = 1 + w.r.IntN(4)
		w.layout.absent = true
		w.trickles = seed%3 == 2
	}
	if w.pooled = seed%3 != 0; w.pooled {
		w.late = max(w.late, 0.04)
	}
	w.lagging = seed%5 < 2
	w.crowded = seed%7 == 3
	w.greedy = seed%5 == 1
	w.ops = make([][]*simOp, subs)
	w.down = make([]time.Duration, subs)
	gap := 20 + w.r.IntN(380)
	for i := range nodes {
		n := &simNode{w: w, id: i, drift: 1 + (w.r.Float64()-0.5)*0.02}
		if !w.resharding {
			n.seat(Shard{})
		}
		w.nodes = append(w.nodes, n)
		w.at(time.Duration(i*37)*ms, n.tick)
	}

	burst := w.r.IntN(3) == 0
	var publish func()
	publish = func() {
		if w.now > end {
			return
		}
		k := 1
		if burst && w.r.IntN(10) == 0 {
			k = w.r.IntN(10)
		}
		for ; k > 0; k-- {
			w.publish()
		}
		w.at(w.rnd(1, 2*gap), publish)
	}
	w.at(ms, publish)
	for s := range subs {
		var operate, endpoint func()
		operate = func() {
			if w.now <= end {
				w.operate(s)
				w.at(w.rnd(30, 6000), operate)
			}
		}
		w.at(w.rnd(0, 800), operate)
		endpoint = func() {
			if w.now <= end {
				w.down[s] = w.now + w.rnd(100, 4000)
				w.log("endpoint %d down until %d", s, w.down[s].Milliseconds())
				w.at(w.rnd(500, 8000), endpoint)
			}
		}
		if w.r.IntN(3) > 0 {
			w.at(w.rnd(50, 6000), endpoint)
		}
	}
	var fault func()
	fault = func() {
		if w.now > end {
			return
		}
		switch terms := w.terms(); {
		case len(terms) == 0:
		case w.resharding:
			w.fail(terms[w.r.IntN(len(terms))])
		default:
			w.fail(terms[0])
		}
		if hard {
			w.at(w.rnd(50, 2500), fault)
		} else {
			w.at(w.rnd(200, 6000), fault)
		}
	}
	if w.r.IntN(5) != 0 {
		w.at(w.rnd(300, 5000), fault)
	}
	w.unknown = make([]bool, subs)
	w.befall(end)
	if w.resharding {
		w.reshards(int(end / ms))
	}
	outage := func(until *time.Duration, what string) {
		if w.r.IntN(4) == 0 {
			w.at(w.rnd(500, int(end/ms)), func() {
				*until = w.now + w.rnd(100, 4000)
				w.outages = append(w.outages, [2]time.Duration{w.now, *until})
				w.log("LEDGER %s until %d", what, until.Milliseconds())
			})
		}
	}
	w.letterUID = map[uint64]int{}
	if w.changing {
		for range 1 + w.r.IntN(3) {
			w.at(w.rnd(500, int(end/ms)), func() { w.change() })
		}
	}
	outage(&w.ledgerDown, "down")
	outage(&w.ledgerFull, "full")
	w.at(end+ms, func() {
		w.quiet = true
		w.ledgerDown, w.ledgerFull, w.flaky, w.slow = 0, 0, 0, 0
		w.log("---- quiet")
		if w.changing || w.limits || w.interest { // after a purge the feed, too, must have something to come to
			w.publish()
			w.publish()
		}
		for s := range w.down {
			w.down[s] = 0
			w.at(500*ms, func() { w.mend(s) })
		}
	})
	w.at(end+4000*ms, func() {
		for s := range w.ops {
			if _, active, _, deleted, _ := w.current(s); active && !deleted && len(w.ops[s]) > 0 {
				w.addOp(s, "upd") // whatever a 410 has suspended goes on
			}
		}
	})
	last := end + 150*time.Second
	defer func() {
		if x := recover(); x != nil {
			w.violate("panic", "%v", x)
			w.log("%s", debug.Stack())
		}
	}()
	for steps := 0; len(w.q) > 0 && len(w.bad) == 0; steps++ {
		it := pq.Pop(&w.q).(simItem)
		if it.t > last {
			break
		}
		w.now = it.t
		it.fn()
		if steps > 4000000 {
			w.violate("progress", "livelock")
		}
		if w.quiet && w.now > end+8000*ms && steps%500 == 0 && w.idle() == "" {
			break
		}
	}
	if len(w.bad) == 0 {
		w.check()
	}
	return w
}

// fail is what befalls a replica that leads.
func (w *simWorld) fail(t *simTerm) {
	n := t.n
	switch w.r.IntN(10) {
	case 0, 1:
		n.crash(w.rnd(50, 3000))
	case 2:
		d := w.rnd(300, 7000)
		w.log("PAUSE node%d for %v", n.id, d)
		n.paused, n.pausedAt = w.now+d, w.now
		w.pauses = append(w.pauses, n.paused)
	case 3:
		w.graceful(t)
	case 4:
		if w.r.IntN(4) == 0 {
			t.connectionLost(w.rnd(800, 5000))
		} else {
			t.connectionLost(w.rnd(5, 800))
		}
	case 5:
		w.redrive(t)
	case 6, 7:
		w.retryNow(t)
	case 8, 9:
		w.skip(t)
	}
}

// mend leaves each record in a state in which the promises can be checked.
func (w *simWorld) mend(s int) {
	if len(w.ops[s]) == 0 {
		return
	}
	_, active, valid, deleted, _ := w.current(s)
	if !valid && !deleted {
		w.addOp(s, "rep")
	}
	if !deleted && !active && w.r.IntN(4) > 0 {
		w.addOp(s, "act")
	}
	if !deleted && active {
		w.addOp(s, "upd")
	}
	if _, active, _, _, _ = w.current(s); active && w.ops[s][len(w.ops[s])-1].paused {
		w.addOp(s, "resume")
	}
}

// cutOff notes what a stop has cut: nobody may try it before its own deadline.
func (t *simTerm) cutOff() {
	w := t.w
	for _, o := range w.outages {
		if w.now >= o[0] && w.now < o[1]+500*ms {
			return // it could not be written down
		}
	}
	for a, deadline := range t.cuts {
		sub := simSub(a.lane.sub.id)
		if uid, missing := w.uidOf(a); missing == nil && a.replay == nil { // replays are beside all others
			w.cut[simCut{simDead{sub, w.genOf(sub, a.Delivery.Generation), uid}, a.DeadLetter}] = deadline
		}
	}
}

func (w *simWorld) graceful(t *simTerm) {
	if !t.core.opened || t.core.handover.step != leading {
		return
	}
	w.log("GRACEFUL stop node%d", t.n.id)
	w.stats["graceful"]++
	if w.r.IntN(4) == 0 { // a crash in any step
		t.later(w.rnd(0, 1500), func() {
			w.stats[fmt.Sprint("crash in step ", t.core.handover.step)]++
			t.n.crash(100 * ms)
		})
	}
	t.later(2500*ms, func() { w.log("   takes too long"); t.n.crash(100 * ms) })
	t.graceful = true
	t.step(Stop{})
}
