package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"orderbridge/internal/limits"
	"orderbridge/internal/safetext"
)

// watchFlag adds --watch.
func watchFlag(cmd *cobra.Command, follow *bool) {
	cmd.Flags().BoolVarP(follow, "watch", "w", false,
		"go on: on a terminal the table is drawn again every "+limits.WatchPause.String()+", elsewhere what changes is printed")
}

// item is a row of a list that is watched.
type item struct {
	key   string
	value any
	cells []string
}

// watch lists again and again until ctx ends or the list fails. On a terminal the
// table is drawn again; elsewhere, and with -o json, each item is printed when it is
// there first and whenever it is another one, and said to be gone when it is.
func watch(ctx context.Context, cmd *cobra.Command, head func() *table,
	list func(ctx context.Context, add func(item)) error) error {
	w := watcher{cmd: cmd, head: head, redraw: !formOf(cmd).data() && terminal(cmd.OutOrStdout()), told: map[string]string{}}
	tick := time.NewTicker(limits.WatchPause)
	defer tick.Stop()
	wait, answered := patience{cmd: cmd}, false
	for {
		var items []item
		over := false
		err := list(ctx, func(i item) {
			if over = over || len(items) >= limits.WatchRows; !over {
				items = append(items, i)
			}
		})
		if answered && wait.bears(ctx, err) {
			continue
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case over:
			return fmt.Errorf("--watch follows at most %d rows; say more exactly which are wanted, as with --state or --limit",
				limits.WatchRows)
		}
		answered = true
		wait.answered()
		if err := w.show(items); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

type watcher struct {
	cmd    *cobra.Command
	head   func() *table
	redraw bool
	told   map[string]string // by key: what was printed last
	lines  *table
}

func (w *watcher) show(items []item) error {
	if w.redraw {
		t := w.head()
		for _, i := range items {
			t.row(i.cells...)
		}
		// What a net takes out of the output of others is ours here: to the top, and clear.
		if safe, ok := w.cmd.OutOrStdout().(safetext.Writer); ok {
			fmt.Fprint(safe.Under, "\x1b[H\x1b[2J")
		}
		fmt.Fprintf(w.cmd.OutOrStdout(), "%s, every %s; end with Ctrl-C\n\n", time.Now().Format(time.TimeOnly), limits.WatchPause)
		return t.print(w.cmd)
	}
	if w.lines == nil {
		w.lines = w.head()
	}
	now := make(map[string]bool, len(items))
	for _, i := range items {
		now[i.key] = true
		text, err := dataText(i.value)
		if err != nil {
			return err
		}
		if w.told[i.key] == string(text) {
			continue
		}
		w.told[i.key] = string(text)
		if formOf(w.cmd).data() {
			if err := printItem(w.cmd, i.value); err != nil {
				return err
			}
			continue
		}
		w.lines.row(i.cells...)
	}
	for _, key := range w.gone(now) {
		delete(w.told, key)
		if formOf(w.cmd).data() {
			if err := printItem(w.cmd, map[string]any{"id": key, "gone": true}); err != nil {
				return err
			}
			continue
		}
		w.lines.row(key, "is gone")
	}
	if formOf(w.cmd).data() || w.lines.begun && len(w.lines.rows) == 1 {
		return nil
	}
	return w.lines.print(w.cmd)
}

func (w *watcher) gone(now map[string]bool) (keys []string) {
	for key := range w.told {
		if !now[key] {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}
