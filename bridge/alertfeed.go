package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

// The alerts that are stored are delivered to the records that hear them by the leader of
// their shard, beside the machine: one after another, in the order in which they
// were raised, each until the endpoint takes it or its attempts are used up. What
// becomes of them raises no alert: they do not loop.

// AlertFeed brings the stored alerts to the subscriptions that hear them.
type AlertFeed interface {
	// Hear calls deliver with each alert that the subscription has not had, one after
	// another, and goes on until ctx ends (nil) or the bus refuses. attempt is 1 for
	// the first. again > 0: the same alert comes again after that time; else it is
	// done. Where the subscription is in the feed is kept on the bus; one that is new
	// begins with what comes.
	Hear(ctx context.Context, subscription string, deliver func(ctx context.Context, ev *event.Event, attempt int) (again time.Duration)) error
	// Forget drops where the subscription is.
	Forget(ctx context.Context, subscription string) error
}

// alertSchedule is how long is waited before an alert is tried again, where the record
// says nothing: an alert of yesterday helps nobody.
var alertSchedule = []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute}

// hearing is one subscription of a term that hears alerts.
type hearing struct {
	rec    *record.Subscription
	told   *protocol.AlertTrouble // what the machine was told; nil: nothing yet
	cancel context.CancelFunc
	done   chan struct{}
}

// hearAlerts follows which records of the shard hear alerts, until the term ends.
func (t *term) hearAlerts() {
	running := map[string]*hearing{}
	tick := time.NewTicker(limits.AlertLook)
	defer tick.Stop()
	for {
		t.followHearers(running)
		select {
		case <-t.ctx.Done():
			for _, h := range running {
				<-h.done // their contexts end with the term's
			}
			return
		case <-tick.C:
		}
	}
}

func (t *term) followHearers(running map[string]*hearing) {
	present := map[string]bool{}
	for i, rec := range t.core.Directory.Alerts() {
		present[rec.ID] = true
		h := running[rec.ID]
		if h != nil && h.rec == rec {
			continue
		}
		if h != nil {
			h.stop()
			delete(running, rec.ID)
		}
		switch {
		case rec.Inactive: // what is raised meanwhile is not for it
			t.forgetAlerts(rec.ID)
		case rec.Paused:
		case i >= limits.AlertHearers:
			t.logger.Warn("too many records hear alerts: this one hears none", "subscription_id", rec.ID, "most", limits.AlertHearers)
		default:
			running[rec.ID] = t.hear(rec)
			continue
		}
		running[rec.ID] = &hearing{rec: rec, cancel: func() {}, done: closed}
	}
	for id, h := range running {
		if !present[id] {
			h.stop()
			delete(running, id)
			t.forgetAlerts(id)
		}
	}
}

func (h *hearing) stop() {
	h.cancel()
	<-h.done
}

func (t *term) forgetAlerts(id string) {
	ctx, cancel := t.call(limits.TermCallTime)
	defer cancel()
	if err := t.b.o.AlertFeed.Forget(ctx, id); err != nil && t.ctx.Err() == nil {
		t.logger.Debug("where the subscription is in the alerts is kept for now", "subscription_id", id, "error", err)
	}
}

// hear delivers to one subscription until it is stopped, over whatever befalls the bus.
func (t *term) hear(rec *record.Subscription) *hearing {
	ctx, cancel := context.WithCancel(t.ctx)
	h := &hearing{rec: rec, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(h.done)
		for ctx.Err() == nil {
			err := t.b.o.AlertFeed.Hear(ctx, rec.ID, func(ctx context.Context, ev *event.Event, attempt int) time.Duration {
				return t.deliverAlert(ctx, h, ev, attempt)
			})
			if err != nil && ctx.Err() == nil {
				t.logger.Debug("the alerts cannot be heard now", "subscription_id", rec.ID, "error", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(limits.AlertLook):
			}
		}
	}()
	return h
}

// deliverAlert makes one attempt; again > 0: it is to be tried once more.
func (t *term) deliverAlert(ctx context.Context, h *hearing, ev *event.Event, attempt int) (again time.Duration) {
	rec := h.rec
	var a struct {
		Data struct{ Subscription, Tenant string }
	}
	if json.Unmarshal(ev.Data, &a) != nil || !rec.HearsAlert(ev, a.Data.Subscription, a.Data.Tenant) {
		return 0
	}
	schedule := alertSchedule
	if rec.More != nil && rec.More.Schedule != nil {
		schedule = rec.More.Schedule
	}
	err := t.sendAlert(ctx, &protocol.Delivery{Subscription: rec, Event: ev, Attempt: attempt})
	switch {
	case errors.Is(err, errUnwanted):
		return 0
	case err != nil && ctx.Err() != nil: // cut off
		return time.Second
	}
	o := Judge(err, false)
	if o.Verdict == protocol.NotAttempted {
		return time.Second
	}
	again, trouble := t.alertEnded(rec, ev, attempt, o, schedule)
	if h.told == nil || *h.told != trouble {
		h.told = &trouble
		t.post(protocol.AlertsHeard{Subscription: rec.ID, Trouble: trouble})
	}
	return again
}

// errUnwanted says that the filter rejects an alert.
var errUnwanted = errors.New("the filter rejects it")

func (t *term) sendAlert(ctx context.Context, d *protocol.Delivery) error {
	ctx, cancel := context.WithTimeout(WithDelivery(ctx, d), d.Subscription.AttemptTimeout())
	defer cancel()
	switch wanted, err := t.b.o.wants(ctx, d); {
	case err != nil:
		return err
	case !wanted:
		return errUnwanted
	}
	m := message.NewMessage(d.KeepID(), d.Event.Data)
	m.SetContext(ctx)
	return t.b.o.Publisher.Publish(d.Subscription.ID, m)
}

// alertEnded says what becomes of an alert after an attempt, and what the status tells of it.
func (t *term) alertEnded(rec *record.Subscription, ev *event.Event, attempt int, o protocol.Outcome, schedule []time.Duration) (again time.Duration, trouble protocol.AlertTrouble) {
	log := t.logger.With("subscription_id", rec.ID, "event_id", ev.ID, "event_type", ev.Type, "attempt", attempt, "status", o.Status)
	trouble.Reason = o.Reason
	switch {
	case o.Verdict == protocol.Delivered:
		t.b.crew.r.alerts.delivered.Add(1)
		log.Debug("alert delivered")
		return 0, protocol.AlertTrouble{}
	case o.Verdict == protocol.GiveUp, o.Verdict == protocol.SuspendedByReceiver, attempt > len(schedule):
		t.b.crew.r.alerts.dropped.Add(1)
		log.Warn("alert given up", "reason", o.Reason)
		return 0, trouble
	}
	t.b.crew.r.alerts.failed.Add(1)
	again, trouble.Waits = max(schedule[attempt-1], o.RetryAfter, time.Millisecond), true
	log.Info("alert not delivered", "reason", o.Reason, "retry_in_ms", again.Milliseconds())
	return again, trouble
}

// alertCounts count what became of alerts that were to be delivered, of all shards.
type alertCounts struct{ delivered, failed, dropped atomic.Uint64 }

// AlertCounts are how many alerts were delivered to records that hear them, how many
// attempts failed, and how many alerts were given up.
type AlertCounts struct{ Delivered, Failed, Dropped uint64 }

func (c *alertCounts) now() AlertCounts {
	return AlertCounts{c.delivered.Load(), c.failed.Load(), c.dropped.Load()}
}
