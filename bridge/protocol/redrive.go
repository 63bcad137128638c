package protocol

import (
	"errors"
	"fmt"
	"strconv"

	"orderbridge/bridge/event"
)

// redrive puts a dead letter back as owed by its subscription, once: its lane
// is named after it. The letter is removed when it is delivered, or replaced by
// a new one when it fails for good again. The command is answered with the reason
// of a refusal, or when the entry is confirmed.
func (c *Machine) redrive(in *Redrive) {
	if err := c.redrivable(in); err != nil {
		c.emit(Answer{in.Command, err})
		return
	}
	d := &in.Letter
	s := c.sub(d.Subscription)
	ln := s.lane(redriveToken(in.Sequence), d.Key)
	ln.redrive = in.Sequence
	if ln.order = d.Order; ln.order == "" {
		ln.order = event.OrderOf(d.Lane, d.Key)
	}
	ln.q = []*item{{seq: d.Sequence, stamp: d.stamp(), sub: s, lane: ln, at: c.now.Boot}}
	ln.hold()
	e := &LaneEntry{Generation: s.gen, Key: ln.key, Order: ln.order, Seqs: []uint64{d.Sequence}, Redrive: in.Sequence}
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
		return fmt.Errorf("subscription %q has %d lanes in the ledger already: try again when it has caught up", s.id, s.held)
	case s.lanes[redriveToken(in.Sequence)] != nil:
		return fmt.Errorf("dead letter %d is owed again already", in.Sequence)
	}
	return nil
}

// redriven: the entry is confirmed.
func (c *Machine) redriven(ln *lane, command uint64) {
	if len(ln.q) == 0 {
		return
	}
	ln.q[0].inLedger = true
	c.emit(Answer{command, nil})
	ln.sub.offer(ln)
}

func redriveToken(sequence uint64) string {
	return event.LaneMark + "r" + strconv.FormatUint(sequence, 10)
}

// vanishedToken stands for all lanes of a subscription: events that it had not
// read when they vanished (R15).
func vanishedToken(from uint64) string { return event.LaneMark + "v" + strconv.FormatUint(from, 10) }
