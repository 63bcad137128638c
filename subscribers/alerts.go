package subscribers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/internal/limits"
)

// AlertsOptions are what Alerts are made from. All but Logger are needed.
type AlertsOptions struct {
	JetStream jetstream.JetStream
	Stream    string // of the alerts
	Prefix    string // begins the names of the durables
	Logger    *slog.Logger
}

// Alerts implements bridge.AlertFeed: a durable on the stream of alerts for each
// subscription that hears them, which the server keeps as long as the alerts.
type Alerts struct {
	o       AlertsOptions
	decoder event.Decoder
}

var _ bridge.AlertFeed = (*Alerts)(nil)

// NewAlerts makes it.
func NewAlerts(o AlertsOptions) *Alerts {
	return &Alerts{o: o, decoder: event.Decoder{Stream: o.Stream, SubjectLayout: "-", TypePaths: []string{},
		OrderIDPaths: []string{}, LegacyOrderIDPaths: []string{}, TenantPaths: []string{}}}
}

// Hear implements bridge.AlertFeed.
func (a *Alerts) Hear(ctx context.Context, subscription string, deliver func(ctx context.Context, ev *event.Event, attempt int) (again time.Duration)) error {
	cons, err := a.durable(ctx, subscription)
	if err != nil {
		return fmt.Errorf("hear the alerts for %q: %w", subscription, err)
	}
	for ctx.Err() == nil {
		msg, err := cons.Next(jetstream.FetchMaxWait(limits.AlertPull))
		switch {
		case errors.Is(err, jetstream.ErrNoMessages) || errors.Is(err, context.DeadlineExceeded):
			continue
		case err != nil:
			return fmt.Errorf("hear the alerts for %q: %w", subscription, err)
		}
		if err := a.one(ctx, msg, deliver); err != nil {
			a.o.Logger.Debug("an alert comes again", "subscription_id", subscription, "error", err)
		}
	}
	return nil
}

// one has one alert delivered, and tells the server what became of it.
func (a *Alerts) one(ctx context.Context, msg jetstream.Msg, deliver func(context.Context, *event.Event, int) time.Duration) error {
	meta, err := msg.Metadata()
	if err != nil {
		return errors.Join(err, msg.Term())
	}
	ev := a.decoder.Decode(&event.Message{Subject: msg.Subject(), Header: msg.Headers(), Data: msg.Data(), Seq: meta.Sequence.Stream, Time: meta.Timestamp})
	again := deliver(ctx, ev, int(meta.NumDelivered))
	switch {
	case ctx.Err() != nil && again > 0: // cut off: it was no attempt, but the server has counted it
		return msg.Nak()
	case again > 0:
		return msg.NakWithDelay(again)
	}
	confirm, cancel := context.WithTimeout(context.WithoutCancel(ctx), limits.AlertPull)
	defer cancel()
	return msg.DoubleAck(confirm)
}

// durable makes the consumer, or takes the one that there is: it goes on where it
// was. A new one begins with what comes.
func (a *Alerts) durable(ctx context.Context, subscription string) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.CommandCallTime)
	defer cancel()
	name := a.name(subscription)
	cons, err := a.o.JetStream.Consumer(ctx, a.o.Stream, name)
	if !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return cons, err
	}
	return a.o.JetStream.CreateConsumer(ctx, a.o.Stream, jetstream.ConsumerConfig{
		Durable: name, Description: "orderbridge: alerts for " + subscription,
		DeliverPolicy: jetstream.DeliverNewPolicy, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait:       limits.AlertAckWait, // longer than any attempt
		MaxAckPending: 1,                   // in order: what ends comes after what begins
		MaxDeliver:    -1, InactiveThreshold: limits.AlertAge,
	})
}

// Forget implements bridge.AlertFeed.
func (a *Alerts) Forget(ctx context.Context, subscription string) error {
	err := a.o.JetStream.DeleteConsumer(ctx, a.o.Stream, a.name(subscription))
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil
	}
	return err
}

func (a *Alerts) name(subscription string) string { return a.o.Prefix + subscription }
