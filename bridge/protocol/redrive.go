package protocol

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"orderbridge/bridge/event"
)

// Why a dead letter is not put back now.
var (
	ErrOwedAgain = errors.New("is owed again already")
	ErrLanesFull = errors.New("lanes in the ledger already")
)

// redrive puts a dead letter back as owed by its subscription, once: its lane
// is named after it. The letter is removed when it is delivered, or replaced by
// a new one when it fails for good again. The command is answered with the reason
// of a refusal, or when the entry is confirmed.
func (c *Machine) redrive(in *Redrive) {
	if err := c.redrivable(in); err != nil {
		c.emit(Answer{Command: in.Command, Err: err})
		return
	}
	d := &in.Letter
	s := c.sub(d.Subscription)
	ln := s.lane(RedriveToken(in.Sequence), d.Key)
	ln.redrive = in.Sequence
	if ln.order = d.Order; ln.order == "" {
		ln.order = event.OrderOf(d.Lane, d.Key)
	}
	ln.q = []*item{{seq: d.Sequence, stamp: d.stamp(), sub: s, lane: ln, at: c.now.Boot}}
	ln.joinLine()
	ln.hold()
	e := &LaneEntry{Generation: s.gen, Key: ln.key, Order: ln.order, Seqs: []uint64{d.Sequence}, Redrive: in.Sequence, Known: event.Refs(ln.q[0].ref())}
	c.put(BucketOwed, ln.ledgerKey(), e, effect{what: isRedriven, sub: s, lane: ln, command: in.Command})
}

func (c *Machine) redrivable(in *Redrive) error {
	d := &in.Letter
	s := c.sub(d.Subscription)
	switch {
	case c.stopping || !c.opened:
		return errors.New("this replica is not ready to take it: try again")
	case s == nil || s.mode == unseen || !s.deletedAt.IsZero():
		return fmt.Errorf("there is no subscription %q", d.Subscription)
	case s.gen != d.Generation:
		return fmt.Errorf("dead letter %d is of generation %d of subscription %q, which is at generation %d now: it was deleted and put again for another endpoint", in.Sequence, d.Generation, s.id, s.gen)
	case d.Event == nil && d.Vanished:
		return fmt.Errorf("dead letter %d cannot be put back: its event vanished from the source stream", in.Sequence)
	case s.lanesFull():
		return fmt.Errorf("subscription %q has %d %w: try again when it has caught up", s.id, s.held, ErrLanesFull)
	case s.lanes[RedriveToken(in.Sequence)] != nil:
		return fmt.Errorf("dead letter %d %w", in.Sequence, ErrOwedAgain)
	}
	return nil
}

// redriven: the entry is confirmed.
func (c *Machine) redriven(ln *lane, command uint64) {
	if len(ln.q) == 0 {
		return
	}
	ln.q[0].inLedger = true
	c.emit(Answer{Command: command})
	ln.sub.offer(ln)
}

// ---- letters of one order that are put back wait for one another

// line is the order for which the letter waits.
func (ln *lane) line() string { return cmp.Or(ln.key, ln.token) }

// joinLine puts the lane of a letter in line with those of other letters of the
// same order, the oldest event first.
func (ln *lane) joinLine() {
	s := ln.sub
	if len(ln.q) == 0 || s.lanes[ln.token] != ln {
		return
	}
	if s.lines == nil {
		s.lines = map[string][]*lane{}
	}
	ln.letterOf = ln.q[0].seq
	line := s.lines[ln.line()]
	i, _ := slices.BinarySearchFunc(line, ln, func(x, y *lane) int {
		return cmp.Or(cmp.Compare(x.letterOf, y.letterOf), cmp.Compare(x.redrive, y.redrive))
	})
	s.lines[ln.line()] = slices.Insert(line, i, ln)
}

// leaveLine lets the next one have its turn.
func (ln *lane) leaveLine() {
	s := ln.sub
	i := slices.Index(s.lines[ln.line()], ln)
	if ln.redrive == 0 || i < 0 {
		return
	}
	line := slices.Delete(s.lines[ln.line()], i, i+1)
	if len(line) > 0 {
		s.lines[ln.line()] = line
		s.offer(line[0])
		return
	}
	if delete(s.lines, ln.line()); len(s.lines) == 0 {
		s.lines = nil
	}
}

// inTurn tells whether the lane need not wait for another one. Only that of a
// letter may have to: until those of older events of its order have gone, and
// while one is under way.
func (ln *lane) inTurn() bool {
	if ln.redrive == 0 {
		return true
	}
	line := ln.sub.lines[ln.line()]
	for _, x := range line {
		if x != ln && x.run != nil {
			return false
		}
	}
	return len(line) == 0 || line[0] == ln
}

// RedriveToken is the token of the lane of a dead letter that was put back.
func RedriveToken(sequence uint64) string {
	return event.LaneMark + "r" + strconv.FormatUint(sequence, 10)
}

// vanishedToken stands for all lanes of a subscription: events that it had not
// read when they vanished (R15).
func vanishedToken(from uint64) string { return event.LaneMark + "v" + strconv.FormatUint(from, 10) }
