package protocol

import (
	"container/heap"
	"time"
)

// Timers are values, like all else that the machine waits for.

// timer is something that is to be done at a time.
type timer struct {
	at      time.Duration
	number  uint64 // those of one time fire in the order in which they were set
	what    due
	sub     *sub // whom it concerns: once that is dead, it does not fire; nil: the machine
	lane    *lane
	ask     *request
	key     *keyWriter
	time    time.Time
	filling *filling
}

// due is what a timer is for.
type due uint8

const (
	dueRenewal due = iota
	dueTick
	dueRetention // a look at the limits of the stream
	dueStream    // a look at which stream it is
	dueBuckets   // a look at the state buckets
	dueTakeover  // the step that waits is tried again
	dueFeed      // the feed may start when all records are applied
	dueLook
	dueRequest // sent again
	dueEntry   // of the ledger: the newest wanted value, after a refusal
	dueOwed    // what is owed is copied while the stream loses it
	dueHandover
	dueLeaving
	dueInvalid // invalid records are told
	dueOffer   // the head of a lane
	dueKick    // a pause that an endpoint asked for is over
	duePace
	dueProbe
	dueLetters
	dueDebts // of a deleted record
	dueKept  // revisions that a stand-by had seen
	dueRewind
	dueStatus // of a subscription that was busy, when its bucket is filled again
)

type timers struct {
	heap timerHeap
	set  uint64
}

type timerHeap []timer

func (h timerHeap) Len() int { return len(h) }
func (h timerHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].number < h[j].number
}
func (h timerHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *timerHeap) Push(x any)   { *h = append(*h, x.(timer)) }
func (h *timerHeap) Pop() any {
	o := *h
	x := o[len(o)-1]
	o[len(o)-1] = timer{}
	*h = o[:len(o)-1]
	return x
}

// after sets a timer.
func (c *Machine) after(d time.Duration, t timer) {
	c.timers.set++
	t.at, t.number = c.now.Boot+max(d, 0), c.timers.set
	heap.Push(&c.timers.heap, t)
}

// fireTimers does what is due.
func (c *Machine) fireTimers() {
	for len(c.timers.heap) > 0 && c.timers.heap[0].at <= c.now.Boot && !c.over {
		t := heap.Pop(&c.timers.heap).(timer)
		if t.sub == nil || t.sub.mode != gone {
			c.fire(&t)
		}
	}
}

func (c *Machine) fire(t *timer) {
	switch t.what {
	case dueRenewal:
		c.renewLoop()
	case dueTick:
		c.tick()
	case dueRetention:
		c.watchRetention()
	case dueStream:
		c.checkStream()
	case dueBuckets:
		c.checkBuckets()
	case dueTakeover:
		c.takeOver()
	case dueFeed:
		c.startFeed()
	case dueLook:
		c.look()
	case dueRequest:
		c.send(t.ask)
	case dueEntry:
		c.writeWanted(t.key)
	case dueOwed:
		c.keepOwed()
	case dueHandover:
		c.handOver()
	case dueLeaving:
		c.leaveSoon()
	case dueInvalid:
		c.tellUnsaid()
	case dueOffer:
		t.sub.offer(t.lane)
	case dueKick:
		t.sub.kick()
	case duePace:
		t.sub.pacing = false
		t.sub.pump()
	case dueProbe:
		t.sub.probeDue()
	case dueLetters:
		t.sub.tickLetters()
	case dueDebts:
		c.debtsDue(t.sub, t.time)
	case dueKept:
		c.seeKept()
	case dueRewind:
		t.sub.rewindOn()
	case dueStatus:
		t.filling.later()
	}
}
