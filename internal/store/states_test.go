package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

// Of many subscriptions those in a state are found without a look at the others.
func TestStatesFindWhatIsRare(t *testing.T) {
	t.Parallel()
	l := newLogged(t)
	index := store.NewIndex()
	records := store.NewRecords(l.js, l.names.Subscriptions, nil).WithIndex(index)
	states := store.NewStates(store.NewStatuses(l.js, l.names, nil))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 2)
	go func() { ended <- records.Feed(ctx) }()
	go func() { ended <- states.Run(ctx) }()
	c := l.catalog.WithIndex(index).WithStates(states)
	for i := range limits.APIPageReads + 100 {
		l.owned(fmt.Sprintf("a%05d", i), "acme", 1)
	}
	bad := func(id, tenant string, state protocol.State) {
		l.owned(id, tenant, 1)
		l.put("$KV."+l.names.Status+"."+id, protocol.Status{State: state, Generation: 1})
	}
	bad("y", "acme", protocol.StateSuspended)
	bad("z", "bolt", protocol.StateSuspended)
	bad("x", "bolt", protocol.StateInvalid)
	l.stored()
	list := func(scope store.Scope, state, after string) (ids []string, next string) {
		t.Helper()
		for {
			items, next, err := c.StatusesIn(t.Context(), scope, store.StatusQuery{State: state}, after, 1)
			if errors.Is(err, store.ErrBehind) {
				continue // a slow machine
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range items {
				ids = append(ids, v.ID)
			}
			return ids, next
		}
	}
	patient, cancel := context.WithTimeout(t.Context(), lab.Patience)
	defer cancel()
	if err := lab.Until(patient, "the first is found", func() bool {
		ids, next := list(store.Everything(), "suspended", "")
		return fmt.Sprintf("%v %s", ids, next) == "[y] y"
	}); err != nil {
		t.Fatal(err)
	}
	if ids, next := list(store.Everything(), "suspended", "y"); fmt.Sprintf("%v %s", ids, next) != "[z] " {
		t.Errorf("the second page: %v %q", ids, next)
	}
	if ids, next := list(store.OfTenant("bolt"), "suspended", ""); fmt.Sprintf("%v %s", ids, next) != "[z] " {
		t.Errorf("a tenant's: %v %q", ids, next)
	}
	if ids, _ := list(store.Everything(), "active", ""); fmt.Sprint(ids) != "[a00000]" {
		t.Errorf("active: %v", ids)
	}
	l.put("$KV."+l.names.Subscriptions+".x", map[string]any{"targetURL": "https://h/", "tenant": "bolt", "labels": map[string]string{"team": "blue"}})
	l.stored()
	for _, x := range []struct {
		what  string
		scope store.Scope
		q     store.StatusQuery
		want  string
	}{
		{"of a tenant", store.Everything(), store.StatusQuery{Tenant: "bolt"}, "[x z]"},
		{"of a label's name", store.Everything(), store.StatusQuery{Label: "team"}, "[x]"},
		{"of a label", store.Everything(), store.StatusQuery{Label: "team=blue", State: "invalid"}, "[x]"},
		{"of another value", store.Everything(), store.StatusQuery{Label: "team=red"}, "[]"},
		{"a tenant's, of another's label", store.OfTenant("acme"), store.StatusQuery{Label: "team"}, "[]"},
		{"by a part of the id", store.Everything(), store.StatusQuery{ID: "0207"}, "[a00207 a02070 a02071 a02072 a02073 a02074 a02075 a02076 a02077 a02078 a02079]"},
	} {
		var ids []string
		if err := lab.Until(patient, x.what, func() bool {
			items, next, err := c.StatusesIn(t.Context(), x.scope, x.q, "", 20)
			ids = []string{}
			for _, v := range items {
				ids = append(ids, v.ID)
			}
			return err == nil && next == "" && fmt.Sprint(ids) == x.want
		}); err != nil {
			t.Errorf("%s: %v, want %s", x.what, ids, x.want)
		}
	}
	bad("z", "bolt", protocol.StateActive)
	l.stored()
	if err := lab.Until(patient, "what is active again is not among them", func() bool {
		ids, _ := list(store.OfTenant("bolt"), "suspended", "")
		return len(ids) == 0
	}); err != nil {
		t.Fatal(err)
	}
	stop()
	for range 2 {
		<-ended
	}
}
