package store_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/lab"
	"orderbridge/internal/store"
)

// Where no bridge tells the ids, they are read from the bucket part by part: a server
// tells 100,000 at once.
func TestListWithoutABridge(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("puts many records")
	}
	js := lab.StartBus(t).JetStream()
	ctx := t.Context()
	names := store.Options{}.Names()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "KV_" + names.Subscriptions, Storage: jetstream.MemoryStorage,
		Subjects: []string{"$KV." + names.Subscriptions + ".>"}, MaxMsgsPerSubject: 1}); err != nil {
		t.Fatal(err)
	}
	const n = 100_050
	id := func(i int) string { return fmt.Sprintf("record-%06d", i) }
	subject := func(id string) string { return "$KV." + names.Subscriptions + "." + id }
	for i := range n {
		if err := js.Conn().Publish(subject(id(i)), []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.Publish(ctx, subject("=fence.0"), nil); err != nil { // behind all those
		t.Fatal(err)
	}
	catalog := store.NewCatalog(js, names, nil)
	listed := func(after string, most int) (ids []string) {
		t.Helper()
		err := catalog.EachByID(ctx, store.ListQuery{After: after}, func(l store.Listed) error {
			if ids = append(ids, l.ID); len(ids) == most {
				return store.ErrEnough
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return ids
	}
	if ids := listed("", 3); len(ids) != 3 || ids[0] != id(0) || ids[2] != id(2) {
		t.Errorf("the first are %q", ids)
	}
	const from = 99_900 // the parts meet behind it
	ids := listed(id(from), -1)
	if len(ids) != n-from-1 {
		t.Errorf("%d records after %s", len(ids), id(from))
	}
	for i, got := range ids {
		if want := id(from + 1 + i); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
}

// A page of what is gone, or owed, reads the part of the keys that it begins in, and at
// most one more, however many come before it.
func TestPagesReadTheirPartOfTheKeys(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("puts many entries")
	}
	js := lab.StartBus(t).JetStream()
	ctx := t.Context()
	names := store.Options{}.Names()
	for _, bucket := range []string{names.Subscriptions, names.Status, names.Owed} {
		if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "KV_" + bucket, Storage: jetstream.MemoryStorage, AllowDirect: true,
			Subjects: []string{"$KV." + bucket + ".>"}, MaxMsgsPerSubject: 1}); err != nil {
			t.Fatal(err)
		}
	}
	const n = 200_050
	id := func(i int) string { return fmt.Sprintf("gone-%06d", i) }
	for i := range n {
		for bucket, value := range map[string]string{names.Status: `{"state":"active"}`, names.Owed: `{"from":7,"generation":1}`} {
			if err := js.Conn().Publish("$KV."+bucket+"."+id(i), []byte(value)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, bucket := range []string{names.Status, names.Owed} {
		if _, err := js.Publish(ctx, "$KV."+bucket+".zz", []byte(`{"state":"active","from":7,"generation":1}`)); err != nil { // behind all those
			t.Fatal(err)
		}
	}
	index := store.NewIndex()
	go func() { _ = store.NewRecords(js, names.Subscriptions, nil).WithIndex(index).Feed(ctx) }()
	catalog := store.NewCatalog(js, names, nil).WithIndex(index)
	looks, err := js.Conn().SubscribeSync("$JS.API.STREAM.INFO.*")
	if err != nil {
		t.Fatal(err)
	}
	statuses := func(after string) (ids []string, next string, err error) {
		items, next, err := catalog.Statuses(ctx, store.Everything(), after, 40, nil)
		for _, v := range items {
			ids = append(ids, v.ID)
		}
		return ids, next, err
	}
	debts := func(after string) (ids []string, next string, err error) {
		items, next, err := catalog.Owed(ctx, store.Everything(), "", after, 40)
		for _, d := range items {
			ids = append(ids, d.Key)
		}
		return ids, next, err
	}
	for name, list := range map[string]func(string) ([]string, string, error){"~": statuses, "": debts} {
		after, at := name+id(199_950), 199_951 // the parts meet here, or near
		for first := true; after != ""; first = false {
			ids, next, err := list(after)
			if err != nil {
				t.Fatal(err)
			}
			for _, got := range ids {
				if want := id(at); got != want && !(at == n && got == "zz") {
					t.Fatalf("%q after %q, want %q", got, after, want)
				}
				at++
			}
			keys := 0
			for m, err := looks.NextMsg(0); err == nil; m, err = looks.NextMsg(0) {
				if strings.Contains(string(m.Data), "subjects_filter") {
					keys++
				}
			}
			if !first && (keys < 1 || keys > 2) {
				t.Errorf("the page after %q read %d parts of the keys", after, keys)
			}
			after = next
		}
		if at != n+1 {
			t.Errorf("the list ends at %d of %d", at, n+1)
		}
	}
}

// Statuses whose records are gone come last; pages of statuses and of debts meet.
func TestListsOfOperators(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	ctx := t.Context()
	names, found, err := store.Ensure(ctx, js, store.Options{Subjects: []string{"orders.>"}})
	if err != nil {
		t.Fatal(err, found)
	}
	index := store.NewIndex()
	go func() { _ = store.NewRecords(js, names.Subscriptions, nil).WithIndex(index).Feed(ctx) }()
	catalog := store.NewCatalog(js, names, nil).WithIndex(index)
	put := func(bucket, key, value string) {
		t.Helper()
		if _, err := js.Publish(ctx, "$KV."+bucket+"."+key, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"b", "d", "e"} {
		put(names.Subscriptions, id, `{}`)
	}
	for _, id := range []string{"a", "b", "c", "d", "e", "f"} {
		put(names.Status, id, `{"state":"active"}`)
		put(names.Owed, id, `{"from":7,"generation":1}`)
		put(names.Owed, id+".lane", `{"seqs":[8],"generation":1}`)
	}
	put(names.Status, "=fence.0", `{}`)
	put(names.Owed, "=fence.0", `{}`)
	for limit := 1; limit <= 7; limit++ {
		ids := pagesOf(t, limit, func(after string) ([]store.Verdict, string, error) {
			return catalog.Statuses(ctx, store.Everything(), after, limit, nil)
		}, func(v store.Verdict) string { return v.ID })
		if ids != "b d e a c f " {
			t.Errorf("statuses, %d a page: %s", limit, ids)
		}
		ids = pagesOf(t, limit, func(after string) ([]store.Verdict, string, error) {
			return catalog.Statuses(ctx, store.Everything(), after, limit, func(v store.Verdict) bool { return v.ID > "b" })
		}, func(v store.Verdict) string { return v.ID })
		if ids != "d e c f " {
			t.Errorf("some statuses, %d a page: %s", limit, ids)
		}
		for subscription, want := range map[string]string{"": "a a.lane b b.lane c c.lane d d.lane e e.lane f f.lane ", "c": "c c.lane ", "x": ""} {
			ids = pagesOf(t, limit, func(after string) ([]store.Debt, string, error) {
				return catalog.Owed(ctx, store.Everything(), subscription, after, limit)
			}, func(d store.Debt) string { return d.Key })
			if ids != want {
				t.Errorf("debts of %q, %d a page: %s", subscription, limit, ids)
			}
		}
	}
}

// pagesOf are the keys of all pages, one after another.
func pagesOf[T any](t *testing.T, limit int, page func(after string) ([]T, string, error), key func(T) string) (keys string) {
	t.Helper()
	for after := ""; ; {
		items, next, err := page(after)
		if err != nil || len(items) > limit {
			t.Fatalf("after %q: %d items, %v", after, len(items), err)
		}
		for _, item := range items {
			keys += key(item) + " "
		}
		if next == "" {
			return keys
		}
		if next == after {
			t.Fatalf("it goes on at %q for ever", next)
		}
		after = next
	}
}
