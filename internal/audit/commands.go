package audit

import (
	"context"
	"fmt"
	"strings"

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

// Asker implements store.Witness.
func (a *Auditor) Asker(m *nats.Msg) string { return a.Asks(m).String() }

// RetriedNow implements store.Witness.
func (a *Auditor) RetriedNow(m *nats.Msg, r store.RetryNowRequest, done store.RetryNowAnswer) {
	who := a.Asks(m)
	details := map[string]string{"subscriptions": fmt.Sprint(done.Subscriptions), "orders": fmt.Sprint(done.Orders)}
	what := r.Subscription
	if r.Host != "" {
		what, details["host"] = "host "+r.Host, r.Host
	}
	if r.Order != "" {
		what, details["order"] = strings.TrimSpace(what+" order "+r.Order), r.Order
	}
	a.Note(Note{Kind: "steer", Action: "retry-now", Subscription: r.Subscription, Tenant: who.Tenant, Who: who, Details: details,
		Text: fmt.Sprintf("%s: retried now by %s: %d subscriptions and %d orders had waited", what, who, done.Subscriptions, done.Orders)})
}

// Skipped implements store.Witness.
func (a *Auditor) Skipped(m *nats.Msg, r store.SkipRequest, done store.SkipAnswer) {
	who := a.Asks(m)
	details := map[string]string{"order": r.Order, "sequence": fmt.Sprint(done.Sequence)}
	if r.Reason != "" {
		details["reason"] = r.Reason
	}
	a.Note(Note{Kind: "steer", Action: "skip", Subscription: r.Subscription, Tenant: who.Tenant, Who: who, Details: details,
		Text: fmt.Sprintf("%s: sequence %d, the head of order %s, made a dead letter by %s", r.Subscription, done.Sequence, r.Order, who)})
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

// Asked implements store.Witness.
func (a *Auditor) Asked(m *nats.Msg) string { return a.Asks(m).String() }

// Replayed implements store.Witness.
func (a *Auditor) Replayed(m *nats.Msg, r store.ReplayCommand, begun *bridge.Replay) {
	who := a.Asks(m)
	n := Note{Kind: "replays", Action: "replay", Subscription: r.Subscription, Tenant: who.Tenant, Who: who}
	if begun != nil {
		n.Text = fmt.Sprintf("%s: replay %s of sequences %d to %d begun by %s", r.Subscription, begun.ID, begun.From, begun.Until, who)
		n.Details = map[string]string{"replay": begun.ID, "from": fmt.Sprint(begun.From), "until": fmt.Sprint(begun.Until), "ids": begun.IDs}
	} else {
		n.Action = "stop-replay"
		n.Text = fmt.Sprintf("%s: replay %s stopped by %s", r.Subscription, r.Stop, who)
		n.Details = map[string]string{"replay": r.Stop}
	}
	a.Note(n)
}

// Rewound implements store.Witness.
func (a *Auditor) Rewound(m *nats.Msg, r bridge.RewindRequest, n *bridge.ReplayCount) {
	who := a.Asks(m)
	a.Note(Note{Kind: "replays", Action: "rewind", Subscription: r.Subscription, Tenant: who.Tenant, Who: who,
		Text:    fmt.Sprintf("%s: set back to sequence %d by %s", r.Subscription, n.From, who),
		Details: map[string]string{"from": fmt.Sprint(n.From)}})
}
