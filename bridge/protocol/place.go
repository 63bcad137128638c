package protocol

import (
	"fmt"
	"math/bits"
	"time"

	"orderbridge/bridge/event"
	"orderbridge/internal/limits"
)

// # R15, position in a changed stream
//
// The floor, if its message or a later known one is there; else the newest
// message of the lease that is still there (ends of settled intervals, checkpoints); else the first message of the
// stream. Nothing is passed over; what was settled above that position is repeated, under the same ids. A durable's own
// number carries no time: it counts up to top only, and alone only where there is no lease.

// StreamName is which stream a lease entry speaks of. It is told, and decides
// only where no message can.
type StreamName struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
}

// Checkpoint is a former floor.
type Checkpoint struct {
	Ref  event.Ref `json:"message"`
	Time time.Time `json:"since"` // when it was the floor
}

// checkpointed adds the floor and keeps the oldest of each age, of the last the newest.
func checkpointed(list []Checkpoint, floor event.Ref, now time.Time) []Checkpoint {
	if n := len(list); floor.Known() && (n == 0 || list[n-1].Ref != floor) {
		list = append(list, Checkpoint{floor, now})
	}
	kept := make([]Checkpoint, 0, limits.CheckpointAges+2)
	last := -1
	for i, c := range list { // oldest first
		age := min(bits.Len64(uint64(max(now.Sub(c.Time)/time.Second, 0))), limits.CheckpointAges)
		switch {
		case age == last && age == limits.CheckpointAges:
			kept = kept[:len(kept)-1]
		case age == last && i < len(list)-1:
			continue
		}
		last = age
		kept = append(kept, c)
	}
	return kept
}

// Refs are the messages that the entry tells, in the order of the stream.
func (e *LeaseEntry) Refs() []event.Ref {
	list := append([]event.Ref{e.Top}, e.Known...)
	for _, c := range e.Checkpoints {
		list = append(list, c.Ref)
	}
	return event.Refs(list...)
}

// FloorRef is the message at the floor; without a time if the entry does not tell it.
func (e *LeaseEntry) FloorRef() event.Ref {
	for _, r := range e.Known {
		if r.Seq == e.Floor {
			return r
		}
	}
	return event.Ref{Seq: e.Floor}
}

// Survey is what the stream says of a lease entry at a take-over.
type Survey struct {
	Stream       StreamState
	Durable      bool   // there is a durable of an earlier epoch
	DurableFloor uint64 // what the newest one has confirmed
	Top, Floor   Standing
	Highest      int  // index in LeaseEntry.refs of the last message that is there, -1: none
	Other        bool // a later one's sequence is another message's
}

// placement is where a term begins.
type placement struct {
	At      event.Ref // the feed begins after it; its time may be unknown
	top     event.Ref // highest message known in the present stream
	common  uint64    // numbers of the lease up to here speak of the present stream
	Changed string    // why the stream is another one; "" if it is not
}

// Place decides where the feed begins. fresh: nothing of ours was ever there.
func Place(e *LeaseEntry, s *Survey, fresh bool) placement {
	last := s.Stream.Last
	durable := min(s.DurableFloor, last)
	switch {
	case e.none && !s.Durable && fresh:
		return placement{At: event.Ref{Seq: last, Time: s.Stream.LastTime}} // first start ever: at the end
	case e.none && !s.Durable:
		return placement{} // R16
	case e.none:
		return placement{At: event.Ref{Seq: durable}}
	}
	known := e.Refs()
	p := placement{At: e.FloorRef(), top: e.Top}
	if s.Highest >= 0 {
		p.common = known[s.Highest].Seq
	}
	if p.Changed = e.changedIn(s); p.Changed != "" && e.Stream != nil {
		if e.Stream.Created.Equal(s.Stream.Created) {
			p.Changed = "it has lost its end: " + p.Changed
		} else {
			p.Changed = "it was recreated or restored from a backup: " + p.Changed
		}
	}
	if p.Changed == "" {
		switch p.common = 0; { // otherwise each entry speaks for itself
		case e.Top.Known():
			p.common, durable = e.Top.Seq, min(durable, e.Top.Seq)
		case e.FormerIDs != nil && !e.ByHand: // nothing was known: a durable's number may be of another stream
			durable = 0
		}
		if durable > p.At.Seq {
			p.At = event.Ref{Seq: durable}
		}
		return p
	}
	p.top = event.Ref{}
	if s.Highest >= 0 {
		p.top = known[s.Highest]
	}
	if p.common < p.At.Seq {
		p.At = p.top
	}
	if first := s.Stream.First; first > p.At.Seq+1 {
		p.At = event.Ref{Seq: first - 1} // what lies below is gone
	}
	return p
}

// changedIn says why the stream is not the one that the entry speaks of, "" if it is.
func (e *LeaseEntry) changedIn(s *Survey) string {
	last := s.Stream.Last
	remade := e.Stream != nil && !e.Stream.Created.Equal(s.Stream.Created)
	switch {
	case e.Top.Seq > last:
		return fmt.Sprintf("it ends at sequence %d, message %d was known", last, e.Top.Seq)
	case e.Top.Known() && s.Top == Other:
		return fmt.Sprintf("sequence %d is another message now", e.Top.Seq)
	case e.FloorRef().Known() && s.Floor == Other:
		return fmt.Sprintf("sequence %d is another message now", e.Floor)
	case s.Other:
		return "sequences of messages that were known are others' now"
	case e.Top.Known():
		if s.Top == Absent && remade {
			return "no message is there that was known"
		}
		return ""
	// An entry of a build that did not tell messages, or nothing was ever known.
	case max(e.Floor, s.DurableFloor) > last:
		return fmt.Sprintf("it ends at sequence %d, events up to %d were settled", last, max(e.Floor, s.DurableFloor))
	case remade, e.Floor > 0 && !s.Durable:
		return "no consumer of the bridge is there"
	}
	return ""
}
