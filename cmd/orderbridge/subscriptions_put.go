package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/config"
	"orderbridge/internal/bus"
	"orderbridge/internal/limits"
	"orderbridge/internal/secrets"
	"orderbridge/internal/store"
)

func newSubscriptionsPut() *cobra.Command {
	return &cobra.Command{
		Use:   "put ID FILE|-",
		Short: "Store a record and tell what the bridge makes of it",
		Long: `Ask the bridge what it makes of a record, store it, wait for the bridge's verdict
(up to 2 s) and print it. A record with an error is not stored. If no bridge runs
the record is checked here: what only the settings of this command forbid is a
warning then. Where ORDERBRIDGE_SEALING_KEY_FILE is set, plain secrets in the record
are sealed before it is stored. Exit code 1 if it was not stored or if the bridge finds
it invalid; 0 if the bridge says nothing, since the record is stored and will be seen.`,
		Example: `  orderbridge subscriptions put acme acme.json
  echo '{"targetURL":"https://erp.example.com/orders"}' | orderbridge subscriptions put acme -`,
		Args: args(2, 2, "an id and a file, or - for stdin"),
		RunE: asking(func(ctx context.Context, cmd *cobra.Command, s *session, args []string) error {
			id, path := args[0], args[1]
			if err := checkID(id); err != nil {
				return err
			}
			record, file, err := fileRecord(cmd, id, path)
			if err != nil {
				return err
			}
			if record, err = sealRecord(s.cfg, id, record); err != nil {
				return fmt.Errorf("subscription %q was not stored: %w", id, err)
			}
			problems, err := s.judge(ctx, id, record)
			if err != nil {
				return err
			}
			if problems.Err() != nil {
				printPlaced(cmd, file.where, problems)
				return fmt.Errorf("subscription %q was not stored", id)
			}
			revision, err := s.putRecord(ctx, id, record, store.AnyRevision)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: stored as revision %d\n", id, revision)
			return s.verdict(ctx, cmd, id, revision, problems...)
		}),
	}
}

// sealRecord seals the secrets of a record with the key of this command's
// settings, if there is one.
func sealRecord(cfg *config.Config, id string, record []byte) ([]byte, error) {
	if cfg.SealingKeyFile == "" || !json.Valid(record) {
		return record, nil // what is wrong with it the judge says
	}
	return secrets.New(secrets.Options{IdentityFile: cfg.SealingKeyFile}).SealRecord(id, record)
}

// putRecord stores a record, if its revision is the one that is expected, and
// says who does it.
func (s *session) putRecord(ctx context.Context, id string, record []byte, expect uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.CommandCallTime)
	defer cancel()
	r, err := s.catalog.Put(acting(ctx), store.Everything(), id, record, expect)
	return r.Revision, s.notWritten(id, err)
}

// notWritten says why a record could not be stored or deleted.
func (s *session) notWritten(id string, err error) error {
	switch {
	case errors.Is(err, store.ErrChanged):
		return fmt.Errorf("subscription %q was changed by somebody else just now; try again", id)
	case errors.Is(err, jetstream.ErrBucketNotFound):
		return fmt.Errorf("store subscription %q: %w", id, s.noBucket(s.names.Subscriptions))
	}
	return explain(err)
}

func printProblems(cmd *cobra.Command, where string, problems record.Problems) {
	for _, p := range problems {
		kind := "error"
		if p.Warning {
			kind = "warning"
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s: %s\n", where, kind, printable(p.String()))
	}
}

// verdict waits for the bridge to speak of a revision and prints what it says;
// unsaid is what was found before, in case that it says nothing.
func (s *session) verdict(ctx context.Context, cmd *cobra.Command, id string, revision uint64,
	unsaid ...record.Problem) error {
	status, err := s.awaitStatus(ctx, id, revision)
	if err != nil {
		return err
	}
	if status == nil {
		printProblems(cmd, id, unsaid)
		fmt.Fprintln(cmd.ErrOrStderr(),
			"the bridge has said nothing of it yet; is `orderbridge serve` running? It will see the record when it starts")
		return nil
	}
	line := []string{id, string(status.State), status.Hears, status.Reason}
	line = slices.DeleteFunc(line, func(s string) bool { return s == "" })
	fmt.Fprintln(cmd.OutOrStdout(), printable(strings.Join(line, ": ")))
	for _, w := range status.Warnings {
		w.Warning = true
		printProblems(cmd, id, record.Problems{w})
	}
	printProblems(cmd, id, status.Errors)
	if status.State == protocol.StateInvalid {
		return errReported
	}
	return nil
}

// awaitStatus returns nil if the bridge says nothing of the revision in time.
// It asks instead of watching: a writer of records need not be allowed to make
// consumers.
func (s *session) awaitStatus(ctx context.Context, id string, revision uint64) (*protocol.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.VerdictTime)
	defer cancel()
	tick := time.NewTicker(limits.VerdictCheck)
	defer tick.Stop()
	for {
		status, err := s.catalog.LastStatus(ctx, id)
		switch {
		case err == nil && status.Revision >= revision:
			return &status, nil
		case ctx.Err() != nil:
			return nil, bus.Lack(ctx)
		case errors.Is(err, jetstream.ErrStreamNotFound):
			return nil, nil // no bridge has ever run
		case err != nil && !errors.Is(err, protocol.ErrNotFound):
			return nil, explain(err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, bus.Lack(ctx)
		}
	}
}

// Whether a record is good depends on the settings and files of the bridge. So
// commands ask one that runs; without one they judge by their own settings, and
// what only those forbid is a warning.

// judge is what is wrong with a record.
func (s *session) judge(ctx context.Context, id string, record []byte) (record.Problems, error) {
	var answer store.JudgeAnswer
	if s.bus == nil {
		answer, err := s.catalog.Judge(ctx, id, record)
		return answer.Problems, err
	}
	subject := s.bus.JudgeSubject()
	err := s.denials.Without(ctx, subject, func(ctx context.Context) (err error) {
		answer, err = s.catalog.Judge(ctx, id, record)
		return err
	})
	if err == nil {
		return answer.Problems, nil
	}
	var why string
	var no *bus.Denial
	switch {
	case errors.As(err, &no):
		why = fmt.Sprintf("the bridge was not asked: %s may not publish to %q", s.denials.User(), subject)
	case errors.Is(err, store.ErrNoJudge):
		why = "no bridge has answered"
	default:
		return nil, err
	}
	return s.judgeAlone(id, record, why), nil
}

// anyPolicy permits what any bridge may permit.
func anyPolicy(cfg *config.Config) record.Policy {
	policy := recordPolicy(cfg)
	policy.AllowHTTP, policy.AllowTrustAll = true, true
	policy.CheckAddress = func(netip.Addr) error { return nil }
	return policy
}

// judgeAlone judges by the settings of this process; what they alone forbid is
// left to the bridge.
func (s *session) judgeAlone(id string, rec []byte, why string) record.Problems {
	_, own := record.Parse(id, rec, recordPolicy(s.cfg))
	_, any := record.Parse(id, rec, anyPolicy(s.cfg))
	for i, p := range own {
		if !p.Warning && !slices.Contains(any, p) {
			own[i].Warning = true
			own[i].Message += " (so say the settings of this command; " + why + ", and its settings decide)"
		}
	}
	return own
}
