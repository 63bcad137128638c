package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
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
	follow, limit := false, 0
	cmd := &cobra.Command{
		Use:     "list [SUBSCRIPTION]",
		Aliases: []string{"ls"},
		Short:   "List the orders that wait and the subscriptions that catch up",
		Long: `List the ledger: each order that waits for its next attempt, with the number of
its events and the age of the oldest (since it was published), and each subscription
that reads from the stream at its own pace, with the sequence from which it owes and
the reason.`,
		Example: `  orderbridge owed list
  orderbridge owed list acme -o json
  orderbridge owed list --watch`,
		Args:    args(0, 1, "one subscription at most"),
		PreRunE: func(*cobra.Command, []string) error { return checkLimit(limit) },
		RunE: asking(func(ctx context.Context, cmd *cobra.Command, s *session, args []string) error {
			if follow {
				return watch(ctx, cmd, owedTable, func(ctx context.Context, add func(item)) error {
					debts, err := s.debts(ctx, args, limit)
					for _, d := range debts {
						add(item{d.Subscription + " " + lane(d), d, cells(d, time.Now())})
					}
					return err
				})
			}
			debts, err := s.debts(ctx, args, limit)
			if err == nil && len(debts) == 0 && len(args) == 1 {
				err = s.mustKnow(ctx, args[0])
			}
			if err != nil {
				return err
			}
			l := newListing(cmd, owedTable())
			for _, d := range debts {
				if err := l.add(d, cells(d, time.Now())...); err != nil {
					return err
				}
			}
			return l.end("nothing is owed")
		}),
	}
	cmd.Flags().IntVar(&limit, "limit", 0, "how many to list at most; 0: all")
	watchFlag(cmd, &follow)
	format.register(cmd, "table", "json")
	return cmd
}

func owedTable() *table {
	return newTable("SUBSCRIPTION", "ORDER", "EVENTS", "AGE", "ATTEMPTS", "NEXT", "STATUS", "REASON").wide("SEQUENCES")
}

// lane tells the debts of a subscription apart.
func lane(d store.Debt) string {
	if d.Lane == nil {
		return ""
	}
	return fmt.Sprint(d.Lane.Order, " ", d.Lane.Redrive)
}

func (s *session) debts(ctx context.Context, only []string, limit int) ([]store.Debt, error) {
	if limit == 0 {
		limit = math.MaxInt32
	}
	subscription, err := optionalID(only)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	debts, _, err := s.catalog.Owed(ctx, store.Everything(), subscription, "", limit)
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
		return []string{d.Subscription, reading, "-", age(now, d.Published), "-", "-", "-", d.Reads.Reason, "-"}
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
	return []string{d.Subscription, order, strconv.Itoa(len(d.Lane.Seqs)), age(now, d.Published),
		strconv.Itoa(d.Lane.Head.Attempts), until(now, d.Lane.Head.Next), status, d.Lane.Head.LastError, sequencesText(d.Lane.Seqs)}
}

// age is how long ago a time is; "-" if it is not known.
func age(now, at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return max(now.Sub(at), 0).Round(time.Second).String()
}

// until is how long it is to a time: "now", "in 5s".
func until(now, at time.Time) string {
	if !at.After(now) {
		return "now"
	}
	return "in " + at.Sub(now).Round(time.Second).String()
}

// sequencesText are the first few of some sequences.
func sequencesText(seqs []uint64) string {
	const most = 8
	text := strings.Trim(fmt.Sprint(seqs[:min(len(seqs), most)]), "[]")
	if len(seqs) > most {
		text += " …"
	}
	return text
}
