package bridge

import "context"

// Delivery is one event for one subscription, about to be attempted.
type Delivery struct {
	Subscription *Subscription
	Event        *Event
	Generation   uint64 // of the subscription (R12)
	Attempt      int    // 1 for the first
	Redrive      bool   // put back by an operator: outside the order of its lane
	Test         bool   // a sample that somebody asked for: no event of the bus
	Former       bool   // keeps the id that a former build gave it (ids.go)
	Known        string // of a redrive: the id that the dead letter tells, "" if it may not be used again
}

// ID is the same for every attempt of the delivery and another one for every
// other delivery (R11, ids.go).
func (d *Delivery) ID() string {
	switch {
	case d.Known != "":
		return d.Known
	case d.Test:
		return "test-" + deliveryID(d.Event.ID, d.Subscription.ID, d.Generation)
	case d.Former:
		if id := d.Event.formerID(d.Subscription.ID, d.Generation); id != "" {
			return id
		}
	}
	return deliveryID(d.Event.ID, d.Subscription.ID, d.Generation)
}

type deliveryKey struct{}

// WithDelivery returns a context that carries the delivery of a message.Message.
func WithDelivery(ctx context.Context, d *Delivery) context.Context {
	return context.WithValue(ctx, deliveryKey{}, d)
}

// DeliveryOf returns the delivery that WithDelivery put into the context, or nil.
func DeliveryOf(ctx context.Context) *Delivery {
	d, _ := ctx.Value(deliveryKey{}).(*Delivery)
	return d
}
