package main

import (
	"github.com/spf13/cobra"

	"orderbridge/internal/heap"
	"orderbridge/internal/limits"
)

func newServe() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the bridge (what orderbridge does without a command)",
		Long: `Run the bridge until SIGINT or SIGTERM. Then nothing new is taken, running
attempts may finish within ORDERBRIDGE_SHUTDOWN_TIMEOUT, what is still owed is
written down, and the exit code is 0. A second signal ends it at once.`,
		Example: `  orderbridge serve
  ORDERBRIDGE_NATS_URL=tls://nats.example.com ORDERBRIDGE_NATS_CREDS=bridge.creds orderbridge serve
  ORDERBRIDGE_DEV=true orderbridge serve             receivers on this machine, without a public certificate`,
		Args: noArgs,
		RunE: runServe,
	}
}

func runServe(cmd *cobra.Command, _ []string) error {
	cfg, log, err := settings(cmd)
	if err != nil {
		return err
	}
	heap.Floor(limits.HeapFloor)
	tellFewFiles(log)
	return serve(cmd.Context(), cfg, log)
}
