package protocol

import (
	"fmt"

)

// simShard is what the bus holds of one shard, beside its fences.
type simShard struct {
	Shard
	w        *simWorld
	lease    LeaseEntry
	leaseRev uint64
	leaseIDs map[string]uint64
	leads    uint64 // the epoch that was won last
	cons     []*simConsumer
	keeper   int // where a consumer of the shard keeps the stream's messages; 0: there is none
}

// shard is the shard's part of the bus, made when it is first asked for.
func (w *simWorld) shard(s Shard) *simShard {
	for _, sh := range w.shards {
		if sh.Shard == s {
			return sh
		}
	}
	sh := &simShard{Shard: s, w: w, leaseIDs: map[string]uint64{}}
	w.shards = append(w.shards, sh)
	return sh
}

// simReign names one leadership of a shard.
type simReign struct {
	Shard
	epoch uint64
}

func (r simReign) String() string {
	if r.Of <= 1 && r.Layout == 0 {
		return fmt.Sprint("e", r.epoch)
	}
	return fmt.Sprintf("g%ds%d.e%d", r.Layout, r.Number, r.epoch)
}

func (sh *simShard) reign(epoch uint64) simReign { return simReign{sh.Shard, epoch} }

func (t *simTerm) reign() simReign { return t.sh.reign(t.epoch) }
func (t *simTerm) String() string  { return t.reign().String() }

// leadBy tells whether nobody else has won the shard since.
func (sh *simShard) leadBy(t *simTerm) bool { return sh.leads == t.epoch }

// ended notes that a leadership is over, because its lease is another's.
func (sh *simShard) ended(epoch uint64) {
	w, r := sh.w, sh.reign(epoch)
	if epoch == 0 || w.ends[r].how != "" {
		return
	}
	w.ends[r] = simEnd{w.now, "lease"}
	for _, t := range w.terms() {
		if t.reign() == r && t.n.paused > w.now {
			w.ends[r] = simEnd{t.n.pausedAt, "pause"}
		}
	}
}

// seat makes the replica stand by for a shard.
func (n *simNode) seat(s Shard) {
	n.seats = append(n.seats, &simSeat{n: n, sh: n.w.shard(s), standby: Standby{Patience: simPatience}})
}

// terms are those that the replica leads.
func (n *simNode) terms() (list []*simTerm) {
	for _, seat := range n.seats {
		if seat.term != nil {
			list = append(list, seat.term)
		}
	}
	return list
}

// terms are all leaders, or who take themselves for one.
func (w *simWorld) terms() (list []*simTerm) {
	for _, n := range w.nodes {
		list = append(list, n.terms()...)
	}
	return list
}

func (w *simWorld) durables() (list []*simConsumer) {
	for _, sh := range w.shards {
		list = append(list, sh.cons...)
	}
	return list
}

func (w *simWorld) dropDurables() {
	for _, sh := range w.shards {
		for _, c := range sh.cons {
			c.gone = true
		}
		sh.cons = nil
	}
}

