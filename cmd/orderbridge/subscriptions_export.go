package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"orderbridge/bridge/record"
	"orderbridge/internal/recordfile"
	"orderbridge/internal/store"
)

func newSubscriptionsExport() *cobra.Command {
	var e exporter
	e.format = "yaml"
	cmd := &cobra.Command{
		Use:   "export [DIR|-]",
		Short: "Write the stored records as files that apply reads",
		Long: `Write each stored record to a file of its own, DIR/ID.yaml, or all of them to stdout.
Members stand in a fixed order, and what the API notes beside them (id, times) is left
out, so that the same record is always the same bytes. A file whose record has not
changed is not touched, and none is deleted.

No secret is written: "[redacted]" stands for it, and ` + "`apply`" + ` keeps the stored one where
it does. References (env:NAME, file:NAME, sealed:…) stay. So do the parts of a URL that
nobody could guess, unless --urls says that they are no secrets: another bus can take
over only what stands in the files.`,
		Example: `  orderbridge subscriptions export records/
  orderbridge subscriptions export records/ --label from=git
  orderbridge subscriptions export - --tenant acme > acme.yaml`,
		Args: args(0, 1, "one directory at most, or - for stdout"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := e.choice.check(); err != nil {
				return err
			}
			return asking(func(ctx context.Context, cmd *cobra.Command, s *session, args []string) error {
				if len(args) == 1 && args[0] != "-" {
					return s.exportFiles(ctx, cmd, e, args[0])
				}
				return s.exportAll(ctx, cmd, e)
			})(cmd, args)
		},
	}
	e.choice.register(cmd, "only records")
	cmd.Flags().BoolVar(&e.urls, "urls", false, "write URLs as they are, though their path and query may hold secrets")
	e.format.register(cmd, "yaml", "json")
	return cmd
}

type exporter struct {
	choice recordChoice
	urls   bool
	format output
}

// text is a record as it is written; without a newline at its end.
func (e exporter) text(r store.Record) ([]byte, error) {
	rec, err := record.Exported(r.Value, e.urls)
	if err != nil {
		return nil, fmt.Errorf("subscription %q: %w; put a good one, or delete it", r.ID, err)
	}
	rec = recordfile.WithID(r.ID, rec)
	if e.format == "json" {
		return recordfile.JSON(rec)
	}
	return recordfile.YAML(rec)
}

// exported calls fn for each chosen record, by id.
func (s *session) exported(ctx context.Context, e exporter, fn func(store.Record, []byte) error) (n int, err error) {
	err = s.eachByID(ctx, store.ListQuery{Tenant: e.choice.tenant}, func(r store.Listed) error {
		if !e.choice.holds(r.Value) {
			return nil
		}
		text, err := e.text(r.Record)
		if err != nil {
			return err
		}
		n++
		return fn(r.Record, text)
	})
	return n, err
}

func (s *session) exportFiles(ctx context.Context, cmd *cobra.Command, e exporter, dir string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	written := 0
	n, err := s.exported(ctx, e, func(r store.Record, text []byte) error {
		changed, err := replaceFile(filepath.Join(dir, r.ID+"."+string(e.format)), text)
		if changed {
			written++
		}
		return err
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s in %s: %d written, %d unchanged\n", count(n, "record"), dir, written, n-written)
	return err
}

// replaceFile has the file hold the text; false if it does already.
func replaceFile(path string, text []byte) (bool, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() && info.Size() == int64(len(text)) {
		if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, text) {
			return false, nil
		}
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".export-*")
	if err != nil {
		return false, fmt.Errorf("export: %w", err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return false, fmt.Errorf("export: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return true, nil
}

// exportAll writes YAML documents, or JSON values one after the other.
func (s *session) exportAll(ctx context.Context, cmd *cobra.Command, e exporter) error {
	out := cmd.OutOrStdout()
	n, err := s.exported(ctx, e, func(_ store.Record, text []byte) error {
		if e.format == "yaml" {
			text = append([]byte("---\n"), text...)
		}
		return writeAll(out, text)
	})
	if err == nil && n == 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), "no such records")
	}
	return err
}

func writeAll(w io.Writer, text []byte) error {
	_, err := w.Write(text)
	return err
}
