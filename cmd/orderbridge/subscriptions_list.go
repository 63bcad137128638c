package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/store"
)

// listedRecord is what a list shows of a record that may be anything.
type listedRecord struct {
	ID       string         `json:"id"`
	Method   string         `json:"method"`
	Host     string         `json:"host"`
	State    protocol.State `json:"state"` // "" if the bridge has not seen the revision yet
	Revision uint64         `json:"revision"`
	Reason   string         `json:"reason,omitempty"`
}

func newSubscriptionsList() *cobra.Command {
	format := output("table")
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the subscriptions with their states",
		Example: "  orderbridge subscriptions list\n  orderbridge subscriptions list -o json",
		Args:    noArgs,
		RunE: onBus(func(ctx context.Context, cmd *cobra.Command, s *session, _ []string) error {
			list, err := s.subscriptions(ctx)
			if err != nil {
				return err
			}
			if format == "json" {
				return printJSON(cmd, list)
			}
			if len(list) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "no subscriptions; `orderbridge subscriptions put ID FILE` makes one")
				return nil
			}
			t := newTable("ID", "METHOD", "HOST", "STATE", "REVISION", "REASON")
			for _, r := range list {
				state := string(r.State)
				if state == "" {
					state = "not seen yet"
				}
				t.row(r.ID, r.Method, r.Host, state, strconv.FormatUint(r.Revision, 10), r.Reason)
			}
			return t.print(cmd)
		}),
	}
	format.register(cmd, "table", "json")
	return cmd
}

func (s *session) subscriptions(ctx context.Context) ([]listedRecord, error) {
	statuses := map[string]protocol.Status{}
	err := s.list(ctx, func(ctx context.Context, c *store.Catalog) error {
		return c.EachStatus(ctx, func(v store.Verdict) error {
			statuses[v.ID] = v.Status
			return nil
		})
	})
	if err != nil && !errors.Is(err, protocol.ErrNotFound) { // no bridge has ever run
		return nil, err
	}
	list := []listedRecord{}
	err = s.list(ctx, func(ctx context.Context, c *store.Catalog) error {
		list = list[:0]
		return c.EachRecord(ctx, func(r store.Record) error {
			status, told := statuses[r.ID]
			list = append(list, listed(r, status, told))
			return nil
		})
	})
	if errors.Is(err, protocol.ErrNotFound) {
		return nil, s.noBucket(s.names.Subscriptions)
	}
	return list, err
}

// listed is a record with the status that the bridge has told of it, if it has.
func listed(r store.Record, status protocol.Status, told bool) listedRecord {
	out := listedRecord{ID: r.ID, Revision: r.Revision}
	out.Method, out.Host = methodAndHost(r.Value)
	switch {
	case told && status.Revision >= r.Revision:
		out.State, out.Reason = status.State, reasonOf(status)
	case told:
		out.Reason = fmt.Sprintf("the bridge has applied revision %d (%s)", status.Revision, status.State)
	default:
		out.Reason = "the bridge has said nothing of it; is `orderbridge serve` running?"
	}
	return out
}

// methodAndHost are those of a record; of one that cannot be read, which is
// invalid, its status says why.
func methodAndHost(record []byte) (method, host string) {
	var r struct {
		TargetURL string `json:"targetURL"`
		Method    string `json:"method"`
	}
	if json.Unmarshal(record, &r) != nil {
		return "-", "-"
	}
	method, host = r.Method, "-"
	if method == "" {
		method = "POST"
	}
	if u, err := url.Parse(r.TargetURL); err == nil && u.Host != "" {
		host = u.Host
	}
	return method, host
}
