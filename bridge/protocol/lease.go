package protocol

import (
	"fmt"
	"time"

	"orderbridge/bridge/event"
)

// # R3 Settling
//
// Only the settled prefix is acknowledged, as it grows, and once a second (and at a stop) with a confirmed
// request. Each renewal of the lease (every second) stores the epoch, the floor and the settled intervals above it. While
// an event older than 0.3 s holds up the floor, the lease is renewed every half second.
//
// The write that wins the lease carries floor, intervals and cursor of the predecessor over unchanged, and so do all
// renewals until the feed is open. A renewal whose outcome is unknown is repeated as it was first sent, expecting the
// revision that was known then.
//
// A leader whose last confirmed renewal was sent 2 s ago or more starts no attempt. Nor does a held lane whose entry, or a
// reader whose mark, has been unconfirmed for 2 s.

// ---- lease, R3 and R10

func (c *Machine) extendLease(sent time.Duration) {
	c.leaseEnd = max(c.leaseEnd, sent+c.Lease)
	c.emit(HoldAttempts{c.leaseEnd - c.Margin})
}

func (c *Machine) renewLoop() {
	c.after(c.Renew, timer{what: dueRenewal})
	if c.handover.step == releasing {
		return
	}
	c.renew()
	c.keepSoon()
	if !c.opened {
		return
	}
	c.ask(request{out: ConfirmSettled{c.newRequest()}})
	for _, s := range ordered(c.readers) {
		if s.mode != going && s.reader.moved {
			s.writeMark()
		}
	}
}

func (c *Machine) leaseEntry() LeaseEntry {
	c.beat++
	if !c.opened { // nothing that it says may change before all is taken over (R3, R15)
		e := c.old
		e.Epoch, e.Holder, e.Beat, e.Length, e.FormerIDs = c.epoch, c.holder, c.beat, c.Lease.String(), c.formerIDs
		return e
	}
	c.checkpoints = checkpointed(c.checkpoints, c.floorRef, c.now.Wall)
	e := LeaseEntry{Epoch: c.epoch, Holder: c.holder, Term: c.term, Beat: c.beat, Leading: true, Floor: c.prefix, Length: c.Lease.String(), FormerIDs: c.formerIDs,
		Stream: &StreamName{c.stream.Name, c.stream.Created}, Top: c.top, Checkpoints: c.checkpoints, Changes: c.changes}
	c.tellState(&e)
	settled := seqSet{spans: append([]span(nil), c.inherited.spans...)}
	settled.cut(c.prefix + 1)
	for _, w := range c.win {
		if w.settled {
			settled.addRef(w.ev.Ref())
		}
	}
	e.Settled = settled.list()
	e.Known = event.Refs(append(append(settled.ends(), c.floorRef), c.witnesses[:]...)...)
	if c.cursor.Seq > c.prefix {
		cur := c.cursor
		e.Cursor = &cur
	}
	c.tellShard(&e)
	return e
}

// renew writes the lease once, unless that is under way; a renewal whose outcome
// is unknown is repeated as it was first sent, with the revision that was known
// then (R3).
func (c *Machine) renew() {
	if c.renewing {
		return
	}
	c.renewing = true
	e := c.leaseEntry()
	if c.freeing {
		c.freed(&e)
	}
	c.renewSent = c.now.Boot
	c.writeLease(&e, c.leaseRev, c.freeing)
}

// freed adds to the last entry of a term what its successor must know.
func (c *Machine) freed(e *LeaseEntry) {
	e.Free = true
	for _, w := range c.win {
		if w.expanded || w.settled || w.debts > 0 { // a stop that could not confirm all: the event is matched again
			continue
		}
		id := w.matches[w.next].ID
		if w.seq() != c.cursor.Seq {
			if w.next > 0 {
				e.Cursor = &Cursor{w.seq(), id}
			}
		} else if e.Cursor != nil {
			e.Cursor.ID = max(e.Cursor.ID, id)
		}
	}
}

func (c *Machine) writeLease(e *LeaseEntry, expect uint64, last bool) {
	c.leaseSent = c.now.Boot // of the first copy: a stand-by counts from when that one lands
	c.ask(request{out: WriteLease{c.newRequest(), *e, expect, c.nextID()}, until: "the lease is not confirmed, it is written again", quiet: true, done: last})
}

func (c *Machine) leaseWritten(q *request, in LeaseWritten) {
	e := q.out.(WriteLease).Entry
	c.renewing = false
	c.leaseRev = in.Revision
	c.lastFlush = max(c.lastFlush, c.leaseSent)
	c.floorDurable = max(c.floorDurable, e.Floor)
	if e.Own {
		c.formers = nil
	}
	c.extendLease(c.leaseSent)
	c.floorMoved()
	switch {
	case q.done:
		c.end(c.handover.cause)
	case c.freeing:
		c.renew()
	default:
		c.adoptionTold(&e)
	}
}

// leaseRefused: the revision is another one than was expected. The lease is read,
// and written once more, over what is there now, only while it is ours by our own
// clock (R16).
func (c *Machine) leaseRefused(q *request) {
	c.ask(request{out: ReadLease{c.newRequest()}, until: "the lease was refused and cannot be read", refused: q})
}

func (c *Machine) leaseRead(q *request, in LeaseRead) {
	s := in.Sight
	switch {
	case c.now.Boot >= c.leaseEnd:
		c.end(fmt.Errorf("renew the lease: %w", ErrLeaseOver))
	case s.deposes(c.epoch):
		c.end(fmt.Errorf("renew the lease: %w", ErrDeposed))
	default:
		if s.Entry.Term != c.term { // else: a former copy of our own landed late
			c.leaseTampered(s)
		}
		e := q.refused.out.(WriteLease).Entry
		c.beat++
		e.Beat = c.beat
		c.writeLease(&e, s.Revision, q.refused.done)
	}
}

func (c *Machine) nextID() string {
	c.counter++
	return fmt.Sprintf("%s:%d:%d", c.term, c.epoch, c.counter)
}
