package filter

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"orderbridge/bridge"
	"orderbridge/internal/limits"
)

func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// waiting is how many wait for a turn.
func (t *turns) waiting() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.tenants.list {
		for _, q := range l.subs.list {
			n += len(q.waiting)
		}
	}
	return n
}

// TestTurns: whoever comes behind a hundred of one tenant is the next but one,
// and so is a subscription behind a hundred of its tenant's other.
func TestTurns(t *testing.T) {
	t.Parallel()
	turns := &turns{free: 1}
	if err := turns.take(t.Context(), "hog", "a"); err != nil {
		t.Fatal(err)
	}
	order := make(chan string, 300)
	var all sync.WaitGroup
	wait := func(tenant, sub string) {
		n := turns.waiting()
		all.Go(func() {
			if turns.take(context.Background(), tenant, sub) == nil {
				order <- tenant + "/" + sub
				turns.done()
			}
		})
		for deadline := time.Now().Add(10 * time.Second); turns.waiting() <= n; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatal("nobody waits")
			}
		}
	}
	for range 100 {
		wait("hog", "a")
	}
	wait("hog", "b")
	wait("other", "c")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := turns.take(gone, "gone", "d"); err == nil {
		t.Error("a turn for one who had gone")
	}
	turns.done()
	all.Wait()
	close(order)
	places := map[string]int{}
	n := 0
	for who := range order {
		if _, ok := places[who]; !ok {
			places[who] = n
		}
		n++
	}
	if n != 102 || places["other/c"] > 1 || places["hog/b"] > 3 {
		t.Errorf("%d turns, first ones at %v", n, places)
	}
	if turns.free != 1 || len(turns.tenants.list) != 0 || len(turns.byName) != 0 {
		t.Errorf("left behind: %+v", turns)
	}
}

// TestEvaluationsShareTheirMemory: 100 filters that are asked about 10 events of
// 1 MB each at once take little, and nobody behind them waits for long.
func TestEvaluationsShareTheirMemory(t *testing.T) {
	f := New()
	data := `[0` + strings.Repeat(",0", 1<<19-1) + `]`
	var events []*bridge.Event
	for i := range 10 {
		events = append(events, &bridge.Event{Message: bridge.Message{Seq: uint64(i + 1), Time: time.Unix(1, 0), Subject: "orders.hog.x", Data: []byte(data)}})
	}
	ask := func(ctx context.Context, tenant, sub, expression string, e *bridge.Event) (bool, error) {
		return f.Wants(bridge.WithDelivery(ctx, &bridge.Delivery{Subscription: &bridge.Subscription{ID: sub, Tenant: tenant}}), expression, e)
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
				if ok, err := ask(context.Background(), "hog", fmt.Sprint("s", i), fmt.Sprintf(`size(event) > %d && event[%d] == 0`, i, i), e); err != nil || !ok {
					t.Error(ok, err)
				}
			})
		}
	}
	start := time.Now()
	if ok, err := ask(t.Context(), "neighbour", "n", `event.a == 1`, event(`{"a":1}`)); err != nil || !ok {
		t.Error(ok, err)
	}
	waited := time.Since(start)
	all.Wait()
	took := time.Since(start)
	close(stop)
	watch.Wait()
	t.Logf("1,000 evaluations in %s, at most %d MiB, a neighbour waited %s", took, (peak-before)>>20, waited)
	if peak > before+250<<20 || waited > 2*time.Second {
		t.Errorf("%d MiB, a neighbour waited %s", (peak-before)>>20, waited)
	}
	if f.documents.idle > limits.FilterIdleBytes || f.turns.free == 0 {
		t.Errorf("left behind: %d bytes, %d turns", f.documents.idle, f.turns.free)
	}
	room := limits.FilterBytes - f.turns.free*limits.FilterWorkBytes
	if f.documents.room+f.documents.idle != room {
		t.Errorf("%d of %d bytes are left, %d idle", f.documents.room, room, f.documents.idle)
	}
}
