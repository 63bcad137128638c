package telemetry

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

// Named are the subscriptions that metrics name: at most so many. Those whose
// endpoint fails and which owe something come first, then others in trouble, then
// those with the most attempts. Who is in stays in until another one matters twice
// as much, so that series do not come and go. Safe for concurrent use; nil names
// none.
type Named struct {
	most    int
	members atomic.Pointer[map[string]*member] // never changed: replaced

	mu        sync.Mutex
	others    map[string]uint64 // sampled attempts of those that are not in
	refreshed time.Time
}

// member is one that is in.
type member struct {
	delivered, failed atomic.Uint64 // attempts since it is in
	seen              uint64        // of these at the last refresh
	weight            weight
	trouble           time.Time // last time that it was in trouble
}

// weight says how much it matters to name a subscription.
type weight struct {
	trouble int // 2: it fails and owes; 1: it is not up to date; 0: it is
	size    float64
}

func (w weight) compare(x weight) int {
	return cmp.Or(cmp.Compare(w.trouble, x.trouble), cmp.Compare(w.size, x.size))
}

// sampled is one of how many attempts of others that is looked at.
const sampled = 8

// NewNamed names at most so many; nil for 0.
func NewNamed(most int) *Named {
	if most == 0 {
		return nil
	}
	n := &Named{most: most, others: map[string]uint64{}}
	n.members.Store(&map[string]*member{})
	return n
}

// attempted takes note of an attempt. No lock is taken for one that is in, and
// nobody waits for one.
func (n *Named) attempted(id string, v protocol.Verdict) {
	if n == nil {
		return
	}
	members := *n.members.Load()
	m := members[id]
	if m == nil {
		if len(members) >= n.most {
			n.sample(id)
			return
		}
		m = n.join(id)
		if m == nil {
			return
		}
	}
	switch v {
	case protocol.Delivered:
		m.delivered.Add(1)
	case protocol.NotAttempted, protocol.Filtered:
	default:
		m.failed.Add(1)
	}
}

// join lets a subscription in where there is room.
func (n *Named) join(id string) *member {
	n.mu.Lock()
	defer n.mu.Unlock()
	members := *n.members.Load()
	if m := members[id]; m != nil || len(members) >= n.most {
		return m
	}
	return n.put(id, nil)
}

// put adds one and takes others out. The caller holds mu.
func (n *Named) put(id string, out []string) *member {
	members := maps.Clone(*n.members.Load())
	for _, id := range out {
		delete(members, id)
	}
	m := &member{}
	if id != "" {
		members[id] = m
	}
	n.members.Store(&members)
	return m
}

func (n *Named) sample(id string) {
	if rand.Uint32()%sampled != 0 || !n.mu.TryLock() {
		return
	}
	defer n.mu.Unlock()
	if _, known := n.others[id]; known || len(n.others) < limits.NamedCandidates {
		n.others[id]++
	}
}

// Wanted says which debtors have to be known: bridge.Options.Wanted.
func (n *Named) Wanted() protocol.Wanted {
	if n == nil {
		return protocol.Wanted{}
	}
	return protocol.Wanted{Most: n.most, Beside: slices.Collect(maps.Keys(*n.members.Load()))}
}

// told is a debtor with what was counted of it.
type told struct {
	protocol.Debtor
	*member
}

// tell returns those that are in, by name.
func (n *Named) tell(debtors []protocol.Debtor) (list []told) {
	if n == nil {
		return nil
	}
	n.refresh(time.Now(), debtors)
	members := *n.members.Load()
	for _, d := range debtors {
		if m := members[d.Subscription]; m != nil {
			list = append(list, told{d, m})
		}
	}
	slices.SortFunc(list, func(a, b told) int { return cmp.Compare(a.Subscription, b.Subscription) })
	return list
}

// refresh judges who is in. What owes is let in at once where there is room.
func (n *Named) refresh(now time.Time, debtors []protocol.Debtor) {
	n.mu.Lock()
	defer n.mu.Unlock()
	known := make(map[string]weight, len(debtors))
	members := *n.members.Load()
	room := n.most - len(members)
	for i := range debtors {
		w := weigh(&debtors[i])
		known[debtors[i].Subscription] = w
		if members[debtors[i].Subscription] == nil && room > 0 {
			room--
			n.put(debtors[i].Subscription, nil)
		}
	}
	if since := now.Sub(n.refreshed); since >= limits.NamedRefresh || n.refreshed.IsZero() {
		n.refreshed = now
		n.exchange(now, known)
	}
}

func weigh(d *protocol.Debtor) weight {
	switch {
	case d.Owed == 0 || d.State == protocol.StateActive:
		return weight{}
	case d.State == protocol.StateSuspended || d.State == protocol.StateInvalid:
		return weight{2, float64(d.Owed)}
	}
	return weight{1, float64(d.Owed)}
}

// exchange lets those in that matter twice as much as others that are. The caller
// holds mu.
func (n *Named) exchange(now time.Time, known map[string]weight) {
	members := *n.members.Load()
	var out []string
	for id, m := range members {
		total := m.delivered.Load() + m.failed.Load()
		attempts := float64(total - m.seen)
		m.seen = total
		w, led := known[id]
		switch {
		case w.trouble > 0:
			m.weight, m.trouble = w, now
		case now.Sub(m.trouble) < limits.NamedTrouble: // stays as it was
		default:
			m.weight = weight{size: (attempts + m.weight.size) / 2}
			if !led && attempts == 0 {
				out = append(out, id)
			}
		}
	}
	n.put("", out)

	type candidate struct {
		id string
		weight
	}
	var in []candidate
	members = *n.members.Load()
	for id, w := range known {
		if members[id] == nil && w.trouble > 0 {
			in = append(in, candidate{id, w})
		}
	}
	for id, attempts := range n.others {
		if members[id] == nil && known[id].trouble == 0 {
			in = append(in, candidate{id, weight{size: float64(attempts*sampled) / 2}})
		}
		if n.others[id] /= 2; n.others[id] == 0 {
			delete(n.others, id)
		}
	}
	slices.SortFunc(in, func(a, b candidate) int { return cmp.Or(b.compare(a.weight), cmp.Compare(a.id, b.id)) })
	weakest := slices.SortedFunc(maps.Keys(members), func(a, b string) int {
		return cmp.Or(members[a].weight.compare(members[b].weight), cmp.Compare(a, b))
	})
	for _, c := range in {
		if len(*n.members.Load()) < n.most {
			n.put(c.id, nil).weight = c.weight
			continue
		}
		if len(weakest) == 0 {
			return
		}
		w := members[weakest[0]].weight
		if c.trouble < w.trouble || c.trouble == w.trouble && c.size <= 2*w.size {
			return
		}
		n.put(c.id, weakest[:1]).weight = c.weight
		weakest = weakest[1:]
	}
}
