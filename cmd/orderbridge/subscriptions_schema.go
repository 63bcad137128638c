package main

import (
	"github.com/spf13/cobra"

	"orderbridge/bridge/record"
)

func newSubscriptionsSchema() *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of a record",
		Example: "  orderbridge subscriptions schema > subscription.schema.json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(record.Schema())
			return err
		},
	}
}
