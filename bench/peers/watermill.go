package main

import (
	"context"

	"github.com/ThreeDotsLabs/watermill"
	wmhttp "github.com/ThreeDotsLabs/watermill-http/v2/pkg/http"
	wmnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
)

// runWatermill is what Watermill's manual shows: a subscriber, a publisher, a
// router between them. One subscription of its NATS subscriber handles one
// message at a time, so there are as many as requests may be in flight.
func runWatermill(ctx context.Context, s settings, ready func()) error {
	client, err := newClient(s)
	if err != nil {
		return err
	}
	subscriber, err := wmnats.NewSubscriber(wmnats.SubscriberConfig{
		URL:              s.NATS,
		QueueGroupPrefix: "watermill",
		SubscribersCount: s.InFlight,
		JetStream: wmnats.JetStreamConfig{
			DurablePrefix: "watermill", AckAsync: true,
			SubscribeOptions: []nats.SubOpt{nats.BindStream(s.Stream), nats.ManualAck(), nats.AckExplicit(), nats.DeliverAll()},
		},
	}, watermill.NopLogger{})
	if err != nil {
		return err
	}
	publisher, err := wmhttp.NewPublisher(wmhttp.PublisherConfig{
		MarshalMessageFunc: wmhttp.DefaultMarshalMessageFunc, Client: client}, watermill.NopLogger{})
	if err != nil {
		return err
	}
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	if err != nil {
		return err
	}
	router.AddHandler("deliver", s.Subject, subscriber, s.URL, publisher,
		func(m *message.Message) ([]*message.Message, error) { return []*message.Message{m}, nil })
	go func() {
		<-router.Running()
		ready()
	}()
	return router.Run(ctx)
}
