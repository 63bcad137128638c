package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
)

func newStatus() *cobra.Command {
	format := output("table")
	follow := false
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say which replicas there are, who leads what, and how far it got",
		Long: `Say which replicas of the bridge there are, which of them leads which shard, up to
which sequence of the stream each shard has settled everything, how many messages
of the stream lie above that (LAG), and how many deliveries are owed. A leader that
is silent has not renewed its lease for 3s: it runs out, and another follows.`,
		Example: "  orderbridge status\n  orderbridge status -o json",
		Args:    noArgs,
		RunE: asking(func(ctx context.Context, cmd *cobra.Command, s *session, _ []string) error {
			if follow {
				return s.watchStatus(ctx, cmd)
			}
			o, err := s.overview(ctx)
			if err != nil {
				return err
			}
			if format.data() {
				return printData(cmd, o)
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "stream    %s, up to sequence %d\nshards    %s\n\n", o.Stream, o.Last, layoutText(o.Layout))
			if err := printShards(cmd, o); err != nil {
				return err
			}
			fmt.Fprintln(out)
			t := newTable("REPLICA", "SINCE", "LEADS")
			for _, h := range o.Replicas {
				t.row(h.Holder, h.Since.UTC().Format(time.RFC3339), ledText(h, o.Layout.Generation))
			}
			return t.print(cmd)
		}),
	}
	watchFlag(cmd, &follow)
	format.register(cmd, "table", "json")
	return cmd
}

// watchStatus follows the shards: who leads each, and how far it got.
func (s *session) watchStatus(ctx context.Context, cmd *cobra.Command) error {
	return watch(ctx, cmd, shardsTable, func(ctx context.Context, add func(item)) error {
		o, err := s.overview(ctx)
		if err != nil {
			return err
		}
		for _, x := range o.Shards {
			add(item{fmt.Sprint(x.Shard), x, shardCells(x)})
		}
		return nil
	})
}

func layoutText(l protocol.Layout) string {
	text := fmt.Sprintf("%d, layout %d", l.Shards, l.Generation)
	if !l.Done && l.Former > 0 {
		text += fmt.Sprintf(", the change from %d is under way", l.Former)
	}
	if l.Want > 0 {
		text += fmt.Sprintf(", then %d", l.Want)
	}
	return text
}

// ledText is what a replica leads, as its last heartbeat told: that may have been
// under the layout before.
func ledText(h bridge.Heartbeat, generation uint64) string {
	var led []string
	for _, x := range h.Leads {
		text := fmt.Sprint(x.Shard)
		if x.Role != bridge.RoleLeader {
			text += " (" + string(x.Role) + ")"
		}
		led = append(led, text)
	}
	switch {
	case len(led) == 0 && h.Reading:
		return "stands by, reads the records"
	case len(led) == 0:
		return "stands by"
	case h.Layout != generation:
		return fmt.Sprintf("%s of layout %d", strings.Join(led, ", "), h.Layout)
	}
	return strings.Join(led, ", ")
}
