package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

// carryOut writes what is to be written, several records at the same time, and
// deletes after that, if all of it could be written. A conflict is a matter of its
// record alone; after any other failure nothing further is begun.
func (s *session) carryOut(ctx context.Context, p *plan) {
	ctx = acting(ctx)
	var stop atomic.Bool
	for _, deleting := range []bool{false, true} {
		var g errgroup.Group
		g.SetLimit(limits.ApplyAtOnce)
		for i := range p.Changes {
			c := &p.Changes[i]
			if (c.Action == deletes) != deleting {
				continue
			}
			g.Go(func() error {
				if c.Result = untried; stop.Load() || ctx.Err() != nil {
					return nil
				}
				err := s.write(ctx, c)
				switch {
				case err == nil:
					c.Result = done
				case errors.Is(err, store.ErrChanged) || errors.Is(err, protocol.ErrNotFound):
					c.Result = conflict
					c.Reason = "somebody else has changed it since it was read, and it was left alone; apply again"
					if c.expect == 0 && s.bus == nil {
						c.Reason = "there is a record under this id by now, or one that the token may not see, and it was left alone; apply again, or take another id"
					}
				default:
					c.Result, c.Reason = failed, s.notWritten(c.ID, err).Error()
					stop.Store(true)
				}
				return nil
			})
		}
		_ = g.Wait() // none returns an error: each has its result
		if !deleting && p.count() > 0 {
			stop.Store(true)
		}
	}
	s.awaitVerdicts(ctx, p)
	p.tally()
}

func (s *session) write(ctx context.Context, c *change) error {
	ctx, cancel := context.WithTimeout(ctx, limits.CommandCallTime)
	defer cancel()
	if c.Action == deletes {
		return s.catalog.Remove(ctx, store.Everything(), c.ID, c.expect)
	}
	r, err := s.catalog.Put(ctx, store.Everything(), c.ID, c.value, c.expect)
	c.Revision = r.Revision
	return err
}

// count is how many changes were not carried out.
func (p *plan) count() (n int) {
	for _, c := range p.Changes {
		if c.Result != "" && c.Result != done {
			n++
		}
	}
	return n
}

// tally counts what was really done.
func (p *plan) tally() {
	p.Summary.Created, p.Summary.Changed, p.Summary.Deleted, p.Summary.Failed = 0, 0, 0, p.count()
	for _, c := range p.Changes {
		switch {
		case c.Result != done && c.Result != invalid:
		case c.Action == creates:
			p.Summary.Created++
		case c.Action == changes:
			p.Summary.Changed++
		case c.Action == deletes:
			p.Summary.Deleted++
		}
	}
}

// awaitVerdicts waits for what the bridge says of the written records, as long as
// it says something of another one now and then.
func (s *session) awaitVerdicts(ctx context.Context, p *plan) {
	var open []*change
	for i := range p.Changes {
		if c := &p.Changes[i]; c.Result == done && c.Action != deletes {
			open = append(open, c)
		}
	}
	for last := time.Now(); len(open) > 0 && ctx.Err() == nil && time.Since(last) < limits.VerdictTime; {
		var mu sync.Mutex
		var still []*change
		var g errgroup.Group
		g.SetLimit(limits.ApplyAtOnce)
		for _, c := range open {
			g.Go(func() error {
				status, err := s.catalog.LastStatus(ctx, c.ID)
				if err != nil || status.Revision < c.Revision {
					mu.Lock()
					defer mu.Unlock()
					still = append(still, c)
				} else if status.State == protocol.StateInvalid {
					c.Result, c.Reason = invalid, "the bridge says: "+reasonOf(status)
				}
				return nil
			})
		}
		_ = g.Wait() // what cannot be read is not told
		if len(still) < len(open) {
			last = time.Now()
		}
		open = still
		select {
		case <-ctx.Done():
		case <-time.After(limits.VerdictCheck):
		}
	}
	p.Summary.Unseen = len(open)
}

// failure says what went wrong, nil if nothing did.
func (p *plan) failure(cmd *cobra.Command) error {
	errs := cmd.ErrOrStderr()
	untriedChanges := 0
	for _, c := range p.Changes {
		switch c.Result {
		case untried:
			untriedChanges++
		case conflict, failed, invalid:
			fmt.Fprintln(errs, printable(fmt.Sprintf("%s: %s: %s", c.ID, c.Result, c.Reason)))
		}
	}
	if untriedChanges > 0 {
		fmt.Fprintf(errs, "%s not tried, since others failed\n", count(untriedChanges, "record"))
	}
	if p.Summary.Unseen > 0 {
		fmt.Fprintf(errs, "the bridge has said nothing of %s yet; is `orderbridge serve` running? It will see them when it starts\n",
			count(p.Summary.Unseen, "record"))
	}
	if p.Summary.Failed > 0 {
		return fmt.Errorf("%s of %d failed; the others are written", count(p.Summary.Failed, "change"), len(p.Changes))
	}
	return nil
}
