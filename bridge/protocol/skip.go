package protocol

import (
	"cmp"
	"fmt"
	"time"
)

// # R14, skipping
//
// An operator may make the head of a held lane a dead letter. It is stored, confirmed, before the entry
// changes; then the rest of the lane goes on at once. It is refused while the head is being attempted, while its letter is
// being stored, and while a stop may have left it at the endpoint (R10b). If the command names a sequence, the head must
// have it. A letter that was put back (redrive) is a lane of its own beside that of its order: it is skipped if the
// command names its sequence, or if nothing else of the order is held.

// skip makes the head of an order that waits a dead letter (R14). It is answered
// with the reason of a refusal, or when the letter is stored.
func (c *Machine) skip(in *SkipHead) {
	ln, err := c.skippable(in)
	if err != nil {
		c.emit(Answer{Command: in.Command, Err: err})
		return
	}
	ln.bury(ln.q[0], Outcome{Reason: in.Reason, Status: ln.lastStatus}, nil)
	ln.run.command = in.Command
}

func (c *Machine) skippable(in *SkipHead) (*lane, error) {
	s := c.sub(in.Subscription)
	switch {
	case c.stopping || !c.opened:
		return nil, errNotYet
	case s == nil || s.mode == unseen || !s.deletedAt.IsZero():
		return nil, fmt.Errorf("there is no subscription %q", in.Subscription)
	case s.mode == going || s.busy():
		return nil, fmt.Errorf("subscription %q is just changing: try again in a moment", s.id)
	}
	ln := s.heldOf(in.Order, in.Sequence)
	switch {
	case ln == nil && s.mode == reading:
		return nil, fmt.Errorf("no order %q of subscription %q waits by itself; the subscription reads, and what it has not come to cannot be skipped yet: `orderbridge owed list %s`", in.Order, s.id, s.id)
	case ln == nil:
		return nil, fmt.Errorf("no order %q of subscription %q is held back: `orderbridge owed list %s` shows those that are", in.Order, s.id, s.id)
	case in.Sequence > 0 && ln.q[0].seq != in.Sequence:
		return nil, fmt.Errorf("the head of order %q is sequence %d, not %d: nothing is skipped", in.Order, ln.q[0].seq, in.Sequence)
	case ln.run != nil && ln.run.burial:
		return nil, fmt.Errorf("sequence %d, the head of order %q, is just becoming a dead letter", ln.q[0].seq, in.Order)
	case ln.run != nil:
		return nil, fmt.Errorf("sequence %d, the head of order %q, is being attempted at this moment: try again when that has ended, or pause the subscription first", ln.q[0].seq, in.Order)
	case ln.cut && ln.next > c.now.Boot: // R10b
		return nil, fmt.Errorf("the last attempt of sequence %d was cut off by a stop, and the endpoint may be working on it still: try again in %s", ln.q[0].seq, (ln.next - c.now.Boot).Round(time.Second))
	}
	return ln, nil
}

// heldOf is the held lane of an order: of several (ordering none, and what was put back
// by redrive) that with the wanted head, else the order's own, else the one with the
// oldest.
func (s *sub) heldOf(order string, head uint64) (found *lane) {
	far := func(ln *lane) (n int) {
		if ln.q[0].seq != head {
			n += 2
		}
		if ln.redrive > 0 && order != ln.token {
			n++
		}
		return n
	}
	for _, token := range sorted(s.lanes) {
		ln := s.lanes[token]
		if !ln.held || len(ln.q) == 0 || !ln.isOf(order) {
			continue
		}
		if found == nil || cmp.Or(cmp.Compare(far(ln), far(found)), cmp.Compare(ln.q[0].seq, found.q[0].seq)) < 0 {
			found = ln
		}
	}
	return found
}
