package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

func newRetryNow() *cobra.Command {
	var r store.RetryNowRequest
	format := output("text")
	cmd := &cobra.Command{
		Use:   "retry-now [ID]",
		Short: "Try what waits now: of a subscription, an order, or a host",
		Long: `Ask the leading bridge to end at once what deliveries wait for: the suspension of an
endpoint that failed, what it asked for (Retry-After, 410), and the time between
two attempts of an order. Name a subscription, or all whose target is a host
(--host), or one order of these or of all (--order).

The pace stays safe: an endpoint that was suspended is probed first, rate limits
hold, and after a long outage it begins slowly. To change a record, to activate
it, and a test that succeeds do the same for its subscription.`,
		Example: `  orderbridge retry-now acme
  orderbridge retry-now acme --order 4711
  orderbridge retry-now --order 4711
  orderbridge retry-now --host erp.example.com:8443`,
		Args: args(0, 1, "one subscription at most"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := optionalID(args)
			switch {
			case err != nil:
				return err
			case id == "" && r.Order == "" && r.Host == "":
				return usagef("%s wants the id of a subscription, --order or --host; see `%s --help`", cmd.CommandPath(), cmd.CommandPath())
			case id != "" && r.Host != "":
				return usagef("a subscription has one target: name it or --host, not both")
			}
			r.Subscription = id
			return asking(func(ctx context.Context, cmd *cobra.Command, s *session, _ []string) error {
				done, err := s.catalog.RetryNow(acting(ctx), store.Everything(), r)
				if err != nil {
					if done.Subscriptions > 0 {
						fmt.Fprintf(cmd.ErrOrStderr(), "%s waited, and %s of %s, in the shards that were asked before; these go now\n",
							count(done.Subscriptions, "subscription"), count(done.Orders, "order"), theirs(done.Subscriptions))
					}
					return s.notSteered(ctx, "retry now", id, strings.TrimSpace("owed list "+id), err)
				}
				if format.data() {
					return printData(cmd, done)
				}
				if done.Subscriptions == 0 {
					fmt.Fprintln(cmd.OutOrStdout(), "nothing waits for its time")
					return nil
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s waited, and %s of %s; all go now\n",
					count(done.Subscriptions, "subscription"), count(done.Orders, "order"), theirs(done.Subscriptions))
				return nil
			})(cmd, args)
		},
	}
	cmd.Flags().StringVar(&r.Order, "order", "", "only this order: its id, or its lane as `owed list` shows it")
	cmd.Flags().StringVar(&r.Host, "host", "", "all subscriptions whose target URL has this host (HOST or HOST:PORT)")
	format.register(cmd, "text", "json")
	return cmd
}

func theirs(n int) string {
	if n == 1 {
		return "it"
	}
	return "them"
}

func newSkip() *cobra.Command {
	var r store.SkipRequest
	format := output("text")
	cmd := &cobra.Command{
		Use:   "skip ID ORDER",
		Short: "Make the head of an order that waits a dead letter",
		Long: `Ask the leading bridge to give up the oldest event of an order that waits, the one
that nobody can take: it becomes a dead letter with the reason "skipped by" whom,
and the rest of the order goes on at once. ` + "`dead-letters redrive`" + ` puts it back.

It is refused if nothing of that order waits (` + "`owed list`" + ` shows what does; the
order of a subscription with strict ordering is =all), and while the event is being
attempted: then try again when that has ended, or pause the subscription first.
With --sequence nothing else than the event of that sequence is skipped; so one that was
redriven is named where its order waits as well.`,
		Example: `  orderbridge skip acme 4711
  orderbridge skip acme 4711 --sequence 1042 --reason "quantity is negative, see OPS-12"`,
		Args: args(2, 2, "the id of a subscription and that of an order"),
		RunE: asking(func(ctx context.Context, cmd *cobra.Command, s *session, args []string) error {
			if err := checkID(args[0]); err != nil {
				return err
			}
			r.Subscription, r.Order = args[0], args[1]
			done, err := s.catalog.Skip(acting(ctx), store.Everything(), r)
			if err != nil {
				return s.notSteered(ctx, "skip", r.Subscription, "owed list "+r.Subscription, err)
			}
			if format.data() {
				return printData(cmd, done)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: sequence %d, the head of order %s, is a dead letter now; the rest of the order goes on\n",
				done.Subscription, done.Sequence, printable(done.Order))
			return nil
		}),
	}
	cmd.Flags().Uint64Var(&r.Sequence, "sequence", 0, "skip only the event of this sequence of the source stream")
	cmd.Flags().StringVar(&r.Reason, "reason", "", "why, for people: it stands in the dead letter, the audit and the delivery log as it is typed")
	format.register(cmd, "text", "json")
	return cmd
}

// notSteered says why the leader did not do what it was asked for; see is the command
// that shows whether it did.
func (s *session) notSteered(ctx context.Context, what, id, see string, err error) error {
	var no *store.RefusedError
	switch {
	case errors.As(err, &no):
		return errors.New(printable(no.Reason))
	case errors.Is(err, protocol.ErrNotFound):
		return s.unknown(ctx, id)
	case errors.Is(err, store.ErrNoLeader):
		return fmt.Errorf("%s: %w", what, noLeader(see, err))
	}
	return fmt.Errorf("%s: %w", what, explain(err))
}

func newPause(pause bool) *cobra.Command {
	use, short, is, long := "resume", "Go on with the deliveries of a subscription that is paused", "active",
		"What was held back is delivered, in order, as fast as the endpoint takes it."
	if pause {
		use, short, is, long = "pause", "Hold the deliveries of a subscription back, and lose none", "paused",
			"Nothing is sent. What the subscription owes and what is published meanwhile is kept,\nas long as the source stream keeps its events, and comes in order after `resume`.\n(`subscriptions deactivate` drops what is published meanwhile.)"
	}
	return &cobra.Command{
		Use:   use + " ID",
		Short: short,
		Long: short + ".\n" + long + `

Only the member "status" of the record is written, all else stays byte for byte;
if somebody else changes the record at the same time, nothing is written.`,
		Example: "  orderbridge " + use + " acme",
		Args:    args(1, 1, "the id of a subscription"),
		RunE: asking(func(ctx context.Context, cmd *cobra.Command, s *session, args []string) error {
			id := args[0]
			before, err := s.record(ctx, id)
			if err != nil {
				return err
			}
			after, err := s.setPaused(ctx, id, pause)
			if no := (*store.RefusedError)(nil); errors.As(err, &no) {
				return fmt.Errorf("subscription %q cannot be %sd: %s", id, use, printable(no.Reason))
			}
			if err != nil {
				return s.notWritten(id, err)
			}
			if after.Revision == before.Revision {
				fmt.Fprintf(cmd.OutOrStdout(), "%s: is %s already (revision %d)\n", id, is, after.Revision)
				return nil
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: stored as revision %d\n", id, after.Revision)
			return s.verdict(ctx, cmd, id, after.Revision)
		}),
	}
}

func (s *session) setPaused(ctx context.Context, id string, pause bool) (store.Record, error) {
	ctx, cancel := context.WithTimeout(acting(ctx), limits.CommandCallTime)
	defer cancel()
	if pause {
		return s.catalog.Pause(ctx, store.Everything(), id)
	}
	return s.catalog.Resume(ctx, store.Everything(), id)
}
