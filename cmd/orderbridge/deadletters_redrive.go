package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

func newDeadLettersRedrive() *cobra.Command {
	var sel selection
	cmd := &cobra.Command{
		Use:   "redrive SEQUENCE...",
		Short: "Put dead letters back as owed by their subscriptions",
		Long: `Ask the leading bridge to put dead letters back as owed, each by its own
subscription only and marked with X-Redrive. They do not wait for what their orders
owe otherwise, but those of one order are sent one after another, the oldest event
first. Filters may be combined; what is selected is put back a hundred at a time, also
when another bridge takes the lead meanwhile, and the command can be stopped and begun
again at any time. Exit code 1 if one of them was refused; the reason is printed.`,
		Example: `  orderbridge dead-letters redrive 42 43
  orderbridge dead-letters redrive --subscription acme
  orderbridge dead-letters redrive --since 24h --reason "connection refused"`,
		Args: args(0, -1, "sequences"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := sel.check(cmd, args); err != nil {
				return err
			}
			sequences, err := parseSequences(args)
			if err != nil {
				return err
			}
			return asking(func(ctx context.Context, cmd *cobra.Command, s *session, _ []string) error {
				if len(sequences) == 0 {
					return s.redriveSome(ctx, cmd, sel)
				}
				letters, err := s.chosen(ctx, sequences)
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

// chosen reads the dead letters of these sequences, the oldest event first.
func (s *session) chosen(ctx context.Context, sequences []uint64) ([]store.Letter, error) {
	letters := make([]store.Letter, 0, len(sequences))
	for _, n := range slices.Compact(sequences) {
		l, err := s.letterAt(ctx, n)
		if err != nil {
			return nil, err
		}
		letters = append(letters, l)
	}
	slices.SortStableFunc(letters, func(a, b store.Letter) int { return cmp.Compare(a.DeadLetter.Sequence, b.DeadLetter.Sequence) })
	return letters, nil
}

// redriveSome puts back what is selected.
func (s *session) redriveSome(ctx context.Context, cmd *cobra.Command, sel selection) error {
	sum, err := s.each(ctx, cmd, sel, "owed again by %s", func(ctx context.Context, r store.LettersRequest) (store.LettersAnswer, error) {
		return s.catalog.RedriveLetters(ctx, store.Everything(), r)
	})
	all := sum.Done + sum.Refused + sum.Already
	switch {
	case errors.Is(err, store.ErrNoLeader):
		return fmt.Errorf("%w; is `orderbridge serve` running, with the same ORDERBRIDGE_PREFIX? `orderbridge owed list` shows what was accepted", err)
	case err != nil:
		return explain(err)
	case all == 0 && sel.Subscription != "":
		err = s.mustKnow(ctx, sel.Subscription)
	case sum.Refused > 0:
		err = fmt.Errorf("%d of %s refused", sum.Refused, count(all, "dead letter"))
	}
	if all == 0 && err == nil {
		fmt.Fprintln(cmd.ErrOrStderr(), "no dead letters")
	}
	return err
}

func (s *session) redriveAll(ctx context.Context, cmd *cobra.Command, letters []store.Letter) error {
	refused := 0
	wait := patience{cmd: cmd, most: limits.NextLeader}
	for i, l := range letters {
		var no *store.RefusedError
		_, err := s.catalog.Redrive(ctx, store.Everything(), l.Sequence)
		lost := false // an answer, so that it may be owed again by now
		for err != nil && i > 0 && wait.bears(ctx, err) {
			lost = true
			_, err = s.catalog.Redrive(ctx, store.Everything(), l.Sequence)
		}
		wait.answered()
		switch {
		case err == nil || lost && errors.Is(err, protocol.ErrOwedAgain):
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
	if refused > 0 {
		return fmt.Errorf("%d of %s refused", refused, count(len(letters), "dead letter"))
	}
	return nil
}
