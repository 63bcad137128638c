package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"orderbridge/bridge/record"
	"orderbridge/internal/recordfile"
)

func newSubscriptionsGet() *cobra.Command {
	var secrets bool
	format := output("json")
	cmd := &cobra.Command{
		Use:   "get ID",
		Short: "Show a record, secrets redacted",
		Long: `Show a record as JSON or YAML. Passwords, tokens, keys, the values of headers and those
in the query of a URL are redacted, unless they are references (env:NAME,
file:NAME, sealed:…) or placeholders.`,
		Example: `  orderbridge subscriptions get acme
  orderbridge subscriptions get acme -o yaml
  orderbridge subscriptions get acme --show-secrets  as it is stored`,
		Args: args(1, 1, "the id of a subscription"),
		RunE: asking(func(ctx context.Context, cmd *cobra.Command, s *session, args []string) error {
			entry, err := s.record(ctx, args[0])
			if err != nil {
				return err
			}
			record := entry.Value
			if !secrets {
				if record, err = redactRecord(record); err != nil {
					return fmt.Errorf("subscription %q: %w; --show-secrets shows it as it is stored", args[0], err)
				}
			}
			if format == "yaml" {
				if record, err = recordfile.YAML(record); err != nil {
					return fmt.Errorf("subscription %q: %w", args[0], err)
				}
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", bytes.TrimRight(record, "\n"))
			return err
		}),
	}
	cmd.Flags().BoolVar(&secrets, "show-secrets", false, "show the record as it is stored")
	format.register(cmd, "json")
	return cmd
}

// redactRecord is the record with its members in order, without its secrets.
func redactRecord(rec []byte) ([]byte, error) {
	open, err := record.RedactRecord(rec, record.Redaction{References: true, URLs: true})
	if err != nil {
		return nil, err
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, open, "", "  "); err != nil {
		return nil, fmt.Errorf("the record is not JSON: %w", err)
	}
	return pretty.Bytes(), nil
}
