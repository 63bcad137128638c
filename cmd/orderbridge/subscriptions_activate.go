package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

func newSubscriptionsActivate(active bool) *cobra.Command {
	use, status, short, long := "activate", "active", "Resume the deliveries of a subscription",
		"What was owed when it was deactivated is delivered; what was published meanwhile is not.\nOne that its receiver has suspended (410 Gone) resumes; nothing of it is lost."
	if !active {
		use, status, short, long = "deactivate", "deactivated", "Stop the deliveries of a subscription, keep its record",
			"What is owed stays owed, and is delivered once it is activated again. What is\npublished meanwhile is dropped; `orderbridge pause` keeps it."
	}
	return &cobra.Command{
		Use:   use + " ID",
		Short: short,
		Long: short + ". " + long + `
Only the member "status" of the record is written, all else stays byte for byte;
if somebody else changes the record at the same time, nothing is written.`,
		Example: "  orderbridge subscriptions " + use + " acme",
		Args:    args(1, 1, "the id of a subscription"),
		RunE: asking(func(ctx context.Context, cmd *cobra.Command, s *session, args []string) error {
			id := args[0]
			entry, err := s.record(ctx, id)
			if err != nil {
				return err
			}
			record, err := store.WithStatus(entry.Value, status)
			if err != nil {
				return fmt.Errorf("subscription %q: %w", id, err)
			}
			if bytes.Equal(record, entry.Value) {
				resumes, but, err := s.standing(ctx, id, active)
				if err != nil {
					return err
				}
				if !resumes {
					_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: is %s already (revision %d)%s\n", id, status,
						entry.Revision, but)
					return err
				}
				// The same bytes again: a new revision takes back that the receiver has suspended it.
			}
			dropped := s.dropped(ctx, id, active)
			revision, err := s.putStatus(ctx, id, active)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: stored as revision %d%s\n", id, revision, dropped)
			return s.verdict(ctx, cmd, id, revision)
		}),
	}
}

func (s *session) putStatus(ctx context.Context, id string, active bool) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.CommandCallTime)
	defer cancel()
	set := s.catalog.Deactivate
	if active {
		set = s.catalog.Activate
	}
	r, err := set(acting(ctx), store.Everything(), id)
	return r.Revision, s.notWritten(id, err)
}

// dropped tells what does not come when a subscription is activated: what was
// published while it was deactivated.
func (s *session) dropped(ctx context.Context, id string, active bool) string {
	ctx, cancel := context.WithTimeout(ctx, limits.CommandCallTime)
	defer cancel()
	status, err := s.catalog.LastStatus(ctx, id)
	if !active || err != nil || status.State != protocol.StateDeactivated {
		return ""
	}
	return printable(fmt.Sprintf("; it was deactivated since %s: %s", status.Since.UTC().Format(time.RFC3339), status.Reason))
}

// standing tells what the bridge says of a subscription whose record has the
// wanted status already: whether storing it again resumes it (its receiver has
// answered 410), else why it may not deliver all the same.
func (s *session) standing(ctx context.Context, id string, active bool) (resumes bool, but string, err error) {
	ctx, cancel := context.WithTimeout(ctx, limits.CommandCallTime)
	defer cancel()
	status, err := s.catalog.LastStatus(ctx, id)
	switch {
	case !active || errors.Is(err, protocol.ErrNotFound) || errors.Is(err, jetstream.ErrStreamNotFound):
		return false, "", nil
	case err != nil:
		return false, "", explain(err)
	}
	switch status.State {
	case protocol.StateSuspended:
		if status.Suspended {
			return true, "", nil
		}
		return false, printable(", but suspended: " + status.Reason +
			"; its endpoint is probed, and deliveries go on as soon as it answers; `orderbridge retry-now " + id + "` asks it at once"), nil
	case protocol.StateInvalid:
		return false, printable(", but invalid: " + reasonOf(status)), nil
	}
	return false, "", nil
}
