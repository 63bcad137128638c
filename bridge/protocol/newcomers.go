package protocol

import "orderbridge/internal/limits"

// newcomers are records that were seen for the first time while the machine leads
// and as many are being applied as may be: their revisions wait, in the order in
// which they came, as they are. There may be a million of them at once; a sub is
// made of each when its turn comes, or when a further revision of it is seen.
type newcomers struct {
	queue []*RecordSeen
	first int                    // of those that wait
	byID  map[string]*RecordSeen // that wait
}

func (n *newcomers) len() int { return len(n.byID) }

func (n *newcomers) add(in *RecordSeen) {
	if n.byID == nil {
		n.byID = map[string]*RecordSeen{}
	}
	n.byID[in.Revision.Key] = in
	n.queue = append(n.queue, in)
}

// take takes the one of that name; nil: it does not wait.
func (n *newcomers) take(id string) *RecordSeen {
	in := n.byID[id]
	delete(n.byID, id)
	return in
}

// oldest is the one that waits for longest; nil: none does.
func (n *newcomers) oldest() *RecordSeen {
	for ; n.first < len(n.queue); n.first++ {
		if in := n.queue[n.first]; n.byID[in.Revision.Key] == in {
			return in
		}
		n.queue[n.first] = nil
	}
	*n = newcomers{}
	return nil
}

// newcomerWaits takes a revision of a record that nothing is known of; false: it is to be
// applied at once.
func (c *Machine) newcomerWaits(in *RecordSeen) bool {
	if !c.opened || c.stopping || c.applying < c.Applying {
		return false
	}
	c.newcomers.add(in)
	c.seenUpTo(in.Revision.Bucket, in.Revision.Revision)
	return true
}

// welcome makes a subscription of one that waited.
func (c *Machine) welcome(in *RecordSeen) *sub {
	r := in.Revision
	s := c.newSub(r.Key, r.Revision)
	s.lastSeen = r.Revision
	s.revs = append(s.revs, revision{r, in.Record, in.Problems, s.position()})
	c.subs[r.Key] = s
	c.noteSeen(s, r)
	return s
}

// tellApplied takes those that wait out of what is applied.
func (n *newcomers) tellApplied(a *Applied, least uint64) uint64 {
	in := n.oldest()
	if in == nil {
		return least
	}
	if n.len() > limits.BehindRecords {
		if in.Revision.Bucket == a.Bucket {
			least = min(least, in.Revision.Revision-1)
		}
		for _, later := range n.queue[n.first:min(len(n.queue), n.first+limits.BehindRecords+1)] {
			a.But[later.Revision.Key] = 0 // too many to be told one by one
		}
		return least
	}
	for id, in := range n.byID {
		if in.Revision.Bucket == a.Bucket {
			least = min(least, in.Revision.Revision-1)
		}
		if len(a.But) <= limits.BehindRecords {
			a.But[id] = 0
		}
	}
	return least
}
