package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/store"
	"orderbridge/subscribers"
)

func newStream() *cobra.Command {
	cmd := newGroup("stream", "Inspect the stream of events", newStreamStatus(), newStreamAdopt())
	cmd.Long = `Inspect the stream of events. A stream that was deleted and recreated, restored
from a backup, or that has lost its end gives the same sequences to other events.
The bridge notices, passes nothing over, and says so until an operator has
acknowledged it.`
	cmd.Example = `  orderbridge stream status
  orderbridge stream adopt --yes`
	return cmd
}

func newStreamStatus() *cobra.Command {
	format := output("table")
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Say what the bridge knows of the stream, and whether it has changed",
		Example: "  orderbridge stream status\n  orderbridge stream status -o json",
		Args:    noArgs,
		RunE: asking(func(ctx context.Context, cmd *cobra.Command, s *session, _ []string) error {
			reports, err := s.streamReports(ctx)
			if err != nil {
				return err
			}
			r := together(reports)
			if format.data() {
				return printData(cmd, r)
			}
			printStream(cmd.OutOrStdout(), r)
			return nil
		}),
	}
	format.register(cmd, "table", "json")
	return cmd
}

func newStreamAdopt() *cobra.Command {
	var (
		begin bridge.Begin
		from  string
		yes   bool
	)
	cmd := &cobra.Command{
		Use:   "adopt",
		Short: "Acknowledge that the stream has changed; say where the bridge begins in it",
		Long: `Acknowledge that the stream has changed. By itself the bridge begins where it is
sure to pass nothing over, and repeats what it cannot know to be settled. With one
of --from-seq, --from-time and --at-end it begins there: no subscription is sent
what lies before, except the orders that the ledger holds. Without --yes nothing is
done: the command says what it would do. If nobody leads, the next leader does it.`,
		Example: `  orderbridge stream adopt                                     # what would it do?
  orderbridge stream adopt --yes                               # acknowledge
  orderbridge stream adopt --from-time 2026-01-31T12:00:00Z --yes`,
		Args: noArgs,
		RunE: onBus(func(ctx context.Context, cmd *cobra.Command, s *session, _ []string) error {
			given := 0
			for _, name := range []string{"from-seq", "from-time", "at-end"} {
				if cmd.Flags().Changed(name) {
					given++
				}
			}
			if given > 1 {
				return usagef("only one of --from-seq, --from-time and --at-end can be given")
			}
			if cmd.Flags().Changed("from-seq") && begin.Seq == 0 {
				return usagef("--from-seq is 0; sequences begin at 1")
			}
			if from != "" {
				t, err := time.Parse(time.RFC3339, from)
				if err != nil {
					return usagef("--from-time is %q, which is not a time; write it like 2026-01-31T12:00:00Z", from)
				}
				begin.Time = t
			}
			return s.adoptStream(ctx, cmd, begin, yes)
		}),
	}
	cmd.Flags().Uint64Var(&begin.Seq, "from-seq", 0, "begin at this `sequence`")
	cmd.Flags().StringVar(&from, "from-time", "", "begin at the first event stored at or after this `time`")
	cmd.Flags().BoolVar(&begin.End, "at-end", false, "begin after the last event")
	cmd.Flags().BoolVar(&yes, "yes", false, "do it")
	return cmd
}

func (s *session) source() bridge.Source {
	return subscribers.NewSource(subscribers.SourceOptions{JetStream: s.js, Stream: s.names.Stream, Logger: s.log})
}

// lease is the lease as it was read.
type lease struct {
	value    []byte
	revision uint64
	free     bool
}

// shardReport is what is known of the stream for one shard.
type shardReport struct {
	protocol.StreamReport
	shard protocol.Shard
	held  *lease // nobody leads the shard: it was looked at from here
}

// streamReports asks the leader of each shard; where nobody leads one it looks for itself.
func (s *session) streamReports(ctx context.Context) ([]shardReport, error) {
	l, err := s.catalog.Layout(ctx)
	if err != nil {
		return nil, explain(err)
	}
	var all []shardReport
	for k := range l.Shards {
		x := shardReport{shard: l.Shard(k)}
		if x.StreamReport, x.held, err = s.streamReport(ctx, x.shard); err != nil {
			return nil, err
		}
		all = append(all, x)
	}
	return all, nil
}

// streamReport asks the leader, or, where nobody leads, looks for itself; then
// it returns the lease, too.
func (s *session) streamReport(ctx context.Context, shard protocol.Shard) (protocol.StreamReport, *lease, error) {
	answer, err := s.catalog.AskStream(ctx, store.StreamRequest{Shard: shard.Number})
	if !errors.Is(err, store.ErrNoLeader) {
		return answer.Report, nil, explain(err)
	}
	value, revision, err := s.catalog.LeaseValue(ctx, shard)
	switch {
	case err != nil:
		return protocol.StreamReport{}, nil, explain(err)
	case value == nil:
		return protocol.StreamReport{}, nil, fmt.Errorf("nobody leads, and no bridge has led on this bus (is the prefix right? ORDERBRIDGE_PREFIX=%q)", s.cfg.Prefix)
	}
	r, free, err := bridge.InspectStream(ctx, s.source(), value)
	return r, &lease{value, revision, free}, explain(err)
}

// together is what the shards know as one: the lowest floor and position, all changes.
func together(reports []shardReport) protocol.StreamReport {
	r := reports[0].StreamReport
	leaders := []string{r.Leader}
	for _, x := range reports[1:] {
		r.Floor, r.Position, r.Known = min(r.Floor, x.Floor), min(r.Position, x.Position), max(r.Known, x.Known)
		if r.Changed == "" {
			r.Changed = x.Changed
		}
		if r.Adopt == nil {
			r.Adopt = x.Adopt
		}
		if !slices.Contains(leaders, x.Leader) {
			leaders = append(leaders, x.Leader)
		}
		for _, c := range x.Changes {
			same := func(y protocol.StreamChange) bool { return y.Reason == c.Reason && y.Created.Equal(c.Created) }
			if !slices.ContainsFunc(r.Changes, same) {
				r.Changes = append(r.Changes, c)
			}
		}
	}
	slices.Sort(leaders)
	r.Leader = strings.Join(leaders, ", ")
	return r
}

func (s *session) adoptStream(ctx context.Context, cmd *cobra.Command, begin bridge.Begin, yes bool) error {
	out := cmd.OutOrStdout()
	reports, err := s.streamReports(ctx)
	if err != nil {
		return err
	}
	r := together(reports)
	printStream(out, r)
	reports = slices.DeleteFunc(reports, func(x shardReport) bool { return len(x.Changes) == 0 && x.Changed == "" })
	if len(reports) == 0 {
		return errors.New("there is nothing to adopt: no change of the stream is open")
	}
	a, err := begin.Adoption(ctx, s.source(), time.Now())
	if err != nil {
		return explain(err)
	}
	for _, x := range reports {
		if a.After > 0 && a.After < x.Position {
			return fmt.Errorf("the bridge has come to sequence %d already, and can only begin later than that", x.Position)
		}
	}
	if !yes {
		fmt.Fprintf(out, "\nwould acknowledge the change%s\nnothing was done; add --yes to do it\n", skipped(r, a))
		return nil
	}
	for i, x := range reports {
		if len(reports) > 1 {
			fmt.Fprintf(out, "\nshard %d:", x.shard.Number)
		}
		if err := s.adoptShard(ctx, cmd, begin, a, x); err != nil {
			if i > 0 {
				err = fmt.Errorf("shard %d: %w; do it again for the rest", x.shard.Number, err)
			}
			return err
		}
	}
	return nil
}

func (s *session) adoptShard(ctx context.Context, cmd *cobra.Command, begin bridge.Begin, a protocol.Adoption, x shardReport) error {
	if x.held != nil {
		return s.adoptLater(ctx, cmd, a, x)
	}
	answer, err := s.catalog.AskStream(ctx, store.StreamRequest{Shard: x.shard.Number, Adopt: true, Begin: begin})
	var no *store.RefusedError
	switch {
	case errors.As(err, &no):
		return fmt.Errorf("refused: %s", printable(no.Reason))
	case err != nil:
		return explain(err)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "\nacknowledged%s\n", skipped(x.StreamReport, *answer.Adopted))
	return nil
}

// leaseTime is how long a lease holds that nobody renews, and the margin.
const leaseTime = 12 * time.Second

// adoptLater leaves the decision in the lease, once it is sure that nobody holds it.
func (s *session) adoptLater(ctx context.Context, cmd *cobra.Command, a protocol.Adoption, x shardReport) error {
	held := x.held
	if !held.free {
		fmt.Fprintf(cmd.ErrOrStderr(), "nobody answers; waiting %s to be sure that nobody leads\n", leaseTime)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(leaseTime):
		}
		value, revision, err := s.catalog.LeaseValue(ctx, x.shard)
		if err != nil {
			return explain(err)
		}
		if revision != held.revision || !bytes.Equal(value, held.value) {
			return errors.New("somebody leads, or has begun to: try again")
		}
	}
	err := s.catalog.AdoptLater(ctx, x.shard, held.value, held.revision, a)
	if errors.Is(err, protocol.ErrDeposed) {
		return errors.New("somebody leads, or has begun to: try again")
	}
	if err != nil {
		return explain(err)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "\nnobody leads; the next leader acknowledges the change%s\n", skipped(x.StreamReport, a))
	return nil
}

// skipped says what a decision passes over.
func skipped(r protocol.StreamReport, a protocol.Adoption) string {
	if a.After == 0 {
		return fmt.Sprintf("; the bridge goes on after sequence %d", r.Position)
	}
	return fmt.Sprintf(" and begin after sequence %d: up to %d events before it are sent to nobody, except held orders",
		a.After, a.After-min(a.After, r.Position))
}

func printStream(w io.Writer, r protocol.StreamReport) {
	leader := r.Leader
	if leader == "" {
		leader = "nobody"
	}
	fmt.Fprintf(w, "stream     %s, made %s, sequences %d to %d\n", r.Name, r.Created.UTC().Format(time.RFC3339),
		r.First, r.Last)
	fmt.Fprintf(w, "leader     %s\n", printable(leader))
	fmt.Fprintf(w, "settled    up to %d, known up to %d\n", r.Floor, r.Known)
	fmt.Fprintf(w, "goes on    after %d\n", r.Position)
	if r.Changed != "" {
		fmt.Fprintf(w, "changed    %s\n", printable(r.Changed))
	}
	for _, c := range r.Changes {
		fmt.Fprintf(w, "not acknowledged, of %s: %s\n", c.Time.UTC().Format(time.RFC3339),
			printable(strings.TrimSpace(c.String())))
	}
	if r.Adopt != nil {
		fmt.Fprintf(w, "decided    at %s, for the next leader: begin after %d\n",
			r.Adopt.Time.UTC().Format(time.RFC3339), r.Adopt.After)
	}
}
