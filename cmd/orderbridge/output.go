package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"orderbridge/internal/safetext"
)

// output is the value of the flag -o.
type output string

func (o *output) register(cmd *cobra.Command, formats ...string) {
	cmd.Flags().VarP(&outputFlag{o, formats}, "output", "o", "form of the output: "+strings.Join(formats, ", "))
	// The flag has just been made: there is nothing that could fail.
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
}

type outputFlag struct {
	value   *output
	formats []string
}

func (f *outputFlag) String() string { return string(*f.value) }
func (f *outputFlag) Type() string   { return "form" }

func (f *outputFlag) Set(s string) error {
	if !slices.Contains(f.formats, s) {
		return fmt.Errorf("choose one of %s", strings.Join(f.formats, ", "))
	}
	*f.value = output(s)
	return nil
}

func printJSON(cmd *cobra.Command, v any) error {
	enc := json.NewEncoder(cmd.OutOrStdout()) // a safetext.Writer
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// safeOutput has all that the commands print go through a net: nothing of what
// others wrote steers the terminal or hides in it.
func safeOutput(root *cobra.Command) {
	root.SetOut(safetext.Writer{Under: os.Stdout})
	root.SetErr(safetext.Writer{Under: os.Stderr})
}

// table is printed with columns as wide as they need to be.
type table struct{ rows [][]string }

func newTable(head ...string) *table { return &table{[][]string{head}} }

func (t *table) row(cells ...string) {
	for i, c := range cells {
		cells[i] = printable(c)
	}
	t.rows = append(t.rows, cells)
}

func (t *table) print(cmd *cobra.Command) error {
	widths := make([]int, len(t.rows[0]))
	for _, row := range t.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for i, row := range t.rows {
		var line strings.Builder
		for j, cell := range row {
			line.WriteString(cell)
			line.WriteString(strings.Repeat(" ", widths[j]-utf8.RuneCountInString(cell)+2))
		}
		text := strings.TrimRight(line.String(), " ")
		if i == 0 {
			text = bold(cmd, text)
		}
		b.WriteString(text + "\n")
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), b.String())
	return err
}

// printable keeps what others wrote (reasons, ids) from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '·'
		}
		return r
	}, s)
}

func bold(cmd *cobra.Command, s string) string {
	if !colour(cmd.OutOrStdout()) {
		return s
	}
	return "\x1b[1m" + s + "\x1b[0m"
}

// colour tells whether w is a terminal whose owner did not refuse (no-color.org).
func colour(w any) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && terminal(w)
}

func terminal(w any) bool {
	if safe, ok := w.(safetext.Writer); ok {
		w = safe.Under
	}
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
