package main

import (
	"context"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
	"orderbridge/config"
	"orderbridge/internal/store"
	"orderbridge/publishers"
)

// newAttemptLog makes what writes the delivery log, and lets it begin.
func (a *app) newAttemptLog() (err error) {
	if a.cfg.AttemptLog == config.AttemptsOff {
		return nil
	}
	holder, _ := a.holder()
	a.attempts, err = publishers.NewAttemptLog(publishers.AttemptLogOptions{Conn: a.nc, Subject: a.names.AttemptSubject,
		FailuresOnly: a.cfg.AttemptLog == config.AttemptsFailures, Replica: holder, Metrics: a.metrics, Logger: a.log})
	if err != nil {
		return err
	}
	// It ends after the bridge: what that hands over is written, too.
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.attempts.Run(ctx)
	}()
	a.endAttempts = func() {
		stop()
		<-done
	}
	return nil
}

// attemptLog is the bridge's; nil: there is none.
func (a *app) attemptLog() bridge.AttemptLog {
	if a.attempts == nil {
		return nil
	}
	return a.attempts
}

// attemptTest makes an attempt that somebody asked for, beside what is owed. What was
// sent and came back is in the context's bridge.Exchange, if it has one.
func (a *app) attemptTest(ctx context.Context, d *protocol.Delivery) error {
	x := bridge.ExchangeOf(ctx)
	if x == nil {
		x = &bridge.Exchange{}
		ctx = bridge.WithExchange(ctx, x)
	}
	m := message.NewMessage(d.Event.ID, d.Event.Data)
	m.SetContext(bridge.WithDelivery(ctx, d))
	err := a.webhook.Publish(d.Subscription.ID, m)
	if a.attempts == nil {
		return err
	}
	o := bridge.Judge(err, d.Subscription.PerOrderURL())
	outcome := bridge.OutcomeFailed
	switch o.Verdict {
	case protocol.Delivered:
		outcome = bridge.OutcomeDelivered
	case protocol.NotAttempted:
		outcome = bridge.OutcomeCut
	}
	entry := bridge.AttemptOf(d, time.Now(), outcome)
	entry.Status, entry.Reason = x.Status, o.Reason
	x.Tell(&entry)
	a.attempts.Log(&entry)
	return err
}

// logSubjects are the beginnings of the subjects that only the delivery log uses: with
// the permissions of a former build there is none, and everything else goes on.
func logSubjects(n store.Names) []string {
	subjects := []string{n.AttemptSubject + "."}
	for _, verb := range []string{"STREAM.INFO.", "STREAM.CREATE.", "STREAM.MSG.GET.", "CONSUMER.CREATE."} {
		subjects = append(subjects, jetstream.DefaultAPIPrefix+verb+n.Attempts)
	}
	return subjects
}
