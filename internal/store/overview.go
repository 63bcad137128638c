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
	Silent bool        `json:"silent,omitempty"` // its leader has not renewed the lease for limits.LeaderSilent
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
	sights, _, err := leases.sights(ctx)
	if err != nil {
		return nil, err
	}
	if len(sights) == 0 {
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
		o.Shards = append(o.Shards, o.shard(sights, o.Layout.Shard(k)))
	}
	for k := range o.Layout.Former {
		x := o.shard(sights, o.Layout.FormerShard(k))
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

func (o *Overview) shard(sights map[protocol.Shard]leaseSight, s protocol.Shard) ShardOverview {
	x := ShardOverview{Shard: s.Number}
	held := sights[sightKey(s)]
	e := held.Entry
	x.Epoch, x.Floor = e.Epoch, e.Floor
	x.Lag = o.Last - min(o.Last, e.Floor)
	if e.Free || e.Absent() {
		return x
	}
	x.Leader, x.Role, x.Silent = e.Holder, bridge.RoleTakingOver, held.silent()
	if e.Leading {
		x.Role = bridge.RoleLeader
	}
	for _, h := range o.Replicas {
		if h.Holder != e.Holder {
			continue
		}
		for _, led := range h.Leads {
			if h.Layout == s.Layout && led.Shard == s.Number && led.Epoch == e.Epoch {
				x.Since, x.Owed, x.Oldest = led.Since, &led.Owed, led.Oldest
			}
		}
	}
	return x
}

// Leaders says whether the shards are led, by the bus's own clock.
type Leaders struct {
	Time       time.Time `json:"time,omitzero"` // when it was so; zero: no bridge has led here
	Shards     int       `json:"shards"`
	Leaderless int       `json:"leaderless"`     // shards that nobody leads, or whose leader is silent
	TakingOver int       `json:"takingOver"`     // shards whose new leader delivers nothing yet, or the former of which are led
	Since      time.Time `json:"since,omitzero"` // when the first of the leaderless was led last; zero: none ever was
}

// Leaders reads whether the shards are led.
func (c *Catalog) Leaders(ctx context.Context) (Leaders, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.JetStreamTime)
	defer cancel()
	sights, now, err := NewLeases(c.js, c.names, noMaker, nil).sights(ctx)
	if err != nil {
		return Leaders{}, err
	}
	layout, err := c.Layout(ctx) // after the leases: one that is newer than they are is being changed to
	out := Leaders{Time: now, Shards: layout.Shards}
	changing := false // the former shards still go on, or have just been closed
	for k := range layout.Former {
		x := sights[sightKey(layout.FormerShard(k))]
		changing = changing || !layout.Done && !x.written.IsZero() && !x.silent()
	}
	for k := range layout.Shards {
		x := sights[sightKey(layout.Shard(k))]
		switch nobody := x.Entry.Absent() || x.Entry.Free; {
		case nobody && !changing, x.silent() && !nobody:
			if out.Leaderless++; !x.written.IsZero() && (out.Since.IsZero() || x.written.Before(out.Since)) {
				out.Since = x.written
			}
		case !x.Entry.Leading:
			out.TakingOver++
		}
	}
	if out.Since.After(out.Time) { // since the time was asked for
		out.Since = out.Time
	}
	return out, err
}

// leaseSight is a lease, when it was written, and how long ago that was, by the clock
// of the bus.
type leaseSight struct {
	protocol.LeaseSight
	written time.Time
	age     time.Duration
}

func (x leaseSight) silent() bool { return x.age > limits.LeaderSilent }

// sightKey is a shard as the key of its lease names it.
func sightKey(s protocol.Shard) protocol.Shard {
	return protocol.Shard{Layout: s.Layout, Number: s.Number}
}

// sights are the leases as they stand, and the time on the bus before they were read,
// since a slow bus makes no leader silent; none where there is none.
func (l *Leases) sights(ctx context.Context) (found map[protocol.Shard]leaseSight, now time.Time, err error) {
	info, err := msgget.Info(ctx, l.js, bucketStream(l.bucket))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, now, nil
	}
	if err != nil {
		return nil, now, err
	}
	all, err := l.entries(ctx, func(key string) bool { _, is := leaseShard(key); return is })
	if err != nil || len(all) == 0 {
		return nil, now, err
	}
	now, found = info.TimeStamp, map[protocol.Shard]leaseSight{}
	for key, x := range all {
		s, _ := leaseShard(key)
		found[s] = leaseSight{protocol.Sight(x.value, x.revision), x.written, now.Sub(x.written)}
	}
	return found, now, nil
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
