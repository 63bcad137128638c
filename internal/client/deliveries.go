package client

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/audit"
	"orderbridge/internal/store"
)

// mostItems are those of one page.
const mostItems = 500

func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

func limited(n int) string { return strconv.Itoa(min(max(n, 1), mostItems)) }

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// Owed lists what is owed, as many pages as the limit asks for.
func (c *Client) Owed(ctx context.Context, _ store.Scope, subscription, after string, limit int) (list []store.Debt,
	next string, err error) {
	for {
		var p page[store.Debt]
		err = c.get(ctx, "/api/v1/owed", values("subscription", subscription, "after", after, "limit",
			limited(limit-len(list))), &p)
		if err != nil {
			return nil, "", err
		}
		for _, d := range p.Items {
			if err := c.whole(d.Lane != nil || d.Reads != nil, nil); err != nil {
				return nil, "", err
			}
			d.Key = "" // the API's cursor stands for it
			list = append(list, d)
		}
		if p.Next == "" || p.Next == after || len(list) >= limit {
			return list, p.Next, nil
		}
		after = p.Next
	}
}

func letterPath(sequence uint64) string {
	return "/api/v1/dead-letters/" + strconv.FormatUint(sequence, 10)
}

// Letters lists dead letters.
func (c *Client) Letters(ctx context.Context, _ store.Scope, f store.LetterFilter, before uint64, limit int) (list []store.Letter,
	next uint64, err error) {
	var p page[store.Letter]
	err = c.get(ctx, "/api/v1/dead-letters", values("subscription", f.Subscription, "since", stamp(f.Since),
		"until", stamp(f.Until), "reason", f.Reason, "order", f.Order, "before", number(before), "limit", limited(limit)), &p)
	if err == nil && p.Next != "" {
		next, err = strconv.ParseUint(p.Next, 10, 64)
	}
	return p.Items, next, err
}

// Letter reads a dead letter with its event.
func (c *Client) Letter(ctx context.Context, _ store.Scope, sequence uint64) (l store.Letter, err error) {
	if err := c.get(ctx, letterPath(sequence), nil, &l); err != nil {
		return l, err
	}
	var envelope json.RawMessage
	err = c.get(ctx, letterPath(sequence)+"/envelope", nil, &envelope)
	l.Envelope = envelope
	return l, err
}

// Redrive puts a dead letter back as owed.
func (c *Client) Redrive(ctx context.Context, _ store.Scope, sequence uint64) (store.Letter, error) {
	l := store.Letter{Sequence: sequence}
	err := c.do(ctx, request{method: http.MethodPost, path: letterPath(sequence) + "/redrive"}, &l.DeadLetter)
	return l, err
}

// RemoveLetter removes a dead letter.
func (c *Client) RemoveLetter(ctx context.Context, sequence uint64) error {
	return c.do(ctx, request{method: http.MethodDelete, path: letterPath(sequence)}, nil)
}

// RemoveLetters removes those of a subscription, or of all.
func (c *Client) RemoveLetters(ctx context.Context, subscription string) (int, error) {
	var out struct {
		Removed int `json:"removed"`
	}
	err := c.do(ctx, request{method: http.MethodDelete, path: "/api/v1/dead-letters",
		query: values("subscription", subscription)}, &out)
	return out.Removed, err
}

// TellRemoved has nothing to do: the API has told it.
func (c *Client) TellRemoved(context.Context, store.RemovedRequest) error { return nil }

// attemptPage is a page of the delivery log as the API gives it.
type attemptPage struct {
	store.AttemptPage
	Next string `json:"next"`
}

func (c *Client) attempts(ctx context.Context, q store.AttemptQuery, more ...string) (store.AttemptPage, error) {
	var p attemptPage
	query := values(append([]string{"subscription", q.Subscription, "order", q.Order, "event", q.Event, "outcome",
		q.Outcome, "status", q.Status, "since", stamp(q.Since), "until", stamp(q.Until)}, more...)...)
	if err := c.get(ctx, "/api/v1/attempts", query, &p); err != nil {
		return store.AttemptPage{}, err
	}
	next, err := strconv.ParseUint("0"+p.Next, 10, 64)
	p.AttemptPage.Next = next
	return p.AttemptPage, err
}

// Attempts lists the delivery log, newest first, as many pages as the limit asks for.
func (c *Client) Attempts(ctx context.Context, _ store.Scope, q store.AttemptQuery, before uint64, limit int) (store.AttemptPage,
	error) {
	var all store.AttemptPage
	for {
		p, err := c.attempts(ctx, q, "after", number(before), "limit", limited(limit-len(all.Items)))
		if err != nil {
			return p, err
		}
		if all.Items == nil {
			all = p
		} else {
			all.Items, all.Next, all.Looked = append(all.Items, p.Items...), p.Next, all.Looked+p.Looked
		}
		if p.Next == 0 || len(p.Items) < mostItems || len(all.Items) >= limit {
			return all, nil
		}
		before = p.Next
	}
}

// AttemptsAbove lists what came after an entry.
func (c *Client) AttemptsAbove(ctx context.Context, _ store.Scope, q store.AttemptQuery, above uint64, limit int) (store.AttemptPage,
	error) {
	return c.attempts(ctx, q, "above", strconv.FormatUint(above, 10), "limit", limited(limit))
}

// Order tells the story of an order.
func (c *Client) Order(ctx context.Context, _ store.Scope, q store.OrderQuery) (*store.OrderStory, error) {
	var s store.OrderStory
	err := c.get(ctx, "/api/v1/orders", values("order", q.Order, "subscription", q.Subscription, "since",
		stamp(q.Since), "look", number(uint64(max(q.Look, 0)))), &s)
	return &s, err
}

// Overview says who leads what.
func (c *Client) Overview(ctx context.Context) (*store.Overview, error) {
	var o store.Overview
	err := c.get(ctx, "/api/v1/overview", nil, &o)
	return &o, err
}

// Layout is that of the overview.
func (c *Client) Layout(ctx context.Context) (protocol.Layout, error) {
	o, err := c.Overview(ctx)
	return o.Layout, err
}

// SetShards asks for another number of shards.
func (c *Client) SetShards(ctx context.Context, shards int) (l protocol.Layout, err error) {
	err = c.post(ctx, "/api/v1/shards", store.ShardsRequest{Set: shards}, &l)
	return l, err
}

// AskStream asks the leader of a shard about the stream.
func (c *Client) AskStream(ctx context.Context, r store.StreamRequest) (out store.StreamAnswer, err error) {
	err = c.post(ctx, "/api/v1/stream", r, &out)
	return out, c.whole(out.Adopted != nil || !r.Adopt, err)
}

// LeaseValue is for those who reach the bus.
func (c *Client) LeaseValue(context.Context, protocol.Shard) ([]byte, uint64, error) {
	return nil, 0, store.ErrNoLeader
}

// AdoptLater is for those who reach the bus.
func (c *Client) AdoptLater(context.Context, protocol.Shard, []byte, uint64, protocol.Adoption) error {
	return store.ErrNoLeader
}

// Audit reads the newest entries that a query wants.
func (c *Client) Audit(ctx context.Context, q audit.Query) (found audit.Found, err error) {
	err = c.get(ctx, "/api/v1/audit", values("subscription", q.Subscription, "action", q.Action, "who", q.Who, "since",
		stamp(q.Since), "from", number(q.From), "limit", limited(q.Limit)), &found)
	return found, err
}
