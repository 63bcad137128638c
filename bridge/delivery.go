package bridge

import (
	"context"
	"strconv"
)

// Delivery is one event for one subscription, about to be attempted.
type Delivery struct {
	Subscription *Subscription
	Event        *Event
	Generation   uint64 // of the subscription (R12)
	Attempt      int    // 1 for the first
	Redrive      bool   // put back by an operator: outside the order of its lane
	Test         bool   // a sample that somebody asked for: no event of the bus
}

// ID is the same for every attempt of the delivery and another one for every
// other subscription (R11): event id, subscription and generation.
func (d *Delivery) ID() string {
	return deliveryID(d.Event, d.Subscription.ID, d.Generation)
}

func deliveryID(ev *Event, subscription string, generation uint64) string {
	return ev.ID + "." + subscription + "." + strconv.FormatUint(generation, 10)
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
