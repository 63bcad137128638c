package protocol

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"orderbridge/bridge/event"
)

// # R9 Take-over
//
// The steps of a take-over, in this order. No step begins before the one before it is confirmed.
//
//   1. Win the lease: epoch + 1; floor, intervals, cursor inherited (R3, R16).
//   2. Look at the stream (R15), decide the position, make the new durable, delete the older ones
//     (R1), look again. The position is now fixed.
//   3. Write the own fences, in both state buckets, until confirmed (R4).
//   4. Have the state, up to the own fences: first the statuses, then marks and lane entries. The
//     statuses were followed while the replica stood by, every message of their bucket in order:
//     they are complete when it was told of its own fences. Whoever was out of touch for so long
//     that the marker of a removal may be gone reads them all again. Marks and lane entries are
//     read now.
//   5. In a changed stream, move what was read and confirm it (R15).
//   6. Rebuild: subscriptions from their statuses; marks; lanes. Entries of another generation are
//     removed.
//   7. See all kept revisions of the records: they were followed as well, and are complete up to
//     what the bucket's leader says now. Apply those that are not applied yet, confirmed (R12).
//     Restore records whose status is lost (R16): where their history was folded meanwhile, all
//     records are read again. Let those stand still whose record vanished (R12).
//   8. Count what the stream has dropped meanwhile.
//   9. Open the feed. From now on the lease speaks of this term's position.
//
// "Not found" is decided by the leader of a stream, and only if no former leader can have answered; never by a direct get
// from a replica, which may lag.

// Loaded is the state that a take-over finds, in the order in which it is read (R9).
type Loaded struct {
	Status map[string]Status
	Marks  map[string]Mark
	Lanes  map[string]map[string]LaneEntry // subscription, lane token
	Bad    []string                        // keys that hold no valid entry

	Followed *Followed // instead of Status: what a stand-by had ready; nil: all is read now
}

// takeoverStep is what a take-over does, in this order.
type takeoverStep uint8

const (
	surveying     takeoverStep = iota // which stream it is (R15)
	opening                           // the feed's durable is made (R1)
	comparing                         // and the stream still the same
	fencingStatus                     // from here on nobody else writes (R4)
	fencingOwed
	loading       // what the predecessor left
	judging       // which of its numbers speak of this stream (R15)
	relocating    // and those that do not move
	seeingRecords // up to the newest
	countingGap   // what the stream dropped while nobody led
	namingFormer  // which deliveries keep the ids of a former build
	applyingAll   // the records
	leadingStep
)

var takeoverNames = [...]string{"look at the stream", "open the feed", "look at the stream", "write the fences", "write the fences", "read the state",
	"compare the ledger with the stream", "move what speaks of another stream", "read the subscription records", "ask for the limits of the stream",
	"ask for the end of the stream", "apply the subscription records", "lead"}

// start begins the take-over (R9). The lease is won, its value carried over.
func (c *Machine) start() {
	if c.unfit != nil {
		c.end(c.unfit)
		return
	}
	c.extendLease(c.lastFlush)
	c.after(c.Renew, timer{what: dueRenewal})
	c.after(c.Tick, timer{what: dueTick})
	c.after(c.Retention, timer{what: dueRetention})
	c.after(c.Check, timer{what: dueStream})
	c.takeOverFrom(surveying)
}

func (c *Machine) takeOverFrom(step takeoverStep) {
	c.step = step
	c.takeOver()
}

// takeOver does the present step. What it asks is answered by the functions
// that follow, each of which goes on with the next one.
func (c *Machine) takeOver() {
	switch c.step {
	case surveying:
		e := c.old
		if c.surveys > 0 {
			e = c.formers[c.surveys-1].entry
		}
		c.askStep(SurveyStream{c.newRequest(), e})
	case opening:
		c.askStep(OpenFeed{c.newRequest(), c.epoch, c.placed.At})
	case comparing:
		c.askStep(LookAtStream{c.newRequest(), c.witnesses, c.floorRef})
	case fencingStatus:
		c.stuck = ""
		c.askStep(FenceBucket{c.newRequest(), BucketStatus, c.epoch, c.term})
	case fencingOwed:
		c.stuck = ""
		c.askStep(FenceBucket{c.newRequest(), BucketOwed, c.epoch, c.term})
	case loading:
		c.stuck = ""
		c.askStep(LoadState{c.newRequest()})
	case judging:
		c.judgeClaims()
	case countingGap:
		c.askStep(AskRetention{c.newRequest(), retentionSteps})
	case namingFormer:
		c.askStep(FindSequence{c.newRequest(), time.Time{}})
	case applyingAll:
		c.startFeed()
	case relocating, seeingRecords, leadingStep: // go on by themselves
	}
}

func (c *Machine) askStep(out asking) { c.ask(request{out: out, step: true}) }

// takeOverLater tries the present step again after a failure that is not final;
// it ends the term if it is.
func (c *Machine) takeOverLater(q *request, err error) {
	what := takeoverNames[c.step]
	switch {
	case c.stopping:
		return
	case errors.Is(err, ErrDeposed):
		c.end(fmt.Errorf("%s: %w", what, err))
		return
	case c.step == loading && errors.Is(err, ErrLost):
		c.end(fmt.Errorf("read the state: %w: %w", ErrStateGone, err))
		return
	case c.step == surveying:
		c.surveys = 0
		c.streamMissing(err)
	case c.step == opening: // by another survey
		c.step = surveying
	}
	c.complain("take-over waits", what, "step", what, "error", err)
	c.stuck = fmt.Sprintf("%s: %v", what, err)
	c.after(c.Busy, timer{what: dueTakeover})
}

// surveyed fixes the position, where the durable is made (R1, R15), once the stream
// is looked at for the own entry and those of the former shards (R18).
func (c *Machine) surveyed(s *Survey) {
	if c.surveys == 0 {
		c.survey, c.stream = *s, s.Stream
	} else {
		if !s.Stream.Created.Equal(c.stream.Created) || s.Stream.Last < c.stream.Last {
			c.surveyAgain("it is not the one that was looked at a moment ago")
			return
		}
		c.formers[c.surveys-1].survey = *s
	}
	if c.surveys < len(c.formers) {
		c.surveys++
		c.takeOver()
		return
	}
	c.surveys = 0
	c.placed = Place(&c.old, &c.survey, c.firstStart)
	if len(c.formers) > 0 {
		c.placed = c.placeFormers(c.placed)
		if c.placed.top.Seq > c.stream.Last {
			c.surveyAgain("it has grown beyond the one that was looked at a moment ago")
			return
		}
	}
	c.takeOverFrom(opening)
}

// surveyAgain begins once more with the look at the stream.
func (c *Machine) surveyAgain(why string) {
	c.complain("the stream changes while it is taken over", "begin", "reason", why)
	c.step, c.surveys = surveying, 0
	c.after(c.Busy, timer{what: dueTakeover})
}

func (c *Machine) feedOpened(at event.Ref) {
	p := &c.placed
	p.At = at
	c.top, c.floorRef = p.top, p.At
	c.witnesses = Witnesses{p.top}
	c.know(p.At)
	c.know(event.Ref{Seq: c.stream.Last, Time: c.stream.LastTime}) // where nothing else is known, the survey bears witness
	c.takeOverFrom(comparing)
}

// compared: the stream must not have changed between two looks, before and
// after the durable was made.
func (c *Machine) compared(l Look) {
	if why := c.differs(l, c.floorRef); why != "" {
		c.surveyAgain(why)
		return
	}
	p, st := &c.placed, &c.stream
	if p.Changed != "" {
		c.log(Error, "the source stream has changed: nothing of it is passed over, what was settled may be repeated under the same ids",
			"stream", st.Name, "reason", p.Changed, "position", p.At.Seq, "floor", c.old.Floor, "known", c.old.Top.Seq, "last", st.Last)
		c.inherited.top(p.common)
		c.checkpoints = slices.DeleteFunc(slices.Clone(c.checkpoints), func(x Checkpoint) bool { return x.Ref.Seq > p.common })
		if c.formerIDs != nil && *c.formerIDs > p.common {
			c.formerIDs = &p.common
		}
		if c.cursor.Seq > p.common {
			c.cursor = Cursor{}
		}
	}
	if c.old.none && c.top.Known() { // a crash before the feed opens must not forget where it was to begin
		c.old.Floor, c.old.Top, c.old.Known, c.old.Stream = p.At.Seq, c.top, event.Refs(p.At), &StreamName{st.Name, st.Created}
		c.renew()
	}
	c.taken, c.prefix = p.At.Seq, p.At.Seq
	c.inherited.cut(c.taken + 1)
	if c.cursor.Seq <= c.taken {
		c.cursor = Cursor{}
	}
	c.takeOverFrom(fencingStatus)
}

func (c *Machine) fenced(made Made) {
	if c.step == fencingStatus {
		c.found(BucketStatus, made)
		c.takeOverFrom(fencingOwed)
		return
	}
	c.found(BucketOwed, made)
	c.takeOverFrom(loading)
}

func (c *Machine) loaded(l *Loaded) {
	c.loading = l
	l.prepare(c.placed.At.Seq)
	c.takeOverFrom(judging)
}

// relocated: all that was loaded speaks of the present stream.
func (c *Machine) relocated() {
	l := c.loading
	c.loading, c.moving = nil, nil
	c.rebuild(l)
	c.step = seeingRecords
	c.stuck = "the subscription records are not read yet"
	if l.Followed == nil {
		c.emit(WatchRecords{})
		return
	}
	c.takeFollowed(l.Followed)
}

// recordsCaughtUp says that all revisions that the bucket holds were seen.
func (c *Machine) recordsCaughtUp() {
	if c.caughtUp {
		return
	}
	c.caughtUp = true
	c.recollect()
	c.stuck = ""
	for _, id := range sorted(c.subs) {
		s := c.subs[id]
		if n := len(s.revs); s.mode == unseen && s.applied == 0 && n > 0 && s.revs[n-1].Deleted && c.now.Wall.Sub(s.revs[n-1].Time) > c.Keep {
			delete(c.subs, id) // its debts were dropped long ago
			continue
		}
		s.reconcile()
		if s.vanished() {
			s.vanishBeforeOpen()
		}
		c.applySoon(s)
	}
	if !c.stopping {
		c.takeOverFrom(countingGap)
	}
}

// reconcile makes the mark follow the status where they differ though no revision
// waits that explains it: somebody has changed one of them while nobody led. An active subscription
// must not stop at an end, and one that is not owes nothing after the position.
func (s *sub) reconcile() {
	r := s.reader
	changes := func(x revision) bool { return x.Deleted || x.rec != nil && x.rec.Inactive == s.active }
	if s.mode != reading || s.recalled != nil || s.active == (r.until == noLimit) || slices.ContainsFunc(s.revs, changes) {
		return
	}
	s.core.log(Warn, "mark and status of a subscription differ: somebody has changed one of them", "subscription_id", s.id)
	if r.until = noLimit; !s.active {
		r.until = max(r.at, s.position())
	}
	r.moved = true
}

// gapTold counts what the stream has dropped, before any reader or the feed starts.
func (c *Machine) gapTold(r Retention) {
	if c.stopping {
		return
	}
	c.hasGap(r)
	if c.formerIDs == nil {
		c.takeOverFrom(namingFormer)
	} else {
		c.takeOverFrom(applyingAll)
	}
}

// startFeed is the last step of the take-over: everything known is applied.
func (c *Machine) startFeed() {
	if c.opened || c.stopping || c.step != applyingAll {
		return
	}
	if c.applying > 0 || len(c.applyQ) > 0 {
		c.after(c.Tick/10, timer{what: dueFeed})
		return
	}
	c.step, c.opened = leadingStep, true
	c.sealAll()
	c.tell()
	c.adoptEarly()
	c.renew() // from now on the lease says which stream it speaks of
	c.figures.TakeOvers++
	c.log(Info, "leading", "epoch", c.epoch, "position", c.taken, "subscriptions", len(c.subs)+len(c.resting))
	c.emit(StartFeed{})
	c.suspendResumed()
	for _, s := range c.which(func(s *sub) bool { return len(s.lanes) > 0 || s.mode == reading }) {
		s.kick()
	}
}

// takingOver says what a leader that does not deliver yet waits for.
func (c *Machine) takingOver() string {
	if c.stuck == "" {
		return "taking over"
	}
	return "taking over: " + c.stuck
}
