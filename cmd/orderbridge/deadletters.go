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
  orderbridge dead-letters redrive 42`
	return cmd
}

func (s *session) noDeadLetters() error {
	return fmt.Errorf("there is no stream %q; `orderbridge serve` makes it when it starts (is the prefix right? ORDERBRIDGE_PREFIX=%q)", s.names.DeadLetters, s.cfg.Prefix)
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
		newest, next, err := s.catalog.Letters(ctx, store.Everything(), subscription, before, limit)
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
		return usagef("%s wants either sequences, or --subscription, or --all; see `%s --help`", cmd.CommandPath(),
			cmd.CommandPath())
	}
	if sel.subscription != "" {
		return checkID(sel.subscription)
	}
	return nil
}
