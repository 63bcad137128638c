package store_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

// Pages hold what was put before, however it was put, and no more than their
// bounds.
func TestPagesAreBounded(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	names, found, err := store.Ensure(t.Context(), js, store.Options{Subjects: []string{"orders.>"}})
	if err != nil {
		t.Fatal(err, found)
	}
	index := store.NewIndex()
	records := store.NewRecords(js, names.Subscriptions, nil).WithIndex(index)
	ctx := t.Context()
	fed := make(chan error, 1)
	go func() { fed <- records.Feed(ctx) }()
	catalog := store.NewCatalog(js, names, func(data []byte) (d protocol.DeadLetter, err error) { return d, json.Unmarshal(data, &d) }).WithIndex(index)
	kv, err := js.KeyValue(ctx, names.Subscriptions)
	if err != nil {
		t.Fatal(err)
	}
	const size, n = 64 << 10, 40
	for i := range n {
		for _, tenant := range []string{"acme", "beta"} {
			value := fmt.Sprintf(`{"targetURL":"https://h.example.com/","tenant":%q,"description":%q}`, tenant, strings.Repeat("x", size))
			if _, err := kv.PutString(ctx, fmt.Sprintf("%s-%02d", tenant, i), value); err != nil {
				t.Fatal(err)
			}
		}
	}
	seen, pages := 0, 0
	for after := ""; ; {
		items, next, err := catalog.Records(ctx, store.OfTenant("acme"), store.Filter{}, after, 500, nil)
		if err != nil {
			t.Fatal(err)
		}
		bytes := 0
		for _, r := range items {
			bytes += len(r.Value)
			if want := fmt.Sprintf("acme-%02d", seen); r.ID != want {
				t.Fatalf("got %s, want %s", r.ID, want)
			}
			seen++
		}
		if bytes > limits.APIPageBytes+2*size {
			t.Errorf("a page has %d bytes", bytes)
		}
		if pages++; next == "" {
			break
		}
		after = next
	}
	if seen != n || pages != 3 {
		t.Errorf("%d records on %d pages", seen, pages)
	}
	if err := kv.Delete(ctx, "acme-00"); err != nil {
		t.Fatal(err)
	}
	if u, err := catalog.Usage(ctx, "acme"); err != nil || u.Records != n-1 {
		t.Errorf("got %+v, %v", u, err)
	}
	// What nothing is found in ends as well, with a place to go on.
	none := func(store.Record) bool { return false }
	if items, next, err := catalog.Records(ctx, store.OfTenant("acme"), store.Filter{}, "", 500, none); err != nil || len(items) != 0 || next != "" {
		t.Errorf("got %d items, next %q, %v", len(items), next, err)
	}
}
