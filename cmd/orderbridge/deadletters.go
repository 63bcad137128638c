package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"orderbridge/bridge"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

func newDeadLetters() *cobra.Command {
	cmd := newGroup("dead-letters", "See to the deliveries that were given up",
		newDeadLettersList(), newDeadLettersShow(), newDeadLettersRedrive(), newDeadLettersPurge())
	cmd.Aliases = []string{"dead-letter", "dlq"}
	cmd.Long = `See to the deliveries that were given up: the retry schedule was used up, or the
request cannot be built for the event. Each is known by its sequence in the stream
of dead letters, which list shows.`
	cmd.Example = `  orderbridge dead-letters list acme
  orderbridge dead-letters redrive 42`
	return cmd
}

func (s *session) deadLetters(ctx context.Context) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.CommandCallTime)
	defer cancel()
	stream, err := s.js.Stream(ctx, s.names.DeadLetters)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, s.noDeadLetters()
	}
	if err != nil {
		return nil, fmt.Errorf("open stream %q: %w", s.names.DeadLetters, explain(err))
	}
	return stream, nil
}

func (s *session) noDeadLetters() error {
	return fmt.Errorf("there is no stream %q; `orderbridge serve` makes it when it starts (is the prefix right? ORDERBRIDGE_PREFIX=%q)", s.names.DeadLetters, s.cfg.Prefix)
}

// letterSubject is where the dead letters of a subscription lie; "" is all.
func (s *session) letterSubject(subscription string) string {
	if subscription == "" {
		return s.names.DeadLetterSubject + ".>"
	}
	return s.names.DeadLetterSubject + "." + subscription + ".>"
}

// letters reads the newest dead letters, oldest first; most <= 0 reads all.
func (s *session) letters(ctx context.Context, subscription string, most int) ([]store.Letter, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	list := []store.Letter{}
	for before := uint64(0); ; {
		limit := 1000
		if most > 0 {
			limit = min(limit, most-len(list))
		}
		newest, next, err := s.catalog().Letters(ctx, store.Everything(), subscription, before, limit)
		if errors.Is(err, bridge.ErrNotFound) {
			return nil, s.noDeadLetters()
		}
		if err != nil {
			return nil, explain(err)
		}
		list = append(list, newest...)
		if next == 0 || most > 0 && len(list) >= most {
			slices.Reverse(list)
			return list, nil
		}
		before = next
	}
}

// letterAt reads one dead letter.
func (s *session) letterAt(ctx context.Context, sequence uint64) (store.Letter, error) {
	l, err := s.catalog().Letter(ctx, store.Everything(), sequence)
	if errors.Is(err, bridge.ErrNotFound) {
		return l, fmt.Errorf("there is no dead letter %d; `orderbridge dead-letters list` shows those there are", sequence)
	}
	return l, explain(err)
}

func newDeadLettersList() *cobra.Command {
	var limit int
	format := output("table")
	cmd := &cobra.Command{
		Use:     "list [SUBSCRIPTION]",
		Aliases: []string{"ls"},
		Short:   "List dead letters, the newest last",
		Example: `  orderbridge dead-letters list
  orderbridge dead-letters list acme --limit 0 -o json`,
		Args: args(0, 1, "one subscription at most"),
		PreRunE: func(*cobra.Command, []string) error {
			if limit < 0 {
				return usagef("--limit: %d is less than nothing; 0 lists all", limit)
			}
			return nil
		},
		RunE: onBus(func(ctx context.Context, cmd *cobra.Command, s *session, args []string) error {
			subscription, err := optionalID(args)
			if err != nil {
				return err
			}
			list, err := s.letters(ctx, subscription, limit)
			if err == nil && len(list) == 0 && subscription != "" {
				err = s.mustKnow(ctx, subscription)
			}
			if err != nil {
				return err
			}
			if format == "json" {
				return printJSON(cmd, list)
			}
			if len(list) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "no dead letters")
				return nil
			}
			t := newTable("SEQUENCE", "SUBSCRIPTION", "ORDER", "TIME", "ATTEMPTS", "STATUS", "REASON")
			for _, l := range list {
				t.row(strconv.FormatUint(l.Sequence, 10), l.Subscription, cmp.Or(l.Order, "-"), l.Time.UTC().Format(time.RFC3339),
					strconv.Itoa(l.Attempts), strconv.Itoa(l.LastStatus), l.Reason)
			}
			return t.print(cmd)
		}),
	}
	cmd.Flags().IntVar(&limit, "limit", 100, "how many of the newest to list; 0: all")
	format.register(cmd, "table", "json")
	return cmd
}

func optionalID(args []string) (string, error) {
	if len(args) == 0 {
		return "", nil
	}
	return args[0], checkID(args[0])
}

func newDeadLettersShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show SEQUENCE",
		Short: "Show a dead letter with its event",
		Long: `Show the envelope of a dead letter as JSON: the reason, the attempts, and the event
as it was published. Events are the publishers' data: they may hold what is not
meant for everybody.`,
		Example: "  orderbridge dead-letters show 42",
		Args:    args(1, 1, "the sequence of a dead letter"),
		RunE: onBus(func(ctx context.Context, cmd *cobra.Command, s *session, args []string) error {
			sequences, err := parseSequences(args)
			if err != nil {
				return err
			}
			l, err := s.letterAt(ctx, sequences[0])
			if err != nil {
				return err
			}
			if json.Valid(l.Envelope) {
				return printJSON(cmd, l.Envelope)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", l.Envelope)
			return err
		}),
	}
}

func parseSequences(args []string) ([]uint64, error) {
	sequences := make([]uint64, 0, len(args))
	for _, a := range args {
		n, err := strconv.ParseUint(a, 10, 64)
		if err != nil || n == 0 {
			return nil, usagef("%q is no sequence of a dead letter; `orderbridge dead-letters list` shows them", a)
		}
		sequences = append(sequences, n)
	}
	return sequences, nil
}

// selection says which dead letters a command is about.
type selection struct {
	subscription string
	all          bool
}

func (sel *selection) register(cmd *cobra.Command, verb string) {
	cmd.Flags().StringVar(&sel.subscription, "subscription", "", verb+" all of this subscription")
	cmd.Flags().BoolVar(&sel.all, "all", false, verb+" all there are")
}

func (sel *selection) check(cmd *cobra.Command, args []string) error {
	given := 0
	for _, is := range []bool{len(args) > 0, sel.subscription != "", sel.all} {
		if is {
			given++
		}
	}
	if given != 1 {
		return usagef("%s wants either sequences, or --subscription, or --all; see `%s --help`", cmd.CommandPath(), cmd.CommandPath())
	}
	if sel.subscription != "" {
		return checkID(sel.subscription)
	}
	return nil
}

func newDeadLettersRedrive() *cobra.Command {
	var sel selection
	cmd := &cobra.Command{
		Use:   "redrive SEQUENCE...",
		Short: "Put dead letters back as owed by their subscriptions",
		Long: `Ask the leading bridge to put dead letters back as owed, each by its own
subscription only and marked with X-Redrive. They are outside the order of their
lanes. Exit code 1 if one of them was refused; the reason is printed.`,
		Example: `  orderbridge dead-letters redrive 42 43
  orderbridge dead-letters redrive --subscription acme`,
		Args: args(0, -1, "sequences"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := sel.check(cmd, args); err != nil {
				return err
			}
			sequences, err := parseSequences(args)
			if err != nil {
				return err
			}
			return onBus(func(ctx context.Context, cmd *cobra.Command, s *session, _ []string) error {
				letters, err := s.chosen(ctx, sel, sequences)
				if err != nil {
					return err
				}
				return s.redriveAll(ctx, cmd, letters)
			})(cmd, args)
		},
	}
	sel.register(cmd, "put back")
	return cmd
}

// chosen reads the dead letters that were selected.
func (s *session) chosen(ctx context.Context, sel selection, sequences []uint64) ([]store.Letter, error) {
	if sel.all || sel.subscription != "" {
		letters, err := s.letters(ctx, sel.subscription, 0)
		if err == nil && len(letters) == 0 && sel.subscription != "" {
			err = s.mustKnow(ctx, sel.subscription)
		}
		return letters, err
	}
	letters := make([]store.Letter, 0, len(sequences))
	for _, n := range slices.Compact(sequences) {
		l, err := s.letterAt(ctx, n)
		if err != nil {
			return nil, err
		}
		letters = append(letters, l)
	}
	return letters, nil
}

func newDeadLettersPurge() *cobra.Command {
	var sel selection
	var yes bool
	cmd := &cobra.Command{
		Use:   "purge SEQUENCE...",
		Short: "Remove dead letters for good",
		Long: `Remove dead letters. Nobody delivers them any more, and nothing brings them back;
--subscription and --all want --yes as well.`,
		Example: `  orderbridge dead-letters purge 42
  orderbridge dead-letters purge --subscription acme --yes`,
		Args: args(0, -1, "sequences"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := sel.check(cmd, args); err != nil {
				return err
			}
			if len(args) == 0 && !yes {
				return usagef("this removes dead letters for good; say --yes as well")
			}
			sequences, err := parseSequences(args)
			if err != nil {
				return err
			}
			return onBus(func(ctx context.Context, cmd *cobra.Command, s *session, _ []string) error {
				n, err := s.purge(ctx, sel, sequences)
				if n > 0 {
					if told := s.noted(ctx, noteRequest{actionPurgeLetters, sel.subscription, n}); told != nil {
						fmt.Fprintln(cmd.ErrOrStderr(), told)
					}
				}
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "removed %s\n", count(n, "dead letter"))
				return err
			})(cmd, args)
		},
	}
	sel.register(cmd, "remove")
	cmd.Flags().BoolVar(&yes, "yes", false, "really remove")
	return cmd
}

func (s *session) purge(ctx context.Context, sel selection, sequences []uint64) (int, error) {
	stream, err := s.deadLetters(ctx)
	if err != nil {
		return 0, err
	}
	if len(sequences) == 0 {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		before := stream.CachedInfo().State.Msgs
		if err := stream.Purge(ctx, jetstream.WithPurgeSubject(s.letterSubject(sel.subscription))); err != nil {
			return 0, fmt.Errorf("purge stream %q: %w", s.names.DeadLetters, explain(err))
		}
		info, err := stream.Info(ctx)
		if err != nil {
			return 0, fmt.Errorf("purged stream %q, but how many are left is not known: %w", s.names.DeadLetters, explain(err))
		}
		removed := int(before - min(before, info.State.Msgs))
		if removed == 0 && sel.subscription != "" {
			err = s.mustKnow(ctx, sel.subscription)
		}
		return removed, err
	}
	for i, n := range sequences {
		if _, err := s.letterAt(ctx, n); err != nil {
			return i, err
		}
		one, cancel := context.WithTimeout(ctx, limits.CommandCallTime)
		err := stream.DeleteMsg(one, n)
		cancel()
		if err != nil {
			return i, fmt.Errorf("remove dead letter %d: %w; %d were removed", n, explain(err), i)
		}
	}
	return len(sequences), nil
}
