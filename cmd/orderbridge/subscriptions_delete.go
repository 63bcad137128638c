package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"orderbridge/bridge"
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
		RunE: onBus(func(ctx context.Context, cmd *cobra.Command, s *session, args []string) error {
			entry, err := s.record(ctx, args[0])
			var expect *uint64
			switch {
			case err == nil:
				revision := entry.Revision
				expect = &revision
			case !s.vanished(ctx, args[0]):
				return err
			}
			_, err = s.writeRecord(ctx, args[0], nil, expect)
			if errors.Is(err, store.ErrChanged) {
				return fmt.Errorf("subscription %q was changed by somebody else just now; try again", args[0])
			}
			if err != nil {
				return fmt.Errorf("delete subscription %q: %w", args[0], err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: deleted\n", args[0])
			return err
		}),
	}
}

// vanished tells of a record that, as the bridge says, is gone without a deletion,
// and so still holds what it is owed.
func (s *session) vanished(ctx context.Context, id string) bool {
	if _, err := store.ReadEntry(ctx, s.js, s.names.Subscriptions, id); !errors.Is(err, bridge.ErrNotFound) {
		return false
	}
	e, err := store.ReadEntry(ctx, s.js, s.names.Status, id)
	if err != nil {
		return false
	}
	var status bridge.Status
	return json.Unmarshal(e.Value, &status) == nil && status.DeletedAt == nil && strings.Contains(status.Reason, "not in the bucket")
}
