package store

import (
	"context"
	"encoding/json"
)

// ActionPurgeLetters is what a RemovedRequest is about.
const ActionPurgeLetters = "purge-letters"

// RemovedRequest and RemovedAnswer are exchanged on <Names.Commands>.audit, as
// JSON: a command says what it has removed by itself.
type RemovedRequest struct {
	Action       string `json:"action"`
	Subscription string `json:"subscription,omitempty"`
	Count        int    `json:"count"`
}

// RemovedAnswer is the leader's answer.
type RemovedAnswer struct {
	Reason string `json:"reason,omitempty"` // why it is not noted
}

// TellRemoved has the leader note in the audit what the actor of ctx has removed.
// The error is a *RefusedError if it does not want to.
func (c *Catalog) TellRemoved(ctx context.Context, r RemovedRequest) error {
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	reply, err := ask(ctx, c.js, c.names.Commands+".audit", body, c.key)
	if err != nil {
		return err
	}
	var answer RemovedAnswer
	if json.Unmarshal(reply, &answer) == nil && answer.Reason != "" {
		return &RefusedError{Reason: answer.Reason}
	}
	return nil
}
