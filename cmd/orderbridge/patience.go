package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"orderbridge/internal/client"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
	"orderbridge/internal/store"
)

// patience is what a command has with a bridge or a bus that has answered it before and
// does not now: the next leader takes some seconds, a server that is restarted longer.
type patience struct {
	cmd  *cobra.Command
	most time.Duration // of waiting for an answer; 0: as long as the command goes on

	since time.Time // when the answers stopped; zero: they come
	pause time.Duration
}

// bears waits a while and says whether to ask again, after an error that may be over then.
func (p *patience) bears(ctx context.Context, err error) bool {
	if ctx.Err() != nil || !passes(err) {
		return false
	}
	if p.since.IsZero() {
		p.since, p.pause = time.Now(), limits.AskAgain
		fmt.Fprintf(p.cmd.ErrOrStderr(), "%s; asks again until there is an answer%s\n", printable(err.Error()), p.bound())
	}
	if p.most > 0 && time.Since(p.since) >= p.most {
		return false
	}
	timer := time.NewTimer(p.pause)
	defer timer.Stop()
	p.pause = min(2*p.pause, limits.AskAgainMost)
	return pause(ctx, timer.C) == nil
}

func (p *patience) bound() string {
	if p.most == 0 {
		return ""
	}
	return ", for " + p.most.String() + " at most"
}

// answered ends the waiting.
func (p *patience) answered() {
	if !p.since.IsZero() {
		fmt.Fprintln(p.cmd.ErrOrStderr(), "there is an answer again; it goes on")
		p.since = time.Time{}
	}
}

// passes tells whether an error may be over soon: nobody leads, or nobody answers.
func passes(err error) bool {
	for _, e := range []error{store.ErrNoLeader, store.ErrNoJudge, msgget.ErrNoLeader, client.ErrAway, context.DeadlineExceeded,
		nats.ErrTimeout, nats.ErrNoResponders, nats.ErrDisconnected, nats.ErrConnectionReconnecting} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
