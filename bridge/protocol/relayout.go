package protocol

// FormerLayout is the layout before: its generation and the number of its shards.
func (l Layout) FormerLayout() Layout {
	return Layout{Generation: l.Generation - 1, Shards: l.Former, Done: true}
}

// Before tells whether l is of an earlier time than known: a backup, or what
// somebody has put by hand.
func (l Layout) Before(known Layout) bool {
	return l.Generation < known.Generation || l.Generation == known.Generation && known.Done && !l.Done
}

// Same tells whether it is the same layout: what else it tells changes while it lasts.
func (l Layout) Same(x Layout) bool {
	return l.Generation == x.Generation && l.Shards == x.Shards && l.Former == x.Former
}

// Follows tells whether l has just been decided in the place of known.
func (l Layout) Follows(known Layout) bool {
	return l.Generation == known.Generation+1 && l.Former == known.Shards && !l.Done
}

// LayoutOf is the layout that leases tell, where its own key does not: that of
// the newest generation among them. A closed one tells the layout that has closed it.
func LayoutOf(leases map[Shard]LeaseEntry) (l Layout, told bool) {
	for s, e := range leases {
		x := FirstLayout(1, false)
		switch {
		case e.Layout != nil:
			x = *e.Layout
		case s.Layout > 0:
			continue // how many there were is not known
		}
		if !e.Absent() && x.check() == nil && (!told || l.Before(x)) {
			l, told = x, true
		}
	}
	return l, told
}
