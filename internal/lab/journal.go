package lab

import (
	"errors"
	"fmt"
	"time"
)

// Journal is what came to a receiver, in the order in which it came.
type Journal []Hit

// Gap is the longest time without a request that began or ended within the
// window.
func (j Journal) Gap(from, to time.Time) (longest time.Duration) {
	before := time.Time{}
	for _, h := range j {
		if !before.IsZero() && h.At.After(from) && before.Before(to) {
			longest = max(longest, h.At.Sub(before))
		}
		before = h.At
	}
	return longest
}

// InOrder checks that the changes of each key, as change tells it of what came,
// came one after another from the first on, each once.
func InOrder[T any](came []T, change func(T) (key string, n int)) error {
	last := map[string]int{}
	for _, c := range came {
		key, n := change(c)
		if n != last[key]+1 {
			return fmt.Errorf("change %d of %s came after %d", n, key, last[key])
		}
		last[key] = n
	}
	return nil
}

// Repeat is a request for a delivery that had succeeded already.
type Repeat struct{ First, Again Hit }

// Check holds the journal of one subscription against the promises: every event
// arrived (1), in order for each order (3), all attempts of an event under one
// id and no other event's (4). published counts the changes of each order, from
// 1. It returns the repeats, and all that is broken.
func (j Journal) Check(published map[string]int) (repeats []Repeat, err error) {
	type change struct {
		id string
		ok *Hit // the first success
	}
	seen := map[string][]change{}
	ids := map[string]string{}
	var broken []error
	fail := func(format string, args ...any) { broken = append(broken, fmt.Errorf(format, args...)) }
	for _, h := range j {
		if h.N < 1 || h.N > published[h.Order] {
			fail("a delivery of nothing that was published: %s %d", h.Order, h.N)
			continue
		}
		if seen[h.Order] == nil {
			seen[h.Order] = make([]change, published[h.Order]+1)
		}
		s := &seen[h.Order][h.N]
		name := fmt.Sprintf("%s %d", h.Order, h.N)
		if s.id == "" {
			s.id = h.ID()
		}
		if s.id != h.ID() || ids[s.id] != "" && ids[s.id] != name {
			fail("%s came under id %s and %s; %s is also that of %q", name, s.id, h.ID(), s.id, ids[s.id])
		}
		ids[h.ID()] = name
		for i := 1; i < h.N; i++ {
			if before := seen[h.Order][i]; before.ok == nil || before.ok.Ended.After(h.At) {
				fail("%s came before %s %d had succeeded", name, h.Order, i)
			}
		}
		if s.ok != nil {
			repeats = append(repeats, Repeat{*s.ok, h})
		} else if h.Good() {
			s.ok = &h
		}
	}
	for order, n := range published {
		for i := 1; i <= n; i++ {
			if seen[order] == nil || seen[order][i].ok == nil {
				fail("%s %d never arrived", order, i)
			}
		}
	}
	return repeats, errors.Join(broken...)
}
