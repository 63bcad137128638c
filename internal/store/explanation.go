package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/tidwall/gjson"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

// GivenEvent is an event that somebody asks about: one of the source stream, by
// its sequence, or any other, as a publisher would send it.
type GivenEvent struct {
	Sequence uint64 `json:"sequence,omitempty"`

	Subject string          `json:"subject,omitempty"` // "": made of the layout and what the event tells
	Headers EventHeaders    `json:"headers,omitempty"`
	Event   json.RawMessage `json:"event,omitempty"` // the payload, byte for byte, if it is JSON
	Data    []byte          `json:"data,omitempty"`  // else, in base64
}

// EventHeaders are headers of an event; in JSON a value is a text or a list of texts.
type EventHeaders map[string][]string

// UnmarshalJSON reads {"a": "b", "c": ["d", "e"]}.
func (h *EventHeaders) UnmarshalJSON(data []byte) error {
	var given map[string]json.RawMessage
	if err := json.Unmarshal(data, &given); err != nil {
		return fmt.Errorf("headers: %w", err)
	}
	*h = make(EventHeaders, len(given))
	for name, value := range given {
		var one string
		var many []string
		if json.Unmarshal(value, &one) == nil {
			many = []string{one}
		} else if err := json.Unmarshal(value, &many); err != nil {
			return fmt.Errorf("headers.%s is neither a text nor a list of texts", name)
		}
		(*h)[name] = many
	}
	return nil
}

// ExplainRequest asks who hears an event, and why the others do not. A command and
// a bridge exchange it as JSON; any replica answers.
type ExplainRequest struct {
	GivenEvent
	// Subscription asks about one only, also if it does not hear the event.
	Subscription string `json:"subscription,omitempty"`
	// Record asks about a record that is not stored, under the id Subscription.
	Record json.RawMessage `json:"record,omitempty"`
	// Others asks for so many records that do not hear it as well, at most 100.
	Others int `json:"others,omitempty"`
	// After and Limit are the page: subscriptions by id after that one. 0: 20; at most 100.
	After string `json:"after,omitempty"`
	Limit int    `json:"limit,omitempty"`
	// Tenant confines the answer to a tenant's records and events. The asker's scope sets it.
	Tenant string `json:"tenant,omitempty"`
}

// ExplainAnswer is the bridge's answer.
type ExplainAnswer struct {
	Event   *ExplainedEvent      `json:"event,omitempty"`
	Hearing []bridge.Explanation `json:"hearing,omitempty"` // those that hear it, by id; or the one that was asked about
	Others  []bridge.Explanation `json:"others,omitempty"`  // that do not
	Count   int                  `json:"count"`             // of all that hear it, before their filters are asked
	Next    string               `json:"next,omitempty"`    // where to go on
	Reason  string               `json:"reason,omitempty"`  // why there is no answer
	Code    int                  `json:"code,omitempty"`    // of that reason, as HTTP has it
}

// ExplainedEvent is what the bridge reads from an event.
type ExplainedEvent struct {
	Sequence      uint64     `json:"sequence,omitempty"`
	Published     *time.Time `json:"published,omitempty"`
	Subject       string     `json:"subject"`
	EventID       string     `json:"eventId,omitempty"`          // of the bus; none for an event that was given
	PublisherID   string     `json:"publisherEventId,omitempty"` // what its publisher calls it
	EventType     string     `json:"eventType,omitempty"`
	OrderID       string     `json:"orderId,omitempty"`
	LegacyOrderID string     `json:"legacyOrderId,omitempty"`
	Tenant        string     `json:"tenant,omitempty"`
	Bytes         int        `json:"bytes"`
	Not           string     `json:"not,omitempty"`     // what the message is that is not an event
	Remarks       []string   `json:"remarks,omitempty"` // what was assumed, or left out, and why
}

// confine makes a question ready that a scope asks about an event and a record.
func (g *GivenEvent) confine(scope Scope, tenant *string, record json.RawMessage) error {
	name, confined := scope.Tenant()
	if *tenant = name; confined && name == "" {
		return fmt.Errorf("ask about an event: %w", protocol.ErrNotFound)
	}
	if err := checkJSON(record, g.Event); err != nil {
		return err
	}
	if len(g.Event) > 0 { // JSON in JSON would not stay as it is
		g.Data, g.Event = g.Event, nil
	}
	return nil
}

// Explain asks a bridge who hears an event; protocol.ErrNotFound if there is no
// such event or subscription in the scope, ErrNoJudge if no bridge answers.
func (c *Catalog) Explain(ctx context.Context, scope Scope, r ExplainRequest) (ExplainAnswer, error) {
	var answer ExplainAnswer
	err := r.confine(scope, &r.Tenant, r.Record)
	if err != nil {
		return answer, err
	}
	err = c.question(ctx, "explain", limits.ExplainTime+limits.JudgeTime, r, &answer)
	return answer, err
}

// question asks any bridge; ErrNoJudge if none answers in time. Of those that have no
// time it is asked again for so long; then, and for any other code that an answer
// tells, there is a *RefusedError, or one that is protocol.ErrNotFound.
func (c *Catalog) question(ctx context.Context, name string, most time.Duration, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("ask a bridge: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	reply, err := c.askPatiently(ctx, name, body)
	switch {
	case errors.Is(err, nats.ErrNoResponders), err != nil && ctx.Err() != nil:
		return ErrNoJudge
	case errors.Is(err, nats.ErrMaxPayload):
		return &RefusedError{Reason: fmt.Sprintf("it is too large to be asked about: the bus takes %d bytes",
			c.js.Conn().MaxPayload()), Code: http.StatusRequestEntityTooLarge}
	case err != nil:
		return fmt.Errorf("ask a bridge: %w", err)
	}
	if err := json.Unmarshal(reply, answer); err != nil {
		return fmt.Errorf("the bridge's answer cannot be read: %w", err)
	}
	told := gjson.GetManyBytes(reply, "reason", "code")
	return toldError(told[0].String(), int(told[1].Int()))
}

// toldError is the error that an answer tells; nil for code 0.
func toldError(reason string, code int) error {
	switch code {
	case 0:
		return nil
	case http.StatusNotFound:
		return notThere(reason)
	}
	return &RefusedError{Reason: reason, Code: code}
}

// NotFound is what was not found in the words of the bridge that was asked, "" if it
// was not a bridge.
func NotFound(err error) string {
	var no notThere
	if errors.As(err, &no) {
		return no.Error()
	}
	return ""
}

// notThere is protocol.ErrNotFound in the words of whoever has not found it.
type notThere string

// noEvent is the same whether there is none or it is another tenant's.
func noEvent(sequence uint64) error {
	return notThere(fmt.Sprintf("the stream holds no event %d that you may see", sequence))
}

func (e notThere) Error() string { return string(e) }
func (notThere) Unwrap() error   { return protocol.ErrNotFound }
