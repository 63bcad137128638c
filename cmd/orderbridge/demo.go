package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func newDemo() *cobra.Command {
	var keep bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See it work: a bus, the bridge and a receiver, all on this machine",
		Long: `Start an embedded NATS server, the bridge and a local receiver over TLS in a
temporary directory on free ports, put three subscriptions, publish order events
and print each delivery as it arrives. Nothing is left behind.`,
		Example: `  orderbridge demo
  orderbridge demo --keep                            stay up, to try more`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			_ = keep
			return errors.New("not wired yet")
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "stay up until interrupted and print what to try next")
	return cmd
}
