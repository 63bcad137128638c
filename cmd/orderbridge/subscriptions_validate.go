package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"orderbridge/bridge/record"
)

func newSubscriptionsValidate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "validate FILE|-...",
		Short: "Check records without storing them, and without a bus",
		Long: `Check records as the bridge does and print all problems. Exit code 1 if one of
them has an error. The id is taken from the name of the file.`,
		Example: `  orderbridge subscriptions validate acme.json
  orderbridge subscriptions validate records/*.json`,
		Args: args(1, -1, "files, or - for stdin"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, _, err := settings(cmd)
			if err != nil {
				return err
			}
			bad := 0
			for _, path := range args {
				rec, err := readInput(cmd, path)
				if err != nil {
					return err
				}
				id := "stdin"
				if path != "-" {
					id = strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
				}
				sub, problems := record.Parse(id, rec, recordPolicy(cfg))
				printProblems(cmd, path, problems)
				if problems.Err() != nil {
					bad++
					continue
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: good: %s\n", path, sub.Describe())
			}
			if bad > 0 {
				return fmt.Errorf("%s invalid", count(bad, "record"))
			}
			return nil
		},
	}
	return cmd
}
