package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/store"
)

func newShards() *cobra.Command {
	format := output("table")
	cmd := &cobra.Command{
		Use:   "shards",
		Short: "Say who leads which shard, or change their number",
		Long: `Say who leads which shard. Each subscription belongs to one of the shards; replicas
share the shards evenly, each at its own speed. ORDERBRIDGE_SHARDS says how many
there are where nothing is there yet; later it is ` + "`orderbridge shards set`" + `.`,
		Example: "  orderbridge shards\n  orderbridge shards set 4 --wait",
		Args:    noArgs,
		RunE: asking(func(ctx context.Context, cmd *cobra.Command, s *session, _ []string) error {
			o, err := s.overview(ctx)
			if err != nil {
				return err
			}
			if format.data() {
				return printData(cmd, o.Shards)
			}
			return printShards(cmd, o)
		}),
	}
	format.register(cmd, "table", "json")
	cmd.AddCommand(newShardsSet())
	return cmd
}

func newShardsSet() *cobra.Command {
	var wait bool
	cmd := &cobra.Command{
		Use:   "set N",
		Short: "Change the number of shards, while all goes on",
		Long: `Change the number of shards. Nothing is lost or overtakes its predecessor: the
present shards are handed over as at a stop, closed for good, and the new ones go on
where each of them has stopped. That takes as long as a stop (at most
ORDERBRIDGE_SHUTDOWN_TIMEOUT), or the time of a lease where a replica has just
crashed. A number that is set before the change is complete waits until it is.
All replicas have to be of a build that knows shards.`,
		Example: "  orderbridge shards set 4\n  orderbridge shards set 1 --wait",
		Args:    args(1, 1, "the number of shards"),
		RunE: asking(func(ctx context.Context, cmd *cobra.Command, s *session, args []string) error {
			n, err := strconv.Atoi(args[0])
			if err == nil {
				err = protocol.ValidShards(n)
			} else {
				err = fmt.Errorf("%q is not a whole number", args[0])
			}
			if err != nil {
				return usagef("%w", err)
			}
			return s.setShards(acting(ctx), cmd, n, wait)
		}),
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until it is done, and say what happens")
	return cmd
}

func (s *session) setShards(ctx context.Context, cmd *cobra.Command, n int, wait bool) error {
	l, err := s.catalog.SetShards(ctx, n)
	var no *store.RefusedError
	switch {
	case errors.As(err, &no):
		return fmt.Errorf("refused: %s", printable(no.Reason))
	case errors.Is(err, store.ErrNoLeader):
		return fmt.Errorf("%w; is `orderbridge serve` running, with the same ORDERBRIDGE_PREFIX, and of a build that knows shards?", err)
	case err != nil:
		return explain(err)
	}
	out := cmd.OutOrStdout()
	switch {
	case l.Want == n:
		fmt.Fprintf(out, "accepted: %s, once the change to %d is done\n", count(n, "shard"), l.Shards)
	case l.Done:
		fmt.Fprintf(out, "%s: nothing to change\n", count(n, "shard"))
	default:
		fmt.Fprintf(out, "accepted: %s instead of %d\n", count(n, "shard"), l.Former)
	}
	if wait {
		return s.awaitShards(ctx, cmd, n, l)
	}
	return nil
}

// awaitShards says what happens until there are n shards and the change is done, or
// another number has taken its place; asked is the layout that answered the wish.
func (s *session) awaitShards(ctx context.Context, cmd *cobra.Command, n int, asked protocol.Layout) error {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	seen := time.Now()
	for told := ""; ; {
		o, err := s.overview(ctx)
		if err != nil && time.Since(seen) > time.Minute {
			return err
		}
		if err != nil { // the bucket is being made again, or the bus is away
			if now := "goes on; at present it cannot be seen how far it is: " + err.Error(); now != told {
				fmt.Fprintln(cmd.OutOrStdout(), now)
				told = now
			}
			if err := pause(ctx, tick.C); err != nil {
				return err
			}
			continue
		}
		seen = time.Now()
		if o.Layout.Done && o.Layout.Shards == n {
			fmt.Fprintf(cmd.OutOrStdout(), "done: %s\n", count(n, "shard"))
			return nil
		}
		if other := superseded(n, asked, o.Layout); other > 0 {
			return fmt.Errorf("somebody has set %s meanwhile, in the place of %d", count(other, "shard"), n)
		}
		if now := underWay(o); now != told {
			fmt.Fprintln(cmd.OutOrStdout(), now)
			told = now
		}
		if err := pause(ctx, tick.C); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, tick <-chan time.Time) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-tick:
		return nil
	}
}

// superseded is the number that was set after n had been asked for; 0: none.
func superseded(n int, asked, now protocol.Layout) int {
	first := asked.Generation // that can have n shards
	if asked.Shards != n {
		first++
	}
	switch {
	case now.Shards == n:
		return 0 // under way, whatever comes after it
	case now.Generation >= first:
		return now.Shards
	case now.Want == 0:
		return now.Shards // set back
	case now.Want != n:
		return now.Want
	}
	return 0
}

// underWay says how far a change has come.
func underWay(o *store.Overview) string {
	led, by := 0, []string{}
	for _, x := range o.Shards {
		if x.Role == "leader" {
			led++
		}
	}
	for _, x := range o.Former {
		by = append(by, fmt.Sprintf("%d (%s)", x.Shard, printable(x.Leader)))
	}
	switch {
	case o.Layout.Done:
		return "done: " + count(o.Layout.Shards, "shard")
	case len(by) > 0:
		return "waits for former shards to be handed over: " + strings.Join(by, ", ")
	case led < o.Layout.Shards:
		return fmt.Sprintf("%d of %s led", led, count(o.Layout.Shards, "shard"))
	}
	return "all are led; waits until all are past what the former ones have settled"
}

func (s *session) overview(ctx context.Context) (*store.Overview, error) {
	o, err := s.catalog.Overview(ctx)
	if errors.Is(err, protocol.ErrNotFound) {
		return nil, fmt.Errorf("no bridge has led on this bus (is the prefix right? ORDERBRIDGE_PREFIX=%q)", s.cfg.Prefix)
	}
	return o, explain(err)
}

func printShards(cmd *cobra.Command, o *store.Overview) error {
	t := shardsTable()
	for _, x := range o.Shards {
		t.row(shardCells(x)...)
	}
	return t.print(cmd)
}

func shardsTable() *table {
	return newTable("SHARD", "LEADER", "ROLE", "EPOCH", "SETTLED", "LAG", "OWED", "SINCE")
}

func shardCells(x store.ShardOverview) []string {
	leader, role, owed, since := x.Leader, string(x.Role), "-", "-"
	if leader == "" {
		leader, role = "nobody", "-"
	}
	if x.Silent {
		role += ", silent"
	}
	if x.Owed != nil {
		owed = strconv.Itoa(*x.Owed)
	}
	if !x.Since.IsZero() {
		since = x.Since.UTC().Format(time.RFC3339)
	}
	return []string{strconv.Itoa(x.Shard), leader, role, strconv.FormatUint(x.Epoch, 10), strconv.FormatUint(x.Floor, 10),
		strconv.FormatUint(x.Lag, 10), owed, since}
}
