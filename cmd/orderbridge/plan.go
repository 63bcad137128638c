package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/config"
	"orderbridge/internal/limits"
	"orderbridge/internal/recordfile"
	"orderbridge/internal/secrets"
	"orderbridge/internal/store"
)

// plan is what has to be done so that the stored records are those of the files.
type plan struct {
	DryRun  bool     `json:"dryRun"`
	Changes []change `json:"changes"` // by id
	Summary summary  `json:"summary"`
}

// change is what is done with one record.
type change struct {
	ID          string              `json:"id"`
	Action      action              `json:"action"`
	File        string              `json:"file,omitempty"` // with the line, "records/acme.yaml:1"
	Differences []record.Difference `json:"differences,omitempty"`
	Result      result              `json:"result,omitempty"` // absent: nothing was tried
	Revision    uint64              `json:"revision,omitempty"`
	Reason      string              `json:"reason,omitempty"`

	value  []byte // to be stored; nil: deleted
	expect uint64 // the revision that it replaces; 0: there is none
}

type action string

const (
	creates action = "create"
	changes action = "change"
	deletes action = "delete"
)

// result is what came of a change.
type result string

const (
	done     result = "done"
	conflict result = "conflict" // somebody else has changed the record meanwhile
	failed   result = "failed"
	untried  result = "not tried" // since another has failed
	invalid  result = "invalid"   // written, and the bridge cannot use it
)

// summary counts records.
type summary struct {
	Records   int `json:"records"` // of the files
	Created   int `json:"created"`
	Changed   int `json:"changed"`
	Deleted   int `json:"deleted"`
	Unchanged int `json:"unchanged"`
	Failed    int `json:"failed,omitempty"` // of those that were to be written: not written, or invalid
	Unseen    int `json:"unseen,omitempty"` // written, and no bridge has said anything of it yet
}

func (s summary) differences() int { return s.Created + s.Changed + s.Deleted }

// plan reads the files and what is stored, and checks all of it.
func (s *session) plan(ctx context.Context, cmd *cobra.Command, paths []string, flags applyFlags) (*plan, error) {
	records, err := readRecords(cmd, paths)
	if err != nil {
		return nil, err
	}
	if len(records) == 0 {
		if flags.prune {
			return nil, errors.New("the files hold no record, so --prune would delete all; nothing was done. Delete records with `orderbridge subscriptions delete`")
		}
		return nil, errors.New("the files hold no record: records stand in files that end in .json, .yaml or .yml")
	}
	drafts := make([]draft, len(records))
	g, ctx2 := errgroup.WithContext(ctx)
	g.SetLimit(limits.ApplyAtOnce)
	for i := range records {
		g.Go(func() (err error) {
			drafts[i], err = s.draft(ctx2, &records[i], flags)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	p := &plan{Changes: []change{}, Summary: summary{Records: len(records)}}
	bad, warnings := 0, 0
	for _, d := range drafts {
		printPlaced(cmd, d.file.Where, d.problems.Errors())
		if d.problems.Err() != nil {
			bad++
		}
		for _, w := range d.problems.Warnings() {
			if warnings++; warnings <= limits.RecordProblems {
				printPlaced(cmd, d.file.Where, record.Problems{w})
			}
		}
		p.add(d.change)
	}
	if warnings > limits.RecordProblems {
		fmt.Fprintf(cmd.ErrOrStderr(), "and %s\n", count(warnings-limits.RecordProblems, "further warning"))
	}
	if bad > 0 {
		return nil, fmt.Errorf("%s invalid; nothing was written", count(bad, "record"))
	}
	if flags.prune {
		err = s.planPrune(ctx, p, records, flags)
	}
	return p, err
}

// draft is a record of a file on its way into the bucket.
type draft struct {
	change
	file     *recordfile.Record
	problems record.Problems
}

// draft compares a record with what is stored, and checks it: what differs as the
// bridge does it, all else by the settings of this command.
func (s *session) draft(ctx context.Context, file *recordfile.Record, flags applyFlags) (draft, error) {
	d := draft{file: file, change: change{ID: file.ID, File: file.Where(""), Action: creates}}
	stored, err := s.stored(ctx, file.ID)
	if err != nil {
		return d, err
	}
	if stored != nil {
		d.expect, d.Action = stored.Revision, changes
	}
	value, problems := keepShown(s.cfg, file, stored)
	if d.problems = problems; problems.Err() != nil {
		return d, nil
	}
	if flags.prune && !flags.choice.holds(value) {
		d.problems = record.Problems{{Message: fmt.Sprintf("is not among the records that --prune speaks of (%s), and would stay when it is taken out of the files", &flags.choice)}}
		return d, nil
	}
	if d.Differences = differences(s.cfg, file.ID, stored, value); stored != nil && len(d.Differences) == 0 {
		d.Action = ""
		d.problems = s.parse(file.ID, value)
		return d, nil
	}
	if d.problems = s.parse(file.ID, value); len(d.problems) > 0 {
		return d, nil
	}
	if stored != nil && s.bus == nil {
		answer, err := s.catalog.Judge(ctx, file.ID, value)
		if err != nil {
			return d, err
		}
		if d.Differences = withoutGiven(d.Differences, answer.Given); len(d.Differences) == 0 {
			d.Action, d.problems = "", answer.Problems.Errors()
			return d, nil
		}
	}
	if d.value, err = sealRecord(s.cfg, file.ID, value); err != nil {
		return d, fmt.Errorf("%s: %w", file.Where(""), err)
	}
	d.problems, err = s.judge(ctx, file.ID, d.value)
	return d, err
}

// parse tells what is wrong with a record by the settings of this command. One that
// has secrets which only the server knows is for the server to judge.
func (s *session) parse(id string, value []byte) record.Problems {
	if s.bus == nil && bytes.Contains(value, []byte(`"[redacted]"`)) {
		return nil
	}
	_, all := record.Parse(id, value, anyPolicy(s.cfg))
	return all.Errors()
}

// stored is the record under an id, nil if there is none.
func (s *session) stored(ctx context.Context, id string) (*store.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.CommandCallTime)
	defer cancel()
	r, err := s.catalog.Record(ctx, store.Everything(), id)
	if errors.Is(err, protocol.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, s.notWritten(id, err)
	}
	return &r, nil
}

func keepShown(cfg *config.Config, file *recordfile.Record, stored *store.Record) ([]byte, record.Problems) {
	var old []byte
	if stored != nil {
		old = stored.Value
	}
	return record.KeepShown(file.JSON, old)
}

// differences are those between what is stored and what is to be. A secret that the
// file tells and that is stored sealed is compared where the sealing key is at hand.
func differences(cfg *config.Config, id string, stored *store.Record, value []byte) []record.Difference {
	if stored == nil {
		return record.Differences(nil, value)
	}
	old := stored.Value
	if cfg.SealingKeyFile != "" {
		plain := map[string]bool{}
		_, _ = record.ReplaceSecrets(value, func(field, v string) (string, error) { // an error is none of a secret
			plain[field] = !record.IsReference(v)
			return v, nil
		})
		opened := map[string]string{}
		open := secrets.New(secrets.Options{IdentityFile: cfg.SealingKeyFile}).OpenRecord(id, old)
		_, _ = record.ReplaceSecrets(open, func(field, v string) (string, error) {
			opened[field] = v
			return v, nil
		})
		now, err := record.ReplaceSecrets(old, func(field, v string) (string, error) {
			if plain[field] {
				return cmp.Or(opened[field], v), nil
			}
			return v, nil
		})
		if err == nil && now != nil {
			old = now
		}
	}
	return record.Differences(old, value)
}

// withoutGiven leaves out the members that the record lacks, and that the API gives
// it again as they are.
func withoutGiven(list []record.Difference, given map[string]json.RawMessage) []record.Difference {
	return slices.DeleteFunc(list, func(d record.Difference) bool {
		raw, ok := given[d.Member]
		return ok && d.After == nil && bytes.Equal(raw, d.Before)
	})
}

// add notes a change; one without an action is none.
func (p *plan) add(c change) {
	switch c.Action {
	case creates:
		p.Summary.Created++
	case changes:
		p.Summary.Changed++
	case deletes:
		p.Summary.Deleted++
	default:
		p.Summary.Unchanged++
		return
	}
	p.Changes = append(p.Changes, c)
}

// planPrune adds the stored records that the files do not hold.
func (s *session) planPrune(ctx context.Context, p *plan, records []recordfile.Record, flags applyFlags) error {
	held := map[string]bool{}
	for _, r := range records {
		held[r.ID] = true
	}
	var gone []change
	err := s.list(ctx, func(ctx context.Context, c operations) error {
		gone = nil
		return c.EachRecord(ctx, func(r store.Record) error {
			if !held[r.ID] && flags.choice.holds(r.Value) {
				gone = append(gone, change{ID: r.ID, Action: deletes, expect: r.Revision})
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	if len(gone) > flags.most {
		return fmt.Errorf("--prune would delete %s, more than --prune-limit %d; nothing was done. Are these the right files? Then say --prune-limit %d", count(len(gone), "record"), flags.most, len(gone))
	}
	for _, c := range gone {
		p.add(c)
	}
	slices.SortStableFunc(p.Changes, func(a, b change) int { return strings.Compare(a.ID, b.ID) })
	return nil
}

func (p *plan) print(cmd *cobra.Command, format output) error {
	if format != "text" {
		return printData(cmd, p)
	}
	out := cmd.OutOrStdout()
	for _, c := range p.Changes {
		p.printChange(out, c)
	}
	_, err := fmt.Fprintln(out, p.Summary.text(p.DryRun))
	return err
}

func (p *plan) printChange(out io.Writer, c change) {
	sign := map[action]string{creates: "+", changes: "~", deletes: "-"}[c.Action]
	line := sign + " " + c.ID
	if c.File != "" {
		line += "  " + c.File
	}
	if c.Result != "" && c.Result != done {
		line += "  " + string(c.Result)
	}
	fmt.Fprintln(out, printable(line))
	if c.Action == changes {
		printDifferences(out, c.Differences)
	}
}

func (s summary) text(dryRun bool) string {
	verb := ""
	if dryRun {
		verb = "to be "
	}
	text := fmt.Sprintf("%s in the files: %d %screated, %d %schanged, %d %sdeleted, %d unchanged", count(s.Records, "record"),
		s.Created, verb, s.Changed, verb, s.Deleted, verb, s.Unchanged)
	if s.Failed > 0 {
		text += fmt.Sprintf(", %d failed", s.Failed)
	}
	return text
}
