package bridge

import (
	"fmt"
	"strconv"
)

// redrive puts a dead letter back as owed by its subscription, once: its lane
// is named after it. The letter is removed when it is delivered, or replaced by
// a new one when it fails for good again. done gets the reason of a refusal, or
// nil when the entry is confirmed.
func (c *core) redrive(d DeadLetter, sequence uint64, done func(error)) {
	s := c.subs[d.Subscription]
	switch {
	case c.dead || c.stopping || !c.opened:
		done(fmt.Errorf("this replica is not ready to take it: try again"))
		return
	case s == nil || s.mode == unseen || !s.deletedAt.IsZero():
		done(fmt.Errorf("there is no subscription %q", d.Subscription))
		return
	case s.gen != d.Generation:
		done(fmt.Errorf("dead letter %d is of generation %d of subscription %q, which is at generation %d now: it was deleted and put again for another endpoint", sequence, d.Generation, s.id, s.gen))
		return
	case d.Event == nil && d.Vanished:
		done(fmt.Errorf("dead letter %d cannot be put back: its event vanished from the source stream", sequence))
		return
	case s.lanesFull():
		done(fmt.Errorf("subscription %q has %d lanes in the ledger already: try again when it has caught up", s.id, s.held))
		return
	}
	token := redriveToken(sequence)
	if s.lanes[token] != nil {
		done(fmt.Errorf("dead letter %d is owed again already", sequence))
		return
	}
	ln := s.lane(token, d.Key)
	ln.redrive = sequence
	if ln.order = d.Order; ln.order == "" {
		ln.order = OrderOf(d.Lane, d.Key)
	}
	ln.q = []*item{{seq: d.Sequence, stamp: d.stamp(), sub: s, lane: ln, at: c.out.boot()}}
	ln.hold()
	e := &LaneEntry{Generation: s.gen, Key: ln.key, Order: ln.order, Seqs: []uint64{d.Sequence}, Redrive: sequence}
	c.put(BucketOwed, ln.ledgerKey(), e, func(any) {
		if s.dead || len(ln.q) == 0 {
			return
		}
		ln.q[0].inLedger = true
		done(nil)
		s.offer(ln)
	})
}

func redriveToken(sequence uint64) string { return laneMark + "r" + strconv.FormatUint(sequence, 10) }

// vanishedToken stands for all lanes of a subscription: events that it had not
// read when they vanished (R15).
func vanishedToken(from uint64) string { return laneMark + "v" + strconv.FormatUint(from, 10) }
