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
	Count        uint64    `json:"count,omitempty"` // of dead letters: how many there are of the kind
	Since        time.Time `json:"since,omitzero"`  // of the first of them
	Over         bool      `json:"over,omitempty"`  // it has ended
	Vanished     bool      `json:"-"`               // a record is gone though nobody has deleted it
	ID           string    `json:"-"`               // the same for the same thing: repeats are dropped
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
