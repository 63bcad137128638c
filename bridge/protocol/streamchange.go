package protocol

import (
	"fmt"
	"time"
)

// # R15, told
//
// Log, alert stream-changed, a reason in /readyz (which stays 200), a metric; kept in the lease until
// an operator runs orderbridge stream adopt, which may also say that the bridge begins later.

// StreamChange is what operators are told of a changed stream, until one of them has
// acknowledged it.
type StreamChange struct {
	Time        time.Time `json:"time"` // when it was seen
	Reason      string    `json:"reason"`
	Created     time.Time `json:"created"`               // of the stream as it is now
	Floor       uint64    `json:"floor"`                 // everything up to here was settled in the stream as it was
	Known       uint64    `json:"known"`                 // and this was its highest message known
	Position    uint64    `json:"position"`              // the bridge went on after this sequence
	Last        uint64    `json:"last"`                  // where the stream ended then
	Unsettled   uint64    `json:"unsettled,omitempty"`   // events, at most, that vanished before the feed had settled them
	Owed        uint64    `json:"owed,omitempty"`        // events, at most, that vanished before subscriptions had read them
	DeadLetters uint64    `json:"deadLetters,omitempty"` // deliveries of vanished events: now dead letters by reference
}

// String is the change in one sentence.
func (x StreamChange) String() string {
	s := fmt.Sprintf("the source stream has changed: %s; the bridge went on after sequence %d of %d (before: settled up to %d, known up to %d)", x.Reason, x.Position, x.Last, x.Floor, x.Known)
	if x.Unsettled+x.Owed+x.DeadLetters > 0 {
		s += fmt.Sprintf("; vanished: up to %d events that were under way, up to %d that subscriptions had still to read, %d deliveries of held orders (dead letters tell them)", x.Unsettled, x.Owed, x.DeadLetters)
	}
	return s
}

// tell is said when the term leads: the take-over may have been tried more than once.
func (c *Machine) tell() {
	if !c.changeMet {
		return
	}
	x := c.changes[len(c.changes)-1]
	text := x.String()
	c.log(Error, "the source stream has changed; `orderbridge stream adopt` acknowledges it", "what", text)
	c.raiseAll(AlertStreamChanged, text, fmt.Sprintf("%d-%d-%d", x.Created.UnixNano(), x.Known, x.Last))
}
