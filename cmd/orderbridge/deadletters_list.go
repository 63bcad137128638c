package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

func newDeadLettersList() *cobra.Command {
	var limit int
	var sel selection
	format := output("table")
	cmd := &cobra.Command{
		Use:     "list [SUBSCRIPTION]",
		Aliases: []string{"ls"},
		Short:   "List dead letters, the newest last",
		Example: `  orderbridge dead-letters list
  orderbridge dead-letters list acme --limit 0 -o json
  orderbridge dead-letters list --since 24h --reason timeout --order 4711`,
		Args:    args(0, 1, "one subscription at most"),
		PreRunE: func(*cobra.Command, []string) error { return checkLimit(limit) },
		RunE: asking(func(ctx context.Context, cmd *cobra.Command, s *session, args []string) error {
			subscription, err := optionalID(args)
			switch {
			case err != nil:
				return err
			case subscription == "":
				subscription = sel.Subscription
			case sel.Subscription != "" && sel.Subscription != subscription:
				return usagef("--subscription says %q, but %q is asked for", sel.Subscription, subscription)
			}
			sel.Subscription = subscription
			if err := sel.read(); err != nil {
				return err
			}
			list, err := s.letters(ctx, sel.LetterFilter, limit)
			if err == nil && len(list) == 0 && subscription != "" {
				err = s.mustKnow(ctx, subscription)
			}
			if err != nil {
				return err
			}
			if format.data() {
				return printData(cmd, list)
			}
			if len(list) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "no dead letters")
				return nil
			}
			t := newTable("SEQUENCE", "SUBSCRIPTION", "ORDER", "TIME", "ATTEMPTS", "STATUS", "REASON")
			for _, l := range list {
				t.row(strconv.FormatUint(l.Sequence, 10), l.Subscription, cmp.Or(l.Order, "-"),
					l.Time.UTC().Format(time.RFC3339),
					strconv.Itoa(l.Attempts), strconv.Itoa(l.LastStatus), l.Reason)
			}
			return t.print(cmd)
		}),
	}
	cmd.Flags().IntVar(&limit, "limit", 100, "how many of the newest to list; 0: all")
	cmd.Flags().StringVar(&sel.Subscription, "subscription", "", "those of this subscription")
	sel.filters(cmd)
	format.register(cmd, "table", "json")
	return cmd
}
