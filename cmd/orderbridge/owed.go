package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"orderbridge/bridge"
)

func newOwed() *cobra.Command {
	cmd := newGroup("owed", "Show what is owed, why, and when it is tried next", newOwedList())
	cmd.Example = "  orderbridge owed list"
	return cmd
}

// debt is one entry of the ledger: an order that waits, or a subscription that
// reads for itself.
type debt struct {
	Subscription string            `json:"subscription"`
	Lane         *bridge.LaneEntry `json:"lane,omitempty"`
	Reads        *bridge.Mark      `json:"reads,omitempty"`
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
			if format == "json" {
				return printJSON(cmd, debts)
			}
			if len(debts) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "nothing is owed")
				return nil
			}
			t := newTable("SUBSCRIPTION", "ORDER", "EVENTS", "ATTEMPTS", "NEXT", "STATUS", "REASON")
			for _, d := range debts {
				t.row(d.cells(time.Now())...)
			}
			return t.print(cmd)
		}),
	}
	format.register(cmd, "table", "json")
	return cmd
}

func (s *session) debts(ctx context.Context, only []string) ([]debt, error) {
	var keys []string
	if len(only) == 1 {
		if err := checkID(only[0]); err != nil {
			return nil, err
		}
		keys = []string{only[0], only[0] + ".>"}
	}
	kv, err := s.bucket(ctx, s.names.Owed)
	if err != nil {
		return nil, err
	}
	debts := []debt{}
	err = each(ctx, kv, func(entry jetstream.KeyValueEntry) error {
		id, _, isLane := strings.Cut(entry.Key(), ".")
		d := debt{Subscription: id}
		var into any
		if isLane {
			d.Lane = new(bridge.LaneEntry)
			into = d.Lane
		} else {
			d.Reads = new(bridge.Mark)
			into = d.Reads
		}
		if err := json.Unmarshal(entry.Value(), into); err != nil {
			return fmt.Errorf("entry %q of bucket %q: %w", entry.Key(), kv.Bucket(), err)
		}
		// A mark with Live only says from where on the subscription is live again.
		if d.Reads == nil || d.Reads.Live == 0 {
			debts = append(debts, d)
		}
		return nil
	}, keys...)
	return debts, err
}

func (d debt) cells(now time.Time) []string {
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
	order := d.Lane.Key
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
