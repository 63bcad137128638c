package protocol

import (
	"errors"
	"fmt"
	"slices"

	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

// An operator may end what time alone would end: an open breaker, what the
// endpoint asked for with Retry-After or 410, and the waits between the attempts
// of an order. Another revision of the record does the same. What keeps the pace
// safe stays: the rate limit, the slow start, the shares, and the breaker, which
// asks the endpoint by probes before it lets anything else go.

// Done is what a command of an operator has done.
type Done struct {
	Subscriptions int    // RetryNow: that waited
	Orders        int    // RetryNow: of these, orders that waited for their time
	Sequence      uint64 // SkipHead: of the event that is a dead letter now
}

var errNotYet = errors.New("this replica is not ready to take it: try again")

// Waiting are the subscriptions that want says yes to, without those that wait
// for nothing. They come by id.
func (c *Machine) Waiting(want func(*record.Subscription) bool) []string {
	var ids []string
	for id, s := range c.subs {
		if s.hasRecord() && want(s.rec) {
			ids = append(ids, id)
		}
	}
	return sortedList(ids)
}

func (c *Machine) retryNow(in *RetryNow) {
	var done Done
	if c.stopping || !c.opened {
		c.emit(Answer{Command: in.Command, Err: errNotYet})
		return
	}
	for _, id := range in.Subscriptions {
		s := c.subs[id]
		if err := c.mayRetry(id, s); err != nil {
			if in.Named {
				c.emit(Answer{Command: in.Command, Err: err})
				return
			}
			continue
		}
		if s == nil { // at rest: it waits for nothing
			continue
		}
		orders, waited := 0, false
		if in.Order == "" {
			orders, waited = s.endWaits()
		} else {
			orders = s.endWaitsOf(in.Order)
			waited = orders > 0
		}
		if waited {
			done.Subscriptions++
		}
		done.Orders += orders
	}
	if done.Subscriptions > 0 {
		c.log(Info, "retried now: what waited waits no longer", "subscriptions", done.Subscriptions, "orders", done.Orders)
	}
	c.emit(Answer{Command: in.Command, Done: done})
}

// mayRetry tells why nothing can be tried for a subscription. s is nil if it is at rest.
func (c *Machine) mayRetry(id string, s *sub) error {
	if s == nil {
		if c.there(id) {
			return nil
		}
		return fmt.Errorf("there is no subscription %q", id)
	}
	switch s.standing() {
	case isDeleted:
		return fmt.Errorf("subscription %q is deleted", id)
	case isInvalid, isAbsent:
		return fmt.Errorf("the record of subscription %q cannot be used: put a good one, which ends all waits as well", id)
	case isInactive:
		return fmt.Errorf("subscription %q is deactivated: activate it, which ends all waits as well", id)
	case isPaused:
		return fmt.Errorf("subscription %q is paused: resume it, which ends all waits as well", id)
	case inForce, isSuspended:
	}
	if s.mode == unseen {
		return fmt.Errorf("there is no subscription %q", id)
	}
	return nil
}

// endWaits ends all that the subscription waits for. It tells how many orders
// had waited for their time, and whether anything had.
func (s *sub) endWaits() (orders int, waited bool) {
	c := s.core
	now := c.now.Boot
	waited = s.suspended || s.notBefore > now || s.failing()
	s.forgive()
	if s.notBefore > now {
		s.notBefore = 0
		s.changed()
	}
	if s.failing() {
		s.probeSoon()
	}
	for _, token := range sorted(s.lanes) {
		if s.lanes[token].endWait() {
			orders++
		}
	}
	if s.reader != nil {
		s.reader.empty = false
	}
	s.kick()
	return orders, waited || orders > 0
}

// forgive: that the receiver has said 410 counts no longer.
func (s *sub) forgive() {
	if s.suspended {
		s.suspended, s.reason = false, ""
		s.changed()
	}
}

// probeSoon begins the schedule of the probes again, now. Some orders that have
// not failed may go at once: a single one may be to blame itself.
func (s *sub) probeSoon() {
	s.breaker.probes, s.breaker.free = 0, s.core.Failures
	if s.probeAt != noTime { // else one is under way
		s.probeIn(0)
	}
}

// endWait lets the head of a lane be tried at once. What a stop has cut off still
// waits for its own deadline (R10b). A successor is told of long waits only.
func (ln *lane) endWait() bool {
	c := ln.sub.core
	rest := ln.next - c.now.Boot
	if len(ln.q) == 0 || ln.run != nil || ln.cut || rest <= 0 {
		return false
	}
	ln.next, ln.nextWall = c.now.Boot, c.now.Wall
	if ln.held && rest > limits.PaceNotable {
		ln.write()
	}
	return true
}

// endWaitsOf has the lanes of one order tried next, whatever the others wait for.
// It tells how many would have waited.
func (s *sub) endWaitsOf(order string) (orders int) {
	c := s.core
	waits := s.suspended || s.notBefore > c.now.Boot || s.failing()
	for _, token := range sorted(s.lanes) {
		ln := s.lanes[token]
		if !ln.isOf(order) || len(ln.q) == 0 || ln.run != nil || ln.cut || !ln.inTurn() || !ln.endWait() && !waits {
			continue
		}
		orders++
		s.forgive()
		s.ready.urge(ln)
	}
	if orders > 0 {
		s.kick()
	}
	return orders
}

// isOf tells whether the lane is that of an order, as people name it: by its id,
// or as `owed list` shows the lane.
func (ln *lane) isOf(order string) bool {
	return order != "" && (order == ln.order || order == ln.token || order == ln.key)
}

// urge makes a lane the next that is tried.
func (r *readyLanes) urge(ln *lane) {
	other := func(x *lane) bool { return x == ln }
	r.fresh, r.failed = slices.DeleteFunc(r.fresh, other), slices.DeleteFunc(r.failed, other)
	if !slices.Contains(r.urgent, ln) {
		r.urgent = append(r.urgent, ln)
	}
	ln.ready = true
}
