package protocol

import (
	"orderbridge/bridge/event"
	"orderbridge/bridge/record"
)

// Delivery is one event for one subscription, about to be attempted.
type Delivery struct {
	Subscription *record.Subscription
	Event        *event.Event
	Generation   uint64 // of the subscription (R12)
	Attempt      int    // 1 for the first
	Redrive      bool   // put back by an operator: outside the order of its lane
	Test         bool   // a sample that somebody asked for: no event of the bus
	Former       bool   // keeps the id that a former build gave it (ids.go)
	Replay       string // the replay that sends it again; "": it is owed
	NewID        bool   // of a replay: under another id than before
	Known        string // of a redrive: the id that the dead letter tells, "" if it may not be used again

	id string // that KeepID has made
}

// ID is the same for every attempt of the delivery and another one for every
// other delivery (R11, ids.go).
func (d *Delivery) ID() string {
	switch {
	case d.id != "":
		return d.id
	case d.Known != "":
		return d.Known
	case d.Test:
		return "test-" + event.DeliveryID(d.Event.ID, d.Subscription.ID, d.Generation)
	case d.NewID:
		return "replay-" + event.DeliveryID(d.Event.ID+"/"+d.Replay, d.Subscription.ID, d.Generation)
	case d.Former:
		if id := d.Event.FormerID(d.Subscription.ID, d.Generation); id != "" {
			return id
		}
	}
	return event.DeliveryID(d.Event.ID, d.Subscription.ID, d.Generation)
}

// KeepID makes the id once for all who ask later, and returns it. Nothing that it
// is made of may change after that.
func (d *Delivery) KeepID() string {
	d.id = d.ID()
	return d.id
}
