package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"
)

// redriveRequest and redriveAnswer are what commands and the leader exchange on
// <prefix>orderbridge.cmd.redrive.
type redriveRequest struct {
	Subscription string `json:"subscription"`
	Generation   uint64 `json:"generation"`
	Sequence     uint64 `json:"sequence"` // in the stream of dead letters
}

type redriveAnswer struct {
	Accepted bool   `json:"accepted"`
	Reason   string `json:"reason,omitempty"` // why not
}

func (s *session) redriveAll(ctx context.Context, cmd *cobra.Command, letters []letter) error {
	refused := 0
	for _, l := range letters {
		answer, err := s.redrive(ctx, redriveRequest{Subscription: l.Subscription, Generation: l.Generation, Sequence: l.Sequence})
		if err != nil {
			return fmt.Errorf("redrive dead letter %d: %w", l.Sequence, err)
		}
		if answer.Accepted {
			fmt.Fprintf(cmd.OutOrStdout(), "%d: owed again by %s\n", l.Sequence, l.Subscription)
			continue
		}
		refused++
		fmt.Fprintf(cmd.OutOrStdout(), "%d: refused: %s\n", l.Sequence, printable(answer.Reason))
	}
	switch {
	case len(letters) == 0:
		fmt.Fprintln(cmd.ErrOrStderr(), "no dead letters")
	case refused > 0:
		return fmt.Errorf("%d of %s refused", refused, count(len(letters), "dead letter"))
	}
	return nil
}

func (s *session) redrive(ctx context.Context, request redriveRequest) (answer redriveAnswer, err error) {
	body, err := json.Marshal(request)
	if err != nil {
		return answer, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	msg, err := s.nc.RequestWithContext(ctx, s.names.Commands+".redrive", body)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return answer, errors.New("no bridge leads at the moment; is `orderbridge serve` running, with the same ORDERBRIDGE_PREFIX?")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return answer, fmt.Errorf("the leader gave no answer within %s; it may have accepted all the same: see `orderbridge owed list`", callTimeout)
	case err != nil:
		return answer, fmt.Errorf("ask the leader: %w", err)
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return answer, fmt.Errorf("the leader's answer cannot be read: %w", err)
	}
	return answer, nil
}
