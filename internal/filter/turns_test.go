package filter

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"orderbridge/internal/lab"
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
	if err := turns.await(t.Context(), "hog", "a"); err != nil {
		t.Fatal(err)
	}
	order := make(chan string, 300)
	var all sync.WaitGroup
	wait := func(tenant, sub string) {
		n := turns.waiting()
		all.Go(func() {
			if turns.await(context.Background(), tenant, sub) == nil {
				order <- tenant + "/" + sub
				turns.done()
			}
		})
		for deadline := time.Now().Add(lab.Patience); turns.waiting() <= n; runtime.Gosched() {
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
	if err := turns.await(gone, "gone", "d"); err == nil {
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
