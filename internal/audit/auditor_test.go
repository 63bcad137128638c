package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"orderbridge/internal/lab"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

func storeActor(via, name string) store.Actor { return store.Actor{Via: via, Name: name} }

func bus(t *testing.T) (jetstream.JetStream, store.Names) {
	t.Helper()
	js := lab.StartBus(t).JetStream()
	n, _, err := store.Ensure(t.Context(), js, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return js, n
}

func auditor(t *testing.T, js jetstream.JetStream, n store.Names, lead *atomic.Bool) *Auditor {
	t.Helper()
	key := &store.Key{}
	if err := key.Load(t.Context(), js, n); err != nil {
		t.Fatal(err)
	}
	a, err := New(Options{JetStream: js, Names: n, Key: key, Leading: lead.Load, Holder: "test", Metrics: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = a.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return a
}

func entries(t *testing.T, js jetstream.JetStream, n store.Names, q Query) []Entry {
	t.Helper()
	q.Limit = limits.AuditPage
	found, err := Read(t.Context(), js, n, q)
	if err != nil {
		t.Fatal(err)
	}
	return found.Entries
}

// Two that take turns to lead, and sometimes both think that they do.
func TestEachRevisionHasOneEntry(t *testing.T) {
	t.Parallel()
	js, n := bus(t)
	var one, two atomic.Bool
	auditor(t, js, n, &one)
	auditor(t, js, n, &two)
	kv, err := js.KeyValue(t.Context(), n.Subscriptions)
	if err != nil {
		t.Fatal(err)
	}
	const changes = 300
	for i := range changes {
		one.Store(i%100 < 60)
		two.Store(i%100 > 40)
		if _, err := kv.Put(t.Context(), fmt.Sprintf("s%d", i%7), fmt.Appendf(nil, `{"description":"%d"}`, i)); err != nil {
			t.Fatal(err)
		}
	}
	one.Store(true)
	two.Store(true)
	lab.Eventually(t, "all entries", func() bool { return len(entries(t, js, n, Query{})) >= changes+1 })
	seen := map[uint64]int{}
	last := uint64(0)
	for _, e := range entries(t, js, n, Query{}) {
		if e.Data.Action == "begins" {
			continue
		}
		seen[e.Data.Revision]++
		if e.Data.Revision < last {
			t.Errorf("revision %d stands after %d", e.Data.Revision, last)
		}
		last = e.Data.Revision
	}
	for rev := uint64(1); rev <= changes; rev++ {
		if seen[rev] != 1 {
			t.Errorf("revision %d has %d entries", rev, seen[rev])
		}
	}
	if got := entries(t, js, n, Query{Subscription: "s3", Action: "put"}); len(got) != 1 {
		t.Errorf("%d puts of s3", len(got))
	}
}

// What was changed while nobody led comes later, also with another stream.
func TestNothingIsLostWhileNobodyLeads(t *testing.T) {
	t.Parallel()
	js, n := bus(t)
	var lead atomic.Bool
	lead.Store(true)
	auditor(t, js, n, &lead)
	kv, err := js.KeyValue(t.Context(), n.Subscriptions)
	if err != nil {
		t.Fatal(err)
	}
	put := func(id string) {
		t.Helper()
		if _, err := kv.Put(t.Context(), id, []byte(`{"targetURL":"https://a/"}`)); err != nil {
			t.Fatal(err)
		}
	}
	put("a")
	lab.Eventually(t, "the first", func() bool { return len(entries(t, js, n, Query{Subscription: "a"})) == 1 })
	lead.Store(false)
	put("b")
	if err := kv.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	lead.Store(true)
	lab.Eventually(t, "what came meanwhile", func() bool {
		return len(entries(t, js, n, Query{Subscription: "b"})) == 1 && len(entries(t, js, n, Query{Subscription: "a", Action: "delete"})) == 1
	})
	if err := js.DeleteStream(t.Context(), n.Audit); err != nil {
		t.Fatal(err)
	}
	put("c")
	if _, _, err := store.Ensure(t.Context(), js, store.Options{}); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, "after the stream was made again", func() bool { return len(entries(t, js, n, Query{Subscription: "c"})) == 1 })
}

func TestOnlyABridgeVouches(t *testing.T) {
	t.Parallel()
	js, n := bus(t)
	var lead atomic.Bool
	lead.Store(true)
	a := auditor(t, js, n, &lead)
	ctx := store.WithActor(t.Context(), store.Actor{Via: "api", Name: "ops", Address: "192.0.2.7:1", Request: "r-1"})
	write := func(id, record string, expect uint64, key *store.Key) uint64 {
		t.Helper()
		r, err := store.NewCatalog(js, n, nil).SignedBy(key).Put(ctx, store.Everything(), id, []byte(record), expect)
		if err != nil {
			t.Fatal(err)
		}
		return r.Revision
	}
	rev := write("good", `{"description":"1"}`, 0, a.o.Key)
	write("forged", `{"description":"1"}`, 0, nil)
	// the same message once more, as one who reads the bucket could send it
	s, err := js.Stream(t.Context(), "KV_"+n.Subscriptions)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := s.GetMsg(t.Context(), rev)
	if err != nil {
		t.Fatal(err)
	}
	write("good", `{"description":"2"}`, rev, nil)
	replayed := msgOf(raw)
	replayed.Header.Del("Nats-Expected-Last-Subject-Sequence")
	if _, err := js.PublishMsg(t.Context(), replayed); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, "all entries", func() bool { return len(entries(t, js, n, Query{})) == 5 })
	vouched := map[string]int{}
	for _, e := range entries(t, js, n, Query{}) {
		if e.Data.Who.Vouched == byBridge && e.Data.Who.Via == "api" {
			vouched[e.Data.Subscription]++
			if w := e.Data.Who; w.Name != "ops" || w.Address != "192.0.2.7:1" || w.Request != "r-1" {
				t.Errorf("%+v", w)
			}
		}
	}
	if vouched["good"] != 1 || vouched["forged"] != 0 {
		t.Errorf("vouched for: %v", vouched)
	}
}

func TestJournalDrops(t *testing.T) {
	t.Parallel()
	js, n := bus(t)
	metrics := prometheus.NewRegistry()
	a, err := New(Options{JetStream: js, Names: n, Key: &store.Key{}, Leading: func() bool { return false }, Metrics: metrics, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	for range limits.AuditQueue + 7 { // nobody takes them
		a.Note(Note{Kind: "bridge", Action: "started"})
	}
	lab.Promise(t, "notes that nobody takes", time.Since(start), 10*time.Second)
	gathered, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range gathered {
		if d := m.GetMetric()[0].GetCounter().GetValue(); m.GetName() == "orderbridge_audit_dropped_total" && d != 7 {
			t.Errorf("%v dropped", d)
		}
	}
}

func TestReadLooksBack(t *testing.T) {
	t.Parallel()
	js, n := bus(t)
	var lead atomic.Bool
	a := auditor(t, js, n, &lead)
	for i := range 700 {
		e := newEntry(fmt.Sprint(i), "/x", time.Now(), Data{Action: "change", Subscription: fmt.Sprintf("s%d", i%350), Who: Who{Via: "bus", User: "u"}, Text: "x"})
		if _, err := a.publish(t.Context(), "record", e, nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := entries(t, js, n, Query{Subscription: "s1"}); len(got) != 2 || got[0].ID != "1" || got[1].ID != "351" {
		t.Errorf("%d of s1", len(got))
	}
	if got := entries(t, js, n, Query{Who: "nobody"}); len(got) != 0 {
		t.Errorf("%d of nobody", len(got))
	}
	found, err := Read(t.Context(), js, n, Query{Limit: 5})
	if err != nil || len(found.Entries) != 5 || found.Entries[4].ID != "699" || found.Next != 701 {
		t.Errorf("%v: %+v", err, found)
	}
	if got := entries(t, js, n, Query{Since: time.Now().Add(time.Minute)}); len(got) != 0 {
		t.Errorf("%d of the future", len(got))
	}
}

// An entry holds no secret, whatever is put.
func FuzzNoSecret(f *testing.F) {
	f.Add(`{"auth":{"password":"SECRET"}}`, `{"key":"SECRET","x":["SECRET",{"y":"SECRET"}]}`)
	f.Add(`{"headers":{"a":"SECRET"}}`, `SECRET`)
	f.Add(`{"signing":{"secrets":["SECRET"]},"tls":{"keyPassword":"SECRET"}}`, `["SECRET"]`)
	f.Fuzz(func(t *testing.T, before, after string) {
		for _, open := range []string{"description", "filter", "labels", "tenant", "URL", "target", "subjects", "method", "status", "://"} {
			if strings.Contains(before+after, open) {
				t.Skip("it may stand in the open there")
			}
		}
		list, _ := changes([]byte(before), []byte(after))
		for _, m := range list {
			shown := m.Before + m.After
			if strings.Contains(shown, "SECRET") && !strings.Contains(m.Name, "SECRET") && !open(m.Name) {
				t.Errorf("%s shows %s", m.Name, shown)
			}
		}
	})
}

func open(member string) bool {
	shown, err := json.Marshal(map[string]string{member: "SECRET"})
	if err != nil {
		return true
	}
	v := flatten(shown)[member]
	return strings.Contains(v.shown, "SECRET") || strings.Contains(member, ".")
}

func msgOf(raw *jetstream.RawStreamMsg) *nats.Msg {
	return &nats.Msg{Subject: raw.Subject, Header: raw.Header, Data: raw.Data}
}
