package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/store"
)

func newDeadLettersRedrive() *cobra.Command {
	var sel selection
	cmd := &cobra.Command{
		Use:   "redrive SEQUENCE...",
		Short: "Put dead letters back as owed by their subscriptions",
		Long: `Ask the leading bridge to put dead letters back as owed, each by its own
subscription only and marked with X-Redrive. They are outside the order of their
lanes. Exit code 1 if one of them was refused; the reason is printed.`,
		Example: `  orderbridge dead-letters redrive 42 43
  orderbridge dead-letters redrive --subscription acme`,
		Args: args(0, -1, "sequences"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := sel.check(cmd, args); err != nil {
				return err
			}
			sequences, err := parseSequences(args)
			if err != nil {
				return err
			}
			return onBus(func(ctx context.Context, cmd *cobra.Command, s *session, _ []string) error {
				letters, err := s.chosen(ctx, sel, sequences)
				if err != nil {
					return err
				}
				return s.redriveAll(ctx, cmd, letters)
			})(cmd, args)
		},
	}
	sel.register(cmd, "put back")
	return cmd
}

// chosen reads the dead letters that were selected.
func (s *session) chosen(ctx context.Context, sel selection, sequences []uint64) ([]store.Letter, error) {
	if sel.all || sel.subscription != "" {
		letters, err := s.letters(ctx, sel.subscription, 0)
		if err == nil && len(letters) == 0 && sel.subscription != "" {
			err = s.mustKnow(ctx, sel.subscription)
		}
		return letters, err
	}
	letters := make([]store.Letter, 0, len(sequences))
	for _, n := range slices.Compact(sequences) {
		l, err := s.letterAt(ctx, n)
		if err != nil {
			return nil, err
		}
		letters = append(letters, l)
	}
	return letters, nil
}

func (s *session) redriveAll(ctx context.Context, cmd *cobra.Command, letters []store.Letter) error {
	refused := 0
	for _, l := range letters {
		var no *store.RefusedError
		_, err := s.catalog.Redrive(ctx, store.Everything(), l.Sequence)
		switch {
		case err == nil:
			fmt.Fprintf(cmd.OutOrStdout(), "%d: owed again by %s\n", l.Sequence, l.Subscription)
		case errors.As(err, &no):
			refused++
			fmt.Fprintf(cmd.OutOrStdout(), "%d: refused: %s\n", l.Sequence, printable(no.Reason))
		case errors.Is(err, protocol.ErrNotFound):
			refused++
			fmt.Fprintf(cmd.OutOrStdout(), "%d: is gone meanwhile\n", l.Sequence)
		case errors.Is(err, store.ErrNoLeader):
			return fmt.Errorf("redrive dead letter %d: %w; is `orderbridge serve` running, with the same ORDERBRIDGE_PREFIX? `orderbridge owed list` shows what was accepted", l.Sequence, err)
		default:
			return fmt.Errorf("redrive dead letter %d: %w", l.Sequence, err)
		}
	}
	switch {
	case len(letters) == 0:
		fmt.Fprintln(cmd.ErrOrStderr(), "no dead letters")
	case refused > 0:
		return fmt.Errorf("%d of %s refused", refused, count(len(letters), "dead letter"))
	}
	return nil
}
