package store

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"golang.org/x/time/rate"

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
	RetryNow(ctx context.Context, shard int, what bridge.RetryNow) (protocol.Done, error)
	Skip(ctx context.Context, subscription, order string, sequence uint64, reason string) (uint64, error)
	Replay(ctx context.Context, r bridge.ReplayRequest, by string) (*bridge.Replay, *bridge.ReplayCount, error)
	StopReplay(ctx context.Context, subscription, id, by string) error
	Rewind(ctx context.Context, r bridge.RewindRequest) (*bridge.ReplayCount, error)
}

// Witness is told of the commands that were carried out, with the message in
// which each came.
type Witness interface {
	Asker(m *nats.Msg) string // who it is, in one line
	RetriedNow(m *nats.Msg, r RetryNowRequest, done RetryNowAnswer)
	Skipped(m *nats.Msg, r SkipRequest, done SkipAnswer)
	Redriven(m *nats.Msg, r RedriveRequest)
	Adopted(m *nats.Msg, a protocol.Adoption)
	Resharded(m *nats.Msg, shards int, after protocol.Layout)
	// Replayed: a replay was begun, or (begun nil) stopped.
	Replayed(m *nats.Msg, r ReplayCommand, begun *bridge.Replay)
	Rewound(m *nats.Msg, r bridge.RewindRequest, n *bridge.ReplayCount)
	// Asked says who has sent the message.
	Asked(m *nats.Msg) string
	// Removed is asked to note what a command has done by itself; refused says
	// why it does not, "" if it does.
	Removed(m *nats.Msg, r RemovedRequest) (refused string)
}

// Commands is the bridge's side of what a Catalog, or anybody who may, asks over
// the bus: a NATS micro service, whose endpoints lie below Names.Commands. A
// command is answered by the leader of the shard that is concerned, and by nobody
// where none leads; a question by any bridge.
type Commands struct {
	Conn    *nats.Conn
	Names   Names
	Bridge  Leader
	Witness Witness
	// Parse judges a record by the bridge's own settings.
	Parse     func(id string, record []byte) (*record.Subscription, record.Problems)
	Explainer *Explainer
	Tester    *Tester
	Version   string // of the program
	Log       *slog.Logger

	tasks *sync.WaitGroup // answers under way; of Run
	open  *atomic.Int64   // requests that wait, or are answered beside others; of Run
}

// endpoints are all commands and questions.
func (c Commands) endpoints() []endpoint {
	return []endpoint{
		{name: "redrive", about: "Puts a dead letter back: its subscription owes it again. The leader of the subscription's shard answers.",
			request: RedriveRequest{}, answer: RedriveAnswer{}, handle: given(c.first, c.redrive), former: true},
		{name: "retry-now", about: "Ends at once what a subscription, or an order, or all of a host wait for. The leader of the subscription's shard answers, or of the shard that is named.",
			request: retryNowCommand{}, answer: retryNowReply{}, handle: given(c.first, c.retryNow)},
		{name: "skip", about: "Makes the head of an order that waits a dead letter. The leader of the subscription's shard answers.",
			request: SkipRequest{}, answer: skipReply{}, handle: given(c.first, c.skip)},
		{name: "stream", about: "Reports on the source stream as the leader of a shard knows it, or has it adopted after it was changed.",
			request: StreamRequest{}, answer: StreamAnswer{}, handle: given(c.first, c.stream), former: true},
		{name: "stream-report", about: "Reports on the source stream as the leader of a shard knows it, as stream does, and changes nothing.",
			request: StreamReportRequest{}, answer: StreamAnswer{}, handle: given(c.first, c.streamReport)},
		{name: "shards", about: "Changes the number of shards. The leader of shard 0 answers.",
			request: ShardsRequest{}, answer: ShardsAnswer{}, handle: given(c.first, c.shards), former: true},
		{name: "audit", about: "Notes in the audit what a command has removed by itself. The leader of shard 0 answers.",
			request: RemovedRequest{}, answer: RemovedAnswer{}, handle: given(c.first, c.removed), former: true},
		{name: "replay", about: "Begins a replay, counts what it would send, or stops one. The leader of the subscription's shard answers.",
			request: ReplayCommand{}, answer: commandAnswer[ReplayAnswer]{}, handle: given(c.first, c.replay), beside: limits.ReplayQuestions},
		{name: "rewind", about: "Sets a subscription back, or counts what it would owe then. The leader of its shard answers.",
			request: bridge.RewindRequest{}, answer: commandAnswer[RewindAnswer]{}, handle: given(c.first, c.rewind), beside: limits.ReplayQuestions},

		{name: "judge", about: "Says what the bridge, with its own settings and files, makes of a record that is not stored. Any bridge answers.",
			request: JudgeRequest{}, answer: JudgeAnswer{}, handle: given(nil, c.judge), question: true, former: true},
		{name: "explain", about: "Says who hears an event, why others do not, and what would be sent. Nothing is sent. Any bridge answers.",
			request: ExplainRequest{}, answer: ExplainAnswer{}, handle: given(nil, c.explain), question: true},
		{name: "overview", about: "Tells which replicas there are, who leads what, and how far it got. Any bridge answers.",
			request: OverviewRequest{}, answer: toldAnswer[*Overview]{}, handle: given(nil, c.overview), question: true},
		{name: "replays", about: "Tells how far replays are: one by its id, those of a subscription, or all. Any bridge answers.",
			request: ReplaysRequest{}, answer: toldAnswer[[]bridge.Replay]{}, handle: given(nil, c.replays), question: true},
		{name: "ids", about: "Tells the ids of the records, page by page. Any bridge answers that has read them.",
			request: IDsRequest{}, answer: IDsAnswer{}, handle: given(nil, c.ids), question: true},
		{name: "test", about: "Sends one event to an endpoint, beside what is owed and marked as a test, and says what came back. Any bridge does.",
			request: TestRequest{}, answer: TestAnswer{}, handle: given(nil, c.test()), question: true, beside: limits.APIOutgoAtOnce,
			within: limits.APITestTime + limits.JudgeTime},
	}
}

func (c Commands) redrive(ctx context.Context, m *nats.Msg, r RedriveRequest) any {
	err := c.Bridge.Redrive(ctx, r.Subscription, r.Generation, r.Sequence)
	switch {
	case errors.Is(err, bridge.ErrNotLeader):
		return nil
	case err != nil:
		return RedriveAnswer{Reason: err.Error(), Owed: errors.Is(err, protocol.ErrOwedAgain),
			Gone: errors.Is(err, protocol.ErrNotFound), Busy: errors.Is(err, protocol.ErrLanesFull)}
	}
	c.Witness.Redriven(m, r)
	return RedriveAnswer{Accepted: true}
}

// given has a handler get its request. One that cannot be read is refused, a
// command's by whoever speaks for all leaders.
func given[R any](first func(answer any) any, handle func(context.Context, *nats.Msg, R) any) func(context.Context, *nats.Msg) any {
	return func(ctx context.Context, m *nats.Msg) any {
		var r R
		err := ReadRequest(m.Data, &r)
		switch {
		case err == nil:
			return handle(ctx, m, r)
		case first != nil:
			return first(refusedAnswer{err.Error(), http.StatusBadRequest})
		}
		return refusedAnswer{err.Error(), http.StatusBadRequest}
	}
}

// first answers for all, where it is not told which shard is concerned.
func (c Commands) first(answer any) any {
	if c.Bridge.LeadsFirst() {
		return answer
	}
	return nil
}

func (c Commands) streamReport(ctx context.Context, m *nats.Msg, r StreamReportRequest) any {
	return c.stream(ctx, m, StreamRequest{Shard: r.Shard})
}

func (c Commands) stream(ctx context.Context, m *nats.Msg, r StreamRequest) any {
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

func (c Commands) shards(ctx context.Context, m *nats.Msg, r ShardsRequest) any {
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

func (c Commands) removed(_ context.Context, m *nats.Msg, r RemovedRequest) any {
	if !c.Bridge.LeadsFirst() {
		return nil
	}
	if r.Action != ActionPurgeLetters || r.Count < 1 ||
		r.Subscription != "" && !safeID.MatchString(r.Subscription) {
		return RemovedAnswer{Reason: "no such action is noted"}
	}
	return RemovedAnswer{Reason: c.Witness.Removed(m, r)}
}

func (c Commands) judge(_ context.Context, _ *nats.Msg, r JudgeRequest) any {
	s, problems := c.Parse(r.ID, r.Record)
	if problems.Err() != nil {
		return JudgeAnswer{Problems: problems}
	}
	return JudgeAnswer{Problems: problems, Hears: s.Describe()}
}

func (c Commands) explain(ctx context.Context, _ *nats.Msg, r ExplainRequest) any {
	return c.Explainer.Explain(ctx, r)
}

func (c Commands) test() func(context.Context, *nats.Msg, TestRequest) any {
	pace := rate.NewLimiter(1, limits.APIOutgoAtOnce)
	return func(ctx context.Context, _ *nats.Msg, r TestRequest) any {
		if !pace.Allow() {
			return TestAnswer{Reason: "too many requests to endpoints at once; try again in some seconds",
				Code: http.StatusTooManyRequests}
		}
		scope := (&ExplainRequest{Tenant: r.Tenant}).scope()
		answer, err := c.Tester.Test(ctx, scope, r)
		if err != nil {
			answer.Reason, answer.Code = refusalOf(err)
		}
		return answer
	}
}
