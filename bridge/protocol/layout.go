package protocol

import (
	"encoding/json"
	"fmt"
	"slices"

	"orderbridge/internal/limits"
)

// # R17 Shards
//
// A subscription belongs to shard FNV-1a(id) mod n; n is the number of shards in the layout {g, n,
// prev, done, want}: its generation, the number of shards in it and in the one before, whether all of them are past
// the former ones, and a number that was asked for meanwhile. Each shard is a machine of its own, with a term of its
// own. Lease, durable, fences and seals are named by (generation, shard); statuses, marks and lanes by subscription
// only, so they stay where they are when the number changes. Generation 0 is the only shard of a bridge that never had
// another number; its names are those without shards.
//
// The layout is one key, written by compare-and-set. A setting only creates it; it is changed by an operator's command
// only. Each replica reads it again from the leader of its stream after it has won a lease and before anything else:
// if it is of another generation, the lease is given back. A lease entry tells its layout, so a layout that somebody
// has deleted is made again from the highest generation that is told.
//
// A shard sees every event, and the records of its own subscriptions. What it says of records (applied, R16) counts
// for these.

// # R18, deciding
//
// One compare-and-set makes the layout {g+1, m, prev: n}, only if the present one is done; else
// the number waits in want. Leaders of g see it and hand over gracefully (R10b).

// # R18, finishing
//
// The layout is done when all leases of g+1 lead and carry own (where there was no layout
// before: when all lead). Only then leases, fences and durables of g are removed, and the number that waits is
// decided.

// Layout says how many shards there are. It is one key of the lease's bucket.
type Layout struct {
	Generation uint64 `json:"g"`              // of the layout: a reshard makes the next one
	Shards     int    `json:"n"`              // in this generation
	Former     int    `json:"prev,omitempty"` // shards of the generation before; 0: there was none
	Done       bool   `json:"done,omitempty"` // all shards are past what the former ones have settled
	Want       int    `json:"want,omitempty"` // number that an operator has asked for meanwhile; 0: none
}

// FirstLayout is the layout of a bridge that has none. used: something of the
// bridge's is on the bus, which the only shard of generation 0 goes on with.
func FirstLayout(shards int, used bool) Layout {
	if used || shards <= 1 {
		return Layout{Shards: 1, Done: true}
	}
	return Layout{Generation: 1, Shards: shards}
}

// ParseLayout reads the layout as it stands on the bus.
func ParseLayout(value []byte) (Layout, error) {
	var l Layout
	if len(value) > limits.LayoutBytes {
		return l, fmt.Errorf("layout of %d bytes, at most %d are read", len(value), limits.LayoutBytes)
	}
	if err := json.Unmarshal(value, &l); err != nil {
		return Layout{}, fmt.Errorf("not a layout: %w", err)
	}
	return l, l.check()
}

func (l Layout) check() error {
	if l.Generation > maxEpoch {
		return fmt.Errorf("layout of generation %d", l.Generation)
	}
	if err := ValidShards(l.Shards); err != nil {
		return fmt.Errorf("layout: %w", err)
	}
	if l.Former != 0 {
		if err := ValidShards(l.Former); err != nil {
			return fmt.Errorf("layout, the one before: %w", err)
		}
	}
	if l.Want != 0 {
		if err := ValidShards(l.Want); err != nil {
			return fmt.Errorf("layout, wanted: %w", err)
		}
	}
	switch {
	case l.Generation == 0 && (l.Shards != 1 || l.Former != 0):
		return fmt.Errorf("layout of generation 0 with %d shards after %d", l.Shards, l.Former)
	case l.Generation > 1 && l.Former == 0:
		return fmt.Errorf("layout of generation %d that tells none before it", l.Generation)
	}
	return nil
}

// ValidShards says why there cannot be so many shards.
func ValidShards(n int) error {
	if n < 1 || n > limits.Shards {
		return fmt.Errorf("%d shards are not possible; give 1 to %d", n, limits.Shards)
	}
	return nil
}

// Next is the layout after somebody has asked for so many shards, written by
// compare-and-set in the place of the present one, and whether it is another. As
// long as the present one is not done, the wish waits in it.
func (l Layout) Next(want int) (Layout, bool) {
	next := l
	switch {
	case want == l.Shards:
		next.Want = 0
	case !l.Done:
		next.Want = want
	default:
		next = Layout{Generation: l.Generation + 1, Shards: want, Former: l.Shards}
	}
	return next, next != l
}

// Complete tells, from the lease entries of its shards, whether the layout is done:
// each leads, and owes nothing to the former ones any more.
func (l Layout) Complete(leases []LeaseEntry) bool {
	return len(leases) == l.Shards && !slices.ContainsFunc(leases, func(e LeaseEntry) bool { return !e.leads() || l.Former > 0 && !e.Own })
}

// Regards tells whether a shard with that lease has to regard the former ones:
// they must be closed before it is won, and are part of Won.
func (l Layout) Regards(own LeaseEntry) bool {
	return l.Former > 0 && !l.Done && !own.Own
}

// Shard is one of the layout.
func (l Layout) Shard(number int) Shard { return Shard{l.Generation, number, l.Shards} }

// FormerShard is one of the layout before; there are l.Former.
func (l Layout) FormerShard(number int) Shard { return Shard{l.Generation - 1, number, l.Former} }

// Shard is one machine of a layout, with a lease, a durable and fences of its own.
// The zero value is the only one of a bridge that never had another number.
type Shard struct {
	Layout uint64 // generation
	Number int    // from 0
	Of     int    // shards of the layout; 0: 1
}

// Has tells whether the subscription belongs to the shard.
func (s Shard) Has(subscription string) bool { return ShardOf(subscription, s.Of) == s.Number }

// ShardOf is the number of the shard to which a subscription belongs, of n:
// FNV-1a, 64 bits, modulo n. It must never be another: what shards have settled
// is told by it.
func ShardOf(subscription string, n int) int {
	if n <= 1 {
		return 0
	}
	h := uint64(14695981039346656037)
	for i := range len(subscription) {
		h = (h ^ uint64(subscription[i])) * 1099511628211
	}
	return int(h % uint64(n))
}
