package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"orderbridge/bridge/event"
)

// Adopting (R15): what only an operator can decide about a changed stream. By
// itself the bridge passes nothing over; that may mean that it repeats much. An
// operator acknowledges the change, and may say that the bridge begins later:
// then all before counts as settled, for every subscription, except the orders
// that the ledger holds.

// Adoption is an operator's decision on where the bridge goes on in a changed stream.
type Adoption struct {
	Time  time.Time `json:"time"`
	After uint64    `json:"after,omitempty"` // nothing up to here is owed any more, except by held orders; 0: the bridge goes on where it is
	Known event.Ref `json:"known,omitzero"`  // a message at or above After
}

// StreamReport is what is known of the source stream.
type StreamReport struct {
	Name     string         `json:"stream"`
	Created  time.Time      `json:"created"`
	First    uint64         `json:"first"`
	Last     uint64         `json:"last"`
	Leader   string         `json:"leader,omitempty"`  // "": nobody leads
	Floor    uint64         `json:"floor"`             // everything up to here is settled, or owed by the ledger
	Known    uint64         `json:"known"`             // highest message known
	Position uint64         `json:"position"`          // the bridge has come so far, or will begin after it
	Changed  string         `json:"changed,omitempty"` // why the stream is not the one that the lease names
	Changes  []StreamChange `json:"changes"`           // that no operator has acknowledged
	Adopt    *Adoption      `json:"adopt,omitempty"`   // decided, for the next leader
}

var errNotReady = errors.New("this replica is not ready to take it: try again")

// adopting is a decision that is being carried out.
type adopting struct {
	command uint64 // 0: none
	waits   int    // confirmations that are awaited
	told    bool   // by a lease entry
}

// adoptStream takes a decision; the command is answered when all of it is confirmed.
func (c *Machine) adoptStream(in *Adopt) {
	if err := c.adoptable(in); err != nil {
		c.emit(Answer{Command: in.Command, Err: err})
		return
	}
	c.sure(held{in: in})
}

func (c *Machine) adoptable(in *Adopt) error {
	a := &in.Adoption
	switch {
	case c.stopping || c.leaving != nil || !c.opened:
		return errNotReady
	case len(c.changes) == 0:
		return errors.New("there is nothing to adopt: no change of the stream is open")
	case a.After > 0 && a.After < c.position():
		return fmt.Errorf("the bridge has come to sequence %d already, and can only begin later than that", c.position())
	}
	return nil
}

func (c *Machine) adoptSure(in *Adopt) {
	if err := c.adoptable(in); err != nil { // another one came first
		c.emit(Answer{Command: in.Command, Err: err})
		return
	}
	marks := c.settleUpTo(in.Adoption)
	c.adopting = adopting{command: in.Command, waits: 1 + len(marks)}
	for _, s := range marks {
		s.writeMark(effect{what: isAdopted})
	}
	c.changes = nil
	c.log(Warn, "an operator has adopted the stream", "after", in.Adoption.After)
	c.renew()
}

// confirmed counts what is awaited down.
func (a *adopting) confirmed(c *Machine) {
	if a.waits--; a.waits == 0 {
		c.emit(Answer{Command: a.command})
		*a = adopting{}
	}
}

// adoptionTold: a lease entry was confirmed. One that was made before the
// decision still tells the change that is adopted.
func (c *Machine) adoptionTold(e *LeaseEntry) {
	switch {
	case c.adopting.command == 0 || c.adopting.told:
	case len(e.Changes) > 0:
		c.renew()
	default:
		c.adopting.told = true
		c.adopting.confirmed(c)
	}
}

// settleUpTo lets everything up to a sequence count as settled, and returns the
// subscriptions whose marks must say so.
func (c *Machine) settleUpTo(a Adoption) (marks []*sub) {
	if a.After == 0 {
		return nil
	}
	c.know(a.Known)
	at := int64(0)
	if a.Known.Seq == a.After {
		at = a.Known.Time
	}
	if a.After > c.taken {
		c.inherited.addAt(c.taken+1, a.After, at)
	}
	for _, x := range c.resting {
		x.liveFrom = max(x.liveFrom, a.After+1)
	}
	for _, s := range c.which(func(s *sub) bool { return s.mode != unseen }) {
		if r := s.reader; r != nil {
			r.done.addAt(r.from, a.After, at)
			r.moved = true
			marks = append(marks, s)
		}
		if s.mode == live || s.mode == joining {
			s.liveFrom = max(s.liveFrom, a.After+1)
		}
	}
	return marks
}

// adoptEarly carries out what was decided while nobody led, before the feed runs.
func (c *Machine) adoptEarly() {
	a := c.old.Adopt
	if a == nil || len(c.changes) == 0 {
		return
	}
	c.log(Warn, "adopted as an operator decided while nobody led", "after", a.After)
	for _, s := range c.settleUpTo(*a) {
		s.writeMark()
	}
	c.changes = nil
}

// AdoptLater puts a decision into a lease entry that nobody holds: the next
// leader carries it out. Members that this build does not know stay.
func AdoptLater(lease []byte, a Adoption) ([]byte, error) {
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(lease, &members); err != nil {
		return nil, fmt.Errorf("the lease cannot be read: %w", err)
	}
	members["adopt"] = Encode(a)
	return json.Marshal(members)
}
