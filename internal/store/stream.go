package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

// StreamRequest and StreamAnswer are what an operator's command and the leader
// of a shard exchange on <Names.Commands>.stream, as JSON.
type StreamRequest struct {
	Shard int          `json:"shard,omitempty"`
	Adopt bool         `json:"adopt,omitempty"` // else only a report
	Begin bridge.Begin `json:"begin"`
}

// StreamReportRequest asks on <Names.Commands>.stream-report for the report only, as
// those may who may not have the stream adopted.
type StreamReportRequest struct {
	Shard int `json:"shard,omitempty"`
}

// StreamAnswer is the leader's answer.
type StreamAnswer struct {
	Report  protocol.StreamReport `json:"report"`
	Adopted *protocol.Adoption    `json:"adopted,omitempty"`
	Reason  string                `json:"reason,omitempty"` // why it was refused
}

// AskStream asks the leader. ErrNoLeader if nobody answers; a *RefusedError if
// it does not want to.
func (c *Catalog) AskStream(ctx context.Context, r StreamRequest) (StreamAnswer, error) {
	var answer StreamAnswer
	body, err := json.Marshal(r)
	if err != nil {
		return answer, err
	}
	timeout := limits.JetStreamTime
	if r.Adopt {
		timeout = limits.AdoptTime
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	reply, err := ask(ctx, c.js, c.names.Commands+".stream", body, c.key)
	if !r.Adopt && errors.Is(err, nats.ErrPermissionViolation) {
		if body, err = json.Marshal(StreamReportRequest{r.Shard}); err == nil {
			reply, err = ask(ctx, c.js, c.names.Commands+".stream-report", body, c.key)
		}
	}
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return answer, ErrNoLeader
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return answer, fmt.Errorf("%w that answers within %s", ErrNoLeader, timeout)
	case err != nil:
		return answer, fmt.Errorf("ask the leader: %w", err)
	}
	if err := json.Unmarshal(reply, &answer); err != nil {
		return answer, fmt.Errorf("the leader's answer cannot be read: %w", err)
	}
	if answer.Reason != "" {
		return answer, &RefusedError{Reason: answer.Reason}
	}
	return answer, nil
}

// LeaseValue is the lease of a shard as it stands; nil if there is none.
func (c *Catalog) LeaseValue(ctx context.Context, s protocol.Shard) (value []byte, revision uint64, err error) {
	return NewLeases(c.js, c.names, noMaker, nil).Shard(s).Get(ctx)
}

// Layout is the layout as it stands; where no build has made one, it has one shard.
func (c *Catalog) Layout(ctx context.Context) (protocol.Layout, error) {
	var l protocol.Layout
	err := without(ctx, bucketStream(c.names.Lease), func(ctx context.Context) (err error) {
		l, err = c.layout(ctx)
		return err
	})
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return l, err
	}
	o, asked := c.Overview(ctx)
	switch {
	case errors.Is(asked, nats.ErrPermissionViolation):
		return l, err
	case asked != nil:
		return l, asked
	}
	return o.Layout, nil
}

func (c *Catalog) layout(ctx context.Context) (protocol.Layout, error) {
	value, _, err := NewLeases(c.js, c.names, noMaker, nil).Layout().Get(ctx)
	if err != nil || len(value) == 0 {
		return protocol.FirstLayout(1, true), err
	}
	l, err := protocol.ParseLayout(value)
	if err != nil {
		return l, fmt.Errorf("the key %q of bucket %q: %w", layoutKey, c.names.Lease, err)
	}
	return l, nil
}

func noMaker(_ context.Context, bucket string) error {
	return fmt.Errorf("bucket %q: %w", bucket, protocol.ErrNotFound)
}

// AdoptLater writes a decision into a lease that nobody holds. protocol.ErrDeposed
// if it has changed since.
func (c *Catalog) AdoptLater(ctx context.Context, s protocol.Shard, value []byte, revision uint64, a protocol.Adoption) error {
	value, err := protocol.AdoptLater(value, a)
	if err != nil {
		return err
	}
	_, err = NewLeases(c.js, c.names, noMaker, nil).Shard(s).Put(ctx, value, revision, "adopt:"+nats.NewInbox())
	return err
}
