package bridge

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"orderbridge/internal/limits"
)

func TestWorkers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var (
			x     workers
			mu    sync.Mutex
			did   = map[int]int{} // attempts by worker
			alive atomic.Int64
			all   sync.WaitGroup
		)
		start := func(n int) {
			alive.Add(1)
			all.Go(func() {
				w := worker{next: make(chan *run, 1)}
				for r := x.wait(&w); r != nil; r = x.wait(&w) {
					mu.Lock()
					did[n]++
					mu.Unlock()
				}
				alive.Add(-1)
			})
			synctest.Wait()
		}
		r := runFor(time.Hour)
		if x.give(r) {
			t.Fatal("taken, and nobody is there")
		}
		for n := range 8 {
			start(n)
		}
		x.trim() // from now on it is known how many are needed
		for range 10 {
			if !x.give(r) {
				t.Fatal("not taken")
			}
			synctest.Wait()
		}
		if did[7] != 10 {
			t.Errorf("who came last is not taken first: %v", did)
		}
		for range 3 { // three at once
			x.give(r)
		}
		if synctest.Wait(); alive.Load() != 8 {
			t.Errorf("%d are left of 8", alive.Load())
		}
		x.trim() // 5 were never needed
		if synctest.Wait(); alive.Load() != 6 {
			t.Errorf("%d are left of 8, want 6", alive.Load())
		}
		for range 20 {
			x.trim()
		}
		if synctest.Wait(); alive.Load() != 0 {
			t.Errorf("%d are left of those that nobody needs", alive.Load())
		}
		for n := range limits.IdleWorkers {
			start(n)
		}
		before := alive.Load()
		start(-1)
		if alive.Load() != before {
			t.Error("more wait than may")
		}
		x.dismiss()
		start(-2)
		all.Wait()
		if alive.Load() != 0 {
			t.Errorf("%d are left at the end", alive.Load())
		}
	})
}
