package store

import (
	"context"
	"encoding/json"
	"errors"

	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

// JudgeRequest and JudgeAnswer are what a command and a bridge exchange on
// <Names.Commands>.judge, as JSON: what the bridge, with its own settings and
// files, makes of a record that is not stored yet. Any replica answers.
type JudgeRequest struct {
	ID     string `json:"id"`
	Record []byte `json:"record"` // as it would be stored; it need not be JSON
}

// JudgeAnswer is the bridge's answer.
type JudgeAnswer struct {
	Problems record.Problems `json:"problems,omitempty"`
	Hears    string          `json:"hears,omitempty"` // of a good record
	// Given are the members that the record leaves out and gets when it is stored: those of the caller's tenant.
	Given map[string]json.RawMessage `json:"given,omitempty"`
}

// JudgeSubject is where judges listen; one of them answers.
func (c *Catalog) JudgeSubject() string { return c.names.Commands + ".judge" }

// ErrNoJudge says that no bridge runs that could answer.
var ErrNoJudge = errors.New("no bridge has answered")

// Judge asks a bridge what it makes of a record; ErrNoJudge if none answers, a
// *RefusedError if none has time.
func (c *Catalog) Judge(ctx context.Context, id string, record []byte) (JudgeAnswer, error) {
	var answer JudgeAnswer
	err := c.question(ctx, "judge", limits.JudgeTime, JudgeRequest{id, record}, &answer)
	return answer, err
}
