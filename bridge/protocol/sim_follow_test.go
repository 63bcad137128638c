package protocol

// follow has every other take-over begin with what a stand-by had ready instead
// of what is read then: the statuses as they are, told in the order of their
// revisions with what was there before, and of the records what had come a while ago.
func (t *simTerm) follow(l *Loaded) {
	w := t.w
	t.seenOps = map[*simOp]bool{} // an earlier answer may be lost
	by := t.epoch + uint64(len(w.orders))
	if by%2 == 0 {
		return
	}
	f := NewFollowed()
	tell := func() {
		for _, id := range sorted(l.Status) {
			st := l.Status[id]
			f.Told(id, &st)
		}
	}
	if by%3 > 0 { // which of the two was first
		tell()
	}
	for s := range w.ops {
		if !t.shard.Has(simID(s)) {
			continue
		}
		for _, o := range w.ops[s] {
			if o.gone {
				continue
			}
			if o.visible+o.lag[t.n.id] > w.now-200*ms {
				break
			}
			f.See(w.sighting(s, o))
			t.seenOps[o] = true
		}
	}
	if by%3 == 0 {
		tell()
	}
	if !f.Complete() {
		clear(t.seenOps)
		return
	}
	w.stats["followed"] += f.Len()
	l.Status, l.Followed = nil, f
}
