package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
)

func newDeadLettersShow() *cobra.Command {
	format := output("json")
	cmd := &cobra.Command{
		Use:   "show SEQUENCE",
		Short: "Show a dead letter with its event",
		Long: `Show the envelope of a dead letter as JSON or YAML: the reason, the attempts, and the event
as it was published. Events are the publishers' data: they may hold what is not
meant for everybody.`,
		Example: "  orderbridge dead-letters show 42",
		Args:    args(1, 1, "the sequence of a dead letter"),
		RunE: asking(func(ctx context.Context, cmd *cobra.Command, s *session, args []string) error {
			sequences, err := parseSequences(args)
			if err != nil {
				return err
			}
			l, err := s.letterAt(ctx, sequences[0])
			if err != nil {
				return err
			}
			if json.Valid(l.Envelope) {
				return printData(cmd, l.Envelope)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", l.Envelope)
			return err
		}),
	}
	format.register(cmd, "json")
	return cmd
}
