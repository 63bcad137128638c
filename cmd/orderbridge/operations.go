package main

import (
	"context"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/store"
)

// operations is what the commands ask of the bridge's state, and have done: over
// the bus (store.Catalog) or over the management API (client.Client). What each
// does and answers stands at the Catalog.
type operations interface {
	Record(ctx context.Context, scope store.Scope, id string) (store.Record, error)
	Put(ctx context.Context, scope store.Scope, id string, value []byte, expect uint64) (store.Record, error)
	Remove(ctx context.Context, scope store.Scope, id string, expect uint64) error
	Judge(ctx context.Context, id string, record []byte) (store.JudgeAnswer, error)
	Explain(ctx context.Context, scope store.Scope, r store.ExplainRequest) (store.ExplainAnswer, error)
	Test(ctx context.Context, scope store.Scope, r store.TestRequest) (store.TestAnswer, error)
	IDs(ctx context.Context) ([]string, error)
	EachByID(ctx context.Context, q store.ListQuery, fn func(store.Listed) error) error
	EachRecord(ctx context.Context, fn func(store.Record) error) error
	EachStatus(ctx context.Context, fn func(store.Verdict) error) error
	LastStatus(ctx context.Context, id string) (protocol.Status, error)

	Activate(ctx context.Context, scope store.Scope, id string) (store.Record, error)
	Deactivate(ctx context.Context, scope store.Scope, id string) (store.Record, error)
	Pause(ctx context.Context, scope store.Scope, id string) (store.Record, error)
	Resume(ctx context.Context, scope store.Scope, id string) (store.Record, error)
	RotateSecret(ctx context.Context, scope store.Scope, id string, q store.RotateRequest,
		prepare func(ctx context.Context, id string, rec []byte) ([]byte, error)) (store.RotateAnswer, error)
	RetryNow(ctx context.Context, scope store.Scope, r store.RetryNowRequest) (store.RetryNowAnswer, error)
	Skip(ctx context.Context, scope store.Scope, r store.SkipRequest) (store.SkipAnswer, error)

	Owed(ctx context.Context, scope store.Scope, subscription, after string, limit int) ([]store.Debt, string, error)
	Letters(ctx context.Context, scope store.Scope, f store.LetterFilter, before uint64, limit int) ([]store.Letter, uint64, error)
	Letter(ctx context.Context, scope store.Scope, sequence uint64) (store.Letter, error)
	Redrive(ctx context.Context, scope store.Scope, sequence uint64) (store.Letter, error)
	RedriveLetters(ctx context.Context, scope store.Scope, r store.LettersRequest) (store.LettersAnswer, error)
	RemoveSome(ctx context.Context, scope store.Scope, r store.LettersRequest) (store.LettersAnswer, error)
	RemoveLetter(ctx context.Context, sequence uint64) error
	RemoveLetters(ctx context.Context, subscription string) (int, error)
	TellRemoved(ctx context.Context, r store.RemovedRequest) error

	Attempts(ctx context.Context, scope store.Scope, q store.AttemptQuery, before uint64, limit int) (store.AttemptPage, error)
	AttemptsAbove(ctx context.Context, scope store.Scope, q store.AttemptQuery, above uint64, limit int) (store.AttemptPage, error)
	Order(ctx context.Context, scope store.Scope, q store.OrderQuery) (*store.OrderStory, error)

	Replay(ctx context.Context, scope store.Scope, r bridge.ReplayRequest) (store.ReplayAnswer, error)
	Replays(ctx context.Context, scope store.Scope, subscription string) ([]bridge.Replay, error)
	ReplayOf(ctx context.Context, scope store.Scope, id string) (bridge.Replay, error)
	StopReplay(ctx context.Context, scope store.Scope, id string) (bridge.Replay, error)
	Rewind(ctx context.Context, scope store.Scope, r bridge.RewindRequest) (store.RewindAnswer, error)

	Overview(ctx context.Context) (*store.Overview, error)
	Layout(ctx context.Context) (protocol.Layout, error)
	SetShards(ctx context.Context, shards int) (protocol.Layout, error)
	AskStream(ctx context.Context, r store.StreamRequest) (store.StreamAnswer, error)
	LeaseValue(ctx context.Context, s protocol.Shard) (value []byte, revision uint64, err error)
	AdoptLater(ctx context.Context, s protocol.Shard, value []byte, revision uint64, a protocol.Adoption) error
}
