package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
)

// replayKeys begin the keys of replays, which lie beside the lease: only bridges
// write there.
const replayKeys = "replay."

// Replays implements bridge.Replays on the bucket of the lease.
type Replays struct {
	js     jetstream.JetStream
	bucket string
}

var _ bridge.Replays = (*Replays)(nil)

// NewReplays reads and writes the replays under these names.
func NewReplays(js jetstream.JetStream, n Names) *Replays { return &Replays{js, n.Lease} }

// All implements bridge.Replays.
func (r *Replays) All(ctx context.Context) ([]bridge.StoredReplay, error) {
	var list []bridge.StoredReplay
	for next := uint64(1); ; {
		m, err := msgget.Next(ctx, r.js, bucketStream(r.bucket), next, storedSubject(replayKeys+"*"))
		if errors.Is(err, protocol.ErrNotFound) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read the replays in bucket %q: %w", r.bucket, err)
		}
		next = m.Seq + 1
		s := bridge.StoredReplay{Revision: m.Seq}
		if isMarker(m.Header) || json.Unmarshal(m.Data, &s.Replay) != nil || keyOf(m.Subject) != replayKeys+s.ID {
			continue
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b bridge.StoredReplay) int { return strings.Compare(a.ID, b.ID) })
	return list, nil
}

// Put implements bridge.Replays.
func (r *Replays) Put(ctx context.Context, x bridge.Replay, expect uint64) (uint64, error) {
	value, err := json.Marshal(x)
	if err != nil {
		return 0, err
	}
	return r.put(ctx, x.ID, value, expect)
}

// Remove implements bridge.Replays.
func (r *Replays) Remove(ctx context.Context, id string, expect uint64) error {
	_, err := r.put(ctx, id, nil, expect)
	return err
}

func (r *Replays) put(ctx context.Context, id string, value []byte, expect uint64) (uint64, error) {
	revision, err := putMarked(ctx, r.js, r.bucket, replayKeys+id, value, &expect, limits.ReplayKept)
	if errorCode(err) == codeWrongLastSequence {
		err = protocol.ErrDeposed
	}
	if err != nil {
		return 0, fmt.Errorf("write replay %s: %w", id, err)
	}
	return revision, nil
}

// ReplayCommand and ReplayAnswer are what a Catalog and the leader exchange on
// <Names.Commands>.replay, as JSON.
type ReplayCommand struct {
	bridge.ReplayRequest
	Stop string `json:"stop,omitempty"` // this replay is to end; else one is to begin
}

// ReplayAnswer says what was begun, or what would be sent.
type ReplayAnswer struct {
	Replay *bridge.Replay      `json:"replay,omitempty"` // nil: a dry run
	Count  *bridge.ReplayCount `json:"count,omitempty"`
}

// RewindAnswer says what the subscription owes from there on.
type RewindAnswer struct {
	Count *bridge.ReplayCount `json:"count"`
	Done  bool                `json:"done"` // false: a dry run
}

// commandAnswer is what the leader says: what was asked for, or why not.
type commandAnswer[T any] struct {
	Answer T      `json:"answer"`
	Reason string `json:"reason,omitempty"`
}

// askLeader asks the leader of the shard that is concerned. ErrNoLeader if nobody
// answers, a *RefusedError if it does not want to.
func askLeader[T any](ctx context.Context, c *Catalog, command string, request any) (answer T, err error) {
	body, err := json.Marshal(request)
	if err != nil {
		return answer, err
	}
	ctx, cancel := context.WithTimeout(ctx, limits.CommandCallTime)
	defer cancel()
	reply, err := ask(ctx, c.js, c.names.Commands+"."+command, body, c.key)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return answer, ErrNoLeader
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return answer, fmt.Errorf("%w that answers within %s; it may have done it all the same", ErrNoLeader, limits.CommandCallTime)
	case err != nil:
		return answer, fmt.Errorf("ask the leader: %w", err)
	}
	var a commandAnswer[T]
	if err := json.Unmarshal(reply, &a); err != nil {
		return answer, fmt.Errorf("the leader's answer cannot be read: %w", err)
	}
	if a.Reason != "" {
		return a.Answer, &RefusedError{Reason: a.Reason}
	}
	return a.Answer, nil
}

// Replay has a replay begun, or counts what it would send. Errors: see askLeader;
// protocol.ErrNotFound if there is no such subscription in the scope.
func (c *Catalog) Replay(ctx context.Context, scope Scope, r bridge.ReplayRequest) (ReplayAnswer, error) {
	if err := r.Check(nil); err != nil {
		return ReplayAnswer{}, &RefusedError{Reason: err.Error(), Code: http.StatusBadRequest}
	}
	if _, err := c.Record(ctx, scope, r.Subscription); err != nil {
		return ReplayAnswer{}, err
	}
	return askLeader[ReplayAnswer](ctx, c, "replay", ReplayCommand{ReplayRequest: r})
}

// StopReplay ends a replay, and returns it as it stands then.
func (c *Catalog) StopReplay(ctx context.Context, scope Scope, id string) (bridge.Replay, error) {
	r, err := c.ReplayOf(ctx, scope, id)
	if err != nil {
		return r, err
	}
	if r.State != bridge.ReplayRunning {
		return r, &RefusedError{Reason: fmt.Sprintf("replay %s has ended already: %s", id, r.State)}
	}
	if _, err = askLeader[ReplayAnswer](ctx, c, "replay", ReplayCommand{ReplayRequest: bridge.ReplayRequest{Subscription: r.Subscription}, Stop: id}); err != nil {
		return r, err
	}
	return c.ReplayOf(ctx, scope, id)
}

// Rewind sets a subscription back, or counts what it would owe then.
func (c *Catalog) Rewind(ctx context.Context, scope Scope, r bridge.RewindRequest) (RewindAnswer, error) {
	if err := r.Check(); err != nil {
		return RewindAnswer{}, &RefusedError{Reason: err.Error(), Code: http.StatusBadRequest}
	}
	if _, err := c.Record(ctx, scope, r.Subscription); err != nil {
		return RewindAnswer{}, err
	}
	return askLeader[RewindAnswer](ctx, c, "rewind", r)
}

// Replays lists those of one subscription or ("") of all, the newest first: at most
// limits.ReplaysKept of them are kept.
func (c *Catalog) Replays(ctx context.Context, scope Scope, subscription string) ([]bridge.Replay, error) {
	all, err := instead(ctx, c, func(ctx context.Context) ([]bridge.Replay, error) {
		stored, err := NewReplays(c.js, c.names).All(ctx)
		list := make([]bridge.Replay, len(stored))
		for i, r := range stored {
			list[i] = r.Replay
		}
		return list, err
	}, "replays", ReplaysRequest{Subscription: subscription})
	list := slices.DeleteFunc(all, func(r bridge.Replay) bool {
		return !scope.holds(r.Tenant) || subscription != "" && r.Subscription != subscription
	})
	slices.SortStableFunc(list, func(a, b bridge.Replay) int { return b.Asked.Compare(a.Asked) })
	return append([]bridge.Replay{}, list...), err
}

// ReplayOf reads one; protocol.ErrNotFound if there is none in the scope.
func (c *Catalog) ReplayOf(ctx context.Context, scope Scope, id string) (r bridge.Replay, err error) {
	if !safeID.MatchString(id) {
		return r, fmt.Errorf("replay %q: %w", id, protocol.ErrNotFound)
	}
	one, err := instead(ctx, c, func(ctx context.Context) ([]bridge.Replay, error) {
		e, err := readEntry(ctx, c.js, c.names.Lease, replayKeys+id)
		if err == nil {
			err = json.Unmarshal(e.Value, &r)
		}
		return []bridge.Replay{r}, err
	}, "replays", ReplaysRequest{ID: id})
	if len(one) == 1 {
		r = one[0]
	}
	if err == nil && !scope.holds(r.Tenant) {
		r, err = bridge.Replay{}, protocol.ErrNotFound
	}
	if err != nil {
		return r, fmt.Errorf("read replay %q: %w", id, err)
	}
	return r, nil
}

// ---- the bridge's side

func (c Commands) replay(ctx context.Context, m *nats.Msg, r ReplayCommand) any {
	by := c.Witness.Asked(m)
	var answer commandAnswer[ReplayAnswer]
	var err error
	if r.Stop != "" {
		err = c.Bridge.StopReplay(ctx, r.Subscription, r.Stop, by)
	} else {
		answer.Answer.Replay, answer.Answer.Count, err = c.Bridge.Replay(ctx, r.ReplayRequest, by)
	}
	switch {
	case errors.Is(err, bridge.ErrNotLeader):
		return nil
	case err != nil:
		answer.Reason = err.Error()
	case !r.DryRun:
		c.Witness.Replayed(m, r, answer.Answer.Replay)
	}
	return answer
}

func (c Commands) rewind(ctx context.Context, m *nats.Msg, r bridge.RewindRequest) any {
	n, err := c.Bridge.Rewind(ctx, r)
	answer := commandAnswer[RewindAnswer]{Answer: RewindAnswer{Count: n, Done: !r.DryRun && err == nil}}
	switch {
	case errors.Is(err, bridge.ErrNotLeader):
		return nil
	case err != nil:
		answer.Reason = err.Error()
	case !r.DryRun:
		c.Witness.Rewound(m, r, n)
	}
	return answer
}
