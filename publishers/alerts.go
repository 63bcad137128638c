package publishers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/safetext"
)

// AlertsOptions are what Alerts are made from. JetStream and Subject are needed.
type AlertsOptions struct {
	JetStream jetstream.JetStream
	Subject   string        // alerts go to <Subject>.<kind>.<subscription>
	Source    string        // `source` of the CloudEvents. Default "/orderbridge"
	Timeout   time.Duration // of each request to the bus. Default 5 s
}

// Alerts implements bridge.Alerts: CloudEvents 1.0 on a stream of their own.
type Alerts struct{ options AlertsOptions }

var _ bridge.Alerts = (*Alerts)(nil)

// NewAlerts checks the options.
func NewAlerts(o AlertsOptions) (*Alerts, error) {
	switch {
	case o.JetStream == nil:
		return nil, errors.New("option JetStream is missing")
	case !isSubject(o.Subject):
		return nil, fmt.Errorf("option Subject is %q, which is not a subject", o.Subject)
	}
	if o.Source == "" {
		o.Source = "/orderbridge"
	}
	if o.Timeout == 0 {
		o.Timeout = limits.PublishTime
	}
	return &Alerts{options: o}, nil
}

// alertEvent is an alert as a structured CloudEvent.
type alertEvent struct {
	SpecVersion     string         `json:"specversion"`
	ID              string         `json:"id"`
	Source          string         `json:"source"`
	Type            string         `json:"type"` // orderbridge.alert.<kind>
	Subject         string         `json:"subject"`
	Time            time.Time      `json:"time"`
	DataContentType string         `json:"datacontenttype"`
	Data            protocol.Alert `json:"data"`
}

// Raise stores the alert; the server drops one whose id it has seen lately.
func (a *Alerts) Raise(ctx context.Context, alert protocol.Alert) error {
	body, err := json.Marshal(alertEvent{SpecVersion: "1.0", ID: alert.ID, Source: a.options.Source,
		Type:    "orderbridge.alert." + alert.Kind,
		Subject: alert.Subscription, Time: alert.Time.UTC(), DataContentType: "application/json", Data: alert})
	if err != nil {
		return fmt.Errorf("alert %s: %w", alert.ID, err)
	}
	msg := &nats.Msg{Subject: a.options.Subject + "." + alert.Kind + "." + alertToken(alert.Subscription),
		Data:   safetext.JSON(body),
		Header: nats.Header{"Content-Type": {"application/cloudevents+json"}, jetstream.MsgIDHeader: {alert.ID}}}
	if err := publishConfirmed(ctx, a.options.JetStream, a.options.Timeout, msg); err != nil {
		return fmt.Errorf("alert %s: %w", alert.ID, err)
	}
	return nil
}

// alertToken keeps an odd key of the records' bucket within one token.
func alertToken(id string) string {
	return strings.Map(func(r rune) rune {
		if r == '.' || r == '*' || r == '>' || r <= ' ' || r >= 0x7f {
			return '_'
		}
		return r
	}, id)
}
