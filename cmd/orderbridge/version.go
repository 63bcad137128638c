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
			if format.data() {
				return printData(cmd, b)
			}
			fmt.Fprint(cmd.OutOrStdout(), versionText())
			return nil
		},
	}
	format.register(cmd, "text", "json")
	return cmd
}

func versionText() string {
	b := telemetry.Version()
	text := fmt.Sprintf("orderbridge %s (%s, %s/%s)\n", b.Version, b.Go, runtime.GOOS, runtime.GOARCH)
	if b.Commit != "" {
		text += "commit " + b.Commit + "\n"
	}
	return text
}
