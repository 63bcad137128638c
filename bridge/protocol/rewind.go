package protocol

import (
	"errors"
	"fmt"

	"orderbridge/internal/limits"
)

// A rewind sets a subscription back: it reads from an earlier sequence on, and
// everything from there is owed once more, as if it had never been sent, in order
// and under the ids that it had. It is one more reason for reading (R6): what is
// owed goes into the mark first, so that nothing waits in a lane that would come
// before what is older, and only when no entry of a lane is left the mark is
// written that goes back. Meanwhile nothing is sent and no revision applied, as in
// any change of a subscription.

// rewinding is a rewind under way.
type rewinding struct {
	command, from uint64
	waits         bool // for a mark to be confirmed
	cleared       bool // the entries of empty lanes are being removed
}

func (c *Machine) rewind(in Rewind) {
	if err := c.rewindable(in); err != nil {
		c.emit(Answer{Command: in.Command, Err: err})
		return
	}
	s := c.sub(in.Subscription)
	s.rewinding = &rewinding{command: in.Command, from: in.From}
	c.log(Info, "subscription is set back", "subscription_id", s.id, "from", in.From)
	s.begin(confirmingOwn, revision{})
	s.rewindOn()
}

func (c *Machine) rewindable(in Rewind) error {
	s := c.sub(in.Subscription)
	switch {
	case c.stopping || !c.opened:
		return errors.New("this replica is not ready to take it: try again")
	case s == nil || s.mode == unseen:
		return fmt.Errorf("there is no subscription %q", in.Subscription)
	case s.standing() != inForce && s.standing() != isSuspended:
		return fmt.Errorf("subscription %q is not active: activate it first", s.id)
	case s.changing() || s.mode != live && s.mode != going && s.mode != reading:
		return fmt.Errorf("subscription %q is just changing: try again", s.id)
	case in.From == 0 || in.From > s.position():
		return fmt.Errorf("subscription %q cannot be set to sequence %d: it has heard up to %d", s.id, in.From, s.position())
	}
	return nil
}

// rewindOn goes on as far as it can, and is called again until it is done.
func (s *sub) rewindOn() {
	c, w := s.core, s.rewinding
	if w == nil || c.stopping {
		return
	}
	c.after(c.Tick, timer{what: dueRewind, sub: s})
	if s.mode == live {
		s.goReading(reasonRewound)
	}
	if s.mode != reading || w.waits {
		return
	}
	lanes, more := s.collapsible()
	switch {
	case more: // an attempt runs
	case len(lanes) > 0:
		s.handLanesToMark(lanes)
	case s.clearsLanes():
	default:
		s.setBack()
	}
}

// handLanesToMark is what collapse does, whatever waits.
func (s *sub) handLanesToMark(lanes []*lane) {
	w := s.rewinding
	waits := seqSet{}
	for _, ln := range lanes {
		for _, it := range ln.q {
			waits.addRef(it.ref())
		}
	}
	if len(waits.spans)+len(s.reader.done.spans) > limits.MarkSpans {
		s.rewound(fmt.Errorf("subscription %q owes too much one by one: try again when it has caught up", s.id))
		return
	}
	for _, ln := range lanes {
		for _, it := range ln.q {
			it.gone = true
		}
	}
	s.reader.owesAgain(&waits)
	w.waits = true
	s.writeMark(effect{what: isHanded, sub: s, lanes: lanes})
}

// handed: the mark tells what the lanes held.
func (s *sub) handed(lanes []*lane) {
	for _, ln := range lanes {
		if s.lanes[ln.token] == ln && ln.run == nil {
			ln.handToMark()
		}
	}
	s.rewinding.waits = false
	s.rewindOn()
}

// clearsLanes removes the entries of empty lanes, and tells whether some are left.
func (s *sub) clearsLanes() (left bool) {
	w := s.rewinding
	for _, token := range sorted(s.lanes) {
		ln := s.lanes[token]
		if ln.redrive > 0 {
			continue
		}
		left = true
		if !w.cleared {
			ln.write()
		}
	}
	w.cleared = true
	return left
}

// setBack lets the reader begin where it was asked to.
func (s *sub) setBack() {
	r, w := s.reader, s.rewinding
	last := max(r.at, r.done.max(), s.position())
	r.owesAgain(&seqSet{spans: []span{{w.from, last, 0}}})
	r.reason, r.uncounted, r.seen, r.ahead = reasonRewound, true, last, 0
	w.waits = true
	s.writeMark(effect{what: isRewound, sub: s})
}

// rewound ends a rewind.
func (s *sub) rewound(err error) {
	w := s.rewinding
	s.rewinding = nil
	s.core.emit(Answer{Command: w.command, Err: err})
	s.changeDone()
}
