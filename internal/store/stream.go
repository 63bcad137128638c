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
// exchange on <Names.Commands>.stream, as JSON.
type StreamRequest struct {
	Adopt bool         `json:"adopt,omitempty"` // else only a report
	Begin bridge.Begin `json:"begin"`
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
		return answer, &RefusedError{answer.Reason}
	}
	return answer, nil
}

// HeldLease is the lease of a shard as it stands.
type HeldLease struct {
	Shard    protocol.Shard
	Value    []byte
	Revision uint64
}

// LeasesHeld are the leases of the present layout that are there, by number.
func (c *Catalog) LeasesHeld(ctx context.Context) ([]HeldLease, error) {
	leases := NewLeases(c.js, c.names, noMaker, nil)
	layout := protocol.Layout{Shards: 1}
	switch value, _, err := leases.Layout().Get(ctx); {
	case err != nil:
		return nil, err
	case value != nil:
		if layout, err = protocol.ParseLayout(value); err != nil {
			return nil, fmt.Errorf("key %q of bucket %q: %w", layoutKey, c.names.Lease, err)
		}
	}
	var held []HeldLease
	for k := range layout.Shards {
		s := layout.Shard(k)
		value, revision, err := leases.Shard(s).Get(ctx)
		if err != nil {
			return nil, err
		}
		if value != nil {
			held = append(held, HeldLease{s, value, revision})
		}
	}
	return held, nil
}

func noMaker(_ context.Context, bucket string) error {
	return fmt.Errorf("bucket %q: %w", bucket, protocol.ErrNotFound)
}

// AdoptLater writes a decision into a lease that nobody holds. protocol.ErrDeposed
// if it has changed since.
func (c *Catalog) AdoptLater(ctx context.Context, held HeldLease, a protocol.Adoption) error {
	value, err := protocol.AdoptLater(held.Value, a)
	if err != nil {
		return err
	}
	_, err = NewLeases(c.js, c.names, noMaker, nil).Shard(held.Shard).Put(ctx, value, held.Revision,
		"adopt:"+nats.NewInbox())
	return err
}
