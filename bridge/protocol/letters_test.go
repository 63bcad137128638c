package protocol

import (
	"strings"
	"testing"
	"time"
)

func TestKindsOfDeadLetters(t *testing.T) {
	t.Parallel()
	same := func(want bool, a, b string, statusA, statusB int) {
		t.Helper()
		if got := kindOf(a, statusA) == kindOf(b, statusB); got != want {
			t.Errorf("%q (%d) and %q (%d): one kind %v, want %v", a, statusA, b, statusB, got, want)
		}
	}
	same(true, `422: order 7 is unknown`, `422: no such customer`, 422, 422)
	same(false, `422`, `500`, 422, 500)
	same(true, `the order id "a" is not a path segment`, `the order id "b" is not a path segment`, 0, 0)
	same(true, `it is not JSON: NaN at byte 24`, `it is not JSON: NaN at byte 7`, 0, 0)
	same(false, `filter: no such key: total`, `filter: no such key: price`, 0, 0)
	if n := len(kindOf(strings.Repeat("x", 1<<20), 0)); n > 120 {
		t.Errorf("a kind of %d bytes", n)
	}
}

func TestPausesSlowDown(t *testing.T) {
	t.Parallel()
	var p pauses
	var at []time.Duration
	for range 5 {
		p.next(p.due, letterTold)
		at = append(at, p.due)
	}
	for i, want := range []time.Duration{time.Minute, 11 * time.Minute, 71 * time.Minute, 131 * time.Minute, 191 * time.Minute} {
		if at[i] != want {
			t.Errorf("step %d is due at %s, want %s", i, at[i], want)
		}
	}
}
