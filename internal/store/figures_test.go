package store_test

import (
	"fmt"
	"testing"
	"time"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

// owned puts a record and its status, as a bridge would.
func (l *logged) owned(id, tenant string, generation uint64) {
	l.Helper()
	l.put("$KV."+l.names.Subscriptions+"."+id, map[string]string{"targetURL": "https://h/", "tenant": tenant})
	l.put("$KV."+l.names.Status+"."+id, protocol.Status{State: protocol.StateActive, Generation: generation})
}

func TestFigures(t *testing.T) {
	t.Parallel()
	l := newLogged(t)
	l.owned("a", "acme", 1)
	l.owned("b", "bolt", 2)
	now := time.Now().UTC()
	for i, x := range []struct {
		subscription, outcome, kind string
		generation                  uint64
	}{
		{"a", bridge.OutcomeDelivered, bridge.KindLive, 1}, {"a", bridge.OutcomeFailed, bridge.KindLive, 1}, {"a", bridge.OutcomeDead, bridge.KindRetry, 1},
		{"a", bridge.OutcomeDelivered, bridge.KindTest, 1}, {"b", bridge.OutcomeFiltered, "", 2}, {"b", bridge.OutcomeDelivered, bridge.KindReplay, 2},
	} {
		l.attempt(bridge.Attempt{Time: now, Published: now.Add(-40 * time.Millisecond), Subscription: x.subscription, Generation: x.generation,
			Order: fmt.Sprint(i), Outcome: x.outcome, Kind: x.kind, Status: 200, Timings: &bridge.AttemptTimings{Total: 7}})
	}
	l.stored()
	figures := func(scope store.Scope, subscription string) store.Figures {
		t.Helper()
		f, err := l.catalog.Figures(t.Context(), scope, subscription, now.Add(-time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if n := len(f.Minutes); f.Estimated || n < 61 || n > 63 {
			t.Errorf("%d minutes: %+v", n, f)
		}
		f.Outcomes.Time = time.Time{}
		for _, m := range f.Minutes {
			if f.Latency.P50 > 0 && m.Delivered > 0 && (m.Latency == nil || m.Latency.P50 != f.Latency.P50) {
				t.Errorf("the minute's latency: %+v", m)
			}
		}
		return f
	}
	if f := figures(store.Everything(), ""); f.Outcomes != (store.Tally{Delivered: 2, Failed: 1, Dead: 1, Other: 1}) || f.Latency != (store.Spread{P50: 40, P99: 40}) || f.Attempt.P50 != 7 {
		t.Errorf("all: %+v", f)
	}
	for what, f := range map[string]store.Figures{"a tenant": figures(store.OfTenant("bolt"), ""), "a subscription": figures(store.Everything(), "b")} {
		if f.Outcomes != (store.Tally{Delivered: 1, Other: 1}) || f.Latency != (store.Spread{}) {
			t.Errorf("%s: %+v", what, f)
		}
	}
	if f := figures(store.OfTenant("bolt"), "a"); f.Looked != 0 {
		t.Errorf("a tenant is told of another's: %+v", f)
	}
}

func TestFiguresAreBounded(t *testing.T) {
	t.Parallel()
	l := newLogged(t)
	now := time.Now().UTC()
	const entries = 2*limits.FiguresLook + 100
	for i := range entries {
		outcome := bridge.OutcomeDelivered
		if i%4 == 0 {
			outcome = bridge.OutcomeFailed
		}
		l.attempt(bridge.Attempt{Time: now, Subscription: "a", Order: fmt.Sprint(i), Outcome: outcome})
	}
	l.stored()
	f, err := l.catalog.Figures(t.Context(), store.Everything(), "", now.Add(-time.Minute))
	if err != nil || !f.Estimated || f.Looked > limits.FiguresLook {
		t.Fatalf("%+v, %v", f, err)
	}
	if total := f.Outcomes.Delivered + f.Outcomes.Failed; total < entries*95/100 || total > entries*105/100 {
		t.Errorf("%d entries are estimated as %d", entries, total)
	}
	f, err = l.catalog.Figures(t.Context(), store.Everything(), "a", now.Add(-time.Minute))
	if err != nil || f.Looked > limits.FiguresLook || f.Estimated {
		t.Errorf("of one: %+v, %v", f, err)
	}
}

// Of an order the log keeps its newest entries: what is gone is not made up of what is left.
func TestFiguresOfALogWithHoles(t *testing.T) {
	t.Parallel()
	l := newLogged(t)
	now := time.Now().UTC()
	l.attempt(bridge.Attempt{Time: now, Subscription: "a", Order: "lone", Outcome: bridge.OutcomeFailed})
	for range 2 * limits.FiguresLook { // of one order
		l.attempt(bridge.Attempt{Time: now, Subscription: "a", Order: "busy", Outcome: bridge.OutcomeDelivered})
	}
	l.attempt(bridge.Attempt{Time: now, Subscription: "a", Order: "last", Outcome: bridge.OutcomeDead})
	l.stored()
	f, err := l.catalog.Figures(t.Context(), store.Everything(), "", now.Add(-time.Minute))
	if err != nil || f.Outcomes.Failed > 3 || f.Outcomes.Dead > 3 || f.Outcomes.Delivered > 2*limits.AttemptLogPerOrder {
		t.Errorf("%+v, %v", f.Outcomes, err)
	}
}

// A subscription with few entries is counted, one with many is estimated, and nobody
// is told of another's.
func TestFiguresOfSome(t *testing.T) {
	t.Parallel()
	l := newLogged(t)
	l.owned("many", "acme", 1)
	l.owned("few", "acme", 2)
	l.owned("other", "bolt", 3)
	now := time.Now().UTC()
	add := func(id string, generation uint64, outcome string, order int) {
		l.attempt(bridge.Attempt{Time: now, Published: now.Add(-40 * time.Millisecond), Subscription: id, Generation: generation, Order: fmt.Sprint(order),
			Outcome: outcome, Kind: bridge.KindLive})
	}
	const entries = 40 * limits.FiguresEach
	for i := range entries {
		outcome := bridge.OutcomeDelivered
		if i%4 == 0 { // as often at the beginning as at the end
			outcome = bridge.OutcomeFailed
		}
		add("many", 1, outcome, i)
		if i%(entries/4) == 7 {
			add("few", 2, bridge.OutcomeDelivered, i)
			add("other", 3, bridge.OutcomeDead, i)
		}
	}
	add("few", 9, bridge.OutcomeDead, 1) // of a record that had the id before
	l.put("$KV."+l.names.Owed+".few.1", protocol.LaneEntry{Generation: 2, Seqs: []uint64{1}})
	l.stored()
	ids := []string{"other", "nobody", "few", "many"}
	found, err := l.catalog.FiguresOfSome(t.Context(), store.OfTenant("acme"), ids, now.Add(-time.Hour))
	if err != nil || len(found) != 2 {
		t.Fatalf("a tenant's: %+v, %v", found, err)
	}
	few, many := found[0], found[1]
	few.Since = time.Time{}
	if few != (store.SubscriptionFigures{Subscription: "few", Looked: 4, Delivered: 4, Latency: store.Spread{P50: 40, P99: 40}, Owed: 1}) {
		t.Errorf("%+v", few)
	}
	if all := many.Delivered + many.Failed; many.Looked > limits.FiguresEach || !many.Estimated || all < entries*9/10 || all > entries*11/10 {
		t.Errorf("%d entries are estimated as %d: %+v", entries, all, many)
	}
	if found, err = l.catalog.FiguresOfSome(t.Context(), store.Everything(), ids, now.Add(-time.Hour)); err != nil || len(found) != 3 || found[0].Dead != 4 {
		t.Errorf("an operator's: %+v, %v", found, err)
	}
}

func TestNewestIsBounded(t *testing.T) {
	t.Parallel()
	l := newLogged(t)
	l.owned("a", "acme", 1)
	alert := func(id string, generation uint64) {
		l.put(l.names.AlertSubject+".suspended."+id, map[string]any{"data": protocol.Alert{Kind: "suspended", Subscription: id, Generation: generation, Text: "no answer"}})
	}
	alert("a", 1)
	alert("b", 2)
	alert("a", 9) // of a record that had the id before
	for i := range limits.NewestLook + 100 {
		l.put("orders.x", map[string]string{"orderId": fmt.Sprint(i), "eventType": "OrderAccepted"})
	}
	l.stored()
	all, err := l.catalog.Alerts(t.Context(), store.Everything(), 0, 2)
	if err != nil || len(all.Items) != 2 || all.Items[0].Sequence != 3 || all.Next != 2 {
		t.Errorf("%+v, %v", all, err)
	}
	if all, err = l.catalog.Alerts(t.Context(), store.Everything(), all.Next, 2); err != nil || len(all.Items) != 1 || all.Next != 0 {
		t.Errorf("the last page: %+v, %v", all, err)
	}
	own, err := l.catalog.Alerts(t.Context(), store.OfTenant("acme"), 0, 10)
	if err != nil || len(own.Items) != 1 || own.Items[0].Sequence != 1 {
		t.Errorf("a tenant's: %+v, %v", own, err)
	}
	events, err := l.catalog.Events(t.Context(), store.Everything(), 0, 3)
	if err != nil || len(events.Items) != 3 || events.Items[0].Order != fmt.Sprint(limits.NewestLook+99) || events.Items[0].Data == "" {
		t.Errorf("%+v, %v", events, err)
	}
	none, err := l.catalog.Events(t.Context(), store.OfTenant("acme"), 0, 3)
	if err != nil || len(none.Items) != 0 || none.Next == 0 {
		t.Errorf("a tenant's events: %+v, %v", none, err)
	}
	newest := events.Items[0].Sequence
	came, err := l.catalog.EventsNow(t.Context(), store.Everything(), newest-2)
	if err != nil || came.LeftOut || len(came.Items) != 2 || came.Last != newest || came.Items[0].Sequence != newest-1 {
		t.Errorf("what came: %+v, %v", came, err)
	}
	if came, err = l.catalog.EventsNow(t.Context(), store.Everything(), 1); err != nil || !came.LeftOut || len(came.Items) != limits.LiveEntries || came.Last != newest {
		t.Errorf("of much: %d, %+v, %v", len(came.Items), came, err)
	}
	if came, err = l.catalog.EventsNow(t.Context(), store.OfTenant("acme"), newest-2); err != nil || len(came.Items) != 0 || came.Last != newest {
		t.Errorf("a tenant's: %+v, %v", came, err)
	}
}
