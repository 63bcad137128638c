package publishers

import (
	"sync"

	"orderbridge/internal/limits"
)

// attemptQueue is what waits to be written to the delivery log. It is bounded by
// number and bytes, and shared: an owner may have twice as much as is free, so one
// alone has two thirds of it, and there is always room for others. Whoever waits is
// served in turn.
type attemptQueue struct {
	mu     sync.Mutex
	owners map[attemptOwner]*ownedEntries
	turns  []*ownedEntries // those with entries
	next   int             // whose turn it is
	number int             // of all entries
	bytes  int             // of all entries
	spare  []byte          // of an owner that has none any more
	signal chan struct{}   // something waits
}

// attemptOwner is whose an entry is: of the tenant, else of the subscription.
type attemptOwner struct{ tenant, subscription string }

func entryOwner(subscription, tenant string) attemptOwner {
	if tenant != "" {
		return attemptOwner{tenant: tenant}
	}
	return attemptOwner{subscription: subscription}
}

// ownedEntries are one owner's, oldest first.
type ownedEntries struct {
	owner   attemptOwner
	data    []byte
	entries []queuedEntry
	from    int // entries before it are taken
}

// queuedEntry is where one stands in data, and its subject.
type queuedEntry struct {
	subscription, order string // order is the token
	begin, end          int
}

func newAttemptQueue() *attemptQueue {
	return &attemptQueue{owners: map[attemptOwner]*ownedEntries{}, signal: make(chan struct{}, 1)}
}

// hasRoom tells whether an entry as large as those that wait would be taken now.
func (q *attemptQueue) hasRoom(owner attemptOwner, failed bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	o, size := q.owners[owner], 0
	if o != nil {
		size = o.size() / (len(o.entries) - o.from)
	}
	return q.fits(o, size, failed)
}

// fits: what failed has more room than what went well. o is nil if nothing of the
// owner waits.
func (q *attemptQueue) fits(o *ownedEntries, size int, failed bool) bool {
	number, bytes := 1, size
	if o != nil {
		number, bytes = number+len(o.entries)-o.from, bytes+o.size()
	}
	freeNumber, freeBytes := limits.AttemptQueue-q.number, limits.AttemptQueueBytes-q.bytes
	most := 2
	if failed {
		most = 8
	}
	return freeNumber > 0 && freeBytes > size && number <= most*freeNumber && bytes <= most*freeBytes
}

// add takes a copy of an entry; false: there is no room.
func (q *attemptQueue) add(owner attemptOwner, subscription, order string, data []byte, failed bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	o := q.owners[owner]
	if !q.fits(o, len(data), failed) {
		return false
	}
	if o == nil {
		o = &ownedEntries{owner: owner, data: q.spare}
		q.spare = nil
		q.owners[owner] = o
		q.turns = append(q.turns, o)
	}
	begin := len(o.data)
	o.data = append(o.data, data...)
	o.entries = append(o.entries, queuedEntry{subscription, order, begin, len(o.data)})
	q.number++
	q.bytes += len(data)
	if q.number == 1 {
		select {
		case q.signal <- struct{}{}:
		default:
		}
	}
	return true
}

func (o *ownedEntries) size() int { return len(o.data) - o.entries[o.from].begin }

// attemptBatch is what is written at once. It is used again.
type attemptBatch struct {
	data    []byte
	entries []queuedEntry
}

// take moves the next entries into the batch, one of each owner in turn, and tells
// how many are left.
func (q *attemptQueue) take(b *attemptBatch, most, mostBytes int) (left int) {
	b.data, b.entries = b.data[:0], b.entries[:0]
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(b.entries) < most && len(b.data) < mostBytes && len(q.turns) > 0 {
		q.next %= len(q.turns)
		o := q.turns[q.next]
		e := o.entries[o.from]
		begin := len(b.data)
		b.data = append(b.data, o.data[e.begin:e.end]...)
		q.number--
		q.bytes -= e.end - e.begin
		e.begin, e.end = begin, len(b.data)
		b.entries = append(b.entries, e)
		o.from++
		switch {
		case o.from == len(o.entries):
			q.turns[q.next] = q.turns[len(q.turns)-1]
			q.turns[len(q.turns)-1] = nil
			q.turns = q.turns[:len(q.turns)-1]
			delete(q.owners, o.owner)
			if cap(o.data) <= limits.AttemptBatchBytes {
				q.spare = o.data[:0]
			}
		default:
			o.compact()
			q.next++
		}
	}
	return q.number
}

// compact moves what is left to the front, once that is the smaller part.
func (o *ownedEntries) compact() {
	taken := o.entries[o.from].begin
	if taken < limits.AttemptBatchBytes || taken < len(o.data)/2 {
		return
	}
	n := copy(o.data, o.data[taken:])
	o.data = o.data[:n]
	n = copy(o.entries, o.entries[o.from:])
	clear(o.entries[n:])
	o.entries, o.from = o.entries[:n], 0
	for i := range o.entries {
		o.entries[i].begin -= taken
		o.entries[i].end -= taken
	}
}
