package protocol

import (
	"cmp"
	"maps"
	"slices"
)

func sorted[K cmp.Ordered, V any](m map[K]V) []K {
	if len(m) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(m))
}

func sortedList[T cmp.Ordered](list []T) []T {
	slices.Sort(list)
	return list
}

func ordered(m map[*sub]struct{}) []*sub {
	if len(m) == 0 {
		return nil
	}
	return slices.SortedFunc(maps.Keys(m), func(a, b *sub) int { return cmp.Compare(a.id, b.id) })
}

// which returns the subscriptions that want says yes to, by id. There may be a
// million, so only those are sorted.
func (c *Machine) which(want func(*sub) bool) []*sub {
	var some []*sub
	for _, s := range c.subs {
		if want(s) {
			some = append(some, s)
		}
	}
	slices.SortFunc(some, func(a, b *sub) int { return cmp.Compare(a.id, b.id) })
	return some
}
