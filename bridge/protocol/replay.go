package protocol

import (
	"orderbridge/bridge/event"
	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

// A replay sends again what a subscription has heard, beside what it owes. What is
// replayed, and how far it is, is not the machine's matter: no lane, mark or lease
// speaks of it. Only its attempts are started here, one by one as they are asked
// for, since slots, rate limit, breaker, lease and a stop hold for all attempts of a
// subscription together. At most a quarter of maxInFlight is a replay's (one at
// least); where deliveries that are owed wait as well, they take turns. A replay is
// no probe: it waits while the breaker is open.

// replays are the attempts of replays that a subscription is asked for.
type replays struct {
	waiting []*ReplayAttempt
	running int
	turn    bool // of what is owed
}

// replayAttempt takes a request for an attempt in.
func (c *Machine) replayAttempt(in *ReplayAttempt) {
	s := c.sub(in.Subscription)
	if s == nil || s.gen != in.Generation || s.mode == unseen || c.stopping {
		c.notReplayed(in)
		return
	}
	if s.replays == nil {
		s.replays = &replays{}
	}
	if len(s.replays.waiting) >= limits.ReplayWaiting {
		c.notReplayed(in)
		return
	}
	s.replays.waiting = append(s.replays.waiting, in)
	s.pump()
}

// notReplayed: no attempt was made.
func (c *Machine) notReplayed(in *ReplayAttempt) {
	c.emit(ReplayAttempted{Command: in.Command, Outcome: Outcome{Verdict: NotAttempted}})
}

// endReplay forgets what of a replay waits; what runs goes on.
func (c *Machine) endReplay(in EndReplay) {
	s := c.subs[in.Subscription]
	if s == nil || s.replays == nil {
		return
	}
	var rest []*ReplayAttempt
	for _, x := range s.replays.waiting {
		if x.Replay == in.Replay {
			c.notReplayed(x)
		} else {
			rest = append(rest, x)
		}
	}
	s.replays.waiting = rest
	s.forgetReplays()
}

// endReplays withdraws whatever replays have asked for: the subscription is gone.
func (s *sub) endReplays() {
	c := s.core
	if s.replays == nil {
		return
	}
	for _, in := range s.replays.waiting {
		c.notReplayed(in)
	}
	for a := c.runs.oldest; a != nil; {
		next := a.newer
		if a.replay != nil && a.lane.sub == s {
			c.finished(a)
			c.emit(CutAttempt{a.number})
			c.notReplayed(a.replay)
		}
		a = next
	}
	s.replays = nil
}

func (s *sub) forgetReplays() {
	if r := s.replays; r != nil && len(r.waiting) == 0 && r.running == 0 {
		s.replays = nil
	}
}

// mayReplay tells whether an attempt of a replay may be started now.
func (s *sub) mayReplay() bool {
	r := s.replays
	return r != nil && len(r.waiting) > 0 && !s.failing() && r.running < max(1, s.rec.MaxInFlight/4)
}

// replaysNext tells whether the next attempt is one of a replay.
func (s *sub) replaysNext() bool {
	return s.mayReplay() && len(s.ready.urgent) == 0 && !(s.replays.turn && s.ready.any(s))
}

// startReplay starts the attempt that has waited longest.
func (s *sub) startReplay() {
	c, r := s.core, s.replays
	in := r.waiting[0]
	r.waiting[0] = nil
	r.waiting = r.waiting[1:]
	r.running++
	token, key := in.Event.Key(s.rec.Ordering)
	ln := &lane{sub: s, token: token, key: key, order: in.Event.Order(), attempts: in.Attempt - 1} // of no entry, and unknown to the subscription
	it := &item{seq: in.Event.Seq, stamp: in.Event.Ref().Time, ev: in.Event, sub: s, lane: ln}
	a := &attempt{lane: ln, item: it, replay: in, again: in.Attempt > 1, Seq: it.seq, known: it.ref(), top: c.top,
		Delivery: Delivery{Subscription: s.rec, Event: in.Event, Generation: s.gen, Attempt: in.Attempt, Former: c.former(it.seq),
			Replay: in.Replay, NewID: in.NewID}}
	c.begin(a)
}

// replayed goes on when an attempt of a replay has ended. It tells of the endpoint
// what any attempt does, and of what is owed nothing.
func (c *Machine) replayed(a *attempt, o Outcome, ev *event.Event) {
	s := a.lane.sub
	s.replays.running--
	s.forgetReplays()
	switch o.Verdict {
	case Delivered:
		c.figures.Delivered++
		s.health().success(c.now.Boot)
	case Filtered:
		if s.pace != nil {
			s.pace.unstarted(a.at)
		}
	case NotAttempted:
	default:
		c.figures.Failed++
		s.failed(a, o, ev)
	}
	c.emit(ReplayAttempted{Command: a.replay.Command, Outcome: o, Waits: s.failing() || s.suspended})
}

// Heard is up to where everything is settled, or owed one by one, for the
// subscription: a replay does not go beyond it.
func (c *Machine) Heard(id string) uint64 {
	s := c.subs[id]
	if s == nil {
		return c.position()
	}
	if r := s.reader; r != nil && s.mode != live {
		return r.from - 1
	}
	return s.position()
}

// Replayable is what a replay must know of a subscription: the record in force and
// its generation, and why nothing may be sent to it for good ("": it may, if not
// now). A nil record: there is no such subscription.
func (c *Machine) Replayable(id string) (rec *record.Subscription, generation uint64, why string) {
	if x := c.resting[id]; x != nil {
		return x.rec, x.gen, ""
	}
	s := c.subs[id]
	if s == nil || s.mode == unseen || s.mode == gone {
		return nil, 0, "there is no such subscription"
	}
	switch s.standing() {
	case isDeleted, isAbsent:
		why = "the subscription was deleted"
	case isInactive:
		why = "the subscription is deactivated"
	case isInvalid:
		why = "the record of the subscription cannot be used"
	case inForce, isPaused, isSuspended: // it waits
	}
	return s.rec, s.gen, why
}
