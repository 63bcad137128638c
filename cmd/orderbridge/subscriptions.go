package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"orderbridge/bridge"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

func newSubscriptions() *cobra.Command {
	cmd := newGroup("subscriptions", "Manage the subscription records",
		newSubscriptionsList(), newSubscriptionsGet(), newSubscriptionsPut(), newSubscriptionsValidate(), newSubscriptionsImport(),
		newSubscriptionsActivate(true), newSubscriptionsActivate(false), newSubscriptionsDelete(), newSubscriptionsSchema())
	cmd.Aliases = []string{"subscription", "sub", "subs"}
	cmd.Long = `Manage the subscription records. They stand in the KV bucket that is named by
ORDERBRIDGE_SUBSCRIPTIONS_BUCKET; ` + "`nats kv`" + ` does the same.`
	cmd.Example = `  orderbridge subscriptions put acme acme.json
  orderbridge subscriptions list
  orderbridge subscriptions deactivate acme`
	return cmd
}

// records opens the bucket of the records.
func (s *session) records(ctx context.Context) (jetstream.KeyValue, error) {
	return s.bucket(ctx, s.names.Subscriptions)
}

// record reads one record.
func (s *session) record(ctx context.Context, id string) (store.Entry, error) {
	if err := checkID(id); err != nil {
		return store.Entry{}, err
	}
	kv, err := s.records(ctx)
	if err != nil {
		return store.Entry{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, limits.CommandCallTime)
	defer cancel()
	entry, err := kv.Get(ctx, id)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return store.Entry{}, s.unknown(ctx, id)
	}
	if err != nil { // its headers may be what no client reads
		if e, again := store.ReadEntry(ctx, s.js, s.names.Subscriptions, id); again == nil {
			return e, nil
		}
		return store.Entry{}, fmt.Errorf("read subscription %q: %w", id, explain(err))
	}
	return store.Entry{Key: id, Value: entry.Value(), Revision: entry.Revision(), Time: entry.Created()}, nil
}

// statuses reads what the bridge says of each subscription; nothing if it has
// never run.
func (s *session) statuses(ctx context.Context) (map[string]bridge.Status, error) {
	open, cancel := context.WithTimeout(ctx, limits.CommandCallTime)
	defer cancel()
	_, err := s.js.KeyValue(open, s.names.Status)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open bucket %q: %w", s.names.Status, explain(err))
	}
	all := map[string]bridge.Status{}
	err = s.list(ctx, s.names.Status, func(entry store.Entry) error {
		var status bridge.Status
		if json.Unmarshal(entry.Value, &status) == nil {
			all[entry.Key] = status
		}
		return nil
	})
	return all, err
}

var idPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func checkID(id string) error {
	if !idPattern.MatchString(id) {
		return usagef("%q is no id of a subscription; use 1 to 64 letters, digits, - and _", id)
	}
	return nil
}

// glance is what a list shows of a record that may be anything.
type glance struct {
	ID       string       `json:"id"`
	Method   string       `json:"method"`
	Host     string       `json:"host"`
	State    bridge.State `json:"state"` // "" if the bridge has not seen the revision yet
	Revision uint64       `json:"revision"`
	Reason   string       `json:"reason,omitempty"`
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
			list, err := s.glances(ctx)
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
			for _, g := range list {
				state := string(g.State)
				if state == "" {
					state = "not seen yet"
				}
				t.row(g.ID, g.Method, g.Host, state, strconv.FormatUint(g.Revision, 10), g.Reason)
			}
			return t.print(cmd)
		}),
	}
	format.register(cmd, "table", "json")
	return cmd
}

func (s *session) glances(ctx context.Context) ([]glance, error) {
	statuses, err := s.statuses(ctx)
	if err != nil {
		return nil, err
	}
	list := []glance{}
	err = s.list(ctx, s.names.Subscriptions, func(entry store.Entry) error {
		g := glanceAt(entry.Value)
		g.ID, g.Revision = entry.Key, entry.Revision
		status, ok := statuses[g.ID]
		switch {
		case ok && status.Revision >= g.Revision:
			g.State, g.Reason = status.State, reasonOf(status)
		case ok:
			g.Reason = fmt.Sprintf("the bridge has applied revision %d (%s)", status.Revision, status.State)
		default:
			g.Reason = "the bridge has said nothing of it; is `orderbridge serve` running?"
		}
		list = append(list, g)
		return nil
	})
	return list, err
}

func glanceAt(record []byte) (g glance) {
	var r struct {
		TargetURL string `json:"targetURL"`
		Method    string `json:"method"`
	}
	// What cannot be read is invalid, and its status says why.
	if json.Unmarshal(record, &r) != nil {
		return glance{Method: "-", Host: "-"}
	}
	g.Method, g.Host = r.Method, "-"
	if g.Method == "" {
		g.Method = "POST"
	}
	if u, err := url.Parse(r.TargetURL); err == nil && u.Host != "" {
		g.Host = u.Host
	}
	return g
}

func reasonOf(status bridge.Status) string {
	if status.Reason == "" && len(status.Errors) > 0 {
		return bridge.Problems(status.Errors).Error()
	}
	return status.Reason
}
