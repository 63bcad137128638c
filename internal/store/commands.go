package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/nats-io/nats.go"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

// Leader is what operators ask the bridge that leads.
type Leader interface {
	LeadsFirst() bool
	Redrive(ctx context.Context, subscription string, generation, sequence uint64) error
	Stream(ctx context.Context, shard int) (protocol.StreamReport, error)
	Adopt(ctx context.Context, shard int, begin bridge.Begin) (protocol.Adoption, error)
	SetShards(ctx context.Context, shards int) (protocol.Layout, error)
}

// Witness is told of the commands that were carried out, with the message in
// which each came.
type Witness interface {
	Redriven(m *nats.Msg, r RedriveRequest)
	Adopted(m *nats.Msg, a protocol.Adoption)
	Resharded(m *nats.Msg, shards int, after protocol.Layout)
	// Removed is asked to note what a command has done by itself; refused says
	// why it does not, "" if it does.
	Removed(m *nats.Msg, r RemovedRequest) (refused string)
}

// Commands is the bridge's side of what a Catalog asks over the bus, below
// Names.Commands: redrive and stream, which the leader of the shard that is
// concerned answers, audit and shards, which that of shard 0 does, and judge, which
// any bridge does.
type Commands struct {
	Conn    *nats.Conn
	Names   Names
	Bridge  Leader
	Witness Witness
	// Parse judges a record by the bridge's own settings.
	Parse func(id string, record []byte) (*record.Subscription, record.Problems)
	Log   *slog.Logger
}

// Run answers until ctx ends.
func (c Commands) Run(ctx context.Context) error {
	commands := map[string]func(context.Context, *nats.Msg) any{"redrive": c.redrive, "stream": c.stream,
		"audit": c.removed, "shards": c.shards}
	for name, answer := range commands {
		sub, err := c.Conn.Subscribe(c.Names.Commands+"."+name, c.answer(ctx, answer))
		if err != nil {
			return fmt.Errorf("subscribe to commands: %w", err)
		}
		defer c.end(sub)
	}
	sub, err := c.Conn.QueueSubscribe(judgeSubject(c.Names), "judge", c.answer(ctx, c.judge))
	if err != nil {
		return fmt.Errorf("subscribe to questions: %w", err)
	}
	defer c.end(sub)
	<-ctx.Done()
	return nil
}

func (c Commands) end(sub *nats.Subscription) {
	if err := sub.Unsubscribe(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		c.Log.Debug("unsubscribe from commands", "subject", sub.Subject, "error", err)
	}
}

// answer sends what a command answers; nil is nothing: another bridge does.
func (c Commands) answer(ctx context.Context, command func(context.Context, *nats.Msg) any) nats.MsgHandler {
	return func(m *nats.Msg) {
		ctx, cancel := context.WithTimeout(ctx, limits.CommandCallTime)
		defer cancel()
		answer := command(ctx, m)
		if answer == nil {
			return
		}
		data, err := json.Marshal(answer)
		if err == nil {
			err = m.Respond(data)
		}
		if err != nil {
			c.Log.Warn("command could not be answered", "subject", m.Subject, "error", err)
		}
	}
}

func (c Commands) redrive(ctx context.Context, m *nats.Msg) any {
	var r RedriveRequest
	if err := json.Unmarshal(m.Data, &r); err != nil {
		return c.first(RedriveAnswer{Reason: "the request is not readable: " + err.Error()})
	}
	err := c.Bridge.Redrive(ctx, r.Subscription, r.Generation, r.Sequence)
	switch {
	case errors.Is(err, bridge.ErrNotLeader):
		return nil
	case err != nil:
		return RedriveAnswer{Reason: err.Error()}
	}
	c.Witness.Redriven(m, r)
	return RedriveAnswer{Accepted: true}
}

// first answers for all, where it is not told which shard is concerned.
func (c Commands) first(answer any) any {
	if c.Bridge.LeadsFirst() {
		return answer
	}
	return nil
}

func (c Commands) stream(ctx context.Context, m *nats.Msg) any {
	var r StreamRequest
	if err := json.Unmarshal(m.Data, &r); err != nil {
		return c.first(StreamAnswer{Reason: "the request is not readable: " + err.Error()})
	}
	answer, err := c.reportStream(ctx, m, r)
	if errors.Is(err, bridge.ErrNotLeader) {
		return nil
	}
	if err != nil {
		answer.Reason = err.Error()
	}
	return answer
}

func (c Commands) reportStream(ctx context.Context, m *nats.Msg, r StreamRequest) (answer StreamAnswer, err error) {
	if r.Adopt {
		adopted, err := c.Bridge.Adopt(ctx, r.Shard, r.Begin)
		answer.Adopted = &adopted
		if err != nil {
			return answer, err
		}
		if r.Shard == 0 { // said once
			c.Witness.Adopted(m, adopted)
		}
	}
	answer.Report, err = c.Bridge.Stream(ctx, r.Shard)
	return answer, err
}

func (c Commands) shards(ctx context.Context, m *nats.Msg) any {
	var r ShardsRequest
	if err := json.Unmarshal(m.Data, &r); err != nil {
		return c.first(ShardsAnswer{Reason: "the request is not readable: " + err.Error()})
	}
	after, err := c.Bridge.SetShards(ctx, r.Set)
	switch {
	case errors.Is(err, bridge.ErrNotLeader):
		return nil
	case err != nil:
		return ShardsAnswer{Layout: after, Reason: err.Error()}
	}
	c.Witness.Resharded(m, r.Set, after)
	return ShardsAnswer{Layout: after}
}

func (c Commands) removed(_ context.Context, m *nats.Msg) any {
	if !c.Bridge.LeadsFirst() {
		return nil
	}
	var r RemovedRequest
	if json.Unmarshal(m.Data, &r) != nil || r.Action != ActionPurgeLetters || r.Count < 1 ||
		r.Subscription != "" && !safeID.MatchString(r.Subscription) {
		return RemovedAnswer{Reason: "no such action is noted"}
	}
	return RemovedAnswer{Reason: c.Witness.Removed(m, r)}
}

func (c Commands) judge(_ context.Context, m *nats.Msg) any {
	var r JudgeRequest
	if json.Unmarshal(m.Data, &r) != nil {
		return JudgeAnswer{Problems: record.Problems{{Message: "the question is not readable; are command and bridge of the same version?"}}}
	}
	s, problems := c.Parse(r.ID, r.Record)
	if problems.Err() != nil {
		return JudgeAnswer{Problems: problems}
	}
	return JudgeAnswer{Problems: problems, Hears: s.Describe()}
}
