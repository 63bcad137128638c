package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

// TestRequest asks to send one event to the endpoint of a subscription, or of a
// record that is not stored, once. Without an event a sample is sent.
type TestRequest struct {
	GivenEvent
	Subscription string          `json:"subscription,omitempty"`
	Record       json.RawMessage `json:"record,omitempty"` // not stored, instead of the subscription's
	// Tenant confines it to a tenant's records and events. The asker's scope sets it.
	Tenant string `json:"tenant,omitempty"`
}

// TestAnswer is what came of it.
type TestAnswer struct {
	DeliveryID string                  `json:"deliveryId"`
	EventType  string                  `json:"eventType"`
	Success    bool                    `json:"success"`
	Status     int                     `json:"status,omitempty"` // of the endpoint's answer; 0: there was none
	Duration   int64                   `json:"durationMs"`
	Reason     string                  `json:"reason,omitempty"` // why it was not a success
	Remarks    []string                `json:"remarks,omitempty"`
	Request    *bridge.Request         `json:"request,omitempty"` // without its secrets; none: it could not be made
	Response   *bridge.AttemptResponse `json:"response,omitempty"`
	Timings    *bridge.AttemptTimings  `json:"timings,omitempty"`
	Code       int                     `json:"code,omitempty"` // of the reason why nothing was sent, as HTTP has it
}

// Tester sends events for tests. Safe for concurrent use.
type Tester struct {
	*Explainer
	// Attempt sends a delivery once, by the way that all deliveries go.
	Attempt func(ctx context.Context, d *protocol.Delivery) error
	// Preview makes the request of a delivery, to be shown.
	Preview func(d *protocol.Delivery, body int) (*bridge.Request, error)
	Now     func() time.Time
}

// Test sends an event once. The error is none of the endpoint's: protocol.ErrNotFound
// if there is no such subscription or event in the scope, a *RefusedError or the
// record.Problems of a record that cannot be used.
func (t *Tester) Test(ctx context.Context, scope Scope, r TestRequest) (TestAnswer, error) {
	s, now, err := t.subscription(ctx, scope, &r)
	if err != nil {
		return TestAnswer{}, err
	}
	d := &protocol.Delivery{Subscription: s, Generation: now.Generation, Attempt: 1, Test: true}
	var remarks []string
	if r.none() {
		d.Event = sample(s, t.Now())
	} else {
		ev, told, err := t.event(ctx, r.GivenEvent, scope, s.Tenant)
		if err != nil {
			return TestAnswer{}, err
		}
		if ev.Not != "" {
			return TestAnswer{}, &RefusedError{Code: http.StatusBadRequest,
				Reason: "the message is no event but a " + ev.Not + ": it is not sent to anybody"}
		}
		d.Event, remarks = asTest(ev), told.Remarks
		if !s.MatchesEvent(ev) {
			remarks = append(remarks, "it would not be sent otherwise: subjects, eventTypes or tenant do not match; explain says more")
		}
	}
	out, err := t.send(ctx, d)
	if out.Success && now.State == protocol.StateSuspended && len(r.Record) == 0 {
		if _, err := t.Catalog.RetryNow(ctx, scope, RetryNowRequest{Subscription: r.Subscription}); err != nil {
			remarks = append(remarks, "the subscription stays suspended for now: "+err.Error())
		} else {
			remarks = append(remarks, "the endpoint answers again: the subscription is suspended no longer")
		}
	}
	out.Remarks = remarks
	return out, err
}

// asTest is an event under an id of its own, so that no receiver takes it for the
// event itself.
func asTest(ev *event.Event) *event.Event {
	test := *ev
	test.ID = "test-" + uuid.NewString()
	return &test
}

// none: no event is given.
func (g *GivenEvent) none() bool {
	return g.Sequence == 0 && len(g.Event) == 0 && g.Data == nil && g.Subject == "" && len(g.Headers) == 0
}

// subscription is what is tested, and what the bridge says of it.
func (t *Tester) subscription(ctx context.Context, scope Scope, r *TestRequest) (s *record.Subscription,
	now protocol.Status, err error) {
	id, value, now := r.Subscription, []byte(r.Record), protocol.Status{Generation: 1}
	if len(value) == 0 {
		stored, err := t.Catalog.Record(ctx, scope, id)
		if err != nil {
			return nil, now, err
		}
		value, now.Generation = stored.Value, stored.Revision
		if v, err := t.Catalog.Status(ctx, scope, id); err == nil {
			now = v.Status
		}
	}
	if !scope.holds(tenantOf(value)) {
		return nil, now, fmt.Errorf("test a record: %w", protocol.ErrNotFound)
	}
	s, problems := t.Parse(id, value)
	if s == nil || problems.Err() != nil {
		return nil, now, problems.Errors()
	}
	return s, now, nil
}

// send makes one attempt and tells of it. The error is none of the endpoint's.
func (t *Tester) send(ctx context.Context, d *protocol.Delivery) (TestAnswer, error) {
	out := TestAnswer{DeliveryID: d.ID(), EventType: d.Event.Type}
	x := &bridge.Exchange{}
	bounded, cancel := context.WithTimeout(bridge.WithExchange(ctx, x), limits.APITestTime)
	defer cancel()
	start := time.Now()
	err := t.Attempt(bounded, d)
	out.Duration = time.Since(start).Milliseconds()
	var failed *bridge.AttemptError
	switch {
	case err == nil:
		out.Success = true
	case bounded.Err() != nil && ctx.Err() == nil:
		out.Reason = "timeout: no answer within " + limits.APITestTime.String() + ", which is as long as a test waits"
	case errors.As(err, &failed):
		out.Status, out.Reason = failed.Status, failed.Reason
	default:
		return out, err
	}
	told := bridge.Attempt{}
	x.Tell(&told)
	out.Response, out.Timings = told.Response, told.Timings
	if x.Status > 0 {
		out.Status = x.Status
	}
	if told.Request == nil || t.Preview == nil {
		return out, nil
	}
	if shown, err := t.Preview(d, limits.ExplainBodyBytes); err == nil {
		shown.Headers = told.Request.Headers
		out.Request = shown
	}
	return out, nil
}

func (a TestAnswer) refusal() int { return a.Code }

// Test asks a bridge to send an event once. ErrNoJudge if none answers; else the
// errors of Tester.Test.
func (c *Catalog) Test(ctx context.Context, scope Scope, r TestRequest) (TestAnswer, error) {
	var answer TestAnswer
	err := r.confine(scope, &r.Tenant, r.Record)
	if err != nil {
		return answer, err
	}
	err = c.question(ctx, "test", limits.APITestTime+limits.APIOutgoWait+limits.JudgeTime, r, &answer)
	return answer, err
}

// refusalOf is an error as an answer tells it.
func refusalOf(err error) (reason string, code int) {
	var no *RefusedError
	var problems record.Problems
	switch {
	case errors.As(err, &no):
		return no.Reason, cmp.Or(no.Code, http.StatusConflict)
	case errors.As(err, &problems):
		return problems.Error(), http.StatusBadRequest
	case errors.Is(err, protocol.ErrNotFound):
		return err.Error(), http.StatusNotFound
	case errors.Is(err, bridge.ErrNotRead), errors.Is(err, ErrBehind):
		return err.Error(), http.StatusServiceUnavailable
	}
	return Explain(err).Error(), http.StatusInternalServerError
}

// checkJSON makes sure that what is given as JSON is, if it is given.
func checkJSON(record, event json.RawMessage) error {
	for name, value := range map[string]json.RawMessage{"record": record, "event": event} {
		if len(value) > 0 && !json.Valid(value) {
			return &RefusedError{Reason: "the " + name + " is not JSON", Code: http.StatusBadRequest}
		}
	}
	return nil
}
