package subscribers

import (
	"slices"
	"sync"

	"orderbridge/bridge/event"
	"orderbridge/internal/limits"
)

// Recent keeps the newest events that the feed has taken in, so that readers
// that are only a little behind need not ask the bus. It is of one feed. The zero
// value is ready; it is bounded in events and bytes.
type Recent struct {
	Of int // feeds of the process, among which the bounds are divided; 0: 1

	mu    sync.Mutex
	ring  []*event.Message // ascending, without gaps in the stream: from low on nothing is missing
	head  int
	low   uint64
	bytes int
}

// add appends what the feed has taken in after prev, the event before it in the stream.
func (r *Recent) add(prev uint64, m *event.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.ring); n == r.head || r.ring[n-1].Seq != prev {
		clear(r.ring)
		r.ring, r.head, r.bytes, r.low = r.ring[:0], 0, 0, prev+1
	}
	r.ring = append(r.ring, m)
	r.bytes += weight(m)
	most := limits.RecentEvents / max(r.Of, 1)
	for len(r.ring)-r.head > most || r.bytes > limits.RecentBytes/max(r.Of, 1) {
		old := r.ring[r.head]
		r.low = old.Seq + 1
		r.bytes -= weight(old)
		r.ring[r.head] = nil
		r.head++
	}
	if r.head > most {
		n := copy(r.ring, r.ring[r.head:])
		clear(r.ring[n:])
		r.ring, r.head = r.ring[:n], 0
	}
}

// reset forgets all.
func (r *Recent) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.ring)
	r.ring, r.head, r.bytes, r.low = r.ring[:0], 0, 0, 0
}

func (r *Recent) get(seq uint64) *event.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	live := r.ring[r.head:]
	if i, ok := slices.BinarySearchFunc(live, seq, bySeq); ok {
		return live[i]
	}
	return nil
}

// read answers if the ring holds all from `from` on and something of it is there.
func (r *Recent) read(from uint64, filters []string, max, maxBytes int) (msgs []*event.Message, through uint64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	live := r.ring[r.head:]
	if len(live) == 0 || from < r.low || from > live[len(live)-1].Seq {
		return nil, 0, false
	}
	i, _ := slices.BinarySearchFunc(live, from, bySeq)
	size := 0
	for _, m := range live[i:] {
		if len(filters) == 0 || slices.ContainsFunc(filters, func(f string) bool { return covers(f, m.Subject) }) {
			if size += len(m.Data); len(msgs) == max || (len(msgs) > 0 && size > maxBytes) {
				break
			}
			msgs = append(msgs, m)
		}
		through = m.Seq
	}
	return msgs, through, true
}

func bySeq(m *event.Message, seq uint64) int {
	switch {
	case m.Seq < seq:
		return -1
	case m.Seq > seq:
		return 1
	}
	return 0
}

func weight(m *event.Message) int { return len(m.Data) + len(m.Subject) + 200*len(m.Header) + 200 }
