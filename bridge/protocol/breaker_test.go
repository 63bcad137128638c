package protocol

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"orderbridge/internal/limits"
)

// TestBreakerStories: each letter is what one attempt came to, a millisecond
// after the one before. a-z: that order failed; A-Z: that order's delivery
// succeeded; !: no connection. The breaker opens at the last letter, or never.
func TestBreakerStories(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		what, attempts string
		opens          bool
	}{
		{"all fail from the first on", "abcde", true},
		{"a fourth order is not enough", "abcd", false},
		{"one order fails for ever", strings.Repeat("a", 500), false},
		{"two orders fail, and nothing else comes", "ababa", true},
		{"no connection, with one order only", "!!!!!", true},
		{"no connection, now and then", strings.Repeat("!A!!BC", 50), false},
		{"it worked, then all fail", strings.Repeat("ABC", 50) + "abcde", true},
		{"three poisoned orders among others", strings.Repeat("aABCbDEFcGHI", 50) + "abcabcabcabc", false},
		{"one in five has failed, then 12", strings.Repeat("aBCDE", 20) + "abcdefghijkl", false},
		{"one in five has failed, then 13", strings.Repeat("aBCDE", 20) + "abcdefghijklm", true},
		{"every other one has failed, then 26", strings.Repeat("aB", 50) + "abcdefghijklmnopqrstuvwxyz", false},
		{"a success begins a new row", "abcdE" + "fghi", false},
	} {
		t.Run(tt.what, func(t *testing.T) {
			t.Parallel()
			b := breaker{}
			for i, r := range tt.attempts {
				now := time.Duration(i+1) * time.Millisecond
				opens := false
				switch {
				case r == '!':
					opens = b.failure(now, 0, 5)
				case r >= 'A' && r <= 'Z':
					b.success(now)
				default:
					opens = b.failure(now, orderHash(string(r)), 5)
				}
				if last := i == len(tt.attempts)-1; opens != (last && tt.opens) {
					t.Fatalf("at attempt %d of %d: opens = %v", i+1, len(tt.attempts), opens)
				}
			}
		})
	}
}

// TestBreakerLeavesPartOfAFailingEndpointAlone: what fails by chance, or for
// some orders, does not open it in a million attempts; what then fails as a
// whole does, soon.
func TestBreakerLeavesPartOfAFailingEndpointAlone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		rate float64
		most int // attempts until a dead endpoint is noticed
	}{{0.001, 7}, {0.05, 10}, {0.2, 20}, {0.5, 40}, {0.7, limits.BreakerMost}} {
		t.Run(fmt.Sprint(tt.rate), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(1, uint64(tt.rate*1000)))
			b := breaker{}
			b.success(1)
			b.failure(2, 1, 5)
			for range 20 {
				b.success(3)
			}
			now := time.Duration(4)
			for i := range 300_000 {
				now += time.Millisecond
				if r.Float64() >= tt.rate {
					b.success(now)
				} else if b.failure(now, r.Uint32()|1, 5) {
					t.Fatalf("opened at attempt %d", i)
				}
			}
			for i := 1; ; i++ {
				now += time.Millisecond
				if b.failure(now, r.Uint32()|1, 5) {
					t.Logf("dead: opened after %d", i)
					break
				}
				if i >= tt.most {
					t.Fatalf("not opened after %d failures in a row", i)
				}
			}
		})
	}
}

// A failure says nothing of the endpoint if another attempt has succeeded since it began.
func TestBreakerIgnoresWhatOthersOutlived(t *testing.T) {
	t.Parallel()
	b := breaker{}
	b.success(10 * time.Second)
	for i := range uint32(16) { // they hang, and time out together
		if b.failure(9*time.Second, i+1, 5) {
			t.Fatal("opened")
		}
	}
	for i := range uint32(5) {
		if opens := b.failure(11*time.Second, i+1, 5); opens != (i == 4) {
			t.Fatalf("failure %d since then: opens = %v", i+1, opens)
		}
	}
}

func TestBreakerOutages(t *testing.T) {
	t.Parallel()
	b := breaker{}
	now := time.Second
	healthy := func(d time.Duration) { // 100 a second
		for end := now + d; now < end; now += 10 * time.Millisecond {
			b.success(now)
		}
	}
	outage := func(d time.Duration, failed int) float64 {
		b.opens(now, 5)
		for range failed {
			b.probes++
		}
		now += d
		return b.closes(now, 10)
	}
	healthy(time.Minute)
	if rate := outage(5*time.Second, 0); rate != 0 {
		t.Errorf("after 5 s it begins at %.0f/s, not as before", rate)
	}
	healthy(time.Minute)
	if rate := outage(time.Minute, 3); rate < 90 || rate > 110 {
		t.Errorf("after a minute it begins at %.0f/s, was 100/s", rate)
	}
	if got := b.probeAfter(5*time.Second, 5*time.Minute); got != 40*time.Second {
		t.Errorf("the next probe of that outage comes after %s", got)
	}
	healthy(5 * time.Second) // it fails again at once
	if rate := outage(time.Minute, 1); rate < 45 || rate > 55 {
		t.Errorf("two minutes after it began to fail it begins at %.0f/s, was 100/s", rate)
	}
	if got := b.probeAfter(5*time.Second, 5*time.Minute); got != 80*time.Second {
		t.Errorf("an endpoint that fails again at once is probed after %s", got)
	}
	healthy(time.Minute)
	b.opens(now, 5)
	if got := b.probeAfter(5*time.Second, 5*time.Minute); got != 5*time.Second {
		t.Errorf("a new outage begins with a probe after %s", got)
	}
	now += time.Hour
	if rate := b.closes(now, 10); rate != 10 {
		t.Errorf("after an hour it begins at %.0f/s", rate)
	}
	b.opens(now, 5)
	b.halfOpens(now, 10)
	if !b.failure(now, 7, 5) {
		t.Error("half open, one failure must open it")
	}
}

func TestBreakerIsTakenOver(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		down   time.Duration
		probes int
		next   time.Duration
	}{{time.Second, 0, 5 * time.Second}, {6 * time.Second, 1, 10 * time.Second}, {16 * time.Second, 2, 20 * time.Second}, {time.Hour, 16, 5 * time.Minute}} {
		b := breaker{}
		b.resumed(0, tt.down, 5*time.Second, 5*time.Minute)
		if got := b.probeAfter(5*time.Second, 5*time.Minute); !b.open || b.probes != tt.probes || got != tt.next {
			t.Errorf("down for %s: %d failed probes, next after %s", tt.down, b.probes, got)
		}
	}
}
