package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"orderbridge/internal/recordfile"
	"orderbridge/internal/safetext"
)

// output is the value of the flag -o.
type output string

// register adds the flag. Who prints a table prints a wide one as well, with the
// columns of table.wide, and who prints JSON prints YAML.
func (o *output) register(cmd *cobra.Command, formats ...string) {
	var all []string
	for _, f := range formats {
		switch all = append(all, f); f {
		case "table":
			all = append(all, "wide")
		case "json":
			all = append(all, "yaml")
		}
	}
	all = slices.Compact(all)
	cmd.Flags().VarP(&outputFlag{o, all}, "output", "o", "form of the output: "+strings.Join(all, ", "))
	// The flag has just been made: there is nothing that could fail.
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(all, cobra.ShellCompDirectiveNoFileComp))
}

// data tells whether a value is to be printed, and not a text for people.
func (o output) data() bool { return o == "json" || o == "yaml" }

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

// formOf is the form that a command's flag -o asks for, "" if it has none.
func formOf(cmd *cobra.Command) output {
	if f := cmd.Flags().Lookup("output"); f != nil {
		return output(f.Value.String())
	}
	return ""
}

// printData prints a value as JSON, or as YAML if -o says so.
func printData(cmd *cobra.Command, v any) error {
	text, err := dataText(v)
	if err == nil && formOf(cmd) == "yaml" {
		text, err = recordfile.YAML(text)
	}
	if err != nil {
		return err
	}
	_, err = cmd.OutOrStdout().Write(text) // a safetext.Writer
	return err
}

func dataText(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return b.Bytes(), err
}

// printItem prints a value of a list without end, on a line of its own, or as a
// document of its own.
func printItem(cmd *cobra.Command, v any) error {
	text, err := dataText(v)
	if err != nil {
		return err
	}
	if formOf(cmd) == "yaml" {
		text, err = recordfile.YAML(text)
		text = append([]byte("---\n"), text...)
	} else {
		var line bytes.Buffer
		err = json.Compact(&line, text)
		text = append(line.Bytes(), '\n')
	}
	if err != nil {
		return err
	}
	_, err = cmd.OutOrStdout().Write(text)
	return err
}

// safeOutput has all that the commands print go through a net: nothing of what
// others wrote steers the terminal or hides in it.
func safeOutput(root *cobra.Command) {
	root.SetOut(safetext.Writer{Under: os.Stdout})
	root.SetErr(safetext.Writer{Under: os.Stderr})
}

// table is printed with columns as wide as they need to be.
type table struct {
	rows   [][]string
	narrow int // columns without those of wide
	widths []int
	begun  bool // its head is printed
}

func newTable(head ...string) *table {
	return &table{rows: [][]string{head}, narrow: len(head)}
}

// wide adds columns that only -o wide shows; their cells follow those of the others.
func (t *table) wide(head ...string) *table {
	t.rows[0] = append(t.rows[0], head...)
	return t
}

func (t *table) row(cells ...string) {
	for i, c := range cells {
		cells[i] = printable(c)
	}
	t.rows = append(t.rows, cells)
}

// print prints the rows that have not been printed yet. Columns never become
// narrower again.
func (t *table) print(cmd *cobra.Command) error {
	columns := t.narrow
	if formOf(cmd) == "wide" {
		columns = len(t.rows[0])
	}
	if t.widths == nil {
		t.widths = make([]int, len(t.rows[0]))
	}
	for _, row := range t.rows {
		for i, cell := range row[:min(columns, len(row))] {
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for i, row := range t.rows {
		if i == 0 && t.begun {
			continue
		}
		var line strings.Builder
		for j, cell := range row[:min(columns, len(row))] {
			line.WriteString(cell)
			line.WriteString(strings.Repeat(" ", t.widths[j]-utf8.RuneCountInString(cell)+2))
		}
		text := strings.TrimRight(line.String(), " ")
		if i == 0 {
			text = bold(cmd, text)
		}
		b.WriteString(text + "\n")
	}
	t.begun, t.rows = true, t.rows[:1]
	_, err := fmt.Fprint(cmd.OutOrStdout(), b.String())
	return err
}

// listing prints the items of a list as they come, however many there are.
type listing struct {
	cmd   *cobra.Command
	table *table
	items int
}

// listingRows is how many rows of a table have their widths in common, at least.
const listingRows = 1000

func newListing(cmd *cobra.Command, t *table) *listing { return &listing{cmd: cmd, table: t} }

// add prints an item: the value, or the cells of its row.
func (l *listing) add(v any, cells ...string) error {
	l.items++
	form := formOf(l.cmd)
	if !form.data() {
		if l.table.row(cells...); len(l.table.rows) > listingRows {
			return l.table.print(l.cmd)
		}
		return nil
	}
	var text []byte
	var err error
	if form == "yaml" {
		if text, err = dataText([]any{v}); err == nil {
			text, err = recordfile.YAML(text)
		}
	} else {
		text, err = l.jsonItem(v)
	}
	if err == nil {
		_, err = l.cmd.OutOrStdout().Write(text)
	}
	return err
}

func (l *listing) jsonItem(v any) ([]byte, error) {
	text, err := dataText([]any{v})
	if err != nil {
		return nil, err
	}
	text = bytes.TrimSuffix(bytes.TrimPrefix(text, []byte("[")), []byte("\n]\n"))
	if l.items == 1 {
		return append([]byte("["), text...), nil
	}
	return append([]byte(","), text...), nil
}

// end prints what is left. none is what is said, on stderr, of a table without rows.
func (l *listing) end(none string) error {
	form := formOf(l.cmd)
	out := l.cmd.OutOrStdout()
	var err error
	switch {
	case form == "json" && l.items == 0, form == "yaml" && l.items == 0:
		_, err = fmt.Fprintln(out, "[]")
	case form == "json":
		_, err = fmt.Fprintln(out, "\n]")
	case form == "yaml":
	case l.items == 0:
		_, err = fmt.Fprintln(l.cmd.ErrOrStderr(), none)
	default:
		return l.table.print(l.cmd)
	}
	return err
}

// checkLimit makes sure that --limit can be used.
func checkLimit(limit int) error {
	if limit < 0 {
		return usagef("--limit: %d is negative; 0 lists all", limit)
	}
	return nil
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
