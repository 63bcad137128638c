package main

import (
	"context"
	"errors"
	"regexp"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

func newSubscriptions() *cobra.Command {
	cmd := newGroup("subscriptions", "Manage the subscription records",
		newSubscriptionsList(), newSubscriptionsGet(), newSubscriptionsPut(), newSubscriptionsValidate(), newSubscriptionsTest(),
		newSubscriptionsApply(), newSubscriptionsDiff(), newSubscriptionsExport(), newSubscriptionsImport(),
		newSubscriptionsActivate(true), newSubscriptionsActivate(false), newPause(true), newPause(false), newSubscriptionsRotate(), newSubscriptionsDelete(),
		newSubscriptionsSchema())
	cmd.Aliases = []string{"subscription", "sub", "subs"}
	cmd.Long = `Manage the subscription records. They stand in the KV bucket that is named by
ORDERBRIDGE_SUBSCRIPTIONS_BUCKET; ` + "`nats kv`" + ` does the same.`
	cmd.Example = `  orderbridge subscriptions put acme acme.json
  orderbridge subscriptions list
  orderbridge subscriptions deactivate acme`
	return cmd
}

// record reads one record.
func (s *session) record(ctx context.Context, id string) (store.Record, error) {
	if err := checkID(id); err != nil {
		return store.Record{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, limits.CommandCallTime)
	defer cancel()
	r, err := s.catalog.Record(ctx, store.Everything(), id)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return r, s.noBucket(s.names.Subscriptions)
	case errors.Is(err, protocol.ErrNotFound):
		return r, s.unknown(ctx, id)
	}
	return r, explain(err)
}

var idPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func checkID(id string) error {
	if !idPattern.MatchString(id) {
		return usagef("%q is not a valid subscription id; use 1 to 64 letters, digits, - and _", id)
	}
	return nil
}

func reasonOf(status protocol.Status) string {
	if status.Reason == "" && len(status.Errors) > 0 {
		return record.Problems(status.Errors).Error()
	}
	return status.Reason
}
