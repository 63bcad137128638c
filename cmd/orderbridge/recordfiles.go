package main

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/tidwall/gjson"

	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
	"orderbridge/internal/recordfile"
)

// Records as they stand in files.

// fileOf is what is known of a record that stands in a file.
type fileOf struct {
	id    string // as it says, or as the file is named; "" if neither tells it
	where func(field string) string
}

// fileRecord reads the file of one record; id is the one that the command names,
// "" if it names none. JSON stays as it stands, byte for byte; YAML becomes JSON.
func fileRecord(cmd *cobra.Command, id, path string) (value []byte, f fileOf, err error) {
	data, err := readInput(cmd, path)
	if err != nil {
		return nil, f, err
	}
	records, problems := recordfile.Parse(path, data)
	f.where = func(string) string { return path }
	if len(records) == 1 {
		f.id, f.where = records[0].ID, records[0].Where
	}
	if recordfile.IsJSON(path, data) || len(bytes.TrimSpace(data)) == 0 {
		return data, f, nil // what is wrong with it the judge says
	}
	problems = slices.DeleteFunc(problems, func(p recordfile.Problem) bool { return p.Nameless && (id != "" || path == "-") })
	switch {
	case len(records) > 1:
		problems = []recordfile.Problem{{File: path, Line: records[1].Line,
			Message: fmt.Sprintf("holds %d records; `orderbridge subscriptions apply` stores several", len(records))}}
	case len(records) == 0 && len(problems) == 0:
		problems = []recordfile.Problem{{File: path, Line: 1, Message: "holds no record; the least is targetURL: https://…"}}
	case len(records) == 1 && id != "" && f.id != id && records[0].Names():
		problems = append(problems, recordfile.Problem{File: path, Line: records[0].Line,
			Message: fmt.Sprintf("id: is %q, but the command names %q; make them equal or leave it out", f.id, id)})
	}
	if len(problems) > 0 {
		printFileProblems(cmd, problems)
		return nil, f, fmt.Errorf("%s: the file cannot be used", path)
	}
	return records[0].JSON, f, nil
}

func printFileProblems(cmd *cobra.Command, problems []recordfile.Problem) {
	for _, p := range problems {
		fmt.Fprintln(cmd.ErrOrStderr(), printable(p.Place()+": error: "+p.Message))
	}
}

// printPlaced prints the problems of a record, each with its place.
func printPlaced(cmd *cobra.Command, where func(field string) string, problems record.Problems) {
	for _, p := range problems {
		printProblems(cmd, where(p.Field), record.Problems{p})
	}
}

// readRecords reads all records of the files and directories, by id. All that is
// wrong with the files is printed; then there is an error.
func readRecords(cmd *cobra.Command, paths []string) ([]recordfile.Record, error) {
	files, err := recordfile.Files(paths)
	if err != nil {
		return nil, err
	}
	var records []recordfile.Record
	var problems []recordfile.Problem
	for _, path := range files {
		data, err := readInput(cmd, path)
		if err != nil {
			return nil, err
		}
		found, wrong := recordfile.Parse(path, data)
		records, problems = append(records, found...), append(problems, wrong...)
		if len(records) > limits.ApplyRecords {
			return nil, fmt.Errorf("the files hold more than %d records; do it in parts", limits.ApplyRecords)
		}
	}
	first := map[string]*recordfile.Record{}
	for i := range records {
		r := &records[i]
		if before := first[r.ID]; before != nil && r.ID != "" {
			problems = append(problems, recordfile.Problem{File: r.File, Line: r.Line,
				Message: fmt.Sprintf("the id %q stands in %s already; keep one", r.ID, before.Where(""))})
			continue
		}
		first[r.ID] = r
	}
	if len(problems) > 0 {
		printFileProblems(cmd, problems)
		return nil, fmt.Errorf("%s in the files", count(len(problems), "error"))
	}
	slices.SortStableFunc(records, func(a, b recordfile.Record) int { return strings.Compare(a.ID, b.ID) })
	return records, nil
}

// recordChoice says of which of the stored records a command speaks.
type recordChoice struct {
	tenant string
	labels []string // name=value
	all    bool
}

func (c *recordChoice) register(cmd *cobra.Command, what string) {
	cmd.Flags().StringVar(&c.tenant, "tenant", "", what+" with this `tenant`; - are those without")
	cmd.Flags().StringArrayVar(&c.labels, "label", nil, what+" with this label, `name=value`; several: with all of them")
}

// check makes sure that the flags can be used.
func (c *recordChoice) check() error {
	for _, l := range c.labels {
		if name, _, ok := strings.Cut(l, "="); !ok || name == "" {
			return usagef("--label: %q is not a label; write it like team=sales", l)
		}
	}
	return nil
}

func (c *recordChoice) given() bool { return c.tenant != "" || len(c.labels) > 0 }

// holds tells whether a record is one of those.
func (c *recordChoice) holds(value []byte) bool {
	if !c.given() {
		return true
	}
	if !gjson.ValidBytes(value) {
		return false
	}
	doc := gjson.ParseBytes(value)
	tenant := doc.Get("tenant").String()
	if tenant == "" {
		tenant = record.NoTenant
	}
	if c.tenant != "" && tenant != c.tenant {
		return false
	}
	labels := map[string]string{}
	doc.Get("labels").ForEach(func(name, value gjson.Result) bool {
		labels[name.String()] = value.String()
		return true
	})
	return !slices.ContainsFunc(c.labels, func(l string) bool {
		name, want, _ := strings.Cut(l, "=")
		value, ok := labels[name]
		return !ok || value != want
	})
}

func (c *recordChoice) String() string {
	var parts []string
	if c.tenant != "" {
		parts = append(parts, "tenant "+c.tenant)
	}
	for _, l := range c.labels {
		parts = append(parts, "label "+l)
	}
	if len(parts) == 0 {
		return "all"
	}
	return strings.Join(parts, ", ")
}

// printDifferences tells member by member what differs; nothing of a secret.
func printDifferences(w io.Writer, differences []record.Difference) {
	for _, d := range differences {
		before, after := shownText(d.Before), shownText(d.After)
		text := before + " → " + after
		switch {
		case d.Before == nil && d.Secret && after == mark:
			text = "set (secret)"
		case d.Before == nil:
			text = after
		case d.After == nil && d.Secret && before == mark:
			text = "gone (secret)"
		case d.After == nil:
			text = "gone, was " + before
		case d.Secret && before == mark && after == mark:
			text = "changed (secret)"
		case before == after:
			text = before + ", changed in a part that is not shown"
		}
		fmt.Fprintln(w, printable("    "+d.Member+": "+text))
	}
}

const mark = `"[redacted]"`

// shownText is a value, cut where it is long.
func shownText(raw []byte) string {
	text := string(raw)
	if r := []rune(text); len(r) > 120 {
		text = string(r[:120]) + "…"
	}
	return text
}
