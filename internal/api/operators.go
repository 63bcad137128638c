package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"orderbridge/bridge"
	"orderbridge/internal/store"
)

// operators are the operations for those who look after the bridge.
func (a *API) operators(h huma.API) {
	register(a, h, "listStatuses", http.MethodGet, "/api/v1/statuses", "List what the bridge says of each subscription",
		"In the order of their ids, a page at a time.", a.listStatuses)
	register(a, h, "getStatus", http.MethodGet, "/api/v1/statuses/{id}", "Get what the bridge says of a subscription",
		"Its state with the reason, and what is wrong with its record, member by member.", a.getStatus)
	register(a, h, "listOwed", http.MethodGet, "/api/v1/owed", "List what is owed",
		"Each order that waits for its next attempt, and each subscription that reads the stream at its own pace.", a.listOwed)
	register(a, h, "listDeadLetters", http.MethodGet, "/api/v1/dead-letters", "List dead letters",
		"The newest first, without their events.", a.listDeadLetters)
	register(a, h, "getDeadLetter", http.MethodGet, "/api/v1/dead-letters/{sequence}", "Get a dead letter",
		"With its event, as it was published.", a.getDeadLetter)
	register(a, h, "redriveDeadLetter", http.MethodPost, "/api/v1/dead-letters/{sequence}/redrive", "Put a dead letter back as owed",
		"Its subscription owes it again; the request is marked with X-Redrive and is outside the order of its lane.", a.redrive)
}

type statusList struct {
	Body struct {
		Items []store.Verdict `json:"items" nullable:"false"`
		Next  string          `json:"next,omitempty" doc:"What to give as after for the next page; left out on the last. A page may hold fewer than limit, or none, and yet have a next"`
	}
}

func (a *API) listStatuses(ctx context.Context, in *struct {
	PageQuery
	State string `query:"state" enum:"active,retrying,reading,suspended,deactivated,invalid,deleted" doc:"Only these"`
}) (*statusList, error) {
	done, err := a.listing(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	items, next, err := a.o.Catalog.Statuses(ctx, callerOf(ctx).scope, in.After, in.Limit, func(v store.Verdict) bool {
		return in.State == "" || string(v.State) == in.State
	})
	if err != nil {
		return nil, err
	}
	out := &statusList{}
	out.Body.Items, out.Body.Next = append([]store.Verdict{}, items...), next
	return out, nil
}

func (a *API) getStatus(ctx context.Context, in *WebhookID) (*struct{ Body store.Verdict }, error) {
	v, err := a.o.Catalog.Status(ctx, callerOf(ctx).scope, in.ID)
	return &struct{ Body store.Verdict }{v}, err
}

type owedList struct {
	Body struct {
		Items []store.Debt `json:"items" nullable:"false"`
		Next  string       `json:"next,omitempty" doc:"What to give as after for the next page; left out on the last. A page may hold fewer than limit, or none, and yet have a next"`
	}
}

func (a *API) listOwed(ctx context.Context, in *struct {
	PageQuery
	Subscription string `query:"subscription" maxLength:"64" doc:"Only what this one owes"`
}) (*owedList, error) {
	done, err := a.listing(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	items, next, err := a.o.Catalog.Owed(ctx, callerOf(ctx).scope, in.Subscription, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &owedList{}
	out.Body.Items, out.Body.Next = append([]store.Debt{}, items...), next
	return out, nil
}

type letterList struct {
	Body struct {
		Items []store.Letter `json:"items" nullable:"false"`
		Next  string         `json:"next,omitempty" doc:"What to give as before for the next page; left out on the last. A page may hold fewer than limit, or none, and yet have a next"`
	}
}

func (a *API) listDeadLetters(ctx context.Context, in *struct {
	Subscription string `query:"subscription" maxLength:"64" doc:"Only those of this one"`
	Before       uint64 `query:"before" doc:"Only those below this sequence: the next of the page before"`
	Limit        int    `query:"limit" minimum:"1" maximum:"500" default:"100" doc:"How many at most"`
}) (*letterList, error) {
	done, err := a.listing(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	items, next, err := a.o.Catalog.Letters(ctx, callerOf(ctx).scope, in.Subscription, in.Before, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &letterList{}
	out.Body.Items = append([]store.Letter{}, items...)
	if next > 0 {
		out.Body.Next = strconv.FormatUint(next, 10)
	}
	return out, nil
}

type letterID struct {
	Sequence uint64 `path:"sequence" minimum:"1" doc:"The sequence of the dead letter"`
}

// wholeLetter is a dead letter with its event.
type wholeLetter struct {
	store.Letter
	Event     json.RawMessage `json:"event,omitempty" doc:"The event as it was published: data, or data_base64 if it is not text; left out if it could not be kept"`
	Encoding  string          `json:"encoding,omitempty" doc:"bytes: each character of each text stands for a byte"`
	Truncated bool            `json:"truncated,omitempty" doc:"true: the event was too large to be kept, or too much of the stream is its owner's already"`
}

func (a *API) getDeadLetter(ctx context.Context, in *letterID) (*struct{ Body wholeLetter }, error) {
	l, err := a.o.Catalog.Letter(ctx, callerOf(ctx).scope, in.Sequence)
	if err != nil {
		return nil, err
	}
	out := &struct{ Body wholeLetter }{wholeLetter{Letter: l}}
	var envelope struct {
		Event     json.RawMessage `json:"event"`
		Encoding  string          `json:"encoding"`
		Truncated bool            `json:"truncated"`
	}
	if json.Unmarshal(l.Envelope, &envelope) == nil {
		out.Body.Event, out.Body.Encoding, out.Body.Truncated = envelope.Event, envelope.Encoding, envelope.Truncated
	}
	out.Body.Letter.Event = nil
	return out, nil
}

func (a *API) redrive(ctx context.Context, in *letterID) (*struct{ Body bridge.DeadLetter }, error) {
	l, err := a.o.Catalog.Redrive(ctx, callerOf(ctx).scope, in.Sequence)
	return &struct{ Body bridge.DeadLetter }{l.DeadLetter}, err
}

func tagOf(path string) string {
	switch {
	case isGateway(path):
		return "listeners"
	case len(path) >= len(webhooksPath) && path[:len(webhooksPath)] == webhooksPath:
		return "webhooks"
	}
	return "operators"
}
