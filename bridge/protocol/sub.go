package protocol

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"orderbridge/bridge/event"
	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

// mode is how a subscription gets its events; all else are reasons.
type mode uint8

const (
	unseen  mode = iota // no valid revision was ever applied
	joining             // anchored ahead of the feed; its first status is not yet confirmed
	live                // owes what the feed brings
	going               // its mark is being written: new events only become debts (R6)
	reading             // reads the stream for itself
)

// Why a subscription reads.
const (
	reasonNew         = "new: catches up from its anchor"
	reasonSuspended   = "suspended: the endpoint fails"
	reasonGone        = "suspended by the receiver: 410 Gone"
	reasonSlow        = "slow: more waits than can be held"
	reasonBacklog     = "backlog: more waits than the ledger holds"
	reasonLedger      = "ledger: an entry was refused"
	reasonDeactivated = "deactivated"
	reasonDeleted     = "deleted"
	reasonInvalid     = "invalid record"
	reasonHandover    = "handed over with a backlog"
)

const noTime = time.Duration(math.MaxInt64)

// sub is the state of one subscription of one generation. There may be a
// million of them: what only some need stands behind pointers.
type sub struct {
	core                     *Machine
	id                       string
	gen                      uint64
	rec                      *record.Subscription // the applied record, or the last valid one before it; nil if it is not in the bucket
	purged                   bool                 // deleted for good: a put after it is another partner's
	gone                     bool                 // not in the bucket, though nobody has deleted it
	lastSeen                 uint64               // the newest revision that the bucket was seen to hold in this term
	recalled                 *recalled            // status lost, being restored from the history
	mode                     mode
	active, valid, suspended bool
	fromLoad                 bool    // live since before this term: the inherited intervals speak of it
	dead                     bool    // replaced by a newer generation
	change                   *change // under way
	unproven                 bool    // nothing was delivered since the record was put in this term
	queued                   bool    // in core.applyQ

	liveFrom  uint64 // owes nothing below (anchor, or after the last reading)
	liveMark  uint64 // a mark {live} stands in the ledger
	markEvent *windowEvent
	applied   uint64 // revision
	bucket    int64
	revs      []revision // seen, not yet applied
	deletedAt time.Time

	anchorTime, untilTime time.Time // R15: what liveFrom, as anchor, and reader.until were made of

	lanes     map[string]*lane
	loadedMax map[string]uint64
	ready     readyLanes
	breaker   *breaker // nil: nothing was attempted yet
	reader    *reader
	pace      *pace // nil: as fast as it goes
	pacing    bool  // a timer runs until the pace allows the next attempt
	inFlight  int
	usual     time.Duration // how long the endpoint takes to answer; 0: unknown
	retrying  int           // of them, deliveries that have failed before
	held      int
	entries   map[string]int32 // keys of the ledger, and about how many bytes each takes
	probeAt   time.Duration
	notBefore time.Duration
	reason    string // of the breaker or the receiver
	problems  record.Problems
	warned    int       // step of the retention guard that was last told
	lateStart bool      // startFrom was changed after the first revision
	expired   uint64    // events that the stream dropped before they could be delivered
	letters   *letters  // nil: none lately
	own       *ownShare // nil: had nothing yet of what is shared
	waits     bool      // for a slot, in core.turns
	told      announced // what the status entry says
}

// announced is the part of the status entry that tells whether it must be written anew.
type announced struct {
	state   State
	reason  string
	warned  int
	expired uint64
	since   time.Time
	said    uint64 // Problems.digest of the errors and warnings

	notBefore time.Duration // of the pace
	failing   bool
}

// reader is what a subscription that reads remembers.
type reader struct {
	from        uint64    // everything below is settled
	at          uint64    // read up to here
	until       uint64    // owes nothing above; noLimit if there is no end
	done        seqSet    // settled, from `from` on
	reread      seqSet    // had been in lanes, and is read once more (collapse.go)
	before      event.Ref // the message at from - 1, if it is known (R15)
	outstanding int       // read, neither settled nor confirmed in the ledger
	reason      string
	moved       bool // since the last flush
	holes       bool // in the stream, told
	pulling     bool
	round       int  // answers of earlier rounds are stale
	empty       bool // the last read found nothing new
	again       time.Duration

	// For the figures (figures.go).
	seen      uint64 // the feed has counted every match above it
	uncounted bool   // those up to it were not counted by this leader
	ahead     int    // counted by the feed, not read yet
}

// revision is a record's revision that was seen but not applied.
type revision struct {
	Revision
	rec      *record.Subscription
	problems record.Problems
	seen     uint64 // position when it was seen
}

func (c *Machine) newSub(id string, gen uint64) *sub {
	return &sub{core: c, id: id, gen: gen, active: true, valid: true}
}

func (s *sub) changed() { s.core.dirty[s] = struct{}{} }

func (s *sub) startReading(from uint64, reason string) *reader {
	s.reader = &reader{from: from, at: from - 1, until: noLimit, reason: reason, again: 0, seen: s.core.dispatched(s.id)}
	s.core.readers[s] = struct{}{}
	s.changed()
	return s.reader
}

// advance moves from over what is settled.
func (r *reader) advance() {
	if r.from <= r.at && r.done.has(r.from) {
		end := min(r.done.end(r.from), r.at)
		if ref := r.done.atEnd(end); ref.Known() {
			r.before = ref
		}
		r.from = end + 1
		r.done.cut(r.from)
		r.moved = true
	}
}

func (s *sub) mark() *Mark {
	r := s.reader
	if s.mode != going {
		r.advance()
	}
	m := &Mark{Generation: s.gen, From: r.from, Done: r.done.list(), Reason: r.reason}
	if s.leftovers() {
		m.Live = s.liveFrom
	}
	if r.until != noLimit {
		u := r.until
		m.Until, m.UntilTime = &u, s.untilTime
	}
	ends := r.done.ends()
	m.Known = event.Refs(append(ends[max(0, len(ends)-limits.MarkEnds):], r.before, s.core.top)...)
	return m
}

// writeMark stores the position. A {live} mark that it replaces is as good as
// confirmed: the new one pays the same debt (R7).
func (s *sub) writeMark(then ...effect) {
	s.reader.moved = false
	effects := append([]effect{{what: paysMark, sub: s}}, then...)
	s.core.put(BucketOwed, s.id, s.mark(), append(effects, effect{what: pumpsReader, sub: s})...)
}

// leftovers tells whether the subscription is live again while some of what it
// has read is not settled yet (R7).
func (s *sub) leftovers() bool { return s.mode == live && s.reader != nil }

// settledSeq takes note of a settled message where the mark has to say it.
func (s *sub) settledSeq(m event.Ref) {
	r := s.reader
	if r == nil || m.Seq < r.from || s.leftovers() && m.Seq > r.at {
		return
	}
	r.settledAhead(m.Seq)
	r.done.addRef(m)
	r.moved = true
}

// goReading is R6. The effects, if any, follow when the mark is confirmed.
func (s *sub) goReading(reason string, then ...effect) {
	s.goReadingUntil(reason, noLimit, then...)
}

// goReadingUntil is goReading for a subscription that owes nothing above until.
func (s *sub) goReadingUntil(reason string, until uint64, then ...effect) {
	c := s.core
	if s.dead || s.mode == unseen {
		return
	}
	switch s.mode {
	case reading:
		for _, e := range then {
			c.confirmed(e, nil)
		}
		return
	case going:
		s.reader.until = min(s.reader.until, until)
		if len(then) > 0 {
			s.writeMark(then...)
		}
		return
	}
	c.log(Info, "subscription reads", "subscription_id", s.id, "reason", reason)
	old := s.reader // with leftovers of an earlier reading
	from := max(c.taken+1, s.liveFrom)
	for _, w := range c.win {
		if s.owes(w) {
			from = min(from, w.seq())
			break
		}
	}
	if old != nil {
		if old.advance(); old.from <= old.at {
			from = min(from, old.from)
		}
		s.disownReader()
	}
	r := s.startReading(from, reason)
	r.until = until
	s.mode = going
	s.liveMark = 0
	delete(c.liveMarks, s)
	for _, w := range c.win {
		if w.seq() >= from && !s.owes(w) && (old == nil || w.seq() > old.at) {
			r.done.addRef(w.ev.Ref())
		}
	}
	if old != nil {
		for _, x := range old.done.spans {
			r.done.addAt(max(x.From, from), x.To, x.At)
		}
		r.done.add(max(old.at+1, from), c.prefix) // by the feed, since then
	}
	if s.fromLoad {
		for _, x := range c.inherited.spans {
			r.done.addAt(max(x.From, from), x.To, x.At)
		}
		if c.cursor.Seq >= from && s.id < c.cursor.ID {
			r.done.add(c.cursor.Seq, c.cursor.Seq)
		}
	}
	s.writeMark(append([]effect{{what: entersRead, sub: s}}, then...)...)
}

// owes tells whether the subscription owes something to the feed for the event:
// a delivery, or that it is not yet expanded for it.
func (s *sub) owes(w *windowEvent) bool {
	if w.settled {
		return false
	}
	for _, it := range w.items {
		if it.sub == s && it.win == w {
			return true
		}
	}
	return w.unexpanded(s.id) && w.seq() >= s.liveFrom && !(w.seq() == s.core.cursor.Seq && s.id < s.core.cursor.ID)
}

// enterReading: the mark is confirmed, so the feed's debts are settled, what
// waits leaves memory, and the reader starts.
func (s *sub) enterReading() {
	c := s.core
	r := s.reader
	s.mode = reading
	s.fromLoad = false
	r.at = r.from - 1
	for _, token := range sorted(s.lanes) {
		ln := s.lanes[token]
		if ln.redrive > 0 {
			continue // outside the order of the stream
		}
		var keep []*item
		for _, it := range ln.q {
			if !it.inLedger {
				r.ahead++
			}
			if it.inLedger || ln.run != nil && ln.run.item == it || ln.cut && it == ln.q[0] {
				keep = append(keep, it)
				if it.inLedger && it.seq >= r.from {
					r.done.addRef(it.ref())
				}
			} else {
				it.gone = true
			}
		}
		ln.q = keep
		ln.maxSeq = 0
		if n := len(keep); n > 0 {
			ln.maxSeq = keep[n-1].seq
		}
		if ln.held {
			ln.write()
		}
		ln.drop()
	}
	for _, w := range slices.Clone(c.win) {
		for _, it := range w.items {
			if it.sub == s {
				if it.win != nil && it.lane == nil {
					r.ahead++
				}
				c.settle(it)
			}
		}
	}
	if !s.active || !s.valid || s.gone {
		c.Directory.Remove(s.id)
	}
	s.changed()
	s.kick()
}

// disownReader makes what an earlier reading has in memory ordinary: a new
// reading comes to it again, unless it is settled before.
func (s *sub) disownReader() {
	for _, ln := range s.lanes {
		for _, it := range ln.q {
			if it.reader {
				it.reader = false
				if it.ev != nil {
					s.readsAhead(-it.ev.Size())
				}
			}
		}
	}
}

// pumpReader reads on, goes back to live when nothing is left to read, and
// gives a breaker that has nothing to probe with its chance.
func (s *sub) pumpReader() {
	c := s.core
	r := s.reader
	if s.leftovers() && !s.dead {
		s.settleLeftovers()
		return
	}
	if s.mode != reading || r == nil || s.dead || s.rec == nil || s.gone || c.stopping || !c.opened {
		return
	}
	rescuing := r.at < min(c.expiring, r.until) // reads on whatever its state, for the dead letters
	if (!s.active || !s.valid || s.suspended) && !rescuing {
		return
	}
	if end := min(r.done.end(r.at+1), r.until); end > r.at {
		r.at = end // settled already: need not be read
	}
	r.advance()
	if s.active && s.valid && !s.suspended && s.backToLive() || r.pulling || s.busy() || len(s.revs) > 0 {
		return
	}
	now := c.now.Boot
	if r.empty && now < r.again {
		return
	}
	if s.failing() && r.empty && r.at >= c.position() && r.outstanding == 0 && s.owesNothing() {
		c.log(Info, "breaker half open: nothing is owed that could probe", "subscription_id", s.id)
		s.halfOpen()
	}
	room := c.Outstanding - r.outstanding
	if s.failing() && !rescuing {
		room = min(room, c.Failures-r.outstanding)
	}
	if room <= 0 || !(rescuing && r.outstanding == 0) && !c.shares.may(s.share(), ahead) || s.lanesFull() && !s.servesOthers() || r.at >= r.until {
		return
	}
	r.pulling = true
	c.ask(request{out: ReadEvents{c.newRequest(), s.id, s.tenant(), r.at + 1, s.rec.Subjects, room, c.ReadBytes}, sub: s, reader: r, round: r.round})
}

// eventsRead is the answer to a read, unless the reader has been set back since.
func (s *sub) eventsRead(q *request, in EventsRead) {
	c, r := s.core, q.reader
	switch {
	case s.reader != r || r.round != q.round:
	case in.Err != nil:
		r.pulling = false
		c.complain("reader waits", s.id, "subscription_id", s.id, "error", in.Err)
		r.empty, r.again = true, c.now.Boot+max(c.Poll, c.Busy)
	default:
		s.hasRead(in.Events, in.Reading)
	}
}

// hasRead takes in what the reader has read.
func (s *sub) hasRead(evs []*event.Event, got Reading) {
	c, r := s.core, s.reader
	r.pulling = false
	c.know(got.Known)
	{
		before := r.at
		for _, ev := range evs {
			if ev.Seq <= r.at {
				continue
			}
			if ev.Seq > r.until {
				break
			}
			c.know(ev.Ref())
			s.holes(ev.Seq - 1)
			r.done.add(r.at+1, ev.Seq-1)
			r.at = ev.Seq
			if r.done.has(ev.Seq) {
				continue
			}
			if !s.rec.MatchesEvent(ev) {
				r.done.addRef(ev.Ref())
				continue
			}
			s.matchedByReader(ev.Seq)
			s.enqueue(&item{seq: ev.Seq, stamp: ev.Ref().Time, ev: ev, sub: s, reader: true, at: c.now.Boot})
			if ev.Seq <= c.expiring {
				s.laneOf(ev).rescue()
			}
		}
		if end := min(got.Through, r.until); end > r.at {
			s.holes(end)
			r.done.add(r.at+1, end)
			r.done.learn([]event.Ref{got.Known})
			r.at = end
		}
		r.moved = r.moved || r.at > before
		r.empty = r.at == before
		if r.empty {
			r.again = c.now.Boot + c.Poll
		}
	}
	s.shedWhilePaced()
	s.pumpReader()
	s.pump()
}

// restartReader forgets what was read ahead under a record that has changed.
func (s *sub) restartReader() {
	if s.reader != nil {
		s.reader.round++
		s.reader.pulling = false
		s.core.emit(ForgetReader{s.id})
	}
}

func (s *sub) owesNothing() bool {
	for _, ln := range s.lanes {
		if len(ln.q) > 0 {
			return false
		}
	}
	return true
}

// backToLive is R7: the feed owes what comes after the present position. What
// was read and is not settled yet stays, with the mark, a leftover.
func (s *sub) backToLive() bool {
	c := s.core
	r := s.reader
	if s.failing() || r.at < c.position() || r.at+1 < s.liveFrom || r.until != noLimit || s.busy() || len(s.revs) > 0 || r.done.max() > r.at {
		return false
	}
	c.log(Info, "subscription is live again", "subscription_id", s.id, "position", r.at, "unsettled", r.outstanding)
	s.mode, s.liveFrom = live, r.at+1
	r.round++ // a read under way comes too late
	r.pulling = false
	c.newMarks = append(c.newMarks, s)
	s.changed()
	if r.from > r.at {
		s.endReading()
		s.writeLive()
		return true
	}
	c.emit(ForgetReader{s.id})
	s.writeMark()
	return true
}

// settleLeftovers ends a reading whose last delivery is settled.
func (s *sub) settleLeftovers() {
	if s.reader.advance(); s.reader.from > s.reader.at {
		s.endReading()
		s.writeLive()
	}
}

// writeLive stores the mark {live}; it is removed when the floor has passed it.
func (s *sub) writeLive() {
	c := s.core
	mark := s.liveFrom
	s.liveMark = mark
	c.put(BucketOwed, s.id, &Mark{Generation: s.gen, Live: mark, Known: event.Refs(c.top)},
		effect{what: paysMark, sub: s}, effect{what: isLive, sub: s, mark: mark})
}

func (s *sub) liveConfirmed(mark uint64) {
	if s.mode == live && s.reader == nil && s.liveMark == mark {
		s.core.liveMarks[s] = struct{}{}
	}
}

func (s *sub) endReading() {
	s.core.emit(ForgetReader{s.id})
	s.reader = nil
	delete(s.core.readers, s)
	s.changed()
}

// floorMoved removes what only mattered until the confirmed floor had passed
// it: {live} marks (R7) and drained lanes of a predecessor (R6).
func (c *Machine) floorMoved() {
	if len(c.drained) > 0 {
		drained := c.drained
		c.drained = nil
		for _, ln := range drained {
			if len(ln.q) == 0 && ln.held && !ln.sub.dead {
				ln.write()
			}
		}
	}
	for _, s := range ordered(c.liveMarks) {
		if s.mode == live && s.reader == nil && !s.busy() && s.liveMark > 0 && c.floorDurable+1 >= s.liveMark {
			s.liveMark = 0
			delete(c.liveMarks, s)
			c.put(BucketOwed, s.id, nil)
		}
	}
}

// ---- waiting

// waitUntil: the endpoint asked for a pause of the whole subscription.
func (s *sub) waitUntil(t time.Duration) {
	if t <= s.notBefore {
		return
	}
	s.notBefore = t
	s.changed()
	s.core.after(t-s.core.now.Boot, timer{what: dueKick, sub: s})
}

// paced makes the pace follow the record.
func (s *sub) paced() {
	var limit *record.RateLimit
	if s.rec != nil && s.rec.More != nil {
		limit = s.rec.More.RateLimit
	}
	if s.pace == nil && limit != nil {
		s.pace = s.newPace()
	}
	if s.pace != nil {
		s.pace.setLimit(limit)
	}
}

func (s *sub) newPace() *pace {
	return &pace{ramp: ramp{double: s.core.RampDouble, length: s.core.RampTime}}
}

// slowStart lets the endpoint begin at a rate and go faster step by step.
func (s *sub) slowStart(since time.Duration, rate float64) {
	if s.pace == nil {
		s.pace = s.newPace()
		s.paced()
	}
	s.pace.ramp.begin(since, rate)
}

// mayStart asks the pace; if it says no, the subscription is asked again in time.
func (s *sub) mayStart() bool {
	if s.pace == nil {
		return true
	}
	wait := s.pace.wait(s.core.now.Boot)
	if wait > 0 && !s.pacing {
		s.pacing = true
		s.core.after(wait, timer{what: duePace, sub: s})
	}
	return wait == 0
}

// ---- status

// verdict is what a person is told now.
func (s *sub) verdict() (State, string) {
	switch {
	case !s.deletedAt.IsZero():
		return StateDeleted, "what is owed is kept for a day; put the record again to go on"
	case !s.valid:
		return StateInvalid, s.problems.Errors().Error()
	case s.rec == nil || s.gone:
		return StateInvalid, s.missing()
	case !s.active:
		return StateDeactivated, ""
	case s.suspended:
		return StateSuspended, s.reason
	case s.failing():
		return StateSuspended, s.reason
	case s.mode == reading || s.mode == going:
		return StateReading, s.reader.reason
	case s.held > 0:
		return StateRetrying, s.letterReason()
	}
	return StateActive, s.letterReason()
}

func (s *sub) statusEntry(revision uint64, bucket int64) *Status {
	state, reason := s.verdict()
	st := Status{State: state, Revision: revision, Reason: reason, Since: s.told.since,
		Generation: s.gen, Bucket: bucket, Active: s.active, Valid: s.valid, Suspended: s.suspended, Anchor: s.anchor(), AnchorTime: s.anchorTime, Known: event.Refs(s.core.top)}
	if s.valid && s.rec != nil {
		st.Hears = s.rec.Describe()
	}
	for _, p := range s.remarks() {
		if p.Warning {
			st.Warnings = append(st.Warnings, p)
		} else {
			st.Errors = append(st.Errors, p)
		}
	}
	if !s.deletedAt.IsZero() {
		t := s.deletedAt
		st.DeletedAt = &t
	}
	if st.State != s.told.state || st.Since.IsZero() {
		st.Since = s.core.now.Wall
	}
	st.Expired = s.expired
	if s.warned > 0 {
		st.Warnings = append(st.Warnings, record.Problem{Message: s.retentionText(s.warned), Warning: true})
	}
	s.told = announced{state: st.State, reason: st.Reason, warned: s.warned, expired: s.expired, since: st.Since, said: s.remarks().Digest()}
	st.Pace = s.paceEntry()
	return &st
}

func (s *sub) anchor() uint64 {
	if s.mode == unseen {
		return 0
	}
	return max(1, s.liveFrom)
}

// flushStatus writes the status when what it says has changed.
func (c *Machine) flushStatus(s *sub) {
	delete(c.dirty, s)
	if s.dead || s.applied == 0 {
		return
	}
	if s.busy() || len(s.revs) > 0 || s.queued {
		return // the revision's own status entry will say it
	}
	if state, reason := s.verdict(); state == s.told.state && reason == s.told.reason && s.warned == s.told.warned && s.expired == s.told.expired && s.remarks().Digest() == s.told.said && !s.paceMoved() {
		return
	}
	if k := c.keys[writerKey(BucketStatus, s.id)]; k != nil {
		c.dirty[s] = struct{}{} // one write at a time
		return
	}
	c.put(BucketStatus, s.id, s.statusEntry(s.applied, s.bucket))
}

// ---- iteration in a fixed order

func sorted[K cmp.Ordered, V any](m map[K]V) []K {
	if len(m) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(m))
}

func ordered(m map[*sub]struct{}) []*sub {
	if len(m) == 0 {
		return nil
	}
	return slices.SortedFunc(maps.Keys(m), func(a, b *sub) int { return cmp.Compare(a.id, b.id) })
}
