package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

func newSubscriptionsDelete() *cobra.Command {
	return &cobra.Command{
		Use:     "delete ID",
		Aliases: []string{"rm"},
		Short:   "Delete a record",
		Long: `Delete a record. Nothing new is delivered to it; what it is owed is kept for a day,
and delivered if a record with the same tenant and target host is put under the
same id within it.`,
		Example: "  orderbridge subscriptions delete acme",
		Args:    args(1, 1, "the id of a subscription"),
		RunE: asking(func(ctx context.Context, cmd *cobra.Command, s *session, args []string) error {
			r, err := s.record(ctx, args[0])
			expect := r.Revision
			if err != nil {
				if !s.vanished(ctx, args[0]) {
					return err
				}
				expect = store.AnyRevision
			}
			ctx, cancel := context.WithTimeout(ctx, limits.CommandCallTime)
			defer cancel()
			err = s.catalog.Remove(acting(ctx), store.Everything(), args[0], expect)
			if err = s.notWritten(args[0], err); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: deleted\n", args[0])
			return err
		}),
	}
}

// vanished tells of a record that, as the bridge says, is gone without a deletion,
// and so still holds what it is owed.
func (s *session) vanished(ctx context.Context, id string) bool {
	if _, err := s.catalog.Record(ctx, store.Everything(), id); !errors.Is(err, protocol.ErrNotFound) {
		return false
	}
	status, err := s.catalog.LastStatus(ctx, id)
	return err == nil && status.DeletedAt == nil && strings.Contains(status.Reason, "not in the bucket")
}
