package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"orderbridge/bridge"
	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
	"orderbridge/internal/recordfile"
	"orderbridge/internal/store"
)

// validated is what is found of a record, or of a file that cannot be read.
type validated struct {
	File     string          `json:"file"` // with the line, where it holds several
	ID       string          `json:"id,omitempty"`
	Good     bool            `json:"good"`
	Hears    string          `json:"hears,omitempty"` // of a good record
	Problems []placedProblem `json:"problems,omitempty"`
	// Explained is what would become of the example event.
	Explained *bridge.Explanation `json:"explained,omitempty"`

	record []byte
	where  func(field string) string // of a record: the place of a member
}

type placedProblem struct {
	Place string `json:"place"` // file:line
	record.Problem
}

func newSubscriptionsValidate() *cobra.Command {
	format := output("text")
	var given givenEvent
	cmd := &cobra.Command{
		Use:   "validate DIR|FILE|-...",
		Short: "Check records without storing them, and without a bus",
		Long: `Check records as the bridge does and print all problems, with file and line. Exit
code 1 if one of them has an error. Files are read as ` + "`apply`" + ` reads them: JSON or
YAML, one record or several; what this command's settings forbid is an error. With
--server the server judges them, by its settings and by what the token may put.

With --event a running bridge explains what would become of that event by each good
record, as ` + "`orderbridge explain --record`" + ` does, with the request that would be sent.
Nothing is sent or stored.`,
		Example: `  orderbridge subscriptions validate acme.json
  orderbridge subscriptions validate records/ -o json
  orderbridge subscriptions validate acme.yaml --event order.json --subject orders.acme.OrderAccepted.4711`,
		Args: args(1, -1, "directories, files, or - for stdin"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, _, err := settings(cmd)
			if err != nil {
				return err
			}
			files, err := recordfile.Files(args)
			if err != nil {
				return err
			}
			found := []validated{}
			for _, path := range files {
				data, err := readInput(cmd, path)
				if err != nil {
					return err
				}
				found = append(found, validateFile(path, data, recordPolicy(cfg))...)
			}
			if len(found) == 0 {
				return errors.New("the files hold no record: records stand in files that end in .json, .yaml or .yml")
			}
			if !given.given() && cfg.Server == "" {
				return showValidated(cmd, format, found)
			}
			return asking(func(ctx context.Context, cmd *cobra.Command, s *session, _ []string) error {
				if s.bus == nil {
					if err := s.judgeAll(ctx, found); err != nil {
						return err
					}
				}
				if given.given() {
					if err := s.explainAll(ctx, cmd, &given, found); err != nil {
						return err
					}
				}
				return showValidated(cmd, format, found)
			})(cmd, args)
		},
	}
	given.register(cmd)
	format.register(cmd, "text", "json")
	return cmd
}

// validateFile checks the records of a file; one that is alone on stdin needs no id.
func validateFile(path string, data []byte, policy record.Policy) (list []validated) {
	records, problems := recordfile.Parse(path, data)
	for _, p := range problems {
		if p.Nameless && path == "-" && len(records) == 1 {
			records[0].ID = "stdin"
			continue
		}
		list = append(list, validated{File: path, Problems: []placedProblem{{p.Place(), record.Problem{Message: p.Message}}}})
	}
	if len(list) > 0 {
		return list
	}
	for _, r := range records {
		sub, problems := record.Parse(r.ID, r.JSON, policy)
		v := validated{record: r.JSON, where: r.Where, File: path, ID: r.ID}
		hears := ""
		if problems.Err() == nil {
			hears = sub.Describe()
		}
		v.judged(hears, problems)
		if len(records) > 1 {
			v.File = r.Where("")
		}
		list = append(list, v)
	}
	return list
}

// judged notes what was found of a record.
func (v *validated) judged(hears string, problems record.Problems) {
	v.Good, v.Hears, v.Problems = problems.Err() == nil, hears, nil
	for _, p := range problems {
		v.Problems = append(v.Problems, placedProblem{v.where(p.Field), p})
	}
}

// judgeAll asks the server, whose settings decide, and what the token may put.
func (s *session) judgeAll(ctx context.Context, list []validated) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(limits.ApplyAtOnce)
	for i := range list {
		v := &list[i]
		if v.record == nil {
			continue
		}
		g.Go(func() error {
			answer, err := s.catalog.Judge(ctx, v.ID, v.record)
			if err == nil {
				v.judged(answer.Hears, answer.Problems)
			}
			return err
		})
	}
	return g.Wait()
}

// explainAll asks a bridge what would become of an event by each good record.
func (s *session) explainAll(ctx context.Context, cmd *cobra.Command, given *givenEvent, list []validated) error {
	event, err := given.read(cmd)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(limits.ApplyAtOnce)
	for i := range list {
		v := &list[i]
		if !v.Good {
			continue
		}
		g.Go(func() error {
			answer, err := s.explanation(ctx, store.ExplainRequest{GivenEvent: event, Subscription: v.ID, Record: v.record})
			if err == nil && len(answer.Hearing) > 0 {
				v.Explained = &answer.Hearing[0]
			}
			return err
		})
	}
	return g.Wait()
}

func showValidated(cmd *cobra.Command, format output, list []validated) error {
	bad := 0
	for _, v := range list {
		if !v.Good {
			bad++
		}
	}
	if format.data() {
		if err := printData(cmd, list); err != nil {
			return err
		}
	} else {
		for _, v := range list {
			for _, p := range v.Problems {
				printProblems(cmd, p.Place, record.Problems{p.Problem})
			}
			if v.Good {
				fmt.Fprintln(cmd.OutOrStdout(), printable(v.File+": good: "+v.Hears))
			}
			if v.Explained != nil {
				printOne(cmd, v.Explained)
				fmt.Fprintln(cmd.OutOrStdout())
			}
		}
	}
	if bad > 0 {
		return fmt.Errorf("%s invalid", count(bad, "record"))
	}
	return nil
}
