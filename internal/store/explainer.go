package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
)

// Delivering is the bridge as it reads, matches and sends events.
type Delivering interface {
	Decode(m *event.Message) *event.Event
	SubjectFor(m *event.Message, tenant string) (subject string, assumed []string)
	Hears(ev *event.Event) ([]*record.Subscription, error)
	Explain(ctx context.Context, q bridge.Asked) bridge.Explanation
}

// Explainer answers who hears an event, and why others do not. Safe for
// concurrent use.
type Explainer struct {
	Catalog *Catalog
	Bridge  Delivering
	// Parse judges a record by the bridge's own settings.
	Parse func(id string, record []byte) (*record.Subscription, record.Problems)

	once  sync.Once
	turns chan struct{}
}

// Explain answers a question; the answer says why where it cannot be told.
func (e *Explainer) Explain(ctx context.Context, r ExplainRequest) ExplainAnswer {
	e.once.Do(func() { e.turns = make(chan struct{}, limits.ExplainAtOnce) })
	ctx, cancel := context.WithTimeout(ctx, limits.ExplainTime)
	defer cancel()
	select {
	case e.turns <- struct{}{}:
		defer func() { <-e.turns }()
	case <-ctx.Done():
		return ExplainAnswer{Reason: "too many explanations are asked for at once; try again in some seconds",
			Code: http.StatusTooManyRequests}
	}
	out, err := e.explain(ctx, r)
	if err != nil {
		reason, code := refusalOf(err)
		return ExplainAnswer{Reason: reason, Code: code}
	}
	return out
}

// scope is whose part may be told.
func (r *ExplainRequest) scope() Scope {
	if r.Tenant != "" {
		return OfTenant(r.Tenant)
	}
	return Everything()
}

func (e *Explainer) explain(ctx context.Context, r ExplainRequest) (out ExplainAnswer, err error) {
	var tenant string
	r.Limit = min(max(r.Limit, 0), limits.ExplainPage)
	if r.Limit == 0 {
		r.Limit = 20
	}
	r.Others = min(max(r.Others, 0), limits.ExplainOthers)
	var given *record.Subscription
	var problems record.Problems
	if len(r.Record) > 0 {
		given, problems = e.Parse(r.Subscription, r.Record)
		if given != nil && problems.Err() != nil {
			given = nil
		}
		if !r.scope().holds(tenantOf(r.Record)) {
			return out, fmt.Errorf("the record is not one of tenant %q: %w", r.Tenant, protocol.ErrNotFound)
		}
		tenant = tenantOf(r.Record)
	}
	if r.Subscription != "" && len(r.Record) == 0 && r.GivenEvent.Subject == "" {
		if named, err := e.Catalog.Record(ctx, r.scope(), r.Subscription); err == nil {
			tenant = named.Tenant()
		}
	}
	ev, told, err := e.event(ctx, r.GivenEvent, r.scope(), tenant)
	if err != nil {
		return out, err
	}
	out.Event = told
	switch {
	case len(r.Record) > 0:
		out.Hearing = []bridge.Explanation{e.Bridge.Explain(ctx, bridge.Asked{Event: ev, ID: r.Subscription,
			Subscription: given, Problems: problems, Body: limits.ExplainBodyBytes})}
	case r.Subscription != "":
		x, err := e.one(ctx, r.scope(), r.Subscription, ev, limits.ExplainBodyBytes)
		if err != nil {
			return out, err
		}
		out.Hearing = []bridge.Explanation{x}
	default:
		return out, e.all(ctx, r, ev, &out)
	}
	if out.Hearing[0].Hears {
		out.Count = 1
	}
	return out, nil
}

// event reads or makes the event that is asked about.
func (e *Explainer) event(ctx context.Context, g GivenEvent, scope Scope, tenant string) (*event.Event, *ExplainedEvent,
	error) {
	m, remarks, err := e.message(ctx, g, scope, tenant)
	if err != nil {
		return nil, nil, err
	}
	ev := e.Bridge.Decode(m)
	if g.Sequence > 0 && !scope.holds(ev.Tenant) {
		return nil, nil, noEvent(g.Sequence)
	}
	out := &ExplainedEvent{Sequence: m.Seq, Subject: event.Shown(m.Subject), PublisherID: ev.PublisherID, EventType: ev.Type,
		OrderID: ev.OrderID, LegacyOrderID: ev.LegacyOrderID, Tenant: ev.Tenant, Bytes: len(m.Data), Not: ev.Not,
		Remarks: remarks}
	if m.Seq > 0 {
		out.Published, out.EventID = &m.Time, ev.ID
	}
	if why := ev.Untold(); why != "" {
		out.Remarks = append(out.Remarks, "the event is of no tenant: "+why)
	}
	for _, name := range ev.Overlong() {
		out.Remarks = append(out.Remarks, ev.TooLong(name))
	}
	if body, err := ev.Body(); err != nil {
		out.Remarks = append(out.Remarks, "its body cannot be read: "+err.Error())
	} else if why := event.JSONProblem(body); why != "" {
		out.Remarks = append(out.Remarks, "its body is no JSON document: "+why)
	}
	return ev, out, nil
}

func (e *Explainer) message(ctx context.Context, g GivenEvent, scope Scope, tenant string) (*event.Message, []string, error) {
	if g.Sequence > 0 {
		m, err := msgget.BySeq(ctx, e.Catalog.js, e.Catalog.names.Stream, g.Sequence)
		if err != nil {
			if errors.Is(err, protocol.ErrNotFound) {
				err = noEvent(g.Sequence)
			}
			return nil, nil, fmt.Errorf("event %d: %w", g.Sequence, err)
		}
		return m, nil, nil
	}
	if g.none() {
		return nil, nil, &RefusedError{Code: http.StatusBadRequest,
			Reason: "which event? Give its sequence, or the event itself: {\"sequence\": 4711}, or {\"event\": {…}, \"subject\": \"orders.<tenant>.OrderAccepted.4711\", \"headers\": {…}}"}
	}
	m := &event.Message{Subject: g.Subject, Header: g.Headers, Data: g.Data}
	if len(g.Event) > 0 {
		m.Data = g.Event
	}
	if m.Subject != "" {
		return m, nil, nil
	}
	if own, confined := scope.Tenant(); confined {
		tenant = own
	}
	var assumed []string
	m.Subject, assumed = e.Bridge.SubjectFor(m, tenant)
	remark := "no subject was given: " + m.Subject + " is assumed, by ORDERBRIDGE_SUBJECT_LAYOUT"
	if len(assumed) > 0 {
		remark += "; the event tells no " + strings.Join(assumed, ", ")
	}
	return m, []string{remark}, nil
}

// one explains a subscription by its newest record and its status.
func (e *Explainer) one(ctx context.Context, scope Scope, id string, ev *event.Event, body int) (bridge.Explanation, error) {
	q := bridge.Asked{Event: ev, ID: id, Stored: true, Body: body}
	r, err := e.Catalog.Record(ctx, scope, id)
	gone := errors.Is(err, protocol.ErrNotFound)
	if err != nil && (!gone || !scope.all) {
		return bridge.Explanation{}, err
	}
	status, statusErr := e.Catalog.LastStatus(ctx, id)
	switch {
	case statusErr == nil:
		q.Status = &status
	case !errors.Is(statusErr, protocol.ErrNotFound):
		return bridge.Explanation{}, statusErr
	case gone:
		return bridge.Explanation{}, err
	}
	if !gone {
		q.Revision = r.Revision
		q.Subscription, q.Problems = e.Parse(id, r.Value)
		if q.Problems.Err() != nil {
			q.Subscription = nil
		}
	}
	return e.Bridge.Explain(ctx, q), nil
}

// all explains a page of those that hear the event, and some of those that do not.
func (e *Explainer) all(ctx context.Context, r ExplainRequest, ev *event.Event, out *ExplainAnswer) error {
	hearing, err := e.Bridge.Hears(ev)
	if err != nil {
		return err
	}
	ids := make([]string, 0, len(hearing))
	for _, s := range hearing {
		if r.scope().holds(s.Tenant) {
			ids = append(ids, s.ID)
		}
	}
	out.Count = len(ids)
	at, found := slices.BinarySearch(ids, r.After)
	if found {
		at++
	}
	size := 0
	out.Hearing, out.Next, err = e.page(ctx, r.scope(), ids[at:], r.Limit, ev, &size)
	if err != nil || r.Others == 0 || r.After != "" {
		return err
	}
	others, err := e.others(ctx, r, ev, ids)
	if err != nil {
		return err
	}
	out.Others, _, err = e.page(ctx, r.scope(), others, r.Others, ev, &size)
	return err
}

// page explains the first of some subscriptions.
func (e *Explainer) page(ctx context.Context, scope Scope, ids []string, limit int, ev *event.Event, size *int) (
	list []bridge.Explanation, next string, err error) {
	list = []bridge.Explanation{}
	for i, id := range ids[:min(limit, len(ids))] {
		x, err := e.one(ctx, scope, id, ev, limits.ExplainListBytes)
		switch {
		case errors.Is(err, protocol.ErrNotFound): // it went this moment
			continue
		case err != nil:
			return nil, "", err
		}
		list = append(list, x)
		told, err := json.Marshal(x)
		if err != nil {
			return nil, "", fmt.Errorf("explain %q: %w", id, err)
		}
		*size += len(told)
		if last := i == len(ids)-1; !last && (*size > limits.ExplainBytes || i == limit-1) {
			return list, id, nil
		}
	}
	return list, "", nil
}

// others are subscriptions of the event's tenant, or of all, that do not hear it.
func (e *Explainer) others(ctx context.Context, r ExplainRequest, ev *event.Event, hearing []string) (ids []string,
	err error) {
	f := Filter{Tenant: ev.Tenant}
	if _, confined := r.scope().Tenant(); confined {
		f.Tenant = ""
	}
	f.ID = func(id string) bool {
		_, hears := slices.BinarySearch(hearing, id)
		return !hears
	}
	records, _, err := e.Catalog.Records(ctx, r.scope(), f, "", r.Others, nil)
	if err == nil && f.Tenant != "" && len(records) < r.Others { // then those of others
		var more []Record
		more, _, err = e.Catalog.Records(ctx, r.scope(), Filter{ID: f.ID}, "", r.Others-len(records),
			func(r Record) bool { return r.Tenant() != ev.Tenant })
		records = append(records, more...)
	}
	for _, r := range records {
		ids = append(ids, r.ID)
	}
	return ids, err
}
