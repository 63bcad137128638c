package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

// attempt is what came of a sample.
type attempt struct {
	DeliveryID string `json:"deliveryId"`
	EventType  string `json:"eventType"`
	Success    bool   `json:"success"`
	Status     int    `json:"status,omitempty"` // of the endpoint's answer, if it was not a success
	Duration   int64  `json:"durationMs"`
	Reason     string `json:"reason,omitempty"` // why it was not a success
}

func (a *API) testWebhook(req *http.Request) (answer, error) {
	ctx := req.Context()
	c := callerOf(ctx)
	r, err := a.o.Catalog.Record(ctx, c.scope, req.PathValue("id"))
	if err != nil {
		return answer{}, err
	}
	s, problems := a.o.Parse(r.ID, r.Value)
	if s == nil || problems.Err() != nil {
		return answer{}, badRecord(problems)
	}
	generation := r.Revision
	if v, err := a.o.Catalog.Status(ctx, c.scope, r.ID); err == nil {
		generation = v.Generation
	}
	done, ok := a.outgo(ctx, c)
	if !ok {
		return answer{}, later(limits.APIOutgoWait, "too many requests to endpoints at once; try again in some seconds")
	}
	defer done()
	d := &protocol.Delivery{Subscription: s, Event: sample(s, a.o.Now()), Generation: generation, Attempt: 1, Test: true}
	out, err := a.attempt(ctx, d)
	return answer{body: out}, err
}

// outgo waits for the caller's turn to have us make a request: what is slow
// enough is not a scanner of ports. False if the caller asks for too much.
func (a *API) outgo(ctx context.Context, c *caller) (done func(), ok bool) {
	ctx, cancel := context.WithTimeout(ctx, limits.APIOutgoWait)
	defer cancel()
	if c.outgo.Wait(ctx) != nil {
		return nil, false
	}
	return a.pools.probes.Wait(ctx, c.share)
}

// attempt sends a sample once. The error is none of the endpoint's.
func (a *API) attempt(ctx context.Context, d *protocol.Delivery) (attempt, error) {
	out := attempt{DeliveryID: d.ID(), EventType: d.Event.Type}
	bounded, cancel := context.WithTimeout(ctx, limits.APITestTime)
	defer cancel()
	start := time.Now()
	err := a.o.Attempt(bounded, d)
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
	return out, nil
}

// sample is an event that the subscription might hear, marked as a test in its
// ids and its body.
func sample(s *record.Subscription, now time.Time) *event.Event {
	id := "test-" + uuid.NewString()
	typ := "OrderTest"
	for _, t := range s.Types {
		if !strings.Contains(t, "*") {
			typ = t
			break
		}
	}
	ev := &event.Event{ID: id, Type: typ, OrderID: id, LegacyOrderID: id, Tenant: s.Tenant}
	ev.Time, ev.Subject = now, "orders.test"
	body := object{{"orderId", quoteJSON(id)}, {"legacyOrderId", quoteJSON(id)}, {"eventType", quoteJSON(typ)},
		{"test", "true"}}
	if typ == gatewayType { // contract A10
		body = object{
			{"elapsedTime", "0"}, {"uuid", quoteJSON(id)}, {"seq", "0"},
			{"created", quoteJSON(now.UTC().Format("2006-01-02T15:04:05"))}, {"orderType", `"TEST"`},
			{"locationName", `"test"`},
			{"state", `"test"`}, {"stateStarted", quoteJSON(now.UTC().Format("2006-01-02T15:04:05"))},
			{"type", quoteJSON(typ)}, {"name", `"test"`}, {"test", "true"},
		}
	}
	ev.Data = body.bytes()
	return ev
}
