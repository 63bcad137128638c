package bridge

import (
	"context"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
)

type deliveryKey struct{}

// WithDelivery returns a context that carries the delivery of a message.Message.
func WithDelivery(ctx context.Context, d *protocol.Delivery) context.Context {
	return context.WithValue(ctx, deliveryKey{}, d)
}

// DeliveryOf returns the delivery that WithDelivery put into the context, or nil.
func DeliveryOf(ctx context.Context) *protocol.Delivery {
	d, _ := ctx.Value(deliveryKey{}).(*protocol.Delivery)
	return d
}

type sourceKey struct{}

// WithSource returns a context that carries the bus message a
// message.Message was made from. Subscribers set it.
func WithSource(ctx context.Context, m *event.Message) context.Context {
	return context.WithValue(ctx, sourceKey{}, m)
}

// SourceOf returns the bus message that WithSource put into the context, or nil.
func SourceOf(ctx context.Context) *event.Message {
	m, _ := ctx.Value(sourceKey{}).(*event.Message)
	return m
}
