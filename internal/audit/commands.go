package audit

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/store"
)

var _ store.Witness = (*Auditor)(nil)

// Redriven implements store.Witness.
func (a *Auditor) Redriven(m *nats.Msg, r store.RedriveRequest) {
	who := a.Asks(m)
	a.Note(Note{Kind: "letters", Action: "redrive", Subscription: r.Subscription, Tenant: who.Tenant, Who: who,
		Text:    fmt.Sprintf("%s: dead letter %d put back by %s", r.Subscription, r.Sequence, who),
		Details: map[string]string{"deadLetter": fmt.Sprint(r.Sequence)}})
}

// Adopted implements store.Witness.
func (a *Auditor) Adopted(m *nats.Msg, adopted protocol.Adoption) {
	who := a.Asks(m)
	what := "a change of the stream was acknowledged"
	if adopted.After > 0 {
		what += fmt.Sprintf(", the bridge begins after sequence %d", adopted.After)
	}
	a.Note(Note{Kind: "stream", Action: "adopt", Who: who, Text: "adopt by " + who.String() + ": " + what})
}

// Resharded implements store.Witness.
func (a *Auditor) Resharded(m *nats.Msg, shards int, after protocol.Layout) {
	who := a.Asks(m)
	what := fmt.Sprintf("their number is to be %d", shards)
	if after.Want == shards {
		what += " once the change before is done"
	}
	a.Note(Note{Kind: "shards", Action: "set", Who: who, Text: "shards: " + what + ", set by " + who.String(),
		Details: map[string]string{"shards": fmt.Sprint(shards), "layout": fmt.Sprint(after.Generation)}})
}

// Removed implements store.Witness.
func (a *Auditor) Removed(m *nats.Msg, r store.RemovedRequest) (refused string) {
	if !a.asked.Allow() {
		return "too many at once"
	}
	who := a.Asks(m)
	which := r.Subscription
	if which == "" {
		which = "all subscriptions"
	}
	letters := "dead letters"
	if r.Count == 1 {
		letters = "dead letter"
	}
	a.Note(Note{Kind: "letters", Action: r.Action, Subscription: r.Subscription, Who: who,
		Text:    fmt.Sprintf("%s: %d %s removed by %s", which, r.Count, letters, who),
		Details: map[string]string{"count": fmt.Sprint(r.Count)}})
	return ""
}

// Alerts tells the audit of records that have vanished.
type Alerts struct {
	bridge.Alerts
	Audit *Auditor
}

// Raise implements bridge.Alerts.
func (x Alerts) Raise(ctx context.Context, alert protocol.Alert) error {
	err := x.Alerts.Raise(ctx, alert)
	if err == nil && alert.Vanished {
		x.Audit.Note(Note{Kind: "record", Action: "vanished", Subscription: alert.Subscription, ID: "audit." + alert.ID,
			Who:  Who{Via: "bus"},
			Text: alert.Subscription + ": vanished without a deletion: " + alert.Text})
	}
	return err
}
