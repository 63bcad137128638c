package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/store"
)

// span are the flags that say which part of the stream is meant.
type span struct{ since, until string }

func (x *span) times() (since, until time.Time, err error) {
	now := time.Now()
	if since, err = timeOf("--since", x.since, now); err == nil {
		until, err = timeOf("--until", x.until, now)
	}
	return since, until, err
}

func newReplay() *cobra.Command {
	var r bridge.ReplayRequest
	var x span
	format := output("table")
	cmd := &cobra.Command{
		Use:   "replay SUBSCRIPTION",
		Short: "Send a subscription again what it heard in the past",
		Long: `Have the leading bridge send a subscription again what it heard in a range of the
source stream, beside what it is owed. The requests carry X-Replay and X-Replay-Id;
their ids are those that the deliveries had (a receiver drops what it knows) or new
ones (--ids new: it works on them once more). The events of one order come in order.
The replay goes on when this command has ended, and over restarts of the bridge;
"replays show" says how far it is, "replays stop" ends it. What fails for good becomes
a dead letter.`,
		Example: `  orderbridge replay acme --since 1h --dry-run
  orderbridge replay acme --since 2026-01-31T12:00:00Z --until 2026-01-31T13:00:00Z --rate 20/s
  orderbridge replay acme --from-seq 4000 --until-seq 5000 --order 4711 --ids new`,
		Args: args(1, 1, "one subscription"),
		RunE: asking(func(ctx context.Context, cmd *cobra.Command, s *session, args []string) (err error) {
			if r.Subscription = args[0]; checkID(args[0]) != nil {
				return checkID(args[0])
			}
			if r.Since, r.Until, err = x.times(); err != nil {
				return err
			}
			if err := r.Check(flagOf); err != nil {
				return usagef("%s; see `%s --help`", strings.ReplaceAll(err.Error(), "\n", "; "), cmd.CommandPath())
			}
			a, err := s.catalog.Replay(acting(ctx), store.Everything(), r)
			switch {
			case err != nil && !r.DryRun:
				return s.notSentAgain(ctx, r.Subscription, "replays list "+r.Subscription, err)
			case err != nil:
				return s.notSentAgain(ctx, r.Subscription, "", err)
			case format.data():
				return printData(cmd, a)
			case a.Replay == nil:
				return printCount(cmd, a.Count, "would be sent")
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "replay %s of sequences %d to %d has begun; `orderbridge replays show %s` says how far it is\n",
				a.Replay.ID, a.Replay.From, a.Replay.Until, a.Replay.ID)
			return err
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&x.since, "since", "", "events stored since this `time`: 1h, 7d or 2026-01-31T12:00:00Z")
	flags.Uint64Var(&r.FromSeq, "from-seq", 0, "events from this `sequence` on")
	flags.StringVar(&x.until, "until", "", "events stored before this `time` (default: what was heard by now)")
	flags.Uint64Var(&r.UntilSeq, "until-seq", 0, "events up to this `sequence`")
	flags.StringVar(&r.Order, "order", "", "those of this `order` only")
	flags.StringVar(&r.EventType, "event-type", "", "those of this `type` only")
	flags.StringVar(&r.Rate, "rate", "", "at most so many: 10/s, 30/m, 100/h (default: as fast as the subscription's own bounds allow)")
	flags.StringVar(&r.IDs, "ids", bridge.ReplayOriginal, "delivery ids: original or new")
	flags.BoolVar(&r.DryRun, "dry-run", false, "count what would be sent, and send nothing")
	format.register(cmd, "table", "json")
	return cmd
}

// flagOf is the flag that stands for a member of a request: --from-seq for fromSeq.
func flagOf(member string) string {
	name := "--"
	for _, c := range member {
		if unicode.IsUpper(c) {
			name += "-"
		}
		name += string(unicode.ToLower(c))
	}
	return name
}

// notSentAgain says why a replay or a rewind was not begun; see is the command that
// shows whether it was all the same, "" if it cannot have been.
func (s *session) notSentAgain(ctx context.Context, subscription, see string, err error) error {
	var no *store.RefusedError
	switch {
	case errors.As(err, &no):
		return fmt.Errorf("refused: %s", printable(no.Reason))
	case errors.Is(err, protocol.ErrNotFound):
		return s.unknown(ctx, subscription)
	case errors.Is(err, store.ErrNoLeader):
		return noLeader(see, err)
	}
	return explain(err)
}

// noLeader says what to do where no leader has answered; see is the command that shows
// whether it has done what it was asked for, "" if nothing was to be done.
func noLeader(see string, err error) error {
	if see != "" {
		see = "`orderbridge " + see + "` shows whether it was done. "
	}
	return fmt.Errorf("%w. %sIs `orderbridge serve` running, with the same ORDERBRIDGE_PREFIX?", err, see)
}

// printCount prints what would be sent.
func printCount(cmd *cobra.Command, n *bridge.ReplayCount, verb string) error {
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "%s of sequences %d to %d %s\n", count(n.Matches, "event"), n.From, n.Until, verb)
	if n.More {
		fmt.Fprintf(out, "at least: it was counted up to sequence %d only\n", n.Through)
	}
	if n.Gone > 0 {
		fmt.Fprintf(out, "%d sequences of the range are not in the stream any more\n", n.Gone)
	}
	if len(n.Sample) == 0 {
		return nil
	}
	t := newTable("SEQUENCE", "TIME", "ORDER", "TYPE", "DELIVERY")
	for _, x := range n.Sample {
		t.row(strconv.FormatUint(x.Sequence, 10), x.Time.UTC().Format(time.RFC3339), cmp.Or(x.Order, "-"), cmp.Or(x.EventType, "-"), x.DeliveryID)
	}
	return t.print(cmd)
}

func newReplays() *cobra.Command {
	cmd := newGroup("replays", "See and stop replays", newReplaysList(), newReplaysShow(), newReplaysStop())
	cmd.Example = `  orderbridge replays list
  orderbridge replays stop ktrz4mq2v5xw3abc`
	return cmd
}

func newReplaysList() *cobra.Command {
	format := output("table")
	cmd := &cobra.Command{
		Use: "list [SUBSCRIPTION]", Aliases: []string{"ls"},
		Short:   "List replays, the newest first; those that have ended for a week",
		Example: "  orderbridge replays list acme",
		Args:    args(0, 1, "one subscription at most"),
		RunE: asking(func(ctx context.Context, cmd *cobra.Command, s *session, args []string) error {
			subscription, err := optionalID(args)
			if err != nil {
				return err
			}
			list, err := s.catalog.Replays(ctx, store.Everything(), subscription)
			switch {
			case err != nil:
				return explain(err)
			case format.data():
				return printData(cmd, list)
			case len(list) == 0:
				fmt.Fprintln(cmd.ErrOrStderr(), "no replays")
				return nil
			}
			t := newTable("ID", "SUBSCRIPTION", "STATE", "FROM", "NEXT", "UNTIL", "SENT", "FAILED", "ASKED", "BY")
			for _, r := range list {
				t.row(r.ID, r.Subscription, r.State, strconv.FormatUint(r.From, 10), strconv.FormatUint(r.Next, 10), strconv.FormatUint(r.Until, 10),
					strconv.Itoa(r.Sent), strconv.Itoa(r.Failed), r.Asked.UTC().Format(time.RFC3339), cmp.Or(r.By, "-"))
			}
			return t.print(cmd)
		}),
	}
	format.register(cmd, "table", "json")
	return cmd
}

func newReplaysShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show how far a replay is, as JSON",
		Example: "  orderbridge replays show ktrz4mq2v5xw3abc",
		Args:    args(1, 1, "one replay"),
		RunE: asking(func(ctx context.Context, cmd *cobra.Command, s *session, args []string) error {
			r, err := s.catalog.ReplayOf(ctx, store.Everything(), args[0])
			if err != nil {
				return noReplay(args[0], err)
			}
			return printData(cmd, r)
		}),
	}
}

func noReplay(id string, err error) error {
	var no *store.RefusedError
	switch {
	case errors.Is(err, protocol.ErrNotFound):
		return fmt.Errorf("there is no replay %q; `orderbridge replays list` shows those there are", id)
	case errors.As(err, &no):
		return fmt.Errorf("refused: %s", printable(no.Reason))
	}
	return explain(err)
}

func newReplaysStop() *cobra.Command {
	return &cobra.Command{
		Use: "stop ID", Short: "Stop a replay",
		Example: "  orderbridge replays stop ktrz4mq2v5xw3abc",
		Args:    args(1, 1, "one replay"),
		RunE: asking(func(ctx context.Context, cmd *cobra.Command, s *session, args []string) error {
			r, err := s.catalog.StopReplay(acting(ctx), store.Everything(), args[0])
			if err != nil {
				return noReplay(args[0], err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "replay %s: %s, %s sent, up to sequence %d of %d\n", r.ID, r.State, count(r.Sent, "event"), r.Next-1, r.Until)
			return err
		}),
	}
}

func newRewind() *cobra.Command {
	var r bridge.RewindRequest
	var x span
	var yes bool
	format := output("table")
	cmd := &cobra.Command{
		Use:   "rewind SUBSCRIPTION",
		Short: "Set a subscription back: it is owed everything from there on once more",
		Long: `Have the leading bridge set a subscription back to an earlier sequence or time. It is
owed everything from there on once more, as ordinary deliveries under the ids that they
had, in order; what it is owed now stays in its place among them. Attempts that run are
waited for. Unlike a replay it cannot be stopped: ask with --dry-run first.`,
		Example: `  orderbridge rewind acme --since 1h --dry-run
  orderbridge rewind acme --to-seq 4000 --yes`,
		Args: args(1, 1, "one subscription"),
		RunE: asking(func(ctx context.Context, cmd *cobra.Command, s *session, args []string) (err error) {
			if r.Subscription = args[0]; checkID(args[0]) != nil {
				return checkID(args[0])
			}
			if r.Since, _, err = x.times(); err != nil {
				return err
			}
			if r.Check() != nil {
				return usagef("give either --to-seq or --since; see `%s --help`", cmd.CommandPath())
			}
			dry := r
			dry.DryRun = true
			a, err := s.catalog.Rewind(ctx, store.Everything(), dry)
			if err != nil {
				return s.notSentAgain(ctx, r.Subscription, "", err)
			}
			if r.DryRun {
				if format.data() {
					return printData(cmd, a)
				}
				return printCount(cmd, a.Count, "would be owed again")
			}
			if !yes {
				if err := confirmRewind(cmd, r.Subscription, a.Count); err != nil {
					return err
				}
			}
			if a, err = s.catalog.Rewind(acting(ctx), store.Everything(), r); err != nil {
				return s.notSentAgain(ctx, r.Subscription, "owed list "+r.Subscription, err)
			}
			if format.data() {
				return printData(cmd, a)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s set back to sequence %d: %s owed again\n", r.Subscription, a.Count.From, count(a.Count.Matches, "event"))
			return err
		}),
	}
	flags := cmd.Flags()
	flags.Uint64Var(&r.ToSeq, "to-seq", 0, "the first `sequence` that is owed again")
	flags.StringVar(&x.since, "since", "", "events stored since this `time`: 1h, 7d or 2026-01-31T12:00:00Z")
	flags.BoolVar(&yes, "yes", false, "do not ask")
	flags.BoolVar(&r.DryRun, "dry-run", false, "count what would be owed again, and do nothing")
	format.register(cmd, "table", "json")
	return cmd
}

// confirmRewind asks, where somebody can answer.
func confirmRewind(cmd *cobra.Command, subscription string, n *bridge.ReplayCount) error {
	least := ""
	if n.More {
		least = "at least "
	}
	what := fmt.Sprintf("%s%s from sequence %d on would be owed to %s once more", least, count(n.Matches, "event"), n.From, subscription)
	in := cmd.InOrStdin()
	if !terminal(in) {
		return usagef("%s; say --yes to do it", what)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s. Go on? [y/N] ", what)
	line, _ := bufio.NewReader(in).ReadString('\n')
	if text := strings.ToLower(strings.TrimSpace(line)); text != "y" && text != "yes" {
		return errors.New("not done")
	}
	return nil
}
