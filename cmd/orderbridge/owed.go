package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/store"
)

func newOwed() *cobra.Command {
	cmd := newGroup("owed", "Show what is owed, why, and when it is tried next", newOwedList())
	cmd.Example = "  orderbridge owed list"
	return cmd
}

func newOwedList() *cobra.Command {
	format := output("table")
	cmd := &cobra.Command{
		Use:     "list [SUBSCRIPTION]",
		Aliases: []string{"ls"},
		Short:   "List the orders that wait and the subscriptions that catch up",
		Long: `List the ledger: each order that waits for its next attempt, with the number of
its events, and each subscription that reads from the stream at its own pace, with
the sequence from which it owes and the reason.`,
		Example: `  orderbridge owed list
  orderbridge owed list acme -o json`,
		Args: args(0, 1, "one subscription at most"),
		RunE: onBus(func(ctx context.Context, cmd *cobra.Command, s *session, args []string) error {
			debts, err := s.debts(ctx, args)
			if err != nil {
				return err
			}
			if len(debts) == 0 && len(args) == 1 {
				if err := s.mustKnow(ctx, args[0]); err != nil {
					return err
				}
			}
			if len(debts) == 0 && format != "json" {
				fmt.Fprintln(cmd.ErrOrStderr(), "nothing is owed")
				return nil
			}
			if format == "json" {
				return printJSON(cmd, debts)
			}
			t := newTable("SUBSCRIPTION", "ORDER", "EVENTS", "ATTEMPTS", "NEXT", "STATUS", "REASON")
			for _, d := range debts {
				t.row(cells(d, time.Now())...)
			}
			return t.print(cmd)
		}),
	}
	format.register(cmd, "table", "json")
	return cmd
}

func (s *session) debts(ctx context.Context, only []string) ([]store.Debt, error) {
	subscription, err := optionalID(only)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	debts, _, err := s.catalog.Owed(ctx, store.Everything(), subscription, "", math.MaxInt32)
	if errors.Is(err, protocol.ErrNotFound) {
		return nil, s.noBucket(s.names.Owed)
	}
	if debts == nil {
		debts = []store.Debt{}
	}
	return slices.DeleteFunc(debts, owesNothing), explain(err)
}

// owesNothing is the mark of a subscription that was deleted or deactivated
// when it owed nothing: it is kept in case that it is put again.
func owesNothing(d store.Debt) bool {
	return d.Reads != nil && d.Reads.Until != nil && *d.Reads.Until < d.Reads.From
}

func cells(d store.Debt, now time.Time) []string {
	if d.Reads != nil {
		reading := "all, from sequence " + strconv.FormatUint(d.Reads.From, 10)
		if d.Reads.Until != nil {
			reading += " to " + strconv.FormatUint(*d.Reads.Until, 10)
		}
		return []string{d.Subscription, reading, "-", "-", "-", "-", d.Reads.Reason}
	}
	status := "-"
	if d.Lane.Head.LastStatus != 0 {
		status = strconv.Itoa(d.Lane.Head.LastStatus)
	}
	order := d.Lane.Order
	if order == "" {
		order = "-"
	}
	if d.Lane.Redrive != 0 {
		order += fmt.Sprintf(" (dead letter %d)", d.Lane.Redrive)
	}
	return []string{d.Subscription, order, strconv.Itoa(len(d.Lane.Seqs)), strconv.Itoa(d.Lane.Head.Attempts),
		until(now, d.Lane.Head.Next), status, d.Lane.Head.LastError}
}

// until is how long it is to a time: "now", "in 5s".
func until(now, at time.Time) string {
	if !at.After(now) {
		return "now"
	}
	return "in " + at.Sub(now).Round(time.Second).String()
}
