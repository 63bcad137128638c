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
filters and --all need --yes as well.`,
		Example: `  orderbridge dead-letters purge 42
  orderbridge dead-letters purge --subscription acme --yes
  orderbridge dead-letters purge --until 7d --reason 410 --yes`,
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
			return asking(func(ctx context.Context, cmd *cobra.Command, s *session, _ []string) error {
				n, told, err := s.purge(ctx, cmd, sel, sequences)
				if n > 0 && !told {
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

// purge removes what is selected. told: the audit has it already.
func (s *session) purge(ctx context.Context, cmd *cobra.Command, sel selection, sequences []uint64) (removed int, told bool, err error) {
	if f := sel.LetterFilter; len(sequences) == 0 && f != (store.LetterFilter{Subscription: f.Subscription}) {
		sum, err := s.each(ctx, cmd, sel, "of %s, removed", func(ctx context.Context, r store.LettersRequest) (store.LettersAnswer, error) {
			return s.catalog.RemoveSome(ctx, store.Everything(), r)
		})
		return sum.Done, true, explain(err)
	}
	removed, err = s.purgeWhole(ctx, sel, sequences)
	return removed, false, err
}

// purgeWhole removes all of a subscription, all there are, or those of the sequences.
func (s *session) purgeWhole(ctx context.Context, sel selection, sequences []uint64) (int, error) {
	if len(sequences) == 0 {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		removed, err := s.catalog.RemoveLetters(ctx, sel.Subscription)
		switch {
		case errors.Is(err, protocol.ErrNotFound):
			return 0, s.noDeadLetters()
		case err != nil:
			return 0, explain(err)
		case removed == 0 && sel.Subscription != "":
			err = s.mustKnow(ctx, sel.Subscription)
		}
		return removed, err
	}
	if _, err := s.letters(ctx, store.LetterFilter{}, 1); err != nil { // there may be no stream of them
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
		store.RemovedRequest{Action: store.ActionPurgeLetters, Subscription: sel.Subscription, Count: n})
	var no *store.RefusedError
	switch {
	case errors.As(err, &no):
		return fmt.Errorf("not in the audit: %s", printable(no.Reason))
	case err != nil:
		return fmt.Errorf("not in the audit: no bridge leads that would write it: %w", explain(err))
	}
	return nil
}
