package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"orderbridge/bridge/record"
	"orderbridge/internal/automation"
	"orderbridge/internal/store"
)

func newSubscriptionsImport() *cobra.Command {
	id := ""
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Make a record from the configuration file of an automation API",
		Long: `Turn the section webHook of a configuration file into a record, store it and
tell what the bridge makes of it, as ` + "`serve`" + ` does with ORDERBRIDGE_WEBHOOK_FILE,
but once. If the section is missing or not enabled, the record that an earlier
version of the file has made is deactivated.

A record that no file has made is not overwritten. Exit code 1 if the file is
bad or the bridge finds the record invalid.`,
		Example: `  orderbridge subscriptions import automation.json
  orderbridge subscriptions import automation.json --id warehouse`,
		Args: args(1, 1, "a file"),
		RunE: onBus(func(ctx context.Context, cmd *cobra.Command, s *session, args []string) error {
			if id == "" {
				id = s.cfg.WebhookID
			}
			if err := checkID(id); err != nil {
				return err
			}
			webhook, secrets, err := newWebhook(s.cfg, nil, nil)
			if err != nil {
				return err
			}
			o := automationOptions(s.cfg, secrets, webhook, args[0], id)
			o.Logger = s.log
			o.Judge = func(rec []byte) record.Problems {
				problems, err := s.judge(ctx, id, rec)
				if err != nil {
					return record.Problems{{Message: err.Error()}}
				}
				return problems
			}
			file, err := automation.Open(o)
			if err != nil {
				return err
			}
			change, err := file.Apply(ctx, store.NewRecords(s.js, s.names.Subscriptions, s.log), true)
			switch {
			case err != nil:
				return explain(err)
			case change.What == automation.Absent:
				_, err := fmt.Fprintf(cmd.OutOrStdout(),
					"%s: the file enables no webhook, and there is no active record of it\n", id)
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, revision %d\n", id, change.What, change.Revision)
			return s.verdict(ctx, cmd, id, change.Revision)
		}),
	}
	cmd.Flags().StringVar(&id, "id", "", "id of the record (default ORDERBRIDGE_WEBHOOK_ID: automation)")
	return cmd
}
