package main

import (
	"context"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"orderbridge/internal/bus"
	"orderbridge/internal/limits"
	"orderbridge/internal/natscontext"
	"orderbridge/internal/store"
)

// Completion in shells: it never says anything, and ends in a second.

// completeIDs completes arguments that are ids of subscriptions: the first n; 0: all.
func completeIDs(n int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if n > 0 && len(args) >= n {
			return nil, cobra.ShellCompDirectiveDefault // a file, most often
		}
		return idsOf(cmd, begun), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeAll has ids completed wherever a command takes one: as the first argument
// or as --subscription.
func completeAll(cmd *cobra.Command) {
	first := strings.Fields(cmd.Use)
	if len(first) > 1 && cmd.ValidArgsFunction == nil && (first[1] == "ID" || first[1] == "[ID]" || first[1] == "[SUBSCRIPTION]") {
		cmd.ValidArgsFunction = completeIDs(1)
	}
	if cmd.Flags().Lookup("subscription") != nil {
		// An error would say that the command completes it by itself.
		_ = cmd.RegisterFlagCompletionFunc("subscription", completeIDs(0))
	}
	for _, c := range cmd.Commands() {
		completeAll(c)
	}
}

// idsOf are the ids that begin so, as far as the bus tells them in time.
func idsOf(cmd *cobra.Command, begun string) (ids []string) {
	cfg, _, err := settings(cmd)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), limits.CompletionTime)
	defer cancel()
	s, err := open(ctx, cfg, slog.New(slog.DiscardHandler), bus.NewDenials("", func(error) {}))
	if err != nil {
		return nil
	}
	defer s.close()
	r := store.IDsRequest{Limit: limits.CompletionIDs}
	if n := len(begun); n > 0 { // what comes just before
		r.After = begun[:n-1] + string(rune(begun[n-1]-1)) + "\x7f"
	}
	known, err := s.nextIDs(ctx, r)
	if err != nil {
		return nil
	}
	for _, id := range known {
		if strings.HasPrefix(id, begun) && len(ids) < limits.CompletionIDs {
			ids = append(ids, id)
		}
	}
	return ids
}

// nextIDs are the ids after one, from the index of a bridge.
func (s *session) nextIDs(ctx context.Context, r store.IDsRequest) (ids []string, err error) {
	if s.bus != nil {
		known, err := s.bus.NextIDs(ctx, r)
		return known.IDs, err
	}
	err = s.catalog.EachByID(ctx, store.ListQuery{After: r.After}, func(l store.Listed) error {
		if ids = append(ids, l.ID); len(ids) >= r.Limit {
			return store.ErrEnough
		}
		return nil
	})
	return ids, err
}

// completeWords completes a flag whose values are known, several with commas.
func completeWords(cmd *cobra.Command, flag string, words ...string) {
	// The flag has just been made: there is nothing that could fail.
	_ = cmd.RegisterFlagCompletionFunc(flag, func(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		before := begun[:strings.LastIndexByte(begun, ',')+1]
		var found []string
		for _, w := range words {
			if strings.HasPrefix(before+w, begun) {
				found = append(found, before+w)
			}
		}
		return found, cobra.ShellCompDirectiveNoFileComp
	})
}

// completeContexts are the names of the contexts of the program nats.
func completeContexts(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	names := slices.DeleteFunc(natscontext.Names(), func(name string) bool { return !strings.HasPrefix(name, begun) })
	return names, cobra.ShellCompDirectiveNoFileComp
}
