package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"orderbridge/internal/telemetry"
)

func newVersion() *cobra.Command {
	format := output("text")
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  orderbridge version\n  orderbridge version -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := telemetry.Version()
			if format == "json" {
				return printJSON(cmd, b)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "orderbridge %s (%s, %s/%s)\n", b.Version, b.Go, runtime.GOOS, runtime.GOARCH)
			if b.Commit != "" {
				fmt.Fprintf(cmd.OutOrStdout(), "commit %s\n", b.Commit)
			}
			return nil
		},
	}
	format.register(cmd, "text", "json")
	return cmd
}
