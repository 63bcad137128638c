package protocol

import (
	"math"
	"strings"
	"time"

	"orderbridge/internal/limits"
)

// How the core uses the shares (shares.go): an attempt needs a slot and room for
// the bytes of its event; whoever finds none waits for its turn (turns.go).

// How many turns are taken when an attempt ends, and at each tick: most who wait
// may be denied again, because their tenant has too much.
const (
	turnsAtEnd  = 4
	turnsAtTick = 256
)

// keen is k of shares.go. What is given back within seconds may nearly all go
// to one tenant; what may be kept for days leaves more for others.
var keen = [resources]int64{slots: 8, flight: 8, ahead: 4, space: 2, places: 2}

// sharing are the pools as the bounds want them.
func (c *Machine) sharing() (pools [resources]pool) {
	sizes := [resources]int{slots: c.MaxRunning, flight: c.FlightBytes, ahead: c.ReadTotal, space: c.LedgerBytes, places: c.HeldMost}
	for r := range pools {
		pools[r] = pool{size: int64(sizes[r]), keen: keen[r]}
		if c.Keen > 0 {
			pools[r].keen = int64(c.Keen)
		}
	}
	return pools
}

func (s *sub) tenant() string {
	return s.rec.Tenant
}

// share is what the subscription has.
func (s *sub) share() *ownShare {
	if s.own == nil {
		s.own = s.core.shares.join(s.tenant())
	}
	return s.own
}

func (s *sub) leaveShares() {
	if s.own != nil {
		s.core.shares.leave(s.own)
		s.own = nil
	}
}

// admits tells whether the subscription may start one more attempt.
func (c *Machine) admits(s *sub) bool {
	o := s.share()
	return c.shares.may(o, slots) && c.shares.may(o, flight)
}

// charge counts an attempt that begins. An event that has yet to be read counts
// as a large one until its size is known.
func (c *Machine) charge(a *attempt) {
	o := a.lane.sub.share()
	a.weight = limits.UnreadEventBytes
	if ev := a.Delivery.Event; ev != nil {
		a.weight = ev.Weight()
	}
	c.shares.acquire(o, slots, 1)
	c.shares.acquire(o, flight, a.weight)
}

// weighed: the event of an attempt was read.
func (c *Machine) weighed(in AttemptWeighed) {
	a := c.attempts[in.Attempt]
	if a == nil {
		return
	}
	c.shares.acquire(a.lane.sub.share(), flight, in.Bytes-a.weight)
	a.weight = in.Bytes
	c.takeTurns(1)
}

func (c *Machine) discharge(a *attempt) {
	o := a.lane.sub.share()
	c.shares.release(o, slots, 1)
	c.shares.release(o, flight, a.weight)
}

// takeTurns lets those start that wait for a slot.
func (c *Machine) takeTurns(most int) {
	for ; most > 0; most-- {
		s := c.turns.next()
		if s == nil {
			return
		}
		if s.mode != gone {
			s.pumpSome(1)
		}
	}
}

// ---- the ledger

// keyOverhead is about what the server's store needs for an entry beside it.
const keyOverhead = 200

// weigh counts the entry that is wanted under a key of the ledger; nil: none.
func (c *Machine) weighEntry(key string, value any) {
	id, _, _ := strings.Cut(key, ".")
	s := c.sub(id)
	if s == nil || s.mode == gone {
		return
	}
	n := int64(0)
	switch e := value.(type) {
	case *LaneEntry:
		n = keyOverhead + e.weight() + 2*int64(len(key))
	case *Mark:
		n = keyOverhead + e.weight() + 2*int64(len(key))
	}
	o := s.share()
	c.shares.acquire(o, space, n-int64(s.entries[key]))
	switch {
	case n == 0:
		delete(s.entries, key)
	default:
		if s.entries == nil {
			s.entries = map[string]int32{}
		}
		s.entries[key] = int32(min(n, math.MaxInt32))
	}
}

// weight is about how long the entry is as text.
func (e *LaneEntry) weight() int64 {
	return int64(120 + len(e.Key) + len(e.Order) + len(e.Head.LastError) + 12*len(e.Seqs) + 50*len(e.Known))
}

func (m *Mark) weight() int64 {
	return int64(120 + len(m.Reason) + 24*len(m.Done) + 50*len(m.Known))
}

// overLedger tells whether the entries of the subscription may not grow: it has
// its share of the ledger, or its tenant has.
func (s *sub) overLedger() bool { return !s.core.shares.may(s.share(), space) }

// readsAhead counts what a reader has in memory.
func (s *sub) readsAhead(bytes int) {
	s.core.readBytes += bytes
	s.core.shares.acquire(s.share(), ahead, int64(bytes))
}

// shedWhilePaced frees the payloads of what a reader has in memory if none of it
// may be sent soon: it would keep others of its tenant from reading.
func (s *sub) shedWhilePaced() {
	if s.rec.Coalesce && s.rec.Method != "GET" {
		return // what is newer is compared with them
	}
	now := s.core.now.Boot
	if s.notBefore-now > pacedLong || s.pace != nil && s.pace.wait(now) > pacedLong {
		s.shed()
	}
}

// pacedLong is how long events may wait in memory for their pace.
const pacedLong = time.Second
