package protocol

import (
	"fmt"
	"time"
)

// Alert is something that an operator wants to be told, once.
type Alert struct {
	Kind         string    `json:"kind"`
	Subscription string    `json:"subscription"`
	Generation   uint64    `json:"generation"`
	Text         string    `json:"text"`
	Time         time.Time `json:"time"`
	Count        uint64    `json:"count,omitempty"`  // of dead letters: how many there are of the kind
	Since        time.Time `json:"since,omitzero"`   // of the first of them
	Over         bool      `json:"over,omitempty"`   // it has ended
	Key          string    `json:"key,omitempty"`    // the same for what begins and what ends; of what has no end, its own
	Tenant       string    `json:"tenant,omitempty"` // of the subscription
	Vanished     bool      `json:"-"`                // a record is gone though nobody has deleted it
	ID           string    `json:"-"`                // the same for the same thing: repeats are dropped
}

// The kinds of alerts.
const (
	AlertSuspended    = "suspended"
	AlertResumed      = "resumed"
	AlertInvalid      = "invalid"
	AlertDeadLettered = "dead-lettered"
	AlertRetention    = "retention"
	AlertExpired      = "expired"
	AlertState        = "state" // something befell the bridge's own state on the bus
	AlertBus          = "bus"   // a stream or bucket was changed, is gone or does not fit

	AlertStreamChanged = "stream-changed" // of the bridge, not of a subscription
	AlertMissed        = "missed"         // likewise
)

// AlertKinds are all of them.
var AlertKinds = []string{AlertSuspended, AlertResumed, AlertInvalid, AlertDeadLettered, AlertRetention, AlertExpired, AlertState, AlertBus, AlertStreamChanged, AlertMissed}

// raise tells the operators. what makes the alert of its kind and subscription
// the same or another one.
func (c *Machine) raise(kind string, s *sub, text, what string) {
	c.raiseFor(kind, s.id, s.gen, text, what)
}

// lasting are alerts of states that end: firing of a sub holds those that were told.
type lasting uint8

const (
	firingSuspended lasting = 1 << iota
	firingInvalid
	firingRetention
)

// fires tells of a state; ended tells of its end, under the same key.
func (s *sub) fires(x lasting, kind, text, what string) {
	s.firing |= x
	s.core.raiseAlert(Alert{Kind: kind, Subscription: s.id, Generation: s.gen, Text: text, Key: s.alertKey(kind)}, what)
}

func (s *sub) ended(x lasting, kind, of, text string) {
	if s.firing&x == 0 {
		return
	}
	s.firing &^= x
	c := s.core
	c.raiseAlert(Alert{Kind: kind, Subscription: s.id, Generation: s.gen, Text: text, Key: s.alertKey(of), Over: true}, c.nextID())
}

// outOf tells the end of what is over with a state, however it ended.
func (s *sub) outOf(now State) {
	what := "its record was put again"
	if now == StateDeleted || now == StateDeactivated || now == StatePaused || now == StateInvalid {
		what = "its record is " + string(now)
	}
	if now != StateSuspended {
		s.ended(firingSuspended, AlertResumed, AlertSuspended, what)
	}
	if now != StateInvalid {
		s.ended(firingInvalid, AlertInvalid, AlertInvalid, what)
	}
}

// wasTold takes note of what a predecessor has told.
func (s *sub) wasTold(state State) {
	switch state {
	case StateSuspended:
		s.firing |= firingSuspended
	case StateInvalid:
		s.firing |= firingInvalid
	}
}

func (s *sub) alertKey(kind string) string { return fmt.Sprintf("%s.%s.%d", kind, s.id, s.gen) }

// raiseAll tells what concerns the bridge as a whole.
func (c *Machine) raiseAll(kind, text, what string) { c.raiseFor(kind, wholeBridge, 0, text, what) }

func (c *Machine) raiseFor(kind, id string, gen uint64, text, what string) {
	c.raiseAlert(Alert{Kind: kind, Subscription: id, Generation: gen, Text: text}, what)
}

func (c *Machine) raiseAlert(a Alert, what string) {
	if c.figures.Alerts == nil {
		c.figures.Alerts = map[string]uint64{}
	}
	c.figures.Alerts[a.Kind]++
	a.Time, a.ID = c.now.Wall, fmt.Sprintf("%s.%s.%d.%s", a.Kind, a.Subscription, a.Generation, what)
	if a.Key == "" {
		a.Key = a.ID
	}
	if s := c.subs[a.Subscription]; s != nil {
		a.Tenant = s.rec.Tenant
	}
	c.emit(RaiseAlert{a})
}

// raiseState tells operators of something that befell the bridge's own state.
func (c *Machine) raiseState(text string) {
	if c.figures.Alerts == nil {
		c.figures.Alerts = map[string]uint64{}
	}
	c.figures.Alerts[AlertState]++
	c.emit(RaiseAlert{Alert{Kind: AlertState, Subscription: wholeBridge, Text: text, Time: c.now.Wall, ID: AlertState + "." + c.nextID()}})
}

// wholeBridge stands where an alert names a subscription and means all of them.
const wholeBridge = "-"

// raiseBus is raise for what concerns no single subscription.
func (c *Machine) raiseBus(in BusAlert) {
	if c.figures.Alerts == nil {
		c.figures.Alerts = map[string]uint64{}
	}
	c.figures.Alerts[in.Kind]++
	c.emit(RaiseAlert{Alert{Kind: in.Kind, Subscription: wholeBridge, Text: fmt.Sprintf("%s: %s", in.What, in.Text), Time: c.now.Wall, ID: in.Kind + "." + c.nextID()}})
}
