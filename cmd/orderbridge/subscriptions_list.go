package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/tidwall/gjson"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/bus"
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
	Tenant   string         `json:"tenant,omitempty"`
	Labels   map[string]any `json:"labels,omitempty"`
	Changed  time.Time      `json:"changed,omitzero"` // when this revision was stored
	Hears    string         `json:"hears,omitempty"`
	// FormerUntil is when the secrets before the newest cease to sign.
	FormerUntil string `json:"formerUntil,omitempty"`
}

func (r listedRecord) cells() []string {
	var labels []string
	for _, name := range slices.Sorted(maps.Keys(r.Labels)) {
		labels = append(labels, fmt.Sprintf("%s=%v", name, r.Labels[name]))
	}
	return []string{r.ID, r.Method, r.Host, cmp.Or(string(r.State), notSeen), strconv.FormatUint(r.Revision, 10), r.Reason,
		cmp.Or(r.Tenant, "-"), cmp.Or(strings.Join(labels, ","), "-"), r.Changed.UTC().Format(time.RFC3339), r.Hears,
		cmp.Or(r.FormerUntil, "-")}
}

const notSeen = "not seen yet"

// listFlags say which subscriptions are listed.
type listFlags struct {
	choice recordChoice
	states []string
	after  string
	limit  int
}

func newSubscriptionsList() *cobra.Command {
	var f listFlags
	format := output("table")
	follow := false
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the subscriptions with their states",
		Long: `List the subscriptions by id, each with its state and the reason. What is not to be
listed is not kept in memory: a million records can be listed, or paged through with
--limit and --after, the last id that was seen.`,
		Example: `  orderbridge subscriptions list
  orderbridge subscriptions list --state suspended,invalid
  orderbridge subscriptions list --tenant acme --label team=sales -o wide
  orderbridge subscriptions list --limit 100 --after acme-0099 -o json
  orderbridge subscriptions list --state suspended --watch`,
		Args: noArgs,
		PreRunE: func(*cobra.Command, []string) error {
			return f.check()
		},
		RunE: asking(func(ctx context.Context, cmd *cobra.Command, s *session, _ []string) error {
			head := func() *table {
				return newTable("ID", "METHOD", "HOST", "STATE", "REVISION", "REASON").wide("TENANT", "LABELS", "CHANGED", "HEARS", "FORMER SECRET UNTIL")
			}
			if follow {
				return watch(ctx, cmd, head, func(ctx context.Context, add func(item)) error {
					return s.subscriptions(ctx, f, func(r listedRecord) error {
						add(item{r.ID, r, r.cells()})
						return nil
					})
				})
			}
			l := newListing(cmd, head())
			err := s.subscriptions(ctx, f, func(r listedRecord) error { return l.add(r, r.cells()...) })
			if err != nil {
				return err
			}
			return l.end(f.none())
		}),
	}
	flags := cmd.Flags()
	f.choice.register(cmd, "only records")
	flags.StringSliceVar(&f.states, "state", nil, "only those in this `state`; several with commas: "+strings.Join(states(), ", "))
	flags.StringVar(&f.after, "after", "", "only those whose ids come after this `id`")
	flags.IntVar(&f.limit, "limit", 0, "how many to list at most; 0: all")
	watchFlag(cmd, &follow)
	format.register(cmd, "table", "json")
	completeWords(cmd, "state", states()...)
	return cmd
}

// states are those that can be asked for.
func states() []string {
	var list []string
	for _, s := range protocol.States {
		if s != protocol.StateDeleted { // no record of it is there
			list = append(list, string(s))
		}
	}
	return append(list, unseen)
}

const unseen = "unseen"

func (f *listFlags) check() error {
	if err := checkLimit(f.limit); err != nil {
		return err
	}
	for _, s := range f.states {
		if !slices.Contains(states(), s) {
			return usagef("--state: %q is not a state; choose of %s", s, strings.Join(states(), ", "))
		}
	}
	return f.choice.check()
}

// none is what is said where nothing is listed.
func (f *listFlags) none() string {
	if f.choice.given() || len(f.states) > 0 || f.after != "" {
		return "no such subscriptions"
	}
	return "no subscriptions; `orderbridge subscriptions put ID FILE` makes one"
}

func (f *listFlags) wants(r listedRecord) bool {
	return len(f.states) == 0 || slices.Contains(f.states, cmp.Or(string(r.State), unseen))
}

// subscriptions calls fn for each subscription that is wanted, by id.
func (s *session) subscriptions(ctx context.Context, f listFlags, fn func(listedRecord) error) error {
	var only []string // most are active: those are looked for one by one
	common := slices.Contains(f.states, unseen) || slices.Contains(f.states, string(protocol.StateActive))
	if len(f.states) > 0 && !common {
		var err error
		if only, err = s.inState(ctx, f.states); err != nil {
			return err
		}
	}
	n := 0
	return s.eachByID(ctx, store.ListQuery{After: f.after, Only: only, Tenant: f.choice.tenant, Verdicts: true}, func(l store.Listed) error {
		r := listed(l.Record, l.Status, l.Told)
		if !f.choice.holds(l.Value) || !f.wants(r) {
			return nil
		}
		if err := fn(r); err != nil {
			return err
		}
		if n++; n == f.limit {
			return store.ErrEnough
		}
		return nil
	})
}

// inState are the ids of the subscriptions of which the bridge tells one of the
// states: far fewer than there are, most often.
func (s *session) inState(ctx context.Context, states []string) ([]string, error) {
	ids := []string{}
	err := s.list(ctx, func(ctx context.Context, c operations) error {
		ids = ids[:0]
		return c.EachStatus(ctx, func(v store.Verdict) error {
			if slices.Contains(states, string(v.State)) {
				ids = append(ids, v.ID)
			}
			return nil
		})
	})
	if errors.Is(err, protocol.ErrNotFound) { // no bridge has ever run
		err = nil
	}
	slices.Sort(ids)
	return ids, err
}

// eachByID goes through the records. Who may not ask a bridge for their ids reads
// them from the bucket.
func (s *session) eachByID(ctx context.Context, q store.ListQuery, fn func(store.Listed) error) error {
	begun := false
	err := s.denials.Without(ctx, ".ids", func(ctx context.Context) error {
		return s.catalog.EachByID(ctx, q, func(l store.Listed) error {
			begun = true
			return fn(l)
		})
	})
	if no := (*bus.Denial)(nil); errors.As(err, &no) && !begun {
		err = s.bus.Singly().EachByID(ctx, q, fn)
	}
	if errors.Is(err, protocol.ErrNotFound) {
		return s.noBucket(s.names.Subscriptions)
	}
	return explain(err)
}

// listed is a record with the status that the bridge has told of it, if it has.
func listed(r store.Record, status protocol.Status, told bool) listedRecord {
	out := listedRecord{ID: r.ID, Revision: r.Revision, Tenant: r.Tenant(), Changed: r.Time.UTC().Truncate(time.Second)}
	out.Method, out.Host, out.Labels = described(r.Value)
	if until := gjson.GetBytes(r.Value, "signing.formerUntil"); until.Type == gjson.String {
		out.FormerUntil = until.Str
	}
	switch {
	case told && status.Revision >= r.Revision:
		out.State, out.Reason, out.Hears = status.State, reasonOf(status), status.Hears
	case told:
		out.Reason = fmt.Sprintf("the bridge has applied revision %d (%s)", status.Revision, status.State)
	default:
		out.Reason = "the bridge has said nothing of it; is `orderbridge serve` running?"
	}
	return out
}

// described is what a list shows of a record; of one that cannot be read, which is
// invalid, its status says why.
func described(record []byte) (method, host string, labels map[string]any) {
	var r struct {
		TargetURL string          `json:"targetURL"`
		Method    string          `json:"method"`
		Labels    json.RawMessage `json:"labels"`
	}
	if json.Unmarshal(record, &r) != nil {
		return "-", "-", nil
	}
	_ = json.Unmarshal(r.Labels, &labels) // of an invalid record they may be anything
	host = "-"
	if u, err := url.Parse(r.TargetURL); err == nil && u.Host != "" {
		host = u.Host
	}
	return cmp.Or(r.Method, "POST"), host, labels
}
