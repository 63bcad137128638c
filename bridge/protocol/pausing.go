package protocol

import (
	"fmt"

	"orderbridge/bridge/record"
)

// # R12, a pause
//
// A record may say that its subscription is paused. Then it reads, frozen, without an until, like
// one that is invalid: its mark is confirmed, then its status entry. Nothing is sent and nothing is dropped: what it owes
// and what is published meanwhile waits, and comes in order once the record says active again. What runs when the
// revision is seen ends as it does. One that is paused from its first revision on is anchored (R13), and owes from its
// anchor on. To pause one that is deactivated is to activate it, paused: what is published from then on waits. If its mark
// is lost (R16), it owes what is published from then on.

// pauses takes over what a record that comes into force says of a pause.
func (s *sub) pauses(rec *record.Subscription) {
	was := s.paused
	s.paused = rec.Paused
	r := s.reader
	switch {
	case s.mode != reading || r.reason == reasonNew: // what it had not read yet was never owed: holes
	case s.paused:
		r.reason, r.moved = reasonPaused, true
	case was && s.failing():
		r.reason, r.moved = reasonSuspended, true
	case was:
		r.reason, r.moved = reasonResumed, true
	}
}

// standStill has a subscription that is paused read, frozen; then the change goes on.
func (s *sub) standStill() {
	s.shed()
	s.goReading(reasonPaused, effect{what: endsChange, sub: s})
}

// pausedText is what a person is told of the pause.
func (s *sub) pausedText() string {
	return fmt.Sprintf("nothing is sent; what is owed from sequence %d on is kept, and comes in order after `orderbridge resume %s`", s.keptFrom(), s.id)
}

// deactivatedText is what a person is told of one that is deactivated: what it drops.
func (s *sub) deactivatedText() string {
	r := s.reader
	if r == nil || r.until == noLimit {
		return ""
	}
	return fmt.Sprintf("what is published after sequence %d is dropped; what it owed before is kept", r.until)
}

// keptFrom is the lowest sequence that it owes; if it owes none, that of what is published next.
func (s *sub) keptFrom() uint64 {
	from := s.position() + 1
	if r := s.reader; r != nil {
		if from = r.from; r.done.has(from) {
			from = r.done.end(from) + 1
		}
	}
	for _, ln := range s.lanes {
		if len(ln.q) > 0 && ln.redrive == 0 {
			from = min(from, ln.q[0].seq)
		}
	}
	return from
}
