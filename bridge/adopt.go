package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Adopting (R15): what only an operator can decide about a changed stream. By
// itself the bridge passes nothing over; that may mean that it repeats much. An
// operator acknowledges the change, and may say that the bridge begins later:
// then all before counts as settled, for every subscription, except the orders
// that the ledger holds.

// Adoption is such a decision.
type Adoption struct {
	Time  time.Time `json:"time"`
	After uint64    `json:"after,omitempty"` // nothing up to here is owed any more, except by held orders; 0: the bridge goes on where it is
	Known Ref       `json:"known,omitzero"`  // a message at or above After
}

// Begin says where the bridge is to begin: at one of these, or, with none of
// them, where it is.
type Begin struct {
	Seq  uint64    `json:"fromSeq,omitempty"`
	Time time.Time `json:"fromTime,omitzero"`
	End  bool      `json:"atEnd,omitempty"`
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

// Adoption makes a decision of where to begin, as the stream is now.
func (b Begin) Adoption(ctx context.Context, source Source, now time.Time) (Adoption, error) {
	a := Adoption{Time: now}
	st, err := source.State(ctx)
	if err != nil {
		return a, fmt.Errorf("look at the stream: %w", err)
	}
	switch {
	case b.End:
		a.After, a.Known = st.Last, Ref{st.Last, st.LastTime}
	case !b.Time.IsZero():
		seq, last, err := source.SequenceAt(ctx, b.Time)
		if err != nil {
			return a, fmt.Errorf("look at the stream: %w", err)
		}
		a.After, a.Known = max(seq, 1)-1, last
	case b.Seq > 0:
		if b.Seq > st.Last+1 {
			return a, fmt.Errorf("--from-seq is %d, but the stream ends at sequence %d", b.Seq, st.Last)
		}
		a.After, a.Known = b.Seq-1, Ref{st.Last, st.LastTime}
	}
	return a, nil
}

var errNotReady = errors.New("this replica is not ready to take it: try again")

// adopting is a decision that is being carried out.
type adopting struct {
	command uint64 // 0: none
	waits   int    // confirmations that are awaited
	since   time.Duration
}

// adoptStream takes a decision; the command is answered when all of it is confirmed.
func (c *core) adoptStream(in *Adopt) {
	if err := c.adoptable(in); err != nil {
		c.emit(Answer{in.Command, err})
		return
	}
	c.sure(held{in: in})
}

func (c *core) adoptable(in *Adopt) error {
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

func (c *core) adoptSure(in *Adopt) {
	if err := c.adoptable(in); err != nil { // another one came first
		c.emit(Answer{in.Command, err})
		return
	}
	marks := c.settleUpTo(in.Adoption)
	c.adopting = adopting{command: in.Command, waits: 1 + len(marks), since: c.now.Boot}
	for _, s := range marks {
		s.writeMark(effect{what: isAdopted})
	}
	c.changes = nil
	c.log(Warn, "an operator has adopted the stream", "after", in.Adoption.After)
	c.renew()
}

// confirmed counts what is awaited down.
func (a *adopting) confirmed(c *core) {
	if a.waits--; a.waits == 0 {
		c.emit(Answer{a.command, nil})
		*a = adopting{}
	}
}

// leaseConfirmed: a lease entry was confirmed that was sent at that time. One
// that was sent after the decision tells it.
func (c *core) adoptionTold(sent time.Duration) {
	if c.adopting.command == 0 || c.adopting.since < 0 {
		return
	}
	if sent <= c.adopting.since {
		c.renew()
		return
	}
	c.adopting.since = -1
	c.adopting.confirmed(c)
}

// settleUpTo lets everything up to a sequence count as settled, and returns the
// subscriptions whose marks must say so.
func (c *core) settleUpTo(a Adoption) (marks []*sub) {
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
func (c *core) adoptEarly() {
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
	members["adopt"] = encode(a)
	return json.Marshal(members)
}

// InspectStream reports on the stream where nobody leads: what the next leader
// will find. free: the lease was given back.
func InspectStream(ctx context.Context, source Source, lease []byte) (r StreamReport, free bool, err error) {
	var e LeaseEntry
	if err := json.Unmarshal(lease, &e); err != nil {
		return r, false, fmt.Errorf("the lease cannot be read: %w", err)
	}
	st, err := source.State(ctx)
	if err != nil {
		return r, false, fmt.Errorf("look at the stream: %w", err)
	}
	stamp := func(seq uint64) (int64, error) { return source.Stamp(ctx, seq) }
	judge := func(x Ref) (Standing, error) { return st.judge(x, stamp) }
	s := Survey{Stream: st, Durable: true}
	if s.Top, err = judge(e.Top); err == nil {
		if s.Floor, err = judge(e.floorRef()); err == nil {
			s.Highest, s.Other, err = highest(e.refs(), judge)
		}
	}
	if err != nil {
		return r, false, fmt.Errorf("look at the stream: %w", err)
	}
	p := place(&e, &s, false)
	return StreamReport{Name: st.Name, Created: st.Created, First: st.First, Last: st.Last, Floor: e.Floor, Known: e.Top.Seq,
		Position: p.at.Seq, Changed: p.changed, Changes: append([]StreamChange{}, e.Changes...), Adopt: e.Adopt}, e.Free, nil
}
