package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

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
}

// JudgeSubject is where judges listen; one of them answers.
func (c *Catalog) JudgeSubject() string { return judgeSubject(c.names) }

func judgeSubject(n Names) string { return n.Commands + ".judge" }

// ErrNoJudge says that no bridge runs that could answer.
var ErrNoJudge = errors.New("no bridge has answered")

// Judge asks a bridge what it makes of a record; ErrNoJudge if none answers.
func (c *Catalog) Judge(ctx context.Context, id string, record []byte) (JudgeAnswer, error) {
	var answer JudgeAnswer
	body, err := json.Marshal(JudgeRequest{id, record})
	if err != nil {
		return answer, fmt.Errorf("ask a bridge: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, limits.JudgeTime)
	defer cancel()
	msg, err := c.js.Conn().RequestWithContext(ctx, c.JudgeSubject(), body)
	if err != nil {
		if errors.Is(err, nats.ErrNoResponders) || ctx.Err() != nil {
			return answer, ErrNoJudge
		}
		return answer, fmt.Errorf("ask a bridge: %w", err)
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return answer, fmt.Errorf("the bridge's answer cannot be read: %w", err)
	}
	return answer, nil
}
