package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"orderbridge/config"
)

func newConfig() *cobra.Command {
	format := output("table")
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show all settings with their present values, secrets redacted",
		Long: `Show every environment variable that orderbridge reads: its name, its default,
its present value (secrets redacted) and what it means. A value marked with *
is set in the environment. Errors in the values are listed at the end.`,
		Example: `  orderbridge config
  orderbridge config -o json
  orderbridge config -o markdown                     the table of the README`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := printSettings(cmd, format); err != nil {
				return err
			}
			_, _, err := settings(cmd)
			return err
		},
	}
	format.register(cmd, "table", "json", "markdown")
	return cmd
}

func printSettings(cmd *cobra.Command, format output) error {
	switch format {
	case "json":
		return printData(cmd, config.Table())
	case "markdown":
		_, err := fmt.Fprint(cmd.OutOrStdout(), config.Markdown())
		return err
	}
	t := newTable("NAME", "VALUE", "DEFAULT", "MEANING")
	for _, v := range config.Table() {
		value := v.Value
		if v.Set {
			value += " *"
		}
		t.row(v.Name, value, v.Default, v.Meaning)
	}
	return t.print(cmd)
}
