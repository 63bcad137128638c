package protocol

import (
	"hash/fnv"
	"math"
	"slices"
	"time"

	"orderbridge/internal/limits"
)

// breaker judges whether an endpoint fails as a whole. It is told what its
// attempts came to, and when; it asks nothing and starts nothing.
//
// A failure speaks of the endpoint only if nothing has succeeded since its
// attempt began: else it is a matter of its order. The breaker opens when so
// many have failed in a row, of two orders at least, that it would not happen
// by chance (once in 1e9) at the rate at which attempts failed before: 5 where
// none or nothing did, 7 at one in 20, 13 at one in 5, 30 at one in 2, 64 at
// most. What can only be the endpoint's (no connection, say) is an order of its
// own each time. Where it opens for few orders they may be to blame all the
// same: then an order that has not failed yet need not wait for its turn to
// probe (free).
//
// An outage lasts from the first opening to a closing that holds for a quarter
// of a minute: an endpoint that fails again right after it came back is probed
// ever more rarely, and begins slowly.
type breaker struct {
	open      bool
	free      int           // probes that may still be made at once, by orders that have not failed
	half      bool          // nothing is known of it since it opened: one more failure opens it
	since     time.Duration // of the outage
	closed    time.Duration // when it closed last; 0: never
	succeeded time.Duration // the last success
	probes    int           // failed ones of this outage
	former    float64       // successes a second when the outage began

	flow   float64       // successes, each fading with limits.BreakerFlowTime
	misses float64       // failed first attempts, likewise
	flowAt time.Duration // when flow was right

	recent []uint32 // what attempts came to, as a ring: 0 a success, else the order that failed
	next   int
	serial uint32 // of failures that count each time
}

const (
	breakerChance = 1e-9
)

// success takes note of a delivery.
func (b *breaker) success(now time.Duration) {
	b.decay(now)
	b.flow++
	b.succeeded = now
	b.half = false
	if len(b.recent) > 0 { // what came before the first failure tells nothing more
		b.record(0)
	}
}

// failure takes note of a failed attempt that began at that time, and tells
// whether the endpoint must be taken for failing. order is 0 for what can only
// be the endpoint's.
func (b *breaker) failure(began time.Duration, order uint32, least int) (opens bool) {
	if order != 0 && b.succeeded > began {
		return false
	}
	if order == 0 {
		b.serial++
		order = b.serial | 1<<31
	}
	b.record(order)
	if b.open {
		return false
	}
	failures, orders := b.inARow()
	return b.half || orders > 1 && failures >= b.needed(least)
}

func (b *breaker) record(what uint32) {
	if len(b.recent) < limits.BreakerMemory {
		b.recent = append(b.recent, what)
		return
	}
	b.recent[b.next] = what
	b.next = (b.next + 1) % limits.BreakerMemory
}

// back calls fn with what is remembered, the newest first, until it says no.
func (b *breaker) back(fn func(what uint32) bool) {
	n := len(b.recent)
	for i := range n {
		if !fn(b.recent[(b.next+2*n-1-i)%n]) {
			return
		}
	}
}

// inARow is how many attempts have failed since the last success, and of how
// many orders.
func (b *breaker) inARow() (failures, orders int) {
	var seen [limits.BreakerMost]uint32
	b.back(func(what uint32) bool {
		if what == 0 || failures == limits.BreakerMost {
			return false
		}
		failures++
		if !slices.Contains(seen[:orders], what) {
			seen[orders] = what
			orders++
		}
		return true
	})
	return failures, orders
}

// needed is how many must fail in a row, by what came before that row.
func (b *breaker) needed(least int) int {
	failures, successes := 0, 0
	b.back(func(what uint32) bool {
		switch {
		case what == 0:
			successes++
		case successes > 0: // before the present row
			failures++
		}
		return true
	})
	if failures == 0 {
		return least
	}
	p := float64(failures) / float64(failures+successes)
	return min(max(least, int(math.Ceil(math.Log(breakerChance)/math.Log(p)))), limits.BreakerMost)
}

// decay lets what was counted fade until now.
func (b *breaker) decay(now time.Duration) {
	k := math.Exp(-(now - b.flowAt).Seconds() / limits.BreakerFlowTime.Seconds())
	b.flow, b.misses, b.flowAt = b.flow*k, b.misses*k, now
}

// opens begins an outage, or goes on with the last one.
func (b *breaker) opens(now time.Duration, least int) {
	if b.closed == 0 || now-b.closed > limits.BreakerSettles {
		b.since, b.probes = now, 0
		b.decay(now)
		b.former = b.flow / limits.BreakerFlowTime.Seconds()
	}
	b.open, b.half, b.free = true, false, 0
	if _, orders := b.inARow(); orders < least {
		b.free = least
	}
}

// closes ends it, for now. It returns the rate at which to begin, in attempts a
// second: at least slow, about the former one after a minute, half of that for
// each minute more; 0 after a short outage: as before.
func (b *breaker) closes(now time.Duration, slow float64) (rate float64) {
	b.open, b.closed = false, max(now, 1)
	b.recent, b.next = nil, 0
	outage := now - b.since
	if outage <= limits.BreakerShort {
		return 0
	}
	return max(slow, 2*b.former*math.Exp2(-outage.Minutes()))
}

// halfOpens closes it without knowing anything of the endpoint.
func (b *breaker) halfOpens(now time.Duration, slow float64) (rate float64) {
	rate = b.closes(now, slow)
	b.half = true
	return rate
}

// probeAfter is how long to wait for the next probe, from least, doubled with
// each one that failed, to most.
func (b *breaker) probeAfter(least, most time.Duration) time.Duration {
	return min(least<<min(b.probes, 16), most)
}

// resumed is the breaker of an endpoint that was failing since then, when
// another leader takes over: it is probed as if it had been by this one.
func (b *breaker) resumed(since, now, least, most time.Duration) {
	b.open, b.since, b.closed = true, since, 0
	for at := since + least; at <= now && b.probes < 16; b.probes++ {
		at += min(least<<min(b.probes+1, 16), most)
	}
}

// orderHash tells orders apart well enough for the breaker; never 0.
func orderHash(order string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(order)) // never fails
	return h.Sum32()>>1 | 1
}
