package bridge

import (
	"context"
	"testing"
	"testing/synctest"
)

// A tenant with many readers that wait is passed by one with few, at each turn.
func TestReadTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReadTurns(1)
		if !r.await(t.Context(), "acme") {
			t.Fatal("nobody reads, and yet there is no place")
		}
		var got []string
		enter := func(tenant string) {
			go func() {
				if r.await(t.Context(), tenant) {
					got = append(got, tenant)
				}
			}()
			synctest.Wait()
		}
		for range 5 {
			enter("acme")
		}
		enter("globex")
		enter("globex")
		for range 7 {
			r.pass()
			synctest.Wait()
		}
		want := []string{"acme", "globex", "acme", "globex", "acme", "acme", "acme"}
		for i := range want {
			if len(got) != len(want) || got[i] != want[i] {
				t.Fatalf("got %v, want %v", got, want)
			}
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if r.await(over, "acme") {
			t.Error("the term is over, and yet there is a place")
		}
	})
}
