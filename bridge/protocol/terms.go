package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
)

// # R16, epochs
//
// A new term's epoch is above those of the lease, of the feed's durables and of the fences. Ids of
// writes begin with a random text of the term, so a "duplicate" answer can only speak of a write of this term, and it
// counts only in the bucket (creation) to which the write was sent.

// Traces are what terms leave on the bus beside the lease.
type Traces struct {
	Epoch uint64 // the highest of the fences and of the feed's durables; 0: none
	Any   bool   // something of ours is there: a durable, a fence, an entry of a state bucket

	PresentIDs bool // a build that names deliveries as this one does (ids.go) made the feed's durable
}

// maxEpoch bounds what is believed of an epoch: nobody leads so often.
const maxEpoch = 1 << 53

// parseLeaseEntry reads the lease. An error says that a person wrote it, not a bridge.
func parseLeaseEntry(value []byte) (LeaseEntry, error) {
	var e LeaseEntry
	if err := json.Unmarshal(value, &e); err != nil {
		return e, fmt.Errorf("not a lease entry: %w", err)
	}
	switch {
	case e.Epoch == 0 || e.Epoch > maxEpoch:
		return e, fmt.Errorf("lease entry of epoch %d", e.Epoch)
	case e.Holder == "":
		return e, errors.New("lease entry without a holder")
	}
	for _, x := range e.Settled {
		if x[0] == 0 || x[1] < x[0] || x[1] == noLimit {
			return e, fmt.Errorf("lease entry with the interval %d to %d", x[0], x[1])
		}
	}
	return e, nil
}

// LeaseSight is the lease as its bucket's leader knows it.
type LeaseSight struct {
	Entry      LeaseEntry // absent if there is none
	Unreadable error      // somebody has overwritten it with something else
	Revision   uint64     // what a write has to expect
}

// Sight reads what the bucket's leader told of the lease; an empty value: it is absent.
func Sight(value []byte, revision uint64) LeaseSight {
	s := LeaseSight{Revision: revision}
	if len(value) == 0 {
		return s
	}
	if s.Entry, s.Unreadable = parseLeaseEntry(value); s.Unreadable != nil {
		s.Entry = LeaseEntry{Holder: "unknown"}
	}
	return s
}

// deposes tells whether the entry is that of a replica that has won the lease
// after the given epoch, or is closed for good (R18). What is neither that nor ours was made by hand.
func (s LeaseSight) deposes(epoch uint64) bool {
	return s.Unreadable == nil && !s.Entry.Absent() && (s.Entry.Closed || s.Entry.Epoch > epoch)
}

func (c *Machine) leaseTampered(s LeaseSight) {
	text := "the lease entry was deleted or purged by somebody: it is written again, nothing else is needed"
	switch {
	case s.Unreadable != nil:
		text = "the lease entry was overwritten by somebody, " + s.Unreadable.Error() + ": it is written again, nothing else is needed"
	case !s.Entry.Absent():
		text = fmt.Sprintf("the lease entry was overwritten by somebody, with epoch %d of %q below our own: it is written again, nothing else is needed", s.Entry.Epoch, s.Entry.Holder)
	}
	c.log(Warn, text, "epoch", c.epoch)
	c.raiseState(text)
}
