package protocol

import "time"

// checkShares: no more is taken than there is, and a tenant that has no attempt
// under way gets one at once, whatever the attempts of another do.
func (t *simTerm) checkShares() {
	w, c := t.w, t.core
	if got := c.shares.pools[slots].used; int(got) != c.running || c.running > c.MaxRunning {
		w.violate("shares", "%d attempts run, %d are counted, %d may", c.running, got, c.MaxRunning)
		return
	}
	if got := c.shares.pools[ahead].used; int(got) != c.readBytes {
		w.violate("shares", "readers have %d bytes, %d are counted", c.readBytes, got)
		return
	}
	if t.starved == nil {
		t.starved = map[string]time.Duration{}
	}
	for s := range w.ops {
		id := simID(s)
		x := c.peek(id)
		if x == nil || !x.waits || x.own == nil || x.own.of.used[slots] > 0 || !c.canSend() {
			delete(t.starved, id)
			continue
		}
		if t.starved[id] == 0 {
			t.starved[id] = w.now
		}
		if w.now-t.starved[id] > 300*ms {
			w.violate("starved", "sub%d waits for a slot since %d, though its tenant has none of %d", s, t.starved[id].Milliseconds(), c.running)
			return
		}
	}
}
