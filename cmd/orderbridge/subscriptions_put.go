package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"orderbridge/bridge"
	"orderbridge/config"
	"orderbridge/internal/egress"
	"orderbridge/internal/filter"
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
warning then. Where ORDERBRIDGE_SEALING_KEY_FILE is set, secrets that stand in the
record as they are are sealed before it is stored. Exit code 1 if it was not stored or if the bridge finds it invalid;
0 if the bridge says nothing, since the record is stored and will be seen.`,
		Example: `  orderbridge subscriptions put acme acme.json
  echo '{"targetURL":"https://erp.example.com/orders"}' | orderbridge subscriptions put acme -`,
		Args: args(2, 2, "an id and a file, or - for stdin"),
		RunE: onBus(func(ctx context.Context, cmd *cobra.Command, s *session, args []string) error {
			id, path := args[0], args[1]
			if err := checkID(id); err != nil {
				return err
			}
			record, err := readInput(cmd, path)
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
				printProblems(cmd, path, problems)
				return fmt.Errorf("subscription %q was not stored", id)
			}
			revision, err := s.putRecord(ctx, id, record)
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

func (s *session) putRecord(ctx context.Context, id string, record []byte) (uint64, error) {
	revision, err := s.writeRecord(ctx, id, record, nil)
	if err != nil {
		return 0, fmt.Errorf("store subscription %q: %w", id, err)
	}
	return revision, nil
}

// writeRecord stores or deletes a record, if its revision is what is expected,
// and says who does it.
func (s *session) writeRecord(ctx context.Context, id string, record []byte, expect *uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.CommandCallTime)
	defer cancel()
	revision, err := store.WriteRecord(store.WithActor(ctx, whoRuns()), s.js, s.names.Subscriptions, id, record, expect, nil)
	switch {
	case errors.Is(err, jetstream.ErrBucketNotFound):
		return 0, s.noBucket(s.names.Subscriptions)
	case err != nil:
		return 0, explain(err)
	}
	return revision, nil
}

// recordPolicy is what the operator permits records.
func recordPolicy(cfg *config.Config) bridge.RecordPolicy {
	least := limits.RecordLeastWait
	if cfg.Dev {
		least = limits.RecordLeastWaitDev
	}
	return bridge.RecordPolicy{LeastWait: least, AllowHTTP: cfg.AllowHTTP, AllowHTTPLoopback: cfg.Dev, AllowTrustAll: cfg.AllowTrustAll,
		CheckAddress: egressPolicy(cfg).Check, CheckFilter: filter.New().Check}
}

func egressPolicy(cfg *config.Config) egress.Policy {
	return egress.Policy{Allow: cfg.EgressAllow, Dev: cfg.Dev}
}

func printProblems(cmd *cobra.Command, where string, problems bridge.Problems) {
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
func (s *session) verdict(ctx context.Context, cmd *cobra.Command, id string, revision uint64, unsaid ...bridge.Problem) error {
	status, err := s.awaitStatus(ctx, id, revision)
	if err != nil {
		return err
	}
	if status == nil {
		printProblems(cmd, id, unsaid)
		fmt.Fprintln(cmd.ErrOrStderr(), "the bridge has said nothing of it yet; is `orderbridge serve` running? It will see the record when it starts")
		return nil
	}
	line := []string{id, string(status.State), status.Hears, status.Reason}
	line = slices.DeleteFunc(line, func(s string) bool { return s == "" })
	fmt.Fprintln(cmd.OutOrStdout(), printable(strings.Join(line, ": ")))
	for _, w := range status.Warnings {
		w.Warning = true
		printProblems(cmd, id, bridge.Problems{w})
	}
	printProblems(cmd, id, status.Errors)
	if status.State == bridge.StateInvalid {
		return errSaid
	}
	return nil
}

// awaitStatus returns nil if the bridge says nothing of the revision in time.
// It asks instead of watching: a writer of records need not be allowed to make
// consumers.
func (s *session) awaitStatus(ctx context.Context, id string, revision uint64) (*bridge.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.VerdictTime)
	defer cancel()
	tick := time.NewTicker(limits.VerdictCheck)
	defer tick.Stop()
	for {
		entry, err := store.ReadEntry(ctx, s.js, s.names.Status, id)
		var status bridge.Status
		switch {
		case err == nil && json.Unmarshal(entry.Value, &status) == nil && status.Revision >= revision:
			return &status, nil
		case ctx.Err() != nil:
			return nil, lack(ctx)
		case errors.Is(err, jetstream.ErrStreamNotFound):
			return nil, nil // no bridge has ever run
		case err != nil && !errors.Is(err, bridge.ErrNotFound):
			return nil, fmt.Errorf("status of %q: %w", id, explain(err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, lack(ctx)
		}
	}
}

func newSubscriptionsValidate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "validate FILE|-...",
		Short: "Check records without storing them, and without a bus",
		Long: `Check records as the bridge does and print all problems. Exit code 1 if one of
them has an error. The id is taken from the name of the file.`,
		Example: `  orderbridge subscriptions validate acme.json
  orderbridge subscriptions validate records/*.json`,
		Args: args(1, -1, "files, or - for stdin"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, _, err := settings(cmd)
			if err != nil {
				return err
			}
			bad := 0
			for _, path := range args {
				record, err := readInput(cmd, path)
				if err != nil {
					return err
				}
				id := "stdin"
				if path != "-" {
					id = strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
				}
				sub, problems := bridge.ParseSubscription(id, record, recordPolicy(cfg))
				printProblems(cmd, path, problems)
				if problems.Err() != nil {
					bad++
					continue
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: good: %s\n", path, sub.Describe())
			}
			if bad > 0 {
				return fmt.Errorf("%s invalid", count(bad, "record"))
			}
			return nil
		},
	}
	return cmd
}

func newSubscriptionsSchema() *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of a record",
		Example: "  orderbridge subscriptions schema > subscription.schema.json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(bridge.SubscriptionSchema())
			return err
		},
	}
}
