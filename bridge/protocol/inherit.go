package protocol

import (
	"cmp"
	"slices"

	"orderbridge/bridge/event"
	"orderbridge/internal/limits"
)

// # R18, inheriting
//
// A lease of g+1 that is absent is won with what all closed ones tell in common: the lowest
// floor, the highest epoch, no intervals and no cursor. Each closed entry is placed in the stream as its own successor
// would place it (R15); the feed begins after the lowest of these positions.

// Inherit is the entry with which a shard of a new layout begins, in the place of
// an absent one: what all former shards tell in common, so that the feed begins at
// their lowest floor (R18). What each of them had settled above that counts for its own
// subscriptions only, and is not in it. closed are their entries, by number; of
// none it makes an absent one.
func Inherit(closed []LeaseEntry) LeaseEntry {
	if len(closed) == 0 {
		return LeaseEntry{}
	}
	low := slices.MinFunc(closed, func(a, b LeaseEntry) int { return cmp.Compare(a.Floor, b.Floor) })
	e := LeaseEntry{Floor: low.Floor, Free: true, Inherited: true,
		Buckets: commonBuckets(closed), Applied: lowestApplied(closed), FormerIDs: new(uint64), Stream: commonStream(closed),
		Changes: openChanges(closed), Adopt: commonAdoption(closed)}
	for i := range closed {
		x := &closed[i]
		e.Epoch = max(e.Epoch, x.Epoch)
		if x.Top.Seq > e.Top.Seq {
			e.Top = x.Top
		}
		switch {
		case x.FormerIDs == nil:
			e.FormerIDs = nil
		case e.FormerIDs != nil:
			highest := max(*e.FormerIDs, *x.FormerIDs)
			e.FormerIDs = &highest
		}
		if r := x.FloorRef(); r.Known() && r.Seq == e.Floor {
			e.Known = event.Refs(r)
		}
	}
	e.Checkpoints = slices.Clone(low.Checkpoints)
	return e
}

// commonBuckets names the state buckets that all who name any agree on.
func commonBuckets(closed []LeaseEntry) *Buckets {
	var common *Buckets
	for _, x := range closed {
		switch {
		case x.Buckets == nil:
		case common == nil:
			copied := *x.Buckets
			common = &copied
		default:
			if common.Status != x.Buckets.Status {
				common.Status = 0
			}
			if common.Owed != x.Buckets.Owed {
				common.Owed = 0
			}
			if common.Lease != x.Buckets.Lease {
				common.Lease = 0
			}
		}
	}
	return common
}

// lowestApplied is up to where the revisions of all records are applied; nil if
// one does not tell, or they speak of several buckets.
func lowestApplied(closed []LeaseEntry) *Applied {
	var low *Applied
	for _, x := range closed {
		switch a := x.Applied; {
		case a == nil || low != nil && a.Bucket != low.Bucket:
			return nil
		case low == nil || a.Revision < low.Revision:
			low = a
		}
	}
	all := Applied{Bucket: low.Bucket, Revision: low.Revision}
	for _, x := range closed { // those that are behind the common revision
		for id, only := range x.Applied.But {
			if only < all.Revision {
				if all.But == nil {
					all.But = map[string]uint64{}
				}
				all.But[id] = only
			}
		}
	}
	return &all
}

func commonStream(closed []LeaseEntry) *StreamName {
	first := closed[0].Stream
	for _, x := range closed {
		if first == nil || x.Stream == nil || x.Stream.Name != first.Name || !x.Stream.Created.Equal(first.Created) {
			return nil
		}
	}
	return first
}

// openChanges are those that no operator has acknowledged, each once.
func openChanges(closed []LeaseEntry) []StreamChange {
	var all []StreamChange
	for _, x := range closed {
		all = append(all, x.Changes...)
	}
	slices.SortStableFunc(all, func(a, b StreamChange) int { return a.Time.Compare(b.Time) })
	all = slices.CompactFunc(all, func(a, b StreamChange) bool { return a.Time.Equal(b.Time) && a.Reason == b.Reason })
	return all[max(0, len(all)-limits.StreamChanges):]
}

// commonAdoption is what an operator has decided, if all whom it concerns were told.
func commonAdoption(closed []LeaseEntry) *Adoption {
	var low *Adoption
	for _, x := range closed {
		switch a := x.Adopt; {
		case len(x.Changes) == 0:
		case a == nil:
			return nil
		case low == nil || a.After < low.After:
			low = a
		}
	}
	return low
}
