package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

func newDeadLettersPurge() *cobra.Command {
	var sel selection
	var yes bool
	cmd := &cobra.Command{
		Use:   "purge SEQUENCE...",
		Short: "Remove dead letters for good",
		Long: `Remove dead letters. They are never delivered then, and nothing brings them back;
--subscription and --all need --yes as well.`,
		Example: `  orderbridge dead-letters purge 42
  orderbridge dead-letters purge --subscription acme --yes`,
		Args: args(0, -1, "sequences"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := sel.check(cmd, args); err != nil {
				return err
			}
			if len(args) == 0 && !yes {
				return usagef("this removes dead letters for good; say --yes as well")
			}
			sequences, err := parseSequences(args)
			if err != nil {
				return err
			}
			return onBus(func(ctx context.Context, cmd *cobra.Command, s *session, _ []string) error {
				n, err := s.purge(ctx, sel, sequences)
				if n > 0 {
					if err := s.tellRemoved(ctx, sel, n); err != nil {
						fmt.Fprintln(cmd.ErrOrStderr(), err)
					}
				}
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "removed %s\n", count(n, "dead letter"))
				return err
			})(cmd, args)
		},
	}
	sel.register(cmd, "remove")
	cmd.Flags().BoolVar(&yes, "yes", false, "really remove")
	return cmd
}

func (s *session) purge(ctx context.Context, sel selection, sequences []uint64) (int, error) {
	if len(sequences) == 0 {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		removed, err := s.catalog.RemoveLetters(ctx, sel.subscription)
		switch {
		case errors.Is(err, protocol.ErrNotFound):
			return 0, s.noDeadLetters()
		case err != nil:
			return 0, explain(err)
		case removed == 0 && sel.subscription != "":
			err = s.mustKnow(ctx, sel.subscription)
		}
		return removed, err
	}
	if _, err := s.letters(ctx, "", 1); err != nil { // there may be no stream of them
		return 0, err
	}
	for i, n := range sequences {
		if _, err := s.letterAt(ctx, n); err != nil {
			return i, err
		}
		one, cancel := context.WithTimeout(ctx, limits.CommandCallTime)
		err := s.catalog.RemoveLetter(one, n)
		cancel()
		if err != nil {
			return i, fmt.Errorf("remove dead letter %d: %w; %d were removed", n, explain(err), i)
		}
	}
	return len(sequences), nil
}

// tellRemoved has the leader write an entry about what this command has removed;
// where nobody does, it says so.
func (s *session) tellRemoved(ctx context.Context, sel selection, n int) error {
	ctx, cancel := context.WithTimeout(acting(ctx), limits.CommandCallTime)
	defer cancel()
	err := s.catalog.TellRemoved(ctx,
		store.RemovedRequest{Action: store.ActionPurgeLetters, Subscription: sel.subscription, Count: n})
	var no *store.RefusedError
	switch {
	case errors.As(err, &no):
		return fmt.Errorf("not in the audit: %s", printable(no.Reason))
	case err != nil:
		return fmt.Errorf("not in the audit: no bridge leads that would write it: %w", explain(err))
	}
	return nil
}
