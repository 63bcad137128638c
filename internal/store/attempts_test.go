package store_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

type logged struct {
	*testing.T
	js      jetstream.JetStream
	names   store.Names
	catalog *store.Catalog
}

func newLogged(t *testing.T) *logged {
	js := lab.StartBus(t).JetStream()
	names, found, err := store.Ensure(t.Context(), js, store.Options{Subjects: []string{"orders.>"}})
	if err != nil {
		t.Fatal(err, found)
	}
	parse := func(data []byte) (d protocol.DeadLetter, err error) { return d, json.Unmarshal(data, &d) }
	return &logged{t, js, names, store.NewCatalog(js, names, parse).WithEvents(&event.Decoder{Stream: names.Stream})}
}

func (l *logged) put(subject string, value any) {
	l.Helper()
	data, err := json.Marshal(value)
	if err == nil {
		_, err = l.js.PublishAsync(subject, data, jetstream.WithStallWait(lab.Patience))
	}
	if err != nil {
		l.Fatal(err)
	}
}

func (l *logged) attempt(a bridge.Attempt) {
	l.Helper()
	l.put(l.names.AttemptSubject+"."+a.Subscription+"."+event.OrderToken(a.Order), a)
}

func (l *logged) stored() {
	l.Helper()
	select {
	case <-l.js.PublishAsyncComplete():
	case <-l.Context().Done():
		l.Fatal("not stored")
	}
}

func (l *logged) list(scope store.Scope, q store.AttemptQuery, before uint64, limit int) store.AttemptPage {
	l.Helper()
	page, err := l.catalog.Attempts(l.Context(), scope, q, before, limit)
	if err != nil {
		l.Fatal(err)
	}
	return page
}

// A filter by subscription and order reads just these; another one looks at a
// bounded number of entries and says where to go on.
func TestAttemptsAreBounded(t *testing.T) {
	t.Parallel()
	l := newLogged(t)
	const n = 3 * limits.AttemptScan / 2
	begin := time.Now()
	for i := range n {
		a := bridge.Attempt{Time: begin, Subscription: fmt.Sprintf("s%d", i%50), Order: fmt.Sprint(i % 3000),
			Sequence: uint64(i + 1), Outcome: bridge.OutcomeDelivered, Status: 200, Generation: 1, Attempt: 1}
		if i == 10 {
			a.Outcome, a.Status = bridge.OutcomeFailed, 503
		}
		l.attempt(a)
	}
	l.stored()
	all := store.Everything()
	failed := store.AttemptQuery{Outcome: bridge.OutcomeFailed}
	page := l.list(all, failed, 0, 10)
	if len(page.Items) != 0 || page.Next == 0 || page.Looked > 3*limits.AttemptScan/2 {
		t.Errorf("the first page has %d entries, looked at %d, goes on at %d", len(page.Items), page.Looked, page.Next)
	}
	for range 10 {
		if page = l.list(all, failed, page.Next, 10); page.Next == 0 {
			break
		}
	}
	if len(page.Items) != 1 || page.Items[0].Entry != 11 || page.Items[0].Status != 503 {
		t.Errorf("the last page is %+v", page)
	}
	page = l.list(all, store.AttemptQuery{Subscription: "s7", Order: "7"}, 0, 100)
	if len(page.Items) != n/3000 || page.Looked > n/3000 || page.Next != 0 {
		t.Errorf("one order of one subscription: %d entries, looked at %d", len(page.Items), page.Looked)
	}
	if !slices.IsSortedFunc(page.Items, func(a, b store.Attempt) int { return int(b.Entry) - int(a.Entry) }) {
		t.Error("they are not the newest first")
	}
	seen := 0
	for before := uint64(0); ; {
		page := l.list(all, store.AttemptQuery{Subscription: "s49", Status: "2xx"}, before, 100)
		seen += len(page.Items)
		if before = page.Next; before == 0 {
			break
		}
	}
	if seen != n/50 {
		t.Errorf("%d entries of one subscription, want %d", seen, n/50)
	}
	if page = l.list(all, store.AttemptQuery{Since: begin.Add(time.Hour)}, 0, 10); len(page.Items) != 0 || page.Looked > 0 {
		t.Errorf("of the future: %+v", page)
	}
	newest := l.list(all, store.AttemptQuery{}, 0, 1)
	l.attempt(bridge.Attempt{Time: time.Now(), Subscription: "s1", Order: "a.b", Outcome: bridge.OutcomeDead})
	l.stored()
	above, err := l.catalog.AttemptsAbove(t.Context(), all, store.AttemptQuery{Order: "a.b"}, newest.Last, 10)
	if err != nil || len(above.Items) != 1 || above.Last != newest.Last+1 {
		t.Errorf("what came since: %+v, %v", above, err)
	}
}

// A tenant sees the entries of its own subscriptions, and of none that had the id before.
func TestAttemptsOfATenant(t *testing.T) {
	t.Parallel()
	l := newLogged(t)
	for id, tenant := range map[string]string{"a": "acme", "b": "beta"} {
		if _, err := l.catalog.Put(t.Context(), store.Everything(), id,
			[]byte(`{"targetURL":"https://h/","tenant":"`+tenant+`"}`), 0); err != nil {
			t.Fatal(err)
		}
		l.put("$KV."+l.names.Status+"."+id, protocol.Status{State: protocol.StateActive, Generation: 7})
		l.attempt(bridge.Attempt{Time: time.Now(), Subscription: id, Tenant: tenant, Order: "1", Generation: 7, Outcome: bridge.OutcomeDelivered})
	}
	l.attempt(bridge.Attempt{Time: time.Now(), Subscription: "a", Order: "1", Generation: 3, Outcome: bridge.OutcomeDelivered})
	l.attempt(bridge.Attempt{Time: time.Now(), Subscription: "a", Tenant: "beta", Order: "1", Generation: 7, Outcome: bridge.OutcomeDelivered})
	l.stored()
	for _, q := range []store.AttemptQuery{{}, {Order: "1"}, {Subscription: "a"}, {Subscription: "a", Order: "1"}} {
		page := l.list(store.OfTenant("acme"), q, 0, 10)
		if len(page.Items) != 1 || page.Items[0].Tenant != "acme" {
			t.Errorf("%+v: acme sees %+v", q, page.Items)
		}
	}
	if page := l.list(store.OfTenant("acme"), store.AttemptQuery{Subscription: "b"}, 0, 10); len(page.Items) != 0 || page.Looked != 0 {
		t.Errorf("acme sees %+v", page.Items)
	}
	l.besidesFlood()
}

// besidesFlood has a tenant with many entries of others above its own: it sees what is
// its own, and neither that there are others nor how many.
func (l *logged) besidesFlood() {
	l.Helper()
	index := store.NewIndex()
	go func() { _ = store.NewRecords(l.js, l.names.Subscriptions, nil).WithIndex(index).Feed(l.Context()) }()
	catalog, acme := l.catalog.WithIndex(index), store.OfTenant("acme")
	begin, err := catalog.Attempts(l.Context(), acme, store.AttemptQuery{}, 0, 1)
	if err != nil {
		l.Fatal(err)
	}
	flood := func() {
		for i := range limits.LiveEntries + 50 {
			l.attempt(bridge.Attempt{Time: time.Now(), Subscription: "b", Tenant: "beta", Order: fmt.Sprint(i % 10), Generation: 7, Outcome: bridge.OutcomeDelivered})
		}
		l.stored()
	}
	flood()
	if page, err := catalog.Attempts(l.Context(), acme, store.AttemptQuery{}, 0, 1); err != nil || page.Last != begin.Last {
		l.Errorf("of others acme is told %d, before their flood %d, %v", page.Last, begin.Last, err)
	}
	l.attempt(bridge.Attempt{Time: time.Now(), Subscription: "a", Tenant: "acme", Order: "2", Generation: 7, Outcome: bridge.OutcomeFailed})
	flood()
	own := begin.Last + limits.LiveEntries + 51
	for _, q := range []store.AttemptQuery{{}, {Subscription: "a"}} {
		live, err := catalog.AttemptsNow(l.Context(), acme, q, begin.Last)
		if err != nil || live.LeftOut || len(live.Items) != 1 || live.Items[0].Order != "2" {
			l.Errorf("%+v: besides a flood acme sees live %+v, %v", q, live, err)
		}
		page, err := catalog.AttemptsAbove(l.Context(), acme, q, begin.Last, 10)
		if err != nil || page.Last != own || len(page.Items) != 1 {
			l.Errorf("%+v: besides a flood acme sees %+v, %v; its own is %d", q, page, err, own)
		}
	}
	q := store.AttemptQuery{Subscription: "b"}
	if live, err := catalog.AttemptsNow(l.Context(), acme, q, begin.Last); err != nil || live.LeftOut || len(live.Items) > 0 {
		l.Errorf("of another's subscription acme is told %+v, %v", live, err)
	}
	if page, err := catalog.AttemptsAbove(l.Context(), acme, q, 1, 10); err != nil || page.Last != 1 || len(page.Items) > 0 {
		l.Errorf("of another's subscription acme is told %+v, %v", page, err)
	}
	if live, err := catalog.AttemptsNow(l.Context(), store.Everything(), q, begin.Last); err != nil || !live.LeftOut || len(live.Items) == 0 {
		l.Errorf("of many of one: %d, %t, %v", len(live.Items), live.LeftOut, err)
	}
}

// What a tenant is told of alerts, statuses and events as they come is its own, besides a
// flood of others, of which it is told nothing.
func TestLiveOfATenantBesidesAFlood(t *testing.T) {
	t.Parallel()
	l := newLogged(t)
	index, acme := store.NewIndex(), store.OfTenant("acme")
	go func() { _ = store.NewRecords(l.js, l.names.Subscriptions, nil).WithIndex(index).Feed(l.Context()) }()
	catalog := l.catalog.WithIndex(index)
	say := func(id string, state protocol.State) {
		t.Helper()
		l.put("$KV."+l.names.Status+"."+id, protocol.Status{State: state, Generation: 7})
		l.put(l.names.AlertSubject+".suspended."+id, map[string]protocol.Alert{"data": {Kind: "suspended", Subscription: id, Generation: 7, Text: "down"}})
	}
	for id, tenant := range map[string]string{"a": "acme", "b": "beta"} {
		if _, err := l.catalog.Put(t.Context(), store.Everything(), id, []byte(`{"targetURL":"https://h/","tenant":"`+tenant+`"}`), 0); err != nil {
			t.Fatal(err)
		}
		say(id, protocol.StateActive)
	}
	l.put("orders.beta.OrderAccepted.1", map[string]string{"orderId": "1"})
	l.stored()
	flood := func() {
		t.Helper()
		for i := range limits.LiveEntries + 50 {
			say(fmt.Sprint("b", i), protocol.StateSuspended) // of no record, or of another's
			l.put(fmt.Sprintf("orders.beta.OrderAccepted.%d", i), map[string]string{"orderId": fmt.Sprint(i)})
			l.put(l.names.AlertSubject+".suspended.b", map[string]protocol.Alert{"data": {Kind: "suspended", Subscription: "b", Generation: 7}})
		}
		l.stored()
	}
	flood()
	say("a", protocol.StateSuspended)
	l.put("orders.acme.OrderAccepted.2", map[string]string{"orderId": "2"})
	flood()
	statuses, err := catalog.StatusesNow(t.Context(), acme, 4)
	if err != nil || statuses.LeftOut || len(statuses.Items) != 1 || statuses.Items[0].State != protocol.StateSuspended || statuses.Items[0].Entry == 0 {
		t.Errorf("statuses: %+v, %v", statuses, err)
	}
	alerts, err := catalog.AlertsNow(t.Context(), acme, 2)
	if err != nil || alerts.LeftOut || len(alerts.Items) != 1 || alerts.Items[0].Subscription != "a" {
		t.Errorf("alerts: %+v, %v", alerts, err)
	}
	events, err := catalog.EventsNow(t.Context(), acme, 1)
	if err != nil || events.LeftOut || len(events.Items) != 1 || events.Items[0].Order != "2" {
		t.Errorf("events: %+v, %v", events, err)
	}
	for range limits.LiveEntries + 50 { // its own flood it is told of
		l.put("orders.acme.OrderAccepted.3", map[string]string{"orderId": "3"})
	}
	l.stored()
	if events, err = catalog.EventsNow(t.Context(), acme, 1); err != nil || !events.LeftOut || len(events.Items) == 0 || len(events.Items) > limits.LiveEntries || events.Items[len(events.Items)-1].Sequence != events.Last {
		t.Errorf("of many of its own: %d, %t, %v", len(events.Items), events.LeftOut, err)
	}
}

// The story of an order tells of each subscription how it stands, and what helps.
func TestOrderStory(t *testing.T) {
	t.Parallel()
	l := newLogged(t)
	for _, id := range []string{"good", "slow", "dead", "again"} {
		if _, err := l.catalog.Put(t.Context(), store.Everything(), id, []byte(`{"targetURL":"https://h/","tenant":"acme"}`), 0); err != nil {
			t.Fatal(err)
		}
		l.put("$KV."+l.names.Status+"."+id, protocol.Status{State: protocol.StateActive, Generation: 1})
	}
	l.put("orders.acme.OrderAccepted.4711", map[string]string{"orderId": "4711"})
	l.put("orders.beta.OrderAccepted.4711", map[string]string{"orderId": "4711"})
	l.put("orders.acme.Other.4712", map[string]string{"orderId": "4712"})
	l.put("orders.acme.created", map[string]string{"orderId": "4711", "tenant": "acme"}) // its subject does not tell
	base := bridge.Attempt{Time: time.Now(), Order: "4711", Sequence: 4, Tenant: "acme", Generation: 1, Attempt: 1}
	for id, outcome := range map[string]string{"good": bridge.OutcomeDelivered, "slow": bridge.OutcomeFailed, "dead": bridge.OutcomeDead, "again": bridge.OutcomeDead} {
		a := base
		a.Subscription, a.Outcome = id, outcome
		l.attempt(a)
	}
	test := base // of a record that was tried: it is not one of those that are told of
	test.Subscription, test.Outcome, test.Kind = "tried", bridge.OutcomeFailed, bridge.KindTest
	l.attempt(test)
	l.put("$KV."+l.names.Owed+".slow.acme=4711", protocol.LaneEntry{Generation: 1, Key: "acme=4711", Order: "4711", Seqs: []uint64{1, 4},
		Head: protocol.Head{Attempts: 3, Next: time.Now().Add(time.Hour), LastStatus: 422, LastError: "negative"}})
	l.put(l.names.DeadLetterSubject+".dead.acme=4711", protocol.DeadLetter{Subscription: "dead", Generation: 1, Lane: "acme=4711",
		Order: "4711", Reason: "410", Attempts: 9, Sequence: 4, Time: time.Now()})
	// What was put back and given up again lies under a lane of its own.
	l.put(l.names.DeadLetterSubject+".again.=r7", protocol.DeadLetter{Subscription: "again", Generation: 1, Lane: "=r7",
		Order: "4711", Reason: "503", Attempts: 9, Sequence: 4, Time: time.Now()})
	l.put(l.names.DeadLetterSubject+".again.=r8", protocol.DeadLetter{Subscription: "again", Generation: 1, Lane: "=r8",
		Order: "4712", Reason: "503", Attempts: 9, Sequence: 3, Time: time.Now()})
	l.stored()
	story, err := l.catalog.Order(t.Context(), store.OfTenant("acme"), store.OrderQuery{Order: "4711"})
	if err != nil {
		t.Fatal(err)
	}
	if len(story.Events) != 2 || story.Events[0].Subject != "orders.acme.created" || story.Events[1].Sequence != 1 {
		t.Errorf("events: %+v", story.Events)
	}
	said := map[string]store.Standing{}
	for _, s := range story.Standings {
		said[s.Subscription] = s
	}
	for id, want := range map[string][]string{
		"good": {"delivered", "delivered"}, "slow": {"owed", "1 later change waits behind sequence 1", "422: negative", "tried again in", "retry-now",
			"orderbridge skip slow 4711 --sequence 1"},
		"dead":  {"dead", "410", "dead letter 1", "redrive 1"},
		"again": {"dead", "503", "dead letter 2", "redrive 2"},
	} {
		s := said[id]
		text := fmt.Sprintf("%s %s %s", s.Fate, s.Says, s.Remedy)
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: %q lacks %q", id, text, w)
			}
		}
	}
	if want := "given up for again, dead; owed to slow; delivered to good"; story.Says != want {
		t.Errorf("says %q, want %q", story.Says, want)
	}
	story, err = l.catalog.Order(t.Context(), store.OfTenant("beta"), store.OrderQuery{Order: "4711"})
	if err != nil || len(story.Events) != 1 || len(story.Standings)+len(story.Attempts)+len(story.Owed)+len(story.DeadLetters) != 0 {
		t.Errorf("beta is told %+v, %v", story, err)
	}
}
