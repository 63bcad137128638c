package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

func newDeadLetters() *cobra.Command {
	cmd := newGroup("dead-letters", "Manage the deliveries that were given up",
		newDeadLettersList(), newDeadLettersShow(), newDeadLettersRedrive(), newDeadLettersPurge())
	cmd.Aliases = []string{"dead-letter", "dlq"}
	cmd.Long = `Manage the deliveries that were given up: the retry schedule was used up, or the
request cannot be built for the event. Each is known by its sequence in the stream
of dead letters, which list shows.`
	cmd.Example = `  orderbridge dead-letters list acme
  orderbridge dead-letters redrive 42
  orderbridge dead-letters redrive --subscription acme --since 24h --reason "status 503"`
	return cmd
}

func (s *session) noDeadLetters() error {
	return fmt.Errorf("there is no stream %q; `orderbridge serve` makes it when it starts (is the prefix right? ORDERBRIDGE_PREFIX=%q)", s.names.DeadLetters, s.cfg.Prefix)
}

// letters reads the newest dead letters, oldest first; most <= 0 reads all.
func (s *session) letters(ctx context.Context, f store.LetterFilter, most int) ([]store.Letter, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	list := []store.Letter{}
	for before := uint64(0); ; {
		limit := 1000
		if most > 0 {
			limit = min(limit, most-len(list))
		}
		newest, next, err := s.catalog.Letters(ctx, store.Everything(), f, before, limit)
		if errors.Is(err, protocol.ErrNotFound) {
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
	l, err := s.catalog.Letter(ctx, store.Everything(), sequence)
	if errors.Is(err, protocol.ErrNotFound) {
		return l, fmt.Errorf("there is no dead letter %d; `orderbridge dead-letters list` shows those there are", sequence)
	}
	return l, explain(err)
}

func optionalID(args []string) (string, error) {
	if len(args) == 0 {
		return "", nil
	}
	return args[0], checkID(args[0])
}

func parseSequences(args []string) ([]uint64, error) {
	sequences := make([]uint64, 0, len(args))
	for _, a := range args {
		n, err := strconv.ParseUint(a, 10, 64)
		if err != nil || n == 0 {
			return nil, usagef("%q is not the sequence of a dead letter; `orderbridge dead-letters list` shows them", a)
		}
		sequences = append(sequences, n)
	}
	return sequences, nil
}

// selection says which dead letters a command is about.
type selection struct {
	store.LetterFilter
	all          bool
	since, until string
}

func (sel *selection) register(cmd *cobra.Command, verb string) {
	cmd.Flags().StringVar(&sel.Subscription, "subscription", "", verb+" those of this subscription")
	cmd.Flags().BoolVar(&sel.all, "all", false, verb+" all there are")
	sel.filters(cmd)
}

// filters are the flags that all commands about dead letters have.
func (sel *selection) filters(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&sel.since, "since", "", "those given up since this `time`: 24h, 7d or 2026-01-31T12:00:00Z")
	flags.StringVar(&sel.until, "until", "", "those given up before this `time`")
	flags.StringVar(&sel.Reason, "reason", "", "those whose reason holds this `text`")
	flags.StringVar(&sel.Order, "order", "", "those of this `order`")
}

// read reads the times, and checks the rest.
func (sel *selection) read() (err error) {
	now := time.Now()
	if sel.Since, err = timeOf("--since", sel.since, now); err != nil {
		return err
	}
	if sel.Until, err = timeOf("--until", sel.until, now); err != nil {
		return err
	}
	if sel.Subscription != "" {
		return checkID(sel.Subscription)
	}
	return nil
}

func (sel *selection) selects() bool {
	f := sel.LetterFilter
	return f.Subscription != "" || sel.since != "" || sel.until != "" || f.Reason != "" || f.Order != ""
}

func (sel *selection) check(cmd *cobra.Command, args []string) error {
	given := 0
	for _, is := range []bool{len(args) > 0, sel.selects(), sel.all} {
		if is {
			given++
		}
	}
	if given != 1 {
		return usagef("%s wants either sequences, or filters (--subscription, --since, --until, --reason, --order), or --all; see `%s --help`", cmd.CommandPath(),
			cmd.CommandPath())
	}
	return sel.read()
}

// each does something with all that are selected, some at a time, and says how far
// it is. It can be begun again at any time: so it asks the next leader for the rest when
// one ends.
func (s *session) each(ctx context.Context, cmd *cobra.Command, sel selection, what string,
	do func(context.Context, store.LettersRequest) (store.LettersAnswer, error)) (sum store.LettersAnswer, err error) {
	told := map[uint64]bool{}
	progress := func(next, through uint64) {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s; sequence %d of %d\n", soFar(sum), next, through)
	}
	wait, answered := patience{cmd: cmd, most: limits.NextLeader}, false
	for r := (store.LettersRequest{LetterFilter: sel.LetterFilter}); ; {
		one, cancel := context.WithTimeout(acting(ctx), 2*limits.CommandCallTime)
		a, err := do(one, r)
		cancel()
		sum.Done += a.Done
		for _, l := range a.Letters {
			switch {
			case told[l.Sequence]:
			case l.Already: // by somebody else, or the answer that said so was lost
				sum.Already++
			case l.Refused == "":
				fmt.Fprintf(cmd.OutOrStdout(), "%d: %s\n", l.Sequence, printable(fmt.Sprintf(what, l.Subscription)))
			default:
				sum.Refused++
				fmt.Fprintf(cmd.OutOrStdout(), "%d: refused: %s\n", l.Sequence, printable(l.Refused))
			}
			told[l.Sequence] = true
		}
		if err != nil && answered && wait.bears(ctx, err) {
			continue
		}
		if err == nil {
			answered = true
			wait.answered()
		}
		switch {
		case errors.Is(err, protocol.ErrNotFound):
			return sum, s.noDeadLetters()
		case err == nil && !a.More && r.Through > 0: // it was told before how far it is
			progress(r.Through, r.Through)
			return sum, nil
		case err != nil && answered:
			return sum, fmt.Errorf("%w; by the answers that came: %s. Begin the command again for the rest: what is done is passed over", err, soFar(sum))
		case err != nil || !a.More:
			return sum, err
		}
		progress(a.Next, a.Through)
		r.After, r.Through = a.Next, a.Through
		if a.Wait {
			fmt.Fprintln(cmd.ErrOrStderr(), "waiting: a subscription owes too much at present")
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return sum, context.Cause(ctx)
			}
		}
	}
}

func soFar(sum store.LettersAnswer) string {
	text := fmt.Sprintf("%d done, %d refused", sum.Done, sum.Refused)
	if sum.Already > 0 {
		text += fmt.Sprintf(", %d were done already", sum.Already)
	}
	return text
}
