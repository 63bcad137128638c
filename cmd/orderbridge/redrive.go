package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"orderbridge/bridge"
	"orderbridge/internal/store"
)

func (s *session) redriveAll(ctx context.Context, cmd *cobra.Command, letters []store.Letter) error {
	refused := 0
	for _, l := range letters {
		var no *store.RefusedError
		_, err := s.catalog().Redrive(ctx, store.Everything(), l.Sequence)
		switch {
		case err == nil:
			fmt.Fprintf(cmd.OutOrStdout(), "%d: owed again by %s\n", l.Sequence, l.Subscription)
		case errors.As(err, &no):
			refused++
			fmt.Fprintf(cmd.OutOrStdout(), "%d: refused: %s\n", l.Sequence, printable(no.Reason))
		case errors.Is(err, bridge.ErrNotFound):
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
