package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"orderbridge/internal/audit"
	"orderbridge/internal/client"
	"orderbridge/internal/limits"
)

func newAudit() *cobra.Command {
	var q audit.Query
	var since string
	var follow bool
	format := output("table")
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Show who changed what",
		Long: `Show who changed which record, and what people had the bridge do: the newest
entries of the stream AUDIT, the newest last. Of a secret an entry tells only that
it has changed. Who it was is proved by the bridge (a token of its API) or by the
NATS server (a user whose account is connected by an import that is shared); what
writers say of themselves stands behind "says".`,
		Example: `  orderbridge audit
  orderbridge audit --subscription acme --since 24h
  orderbridge audit --action delete -o json
  orderbridge audit --follow`,
		Args: noArgs,
		PreRunE: func(*cobra.Command, []string) error {
			if q.Limit < 1 || q.Limit > limits.AuditPage {
				return usagef("--limit is %d; it can be 1 to %d", q.Limit, limits.AuditPage)
			}
			if q.Subscription != "" {
				if err := checkID(q.Subscription); err != nil {
					return err
				}
			}
			var err error
			q.Since, err = sinceWhen(since, time.Now())
			return err
		},
		RunE: asking(func(ctx context.Context, cmd *cobra.Command, s *session, _ []string) error {
			return s.showAudit(ctx, cmd, q, follow, format.data())
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&q.Subscription, "subscription", "", "only what was done to this `id`")
	flags.StringVar(&q.Who, "who", "", "only where this `text` is part of who did it")
	flags.StringVar(&q.Action, "action", "",
		"only this `action`: put, change, activate, deactivate, delete, purge, vanished, redrive, …")
	flags.StringVar(&since, "since", "", "only since this `time`: 24h, 7d or 2026-01-31T12:00:00Z")
	flags.IntVar(&q.Limit, "limit", 100, "how many of the newest to show")
	flags.BoolVarP(&follow, "follow", "f", false, "go on with what comes")
	format.register(cmd, "table", "json")
	return cmd
}

// sinceWhen reads a time, or how long ago it was.
func sinceWhen(text string, now time.Time) (time.Time, error) { return timeOf("--since", text, now) }

// timeOf is sinceWhen for a flag of another name.
func timeOf(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	var days float64
	if n, err := fmt.Sscanf(text, "%fd", &days); err == nil && n == 1 && strings.HasSuffix(text, "d") && days >= 0 &&
		days < 36500 {
		return now.Add(-time.Duration(days * 24 * float64(time.Hour))), nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return time.Time{}, usagef("%s is %q, which is not a time; write it like 24h, 7d or 2026-01-31T12:00:00Z",
			flag, text)
	}
	return now.Add(-d), nil
}

func (s *session) showAudit(ctx context.Context, cmd *cobra.Command, q audit.Query, follow, asJSON bool) error {
	found, err := s.auditOf(ctx, q)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("there is no stream %q; `orderbridge serve` makes it when it starts (is the prefix right? ORDERBRIDGE_PREFIX=%q)", s.names.Audit, s.cfg.Prefix)
	}
	if err != nil {
		return explain(err)
	}
	if found.Stopped {
		fmt.Fprintf(cmd.ErrOrStderr(),
			"looked through %d entries only; older ones may fit as well: say more exactly which are wanted\n",
			limits.AuditScan)
	}
	line := func(e audit.Entry) error { return auditLine(cmd, e, asJSON) }
	switch {
	case follow:
		for _, e := range found.Entries {
			if err := line(e); err != nil {
				return err
			}
		}
		return s.followAudit(ctx, cmd, q, found.Next, line)
	case asJSON:
		return printData(cmd, append([]audit.Entry{}, found.Entries...))
	case len(found.Entries) == 0:
		fmt.Fprintln(cmd.ErrOrStderr(), "no entries")
		return nil
	}
	t := newTable("TIME", "ACTION", "SUBSCRIPTION", "WHO", "CHANGED")
	for _, e := range found.Entries {
		subscription := e.Data.Subscription
		if subscription == "" {
			subscription = "-"
		}
		t.row(e.Time.UTC().Format(time.RFC3339), e.Data.Action, subscription, e.Data.Who.String(), changed(e.Data))
	}
	return t.print(cmd)
}

// changed is what an entry says beside its columns.
func changed(d audit.Data) string {
	if len(d.Members) == 0 && d.Details["missing"] == "" {
		if _, what, ok := strings.Cut(d.Text, ": "); ok && d.Subscription == "" {
			return what
		}
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(d.Details)) {
			parts = append(parts, name+"="+d.Details[name])
		}
		return strings.Join(parts, ", ")
	}
	parts := make([]string, 0, len(d.Members)+1)
	if missing := d.Details["missing"]; missing != "" {
		parts = append(parts, missing+" not audited")
	}
	for i, m := range d.Members {
		if i == 6 {
			parts = append(parts, fmt.Sprintf("and %d more", len(d.Members)-i+d.More))
			break
		}
		switch {
		case m.Before == "":
			parts = append(parts, m.Name+"="+m.After)
		case m.After == "":
			parts = append(parts, m.Name+" gone")
		default:
			parts = append(parts, m.Name+": "+m.Before+" -> "+m.After)
		}
	}
	return strings.Join(parts, ", ")
}

func auditLine(cmd *cobra.Command, e audit.Entry, asJSON bool) error {
	if asJSON {
		return printItem(cmd, e)
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), printable(e.Time.UTC().Format(time.RFC3339)+"  "+e.Data.Text))
	return err
}

// auditOf reads the newest entries that a query wants.
func (s *session) auditOf(ctx context.Context, q audit.Query) (audit.Found, error) {
	if c, over := s.catalog.(*client.Client); over {
		return c.Audit(ctx, q)
	}
	return audit.Read(ctx, s.js, s.names, q)
}

// followAudit gives what comes from a sequence on, until ctx ends.
func (s *session) followAudit(ctx context.Context, cmd *cobra.Command, q audit.Query, next uint64, fn func(audit.Entry) error) error {
	wait := patience{cmd: cmd}
	c, over := s.catalog.(*client.Client)
	if !over {
		for {
			var err error
			next, err = audit.Follow(ctx, s.js, s.names, q, next, func(e audit.Entry) error {
				wait.answered()
				return fn(e)
			})
			if wait.bears(ctx, err) {
				continue
			}
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
	q.Limit = limits.AuditPage
	tick := time.NewTicker(limits.AttemptCheck)
	defer tick.Stop()
	for {
		q.From = next
		found, err := c.Audit(ctx, q)
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
		for _, e := range found.Entries {
			if err := fn(e); err != nil {
				return err
			}
		}
		if next = max(next, found.Next); pause(ctx, tick.C) != nil {
			return nil
		}
	}
}
