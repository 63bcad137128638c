package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"orderbridge/bridge"
	"orderbridge/config"
	"orderbridge/internal/audit"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
	"orderbridge/internal/telemetry"
)

// What the running program tells the audit.

func (a *app) newAudit(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, limits.CommandCallTime)
	defer cancel()
	if err := a.auditKey.Load(ctx, a.js, a.names); err != nil {
		a.log.Debug("the key of the audit is not there yet", "error", err)
	}
	holder, _ := a.holder()
	a.audit, err = audit.New(audit.Options{
		JetStream: a.js, Names: a.names, Key: &a.auditKey, Holder: holder, Metrics: a.metrics, Logger: a.log,
		Leading: func() bool {
			b := a.bridge.Load()
			return b != nil && b.Condition().Role == bridge.RoleLeader
		},
	})
	return err
}

// byFile is who changes the record that a configuration file makes.
func byFile(ctx context.Context) context.Context {
	return store.WithActor(ctx, store.Actor{Via: "bridge", Name: "webhook file"})
}

func (a *app) self() audit.Who {
	holder, _ := a.holder()
	return audit.Who{Via: "bridge", Name: holder, Vouched: "bridge"}
}

// tellStart says with what this program has started. Of the tokens it tells by a
// short digest whether one is another than at the start before.
func (a *app) tellStart() {
	details := map[string]string{"version": telemetry.Version().Version}
	for _, v := range config.Table() {
		if v.Set {
			details[v.Name] = v.Value
		}
	}
	if tokens, err := a.cfg.AllAPITokens(); err == nil {
		for _, t := range tokens {
			details["token "+t.Name] = strings.TrimSpace(a.auditKey.Digest(t.Secret.Reveal()) + " " + t.Tenant)
		}
	}
	a.audit.Note(audit.Note{Kind: "bridge", Action: "started", Who: a.self(), Text: "started: version " + details["version"] + ", " + count(len(details)-1, "setting"), Details: details})
}

// auditedAlerts tells the audit of records that have vanished.
type auditedAlerts struct {
	bridge.Alerts
	audit *audit.Auditor
}

func (x auditedAlerts) Raise(ctx context.Context, alert bridge.Alert) error {
	err := x.Alerts.Raise(ctx, alert)
	if err == nil && alert.Vanished {
		x.audit.Note(audit.Note{Kind: "record", Action: "vanished", Subscription: alert.Subscription, ID: "audit." + alert.ID, Who: audit.Who{Via: "bus"},
			Text: alert.Subscription + ": vanished without a deletion: " + alert.Text})
	}
	return err
}

// tellRedrive tells the audit of a dead letter that was put back.
func (a *app) tellRedrive(m *nats.Msg, r store.RedriveRequest, refused string) {
	if refused != "" {
		return // nothing was changed
	}
	who := a.audit.Asks(m)
	a.audit.Note(audit.Note{Kind: "letters", Action: "redrive", Subscription: r.Subscription, Tenant: who.Tenant, Who: who,
		Text:    fmt.Sprintf("%s: dead letter %d put back by %s", r.Subscription, r.Sequence, who),
		Details: map[string]string{"deadLetter": fmt.Sprint(r.Sequence)}})
}

// tellAdopt tells the audit of a change of the stream that was acknowledged.
func (a *app) tellAdopt(m *nats.Msg, adopted bridge.Adoption) {
	who := a.audit.Asks(m)
	what := "a change of the stream was acknowledged"
	if adopted.After > 0 {
		what += fmt.Sprintf(", the bridge begins after sequence %d", adopted.After)
	}
	a.audit.Note(audit.Note{Kind: "stream", Action: "adopt", Who: who, Text: "adopt by " + who.String() + ": " + what})
}

// takeNote answers a command that has done something on the bus by itself, and
// has it noted.
func (a *app) takeNote(b *bridge.Bridge, m *nats.Msg) {
	if b.Condition().Role != bridge.RoleLeader {
		return // the leader answers
	}
	var r noteRequest
	answer := noteAnswer{}
	switch err := json.Unmarshal(m.Data, &r); {
	case err != nil || r.Action != actionPurgeLetters || r.Count < 1 || r.Subscription != "" && checkID(r.Subscription) != nil:
		answer.Reason = "no such action is noted"
	case !a.audit.Allowed():
		answer.Reason = "too many at once"
	default:
		who := a.audit.Asks(m)
		which := r.Subscription
		if which == "" {
			which = "all subscriptions"
		}
		text := fmt.Sprintf("%s: %s removed by %s", which, count(r.Count, "dead letter"), who)
		a.audit.Note(audit.Note{Kind: "letters", Action: r.Action, Subscription: r.Subscription, Who: who, Text: text,
			Details: map[string]string{"count": fmt.Sprint(r.Count)}})
	}
	if data, err := json.Marshal(answer); err == nil {
		if err := m.Respond(data); err != nil {
			a.log.Warn("command could not be answered", "subject", m.Subject, "error", err)
		}
	}
}

const actionPurgeLetters = "purge-letters"

// noteRequest and noteAnswer are exchanged on <Names.Commands>.audit.
type noteRequest struct {
	Action       string `json:"action"`
	Subscription string `json:"subscription,omitempty"`
	Count        int    `json:"count"`
}

type noteAnswer struct {
	Reason string `json:"reason,omitempty"`
}

// noted has the leader write an entry about what this command has done; where
// nobody does, it says so.
func (s *session) noted(ctx context.Context, r noteRequest) error {
	ctx, cancel := context.WithTimeout(store.WithActor(ctx, whoRuns()), limits.CommandCallTime)
	defer cancel()
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	reply, err := store.Ask(ctx, s.js, s.names.Commands+".audit", body, nil)
	if err != nil {
		return fmt.Errorf("not in the audit: no bridge leads that would write it: %w", explain(err))
	}
	var answer noteAnswer
	if json.Unmarshal(reply, &answer) == nil && answer.Reason != "" {
		return fmt.Errorf("not in the audit: %s", printable(answer.Reason))
	}
	return nil
}
