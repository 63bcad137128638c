//go:build !race

// What is measured here is different with the race detector.

package filter

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/lab"
	"orderbridge/internal/limits"
)

// TestWhatAnExpressionMakes: all that an evaluation makes, rubbish included, is
// bounded by its cost.
func TestWhatAnExpressionMakes(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	f := New()
	e := eventOf(`{"list":[` + strings.Repeat("0,", 50_000) + `0],"text":"` + strings.Repeat("a", 60) + `","long":"` + strings.Repeat("\\n", 50_000) + `"}`)
	for _, expression := range []string{
		`event.list.map(a, [a` + strings.Repeat(",1", 900) + `]) == []`,
		`event.list.map(a, {"a":a,"b":[a,a,a,a,a,a,a,a,a,a]}) == []`,
		`event.list.map(a, event.text) == []`,
		`event.list.map(a, [event.text` + strings.Repeat(",event.text", 100) + `]) == []`,
		`event.list.map(a, event.text + event.text) == []`,
		`event.list.map(a, event.long) == []`,
		`event.list.map(a, event.long + "x") == []`,
		`event.list.map(a, event.list) == []`,
		`event.list.map(a, event.list + [a]) == []`,
		`event.list.filter(a, true).map(a, a) == []`,
		`event.list.map(a, string(a)) == []`,
		`event.list.map(a, bytes(event.text)) == []`,
		`event.list.map(a, timestamp("2026-01-01T00:00:00Z")) == []`,
		`event.list.all(a, "a" + string(a) + "b" != event.text.substring)`,
		`event.list.map(a, event.text.matches("a" + string(a))) == []`,
		`event.list.map(a, headers) == []`,
	} {
		debug.FreeOSMemory()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := f.Wants(context.Background(), expression, e)
		runtime.ReadMemStats(&after)
		made := (after.TotalAlloc - before.TotalAlloc) >> 10
		if made > 2*limits.FilterWorkBytes>>10 {
			t.Errorf("%.60s: %d KiB were made", expression, made)
		}
		t.Logf("%8d KiB: %.60s %.60v", made, expression, err)
	}
}

// TestEvaluationsShareTheirMemory: 100 filters that are asked about 10 events of
// 1 MB each at once take little, and nobody behind them waits for long.
func TestEvaluationsShareTheirMemory(t *testing.T) {
	f := New()
	data := `[0` + strings.Repeat(",0", 1<<19-1) + `]`
	var events []*event.Event
	for i := range 10 {
		events = append(events, &event.Event{Message: event.Message{Seq: uint64(i + 1), Time: time.Unix(1, 0), Subject: "orders.hog.x", Data: []byte(data)}})
	}
	ask := func(ctx context.Context, tenant, sub, expression string, e *event.Event) (bool, error) {
		return f.Wants(bridge.WithDelivery(ctx, &protocol.Delivery{Subscription: &record.Subscription{ID: sub, Tenant: tenant}}), expression, e)
	}
	before := inUse()
	stop, peak := make(chan struct{}), uint64(0)
	var watch, all sync.WaitGroup
	watch.Go(func() {
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			select {
			case <-stop:
				return
			case <-tick.C:
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapAlloc)
			}
		}
	})
	for i := range 100 {
		for _, e := range events {
			all.Go(func() {
				if ok, err := ask(context.Background(), "hog", fmt.Sprint("s", i), fmt.Sprintf(`size(event) > %d && event[%d] == 0`, i, i), e); err != nil && strings.Contains(err.Error(), limits.FilterTime.String()) {
					t.Log("the machine is slow: ", err)
				} else if err != nil || !ok {
					t.Error(ok, err)
				}
			})
		}
	}
	began := time.Now()
	if ok, err := ask(t.Context(), "neighbour", "n", `event.a == 1`, eventOf(`{"a":1}`)); err != nil || !ok {
		t.Error(ok, err)
	}
	waited := time.Since(began)
	all.Wait()
	took := time.Since(began)
	close(stop)
	watch.Wait()
	t.Logf("1,000 evaluations in %s, at most %d MiB, a neighbour waited %s", took, (peak-before)>>20, waited)
	lab.Promise(t, "a neighbour's wait", waited, 2*time.Second)
	lab.Promise(t, "memory in MiB", int(peak-before)>>20, 250)
	if peak > before+750<<20 { // all at once would take more
		t.Errorf("%d MiB", (peak-before)>>20)
	}
	if f.documents.idle > limits.FilterIdleBytes || f.turns.free == 0 {
		t.Errorf("left behind: %d bytes, %d turns", f.documents.idle, f.turns.free)
	}
	room := limits.FilterBytes - f.turns.free*limits.FilterWorkBytes
	if f.documents.room+f.documents.idle != room {
		t.Errorf("%d of %d bytes are left, %d idle", f.documents.room, room, f.documents.idle)
	}
}
