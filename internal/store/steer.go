package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/nats-io/nats.go"

	"orderbridge/bridge"
	"orderbridge/internal/limits"
	"orderbridge/internal/safetext"
)

// RetryNowRequest says whose waits are to end: those of a subscription, or of
// all (of the caller's scope) whose target URL leads to a host. With an order,
// only those of that order. One of Subscription, Order and Host is needed;
// Subscription and Host exclude each other.
type RetryNowRequest struct {
	Subscription string `json:"subscription,omitempty"`
	Order        string `json:"order,omitempty"` // id, or the lane as `owed list` shows it
	Host         string `json:"host,omitempty"`  // host or host:port
}

// RetryNowAnswer is what was done.
type RetryNowAnswer struct {
	Subscriptions int `json:"subscriptions"` // that had waited
	Orders        int `json:"orders"`        // of these, orders that had waited for their time
}

// SkipRequest names the head of an order that waits.
type SkipRequest struct {
	Subscription string `json:"subscription,omitempty"`
	Order        string `json:"order"`              // id, or the lane as `owed list` shows it
	Sequence     uint64 `json:"sequence,omitempty"` // that the head must have; 0: any
	Reason       string `json:"reason,omitempty"`   // for people: it goes into the dead letter
}

// SkipAnswer tells which event is a dead letter now.
type SkipAnswer struct {
	Subscription string `json:"subscription"`
	Order        string `json:"order"`
	Sequence     uint64 `json:"sequence"` // in the source stream
}

// retryNowCommand and retryNowReply are what a Catalog and the leader of a shard
// exchange on <Names.Commands>.retry-now, as JSON.
type retryNowCommand struct {
	RetryNowRequest
	Shard  int    `json:"shard,omitempty"`  // where no subscription is named
	Tenant string `json:"tenant,omitempty"` // whose subscriptions it may concern; "": everybody's
}

type retryNowReply struct {
	RetryNowAnswer
	Reason string `json:"reason,omitempty"` // why it was refused
}

// skipReply is the leader's answer to a SkipRequest on <Names.Commands>.skip.
type skipReply struct {
	SkipAnswer
	Reason string `json:"reason,omitempty"`
}

// RetryNow asks the leaders to end what subscriptions wait for. The error is a
// *RefusedError if nothing can be tried (a subscription that is paused, say),
// ErrNoLeader if nobody answers, protocol.ErrNotFound if there is no such
// subscription in the scope.
func (c *Catalog) RetryNow(ctx context.Context, scope Scope, r RetryNowRequest) (RetryNowAnswer, error) {
	var sum RetryNowAnswer
	if wrong := r.wrong(); wrong != "" {
		return sum, &RefusedError{Code: http.StatusBadRequest, Reason: wrong}
	}
	command := retryNowCommand{RetryNowRequest: r}
	if r.Subscription != "" {
		if err := c.mayCommand(ctx, scope, r.Subscription); err != nil {
			return sum, err
		}
		return c.retryNow(ctx, command)
	}
	tenant, confined := scope.Tenant()
	if command.Tenant = tenant; confined && tenant == "" {
		return sum, nil // the scope holds nothing
	}
	layout, err := c.Layout(ctx)
	if err != nil {
		return sum, err
	}
	for shard := range layout.Shards {
		command.Shard = shard
		one, err := c.retryNow(ctx, command)
		if err != nil {
			return sum, fmt.Errorf("shard %d: %w", shard, err)
		}
		sum.Subscriptions += one.Subscriptions
		sum.Orders += one.Orders
	}
	return sum, nil
}

// wrong says why a request cannot be meant; "" if it can.
func (r RetryNowRequest) wrong() string {
	switch {
	case r.Subscription == "" && r.Order == "" && r.Host == "":
		return "nothing is named: a subscription, an order or a host is needed"
	case r.Subscription != "" && r.Host != "":
		return "a subscription has one target: name it or a host, not both"
	case len(r.Order) > limits.RecordText || len(r.Host) > limits.RecordText:
		return fmt.Sprintf("the order or host has more than %d bytes", limits.RecordText)
	}
	return ""
}

// wrong says why a request cannot be meant; "" if it can.
func (r SkipRequest) wrong() string {
	if r.Order == "" {
		return "order: is empty; what has no order id is named by its lane, as `owed list -o json` shows it (key)"
	}
	return ""
}

// mayCommand makes sure that a subscription lies in the scope.
func (c *Catalog) mayCommand(ctx context.Context, scope Scope, id string) error {
	if scope.all && safeID.MatchString(id) {
		return nil // the leader knows also what is owed to a deleted one
	}
	_, err := c.Record(ctx, scope, id)
	return err
}

func (c *Catalog) retryNow(ctx context.Context, command retryNowCommand) (RetryNowAnswer, error) {
	var reply retryNowReply
	err := c.command(ctx, "retry-now", command, &reply)
	if err == nil && reply.Reason != "" {
		err = &RefusedError{Reason: reply.Reason}
	}
	return reply.RetryNowAnswer, err
}

// Skip asks the leader to make the head of an order that waits a dead letter; the
// rest of the order goes on. It returns when the letter is stored. The errors are
// those of RetryNow.
func (c *Catalog) Skip(ctx context.Context, scope Scope, r SkipRequest) (SkipAnswer, error) {
	if wrong := r.wrong(); wrong != "" {
		return SkipAnswer{}, &RefusedError{Code: http.StatusBadRequest, Reason: wrong}
	}
	if err := c.mayCommand(ctx, scope, r.Subscription); err != nil {
		return SkipAnswer{}, err
	}
	var reply skipReply
	err := c.command(ctx, "skip", r, &reply)
	if err == nil && reply.Reason != "" {
		err = &RefusedError{Reason: reply.Reason}
	}
	return reply.SkipAnswer, err
}

// command asks the leader that is concerned. ErrNoLeader if nobody answers in time;
// it may have been done all the same.
func (c *Catalog) command(ctx context.Context, name string, request, reply any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, steerTime)
	defer cancel()
	data, err := ask(ctx, c.js, c.names.Commands+"."+name, body, c.key)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return ErrNoLeader
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return fmt.Errorf("%w that answers within %s; it may have done it all the same", ErrNoLeader, steerTime)
	case err != nil:
		return fmt.Errorf("ask the leader: %w", err)
	}
	if err := json.Unmarshal(data, reply); err != nil {
		return fmt.Errorf("the leader's answer cannot be read: %w", err)
	}
	return nil
}

const steerTime = 2 * limits.JetStreamTime

// ---- the bridge's side

func (c Commands) retryNow(ctx context.Context, m *nats.Msg, r retryNowCommand) any {
	if wrong := r.wrong(); wrong != "" {
		return c.first(refusedAnswer{wrong, http.StatusBadRequest})
	}
	done, err := c.Bridge.RetryNow(ctx, r.Shard, bridge.RetryNow{Subscription: r.Subscription, Order: r.Order, Host: r.Host, Tenant: r.Tenant})
	switch {
	case errors.Is(err, bridge.ErrNotLeader):
		return nil
	case err != nil:
		return retryNowReply{Reason: err.Error()}
	}
	answer := RetryNowAnswer{done.Subscriptions, done.Orders}
	if r.Subscription != "" || done.Subscriptions > 0 || r.Shard == 0 { // of several shards, those that are concerned
		c.Witness.RetriedNow(m, r.RetryNowRequest, answer)
	}
	return retryNowReply{RetryNowAnswer: answer}
}

func (c Commands) skip(ctx context.Context, m *nats.Msg, r SkipRequest) any {
	if wrong := r.wrong(); wrong != "" {
		return c.first(refusedAnswer{wrong, http.StatusBadRequest})
	}
	sequence, err := c.Bridge.Skip(ctx, r.Subscription, r.Order, r.Sequence, skipReason(c.Witness.Asker(m), r.Reason))
	switch {
	case errors.Is(err, bridge.ErrNotLeader):
		return nil
	case err != nil:
		return skipReply{Reason: err.Error()}
	}
	answer := SkipAnswer{r.Subscription, r.Order, sequence}
	c.Witness.Skipped(m, r, answer)
	return skipReply{SkipAnswer: answer}
}

// skipReason is the reason of the dead letter of a head that somebody has skipped: one line.
func skipReason(who, why string) string {
	text := "skipped by " + who
	if why = strings.TrimSpace(why); why != "" {
		text += ": " + why
	}
	text = strings.Join(strings.Fields(safetext.Lines(text)), " ")
	if len(text) > limits.ReasonBytes {
		text = strings.ToValidUTF8(text[:limits.ReasonBytes], "")
	}
	return text
}
