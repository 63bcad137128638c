package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

func newAttempts() *cobra.Command {
	var (
		q            store.AttemptQuery
		since, until string
		limit        int
		before       uint64
		follow       bool
	)
	format := output("table")
	cmd := &cobra.Command{
		Use:   "attempts",
		Short: "Show what was delivered, when, and with what answer",
		Long: `Show the delivery log, the newest last: each attempt, and what was settled without
a request. By subscription and order the log is asked for just these; other filters look
through at most 10,000 entries at once, and the command says from where to go on.
-o json shows all of each entry: the request, the answer, and where the time went.

The same with the program nats:
  nats stream get ATTEMPTS --last-for attempts.acme.4711
  nats sub --stream ATTEMPTS --all "attempts.*.4711"`,
		Example: `  orderbridge attempts --order 4711
  orderbridge attempts --subscription acme --outcome failed --since 1h
  orderbridge attempts --status 5xx --limit 20 -o json
  orderbridge attempts --subscription acme --follow`,
		Args: noArgs,
		PreRunE: func(*cobra.Command, []string) (err error) {
			if limit < 1 || limit > limits.AttemptPage {
				return usagef("--limit is %d; it can be 1 to %d", limit, limits.AttemptPage)
			}
			if member, err := q.Check(); err != nil {
				return usagef("--%s: %w", member, err)
			}
			now := time.Now()
			if q.Since, err = when("since", since, now); err == nil {
				q.Until, err = when("until", until, now)
			}
			return err
		},
		RunE: asking(func(ctx context.Context, cmd *cobra.Command, s *session, _ []string) error {
			return s.showAttempts(ctx, cmd, attemptView{q: q, before: before, limit: limit, follow: follow,
				asJSON: format.data()})
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&q.Subscription, "subscription", "", "only those of this `id`")
	flags.StringVar(&q.Order, "order", "", "only those of this order `id`")
	flags.StringVar(&q.Event, "event", "", "only those of this event: its `id`, the delivery's, or its sequence in the stream")
	flags.StringVar(&q.Outcome, "outcome", "", "only this `outcome`: delivered, failed, cut, filtered, superseded, dead")
	flags.StringVar(&q.Status, "status", "", "only those with this HTTP `status`: 503, or 5xx")
	flags.StringVar(&since, "since", "", "only since this `time`: 24h, 7d or 2026-01-31T12:00:00Z")
	flags.StringVar(&until, "until", "", "only until this `time`")
	flags.Uint64Var(&before, "before", 0, "only those before this `entry` of the log, to go on from there")
	flags.IntVar(&limit, "limit", 100, "how many of the newest to show")
	flags.BoolVarP(&follow, "follow", "f", false, "go on with what comes")
	format.register(cmd, "table", "json")
	return cmd
}

// when reads a time of a flag, or how long ago it was.
func when(flag, text string, now time.Time) (time.Time, error) {
	t, err := sinceWhen(text, now)
	if err != nil {
		return t, usagef("--%s is %q, which is not a time; write it like 24h, 7d or 2026-01-31T12:00:00Z", flag, text)
	}
	return t, nil
}

// attemptView is what is shown of the delivery log.
type attemptView struct {
	q      store.AttemptQuery
	before uint64
	limit  int
	follow bool
	asJSON bool
}

func (s *session) showAttempts(ctx context.Context, cmd *cobra.Command, v attemptView) error {
	page, err := s.catalog.Attempts(ctx, store.Everything(), v.q, v.before, v.limit)
	if errors.Is(err, protocol.ErrNotFound) {
		return s.noStream(s.names.Attempts)
	}
	if err != nil {
		return explain(err)
	}
	if page.Next > 0 && len(page.Items) < v.limit {
		fmt.Fprintf(cmd.ErrOrStderr(), "looked through %d entries only; --before %d goes on with older ones\n", page.Looked,
			page.Next)
	}
	if v.follow {
		return s.followAttempts(ctx, cmd, v, page)
	}
	if v.asJSON {
		return printData(cmd, page.Items)
	}
	if len(page.Items) == 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), "no attempts")
		return nil
	}
	t := newTable("TIME", "SUBSCRIPTION", "ORDER", "SEQUENCE", "TRY", "OUTCOME", "STATUS", "MS", "REASON")
	for i := len(page.Items) - 1; i >= 0; i-- {
		t.row(attemptCells(&page.Items[i])...)
	}
	return t.print(cmd)
}

func attemptCells(a *store.Attempt) []string {
	status, took, outcome := "-", "-", a.Outcome
	if a.Status > 0 {
		status = strconv.Itoa(a.Status)
	}
	if a.Timings != nil {
		took = strconv.FormatFloat(a.Timings.Total, 'f', 0, 64)
	}
	if a.Kind != "" && a.Kind != "live" && a.Kind != "retry" {
		outcome += " (" + a.Kind + ")"
	}
	return []string{a.Time.UTC().Format("2006-01-02T15:04:05.000Z"), a.Subscription, cmp.Or(a.Order, "-"),
		strconv.FormatUint(a.Sequence, 10), strconv.Itoa(a.Attempt.Attempt), outcome, status, took, a.Reason}
}

// followAttempts shows a page, oldest first, and then what comes.
func (s *session) followAttempts(ctx context.Context, cmd *cobra.Command, v attemptView, page store.AttemptPage) error {
	for i := len(page.Items) - 1; i >= 0; i-- {
		if err := attemptLine(cmd, &page.Items[i], v.asJSON); err != nil {
			return err
		}
	}
	tick := time.NewTicker(limits.AttemptCheck)
	defer tick.Stop()
	wait := patience{cmd: cmd}
	for last := page.Last; ; {
		next, err := s.catalog.AttemptsAbove(ctx, store.Everything(), v.q, last, limits.AttemptPage)
		if wait.bears(ctx, err) {
			continue
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return explain(err)
		}
		wait.answered()
		for i := range next.Items {
			if err := attemptLine(cmd, &next.Items[i], v.asJSON); err != nil {
				return err
			}
		}
		more := next.Last > last
		last = max(last, next.Last)
		if more && len(next.Items) > 0 {
			continue
		}
		if pause(ctx, tick.C) != nil {
			return nil
		}
	}
}

func attemptLine(cmd *cobra.Command, a *store.Attempt, asJSON bool) error {
	if asJSON {
		return printItem(cmd, a)
	}
	c := attemptCells(a)
	_, err := fmt.Fprintln(cmd.OutOrStdout(), printable(fmt.Sprintf("%s  %s  order %s  sequence %s  attempt %s  %s  %s  %s ms  %s",
		c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8])))
	return err
}

// noStream says that a stream of the bridge is not there.
func (s *session) noStream(name string) error {
	return fmt.Errorf("there is no stream %q; `orderbridge serve` makes it when it starts (is the prefix right? ORDERBRIDGE_PREFIX=%q)", name, s.cfg.Prefix)
}
