package protocol

import (
	"math/rand/v2"
	"testing"
	"time"

	"orderbridge/bridge/record"
)

// TestRateLimitIsExact: whichever window one looks at, it holds no more starts
// than allowed, and no start waits longer than it must.
func TestRateLimitIsExact(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		limit := record.RateLimit{Requests: 1 + r.IntN(20), Per: time.Duration(1+r.IntN(1000)) * time.Millisecond}
		p := pace{limit: &limit}
		var starts []time.Duration
		now := time.Duration(0)
		for len(starts) < 500 {
			if wait := p.wait(now); wait > 0 {
				if n := len(starts); starts[n-limit.Requests]+limit.Per != now+wait {
					t.Fatalf("limit %v: at %v it waits %v, though the window opens at %v", limit, now, wait, starts[n-limit.Requests]+limit.Per)
				}
				now += wait
				continue
			}
			starts = append(starts, now)
			p.started(now)
			now += time.Duration(r.IntN(30)) * time.Millisecond
		}
		for i := limit.Requests; i < len(starts); i++ {
			if starts[i]-starts[i-limit.Requests] < limit.Per {
				t.Fatalf("limit %v: %d starts between %v and %v", limit, limit.Requests+1, starts[i-limit.Requests], starts[i])
			}
		}
	}
}

// TestTakenBackStartsDoNotCount: what sent nothing uses up no rate.
func TestTakenBackStartsDoNotCount(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		limit := record.RateLimit{Requests: 1 + r.IntN(10), Per: 100 * time.Millisecond}
		p := pace{limit: &limit}
		var starts []time.Duration // that were not taken back
		now := time.Duration(0)
		for range 1000 {
			now += time.Duration(r.IntN(5)) * time.Millisecond
			if len(starts) > 0 && r.IntN(2) == 0 { // an earlier one that still runs
				i := len(starts) - 1 - r.IntN(min(3, len(starts)))
				if now-starts[i] < limit.Per {
					p.unstarted(starts[i])
					starts = append(starts[:i], starts[i+1:]...)
				}
			}
			want := time.Duration(0)
			if n := len(starts); n >= limit.Requests {
				want = max(0, starts[n-limit.Requests]+limit.Per-now)
			}
			if got := p.wait(now); got != want {
				t.Fatalf("limit %v, starts %v: at %v it waits %v, want %v", limit, starts, now, got, want)
			}
			if want == 0 {
				p.started(now)
				starts = append(starts, now)
			}
		}
	}
}

func TestChangedLimitCountsWhatHasStarted(t *testing.T) {
	t.Parallel()
	p := pace{limit: &record.RateLimit{Requests: 3, Per: time.Second}}
	for i := range 5 {
		p.started(time.Duration(i) * time.Millisecond)
	}
	p.setLimit(&record.RateLimit{Requests: 2, Per: 2 * time.Second})
	if got, want := p.wait(10*time.Millisecond), 3*time.Millisecond+2*time.Second-10*time.Millisecond; got != want {
		t.Errorf("waits %v, want %v", got, want)
	}
	p.setLimit(nil)
	if got := p.wait(10 * time.Millisecond); got != 0 {
		t.Errorf("without a limit it waits %v", got)
	}
}

// TestSlowStart: the rate rises step by step, without a burst, to full speed
// within a minute.
func TestSlowStart(t *testing.T) {
	t.Parallel()
	l := DefaultBounds()
	p := pace{ramp: ramp{double: l.RampDouble, length: l.RampTime}}
	begin := 5 * time.Second
	p.ramp.begin(begin, l.RampRate)
	perSecond := map[int]int{}
	for now := begin; now < begin+time.Minute; {
		if wait := p.wait(now); wait > 0 {
			now += wait
			continue
		}
		perSecond[int((now-begin)/time.Second)]++
		p.started(now)
		now += 20 * time.Microsecond // as fast as a fast endpoint takes them
	}
	for second := range 30 {
		allowed := l.RampRate * float64(int(1)<<(time.Duration(second)*time.Second/l.RampDouble))
		if got := float64(perSecond[second]); got > allowed*1.1+2 || got < allowed*0.8-2 {
			t.Errorf("second %d: %v attempts, want about %v", second, got, allowed)
		}
	}
	if wait := p.wait(begin + time.Minute); wait != 0 {
		t.Errorf("not at full speed after a minute: waits %v", wait)
	}
}
