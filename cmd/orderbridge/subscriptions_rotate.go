package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

// keptByDefault is how long a former secret signs where nothing is said of it.
const keptByDefault = "24h"

func newSubscriptionsRotate() *cobra.Command {
	var r store.RotateRequest
	file := ""
	format := output("text")
	cmd := &cobra.Command{
		Use:   "rotate-secret ID",
		Short: "Give a subscription another signing secret, and end the former one",
		Long: `Give a subscription another signing secret: the one in --secret-file (or a reference to
it, file:NAME or env:NAME), or one that is made and shown this once. The former secret
signs beside it for a day, or as long as --keep-old says; then it ends by itself: the
record holds the time (signing.formerUntil), and nobody needs to do anything. With
--revoke-old it signs nothing more from the next attempt on.

A record that has only the member "secret" sends one signature (X-Signature): there the
former secret ends at once. One that signs nothing signs from now on.`,
		Example: `  orderbridge subscriptions rotate-secret acme
  orderbridge subscriptions rotate-secret acme --secret-file new.txt --keep-old 2h
  orderbridge subscriptions rotate-secret acme --revoke-old`,
		Args: args(1, 1, "the id of a subscription"),
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			if r.RevokeOld && cmd.Flags().Changed("keep-old") {
				return usagef("--keep-old and --revoke-old exclude each other: give one of them")
			}
			return nil
		},
		RunE: asking(func(ctx context.Context, cmd *cobra.Command, s *session, args []string) error {
			id := args[0]
			now, err := s.record(ctx, id)
			if err != nil {
				return err
			}
			if r.RevokeOld || store.HasOneSecret(now.Value) && !cmd.Flags().Changed("keep-old") {
				r.KeepOld = ""
			}
			if r.Secret, err = secretIn(cmd, file); err != nil {
				return err
			}
			return s.rotate(ctx, cmd, id, r, format)
		}),
	}
	cmd.Flags().StringVar(&file, "secret-file", "", "a `file` with the new secret, or a reference to it; - is stdin (default: one is made)")
	cmd.Flags().StringVar(&r.KeepOld, "keep-old", keptByDefault, "how long the former secret signs as well")
	cmd.Flags().BoolVar(&r.RevokeOld, "revoke-old", false, "the former secret signs nothing any more")
	format.register(cmd, "text", "json")
	return cmd
}

// secretIn reads a secret from a file, "" where none is named.
func secretIn(cmd *cobra.Command, path string) (string, error) {
	if path == "" {
		return "", nil
	}
	in := cmd.InOrStdin()
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return "", fmt.Errorf("--secret-file: %w", err)
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, limits.ReferenceLength+2))
	if err != nil {
		return "", fmt.Errorf("--secret-file: %w", err)
	}
	secret := strings.TrimRight(string(data), "\r\n")
	if secret == "" {
		return "", usagef("--secret-file: %s is empty", path)
	}
	return secret, nil
}

func (s *session) rotate(ctx context.Context, cmd *cobra.Command, id string, r store.RotateRequest, format output) error {
	call, cancel := context.WithTimeout(acting(ctx), limits.CommandCallTime)
	defer cancel()
	done, err := s.catalog.RotateSecret(call, store.Everything(), id, r, func(ctx context.Context, id string, rec []byte) ([]byte, error) {
		rec, err := sealRecord(s.cfg, id, rec)
		if err != nil {
			return nil, err
		}
		problems, err := s.judge(ctx, id, rec)
		if err == nil && problems.Err() != nil {
			printProblems(cmd, id, problems)
			err = fmt.Errorf("the secret of %q was not rotated", id)
		}
		return rec, err
	})
	if err != nil {
		return s.notRotated(ctx, id, err)
	}
	if format.data() {
		return printData(cmd, done)
	}
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "%s: stored as revision %d\n", id, done.Revision)
	if done.Secret != "" {
		fmt.Fprintf(out, "the new secret (%s), shown this once: %s\n", done.Member, printable(done.Secret))
	}
	if done.FormerUntil != nil {
		fmt.Fprintf(out, "the former secret signs as well until %s\n", done.FormerUntil.UTC().Format(time.RFC3339))
	} else {
		fmt.Fprintln(out, "no former secret signs")
	}
	return s.verdict(ctx, cmd, id, done.Revision)
}

func (s *session) notRotated(ctx context.Context, id string, err error) error {
	var no *store.RefusedError
	switch {
	case errors.As(err, &no):
		return errors.New(printable(strings.Replace(no.Reason, "keepOld: ", "--keep-old: ", 1)))
	case errors.Is(err, protocol.ErrNotFound):
		return s.unknown(ctx, id)
	}
	return s.notWritten(id, err)
}
