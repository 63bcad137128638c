package protocol

import "time"

// # R18, closing
//
// Each lease of g is closed for good by compare-and-set: when it is free, or when it has had no new
// revision for the length of a lease + 2 s; an absent one in the same way (R16), by a create that tells the floor of
// its durable. Nobody wins a closed lease, and it tells the layout for which it was closed. After that each of its
// fences is overwritten, in both buckets. Nobody of g+1 wins a lease before all of g are closed and fenced. Closing
// needs no lease; whoever does it again does no harm. A build that knows of no shards takes a closed lease of the first
// layout, and again as soon as it is closed again; fences and a durable keep it out, and where both stand such a lease
// counts as closed.

// Closing watches the lease of a former shard (R18): it is closed for good when
// it is free, or when no new revision came for the length of a lease and the
// margin. Closing needs no lease of one's own, and does no harm when it is done
// twice.
type Closing struct {
	Patience time.Duration // length of a lease plus the margin for clocks
	Fresh    bool          // nothing of that shard is on the bus: nobody has deleted a lease that is absent (R16)
	watch    Standby
}

// Observe takes note of the entry as it was read at the boot time now.
func (c *Closing) Observe(x LeaseSight, now time.Duration) { c.watch.Observe(x.Entry, x.Revision, now) }

// Wait returns how long to wait before the lease may be closed; 0: now, or it is closed already.
func (c *Closing) Wait(now time.Duration) time.Duration {
	c.watch.Patience, c.watch.Fresh = c.Patience, c.Fresh
	if c.watch.Entry.Closed {
		return 0
	}
	return c.watch.Wait(now)
}

// Closed tells whether the lease was seen to be closed.
func (c *Closing) Closed() bool { return c.watch.Known && c.watch.Entry.Closed }

// Seen is the lease as it was last observed, and what a write of it has to expect.
func (c *Closing) Seen() (LeaseEntry, uint64) { return c.watch.Entry, c.watch.Revision }

// Closed is the entry as it is closed: nobody wins it any more, and all that it
// tells stays. An absent one may tell the floor and the epoch of a durable.
func Closed(e LeaseEntry) LeaseEntry {
	if e.Absent() {
		e.Holder, e.Epoch, e.FormerIDs = "nobody", max(e.Epoch, 1), new(uint64)
	}
	e.Free, e.Closed, e.Leading = true, true, false
	return e
}
