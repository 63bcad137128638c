package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
)

// Overview is who leads what, as it stands on the bus.
type Overview struct {
	Layout   protocol.Layout    `json:"layout"`
	Stream   string             `json:"stream"`
	Last     uint64             `json:"last"` // sequence of its last message
	Shards   []ShardOverview    `json:"shards"`
	Replicas []bridge.Heartbeat `json:"replicas"`
	// Former are the shards of the layout before that are not closed yet.
	Former []ShardOverview `json:"former,omitempty"`
}

// ShardOverview is one shard of it.
type ShardOverview struct {
	Shard  int         `json:"shard"`
	Leader string      `json:"leader,omitempty"` // absent: nobody
	Role   bridge.Role `json:"role,omitempty"`
	Silent bool        `json:"silent,omitempty"` // no heartbeat of the leader is there
	Epoch  uint64      `json:"epoch"`
	Floor  uint64      `json:"floor"` // everything up to here is settled
	Lag    uint64      `json:"lag"`   // messages above it
	Since  time.Time   `json:"since,omitzero"`
	Owed   *int        `json:"owed,omitempty"` // deliveries, as its leader says
	// Oldest is when the oldest event that is owed was published, as its leader says;
	// zero: nothing is owed, or it is not known.
	Oldest time.Time `json:"oldest,omitzero"`
}

// Overview reads who leads what. protocol.ErrNotFound if no bridge has been here.
func (c *Catalog) Overview(ctx context.Context) (*Overview, error) {
	return instead(ctx, c, c.overview, "overview", OverviewRequest{})
}

func (c *Catalog) overview(ctx context.Context) (*Overview, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*limits.JetStreamTime)
	defer cancel()
	leases := NewLeases(c.js, c.names, noMaker, nil)
	entries, err := leases.Leases(ctx)
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("lease: %w", protocol.ErrNotFound)
	}
	o := &Overview{Stream: c.names.Stream}
	if o.Layout, err = c.layout(ctx); err != nil {
		return nil, err
	}
	info, err := msgget.Info(ctx, c.js, c.names.Stream)
	switch {
	case err == nil:
		o.Last = info.State.LastSeq
	case !errors.Is(err, jetstream.ErrStreamNotFound):
		return nil, fmt.Errorf("stream %q: %w", c.names.Stream, err)
	}
	beats, err := leases.Beats(ctx)
	if err != nil {
		return nil, err
	}
	o.hear(beats)
	for k := range o.Layout.Shards {
		o.Shards = append(o.Shards, o.shard(entries, o.Layout.Shard(k)))
	}
	for k := range o.Layout.Former {
		x := o.shard(entries, o.Layout.FormerShard(k))
		if x.Leader != "" {
			o.Former = append(o.Former, x)
		}
	}
	return o, nil
}

// hear reads the heartbeats.
func (o *Overview) hear(beats []bridge.Beat) {
	o.Replicas = []bridge.Heartbeat{}
	for _, b := range beats {
		var h bridge.Heartbeat
		if json.Unmarshal(b.Value, &h) == nil {
			h.Holder = b.Holder
			o.Replicas = append(o.Replicas, h)
		}
	}
	slices.SortFunc(o.Replicas, func(a, b bridge.Heartbeat) int { return strings.Compare(a.Holder, b.Holder) })
}

func (o *Overview) shard(entries map[protocol.Shard]bridge.Entry, s protocol.Shard) ShardOverview {
	x := ShardOverview{Shard: s.Number}
	held := entries[protocol.Shard{Layout: s.Layout, Number: s.Number}]
	e := protocol.Sight(held.Value, held.Revision).Entry
	x.Epoch, x.Floor = e.Epoch, e.Floor
	x.Lag = o.Last - min(o.Last, e.Floor)
	if e.Free || e.Absent() {
		return x
	}
	x.Leader, x.Role, x.Silent = e.Holder, bridge.RoleTakingOver, true
	if e.Leading {
		x.Role = bridge.RoleLeader
	}
	for _, h := range o.Replicas {
		if h.Holder != e.Holder {
			continue
		}
		x.Silent = false
		for _, led := range h.Leads {
			if h.Layout == s.Layout && led.Shard == s.Number && led.Epoch == e.Epoch {
				x.Since, x.Owed, x.Oldest = led.Since, &led.Owed, led.Oldest
			}
		}
	}
	return x
}

// ShardsRequest and ShardsAnswer are what an operator's command and the leader of
// shard 0 exchange on <Names.Commands>.shards, as JSON.
type ShardsRequest struct {
	Set int `json:"set"`
}

// ShardsAnswer is the leader's answer.
type ShardsAnswer struct {
	Layout protocol.Layout `json:"layout"`
	Reason string          `json:"reason,omitempty"` // why it was refused
}

// SetShards asks the leader of shard 0 for another number of shards, and returns
// the layout as it is after that. ErrNoLeader if nobody answers (it may have been
// accepted all the same); a *RefusedError if it does not want to.
func (c *Catalog) SetShards(ctx context.Context, shards int) (protocol.Layout, error) {
	body, err := json.Marshal(ShardsRequest{shards})
	if err != nil {
		return protocol.Layout{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*limits.JetStreamTime)
	defer cancel()
	reply, err := c.askFirst(ctx, ".shards", body)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return protocol.Layout{}, ErrNoLeader
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return protocol.Layout{}, fmt.Errorf("%w that answers within %s; it may have accepted all the same", ErrNoLeader,
			2*limits.JetStreamTime)
	case err != nil:
		return protocol.Layout{}, fmt.Errorf("ask the leader: %w", err)
	}
	var answer ShardsAnswer
	if err := json.Unmarshal(reply, &answer); err != nil {
		return protocol.Layout{}, fmt.Errorf("the leader's answer cannot be read: %w", err)
	}
	if answer.Reason != "" {
		return answer.Layout, &RefusedError{Reason: answer.Reason}
	}
	return answer.Layout, nil
}

// askFirst asks the leader of shard 0 for something that may be done twice, again
// and again until ctx ends: while shards change hands nobody answers.
func (c *Catalog) askFirst(ctx context.Context, command string, body []byte) ([]byte, error) {
	for {
		once, cancel := context.WithTimeout(ctx, limits.JetStreamTime/4)
		reply, err := ask(once, c.js, c.names.Commands+command, body, c.key)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, nats.ErrTimeout) || ctx.Err() != nil {
			return reply, err
		}
	}
}
