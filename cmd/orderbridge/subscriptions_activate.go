package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
	"github.com/tidwall/gjson"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

func newSubscriptionsActivate(active bool) *cobra.Command {
	use, status, short, long := "activate", "active", "Resume the deliveries of a subscription",
		"What was owed when it was deactivated is delivered; what was published meanwhile is not.\nOne that its receiver has suspended (410 Gone) resumes; nothing of it is lost."
	if !active {
		use, status, short, long = "deactivate", "deactivated", "Stop the deliveries of a subscription, keep its record",
			"What is owed stays owed, and is delivered once it is activated again."
	}
	return &cobra.Command{
		Use:   use + " ID",
		Short: short,
		Long: short + ". " + long + `
Only the member "status" of the record is written, all else stays byte for byte;
if somebody else changes the record at the same time, nothing is written.`,
		Example: "  orderbridge subscriptions " + use + " acme",
		Args:    args(1, 1, "the id of a subscription"),
		RunE: onBus(func(ctx context.Context, cmd *cobra.Command, s *session, args []string) error {
			id := args[0]
			entry, err := s.record(ctx, id)
			if err != nil {
				return err
			}
			record, err := withStatus(entry.Value, status)
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
			revision, err := s.putRecord(ctx, id, record, entry.Revision)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: stored as revision %d\n", id, revision)
			return s.verdict(ctx, cmd, id, revision)
		}),
	}
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
			"; its endpoint is probed, and deliveries go on as soon as it answers"), nil
	case protocol.StateInvalid:
		return false, printable(", but invalid: " + reasonOf(status)), nil
	}
	return false, "", nil
}

// withStatus sets the member status of a record and leaves all other bytes
// alone.
func withStatus(record []byte, status string) ([]byte, error) {
	value := `"` + status + `"`
	open := bytes.IndexByte(record, '{')
	doc := gjson.ParseBytes(record)
	if !gjson.ValidBytes(record) || !doc.IsObject() {
		return nil, errors.New("the record is not a JSON object; put a good one")
	}
	var found []gjson.Result
	members := 0
	doc.ForEach(func(name, member gjson.Result) bool {
		members++
		if name.String() == "status" {
			found = append(found, member)
		}
		return true
	})
	switch {
	case len(found) > 1:
		return nil, errors.New(`the record holds the member "status" twice; put it with one`)
	case len(found) == 1:
		at := found[0].Index
		if found[0].String() == status && found[0].Type == gjson.String {
			return record, nil
		}
		return splice(record, at, at+len(found[0].Raw), value), nil
	case status == "active": // is the default
		return record, nil
	case members == 0:
		return splice(record, open+1, open+1, `"status":`+value), nil
	}
	return splice(record, open+1, open+1, `"status":`+value+","), nil
}

func splice(b []byte, from, to int, text string) []byte {
	out := make([]byte, 0, len(b)+len(text))
	out = append(out, b[:from]...)
	out = append(out, text...)
	return append(out, b[to:]...)
}
