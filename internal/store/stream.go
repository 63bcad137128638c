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
	"orderbridge/internal/msgget"
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

// LeaseValue is the lease as it stands; nil if there is none.
func (c *Catalog) LeaseValue(ctx context.Context) (value []byte, revision uint64, err error) {
	m, err := msgget.Last(ctx, c.js, bucketStream(c.names.Lease), bucketSubject(c.names.Lease, leaseKey))
	if errors.Is(err, protocol.ErrNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read lease: %w", err)
	}
	if isMarker(m.Header) {
		return nil, m.Seq, nil
	}
	return m.Data, m.Seq, nil
}

func noMaker(_ context.Context, bucket string) error {
	return fmt.Errorf("bucket %q: %w", bucket, protocol.ErrNotFound)
}

// AdoptLater writes a decision into a lease that nobody holds. protocol.ErrDeposed
// if it has changed since.
func (c *Catalog) AdoptLater(ctx context.Context, value []byte, revision uint64, a protocol.Adoption) error {
	value, err := protocol.AdoptLater(value, a)
	if err != nil {
		return err
	}
	_, err = NewLease(c.js, c.names, noMaker, nil).Put(ctx, value, revision, "adopt:"+nats.NewInbox())
	return err
}
