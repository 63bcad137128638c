package protocol

import (
	"fmt"
)

// Retention says how near the source stream is to dropping what is owed.
type Retention struct {
	First  uint64   // first sequence that the stream still holds
	Beyond []uint64 // for each fraction asked for: everything up to here has gone so far of its way to the stream's limits
}

// The guard warns at these parts of the way to the stream's limits; at the last
// one it copies what is owed to the dead letters, before the stream drops it.
var retentionSteps = []float64{0.5, 0.8, 0.95, 0.98}

const expiringStep = 3 // index of the step at which events are copied

// reasonExpiring begins the reason of a dead letter that the guard wrote.
const reasonExpiring = "expiring: the stream was about to drop the event"

// watchRetention watches the debts of all subscriptions against the limits of
// the source stream.
func (c *Machine) watchRetention() {
	c.after(c.Retention, timer{what: dueRetention})
	if !c.opened || c.stopping || c.askingLimits {
		return
	}
	c.keep()
	c.askingLimits = true
	c.ask(request{out: AskRetention{c.newRequest(), retentionSteps}})
}

func (c *Machine) retentionTold(in RetentionTold) {
	c.askingLimits = false
	if c.stopping {
		return
	}
	if in.Err != nil {
		c.log(Warn, "the stream's limits cannot be compared with what is owed", "error", in.Err)
		return
	}
	r := in.Retention
	c.expiring, c.first = c.endangered(r.Beyond[expiringStep]), r.First
	for _, s := range c.which(func(s *sub) bool { return s.reader != nil || len(s.lanes) > 0 || s.warned > 0 }) {
		s.watchRetention(r)
	}
}

func (c *Machine) hasGap(r Retention) {
	c.expiring, c.first = c.endangered(r.Beyond[expiringStep]), r.First
	var missed uint64
	if r.First > c.taken+1 {
		missed = c.formers.owed(c.taken+1, r.First-1)
		c.missed(missed, r.First-1)
		c.counting = r.First
	}
	if missed > 0 {
		c.wakeAll(func(x *resting) bool { return x.liveFrom < r.First })
	}
	for _, id := range sorted(c.subs) {
		s := c.subs[id]
		s.countExpired(r.First)
		if missed > 0 && s.mode == live && s.active && s.liveFrom < r.First {
			s.expired += c.formers.owedTo(id, c.taken+1, r.First-1)
			s.changed()
		}
	}
}

// missed tells of events that the stream lost before the feed came to them:
// nobody can say whom they concerned. Where a stream keeps a few messages for
// each subject that is normal, so it is said once in a while, with the count.
func (c *Machine) missed(n, upTo uint64) {
	if n == 0 {
		return
	}
	c.figures.Missed += n
	c.untold += n
	now := c.now.Boot
	if c.missedAt > 0 && now-c.missedAt < c.Retention {
		return
	}
	c.missedAt = max(now, 1)
	text := fmt.Sprintf("the stream dropped %d events before they could be matched, up to sequence %d (a limit, a purge, or removed by hand)", c.untold, upTo)
	c.log(Error, text, "position", c.taken)
	c.raiseAll(AlertMissed, text, fmt.Sprint(upTo))
	c.untold = 0
}

// lowestOwed is the oldest sequence that the subscription owes; noLimit if none.
func (s *sub) lowestOwed() uint64 {
	low := uint64(noLimit)
	switch r := s.reader; {
	case s.mode == reading:
		if r.advance(); r.from <= r.until {
			low = r.from
		}
	case s.leftovers():
		if r.advance(); r.from <= r.at {
			low = r.from
		}
	}
	for _, ln := range s.lanes {
		if len(ln.q) > 0 && ln.redrive == 0 {
			low = min(low, ln.q[0].seq)
		}
	}
	return low
}

func (s *sub) watchRetention(r Retention) {
	c := s.core
	s.countExpired(r.First)
	low := s.lowestOwed()
	warned := 0
	for i := range retentionSteps[:expiringStep] {
		if low <= r.Beyond[i] {
			warned = i + 1
		}
	}
	if warned != s.warned {
		if warned > s.warned {
			text := s.retentionText(warned)
			c.log(Warn, "what is owed comes near the limits of the stream", "subscription_id", s.id, "sequence", low, "way", text)
			s.fires(firingRetention, AlertRetention, text, fmt.Sprintf("%d-%d", low, warned))
		} else if warned == 0 {
			s.ended(firingRetention, AlertRetention, AlertRetention, "what is owed is far from the limits of the stream again")
		}
		s.warned = warned
		s.changed()
	}
	s.rescue()
}

func (s *sub) retentionText(step int) string {
	return fmt.Sprintf("the oldest event that is owed has gone %.0f %% of the way to the stream's limits; it is copied to the dead letters at %.0f %%",
		retentionSteps[step-1]*100, retentionSteps[expiringStep]*100)
}

// countExpired: what the stream has dropped before it could be copied is lost;
// that is said loudly, and for good. A lane's entry gets a dead letter without
// the event when it is tried.
func (s *sub) countExpired(first uint64) {
	rd := s.reader
	if s.mode != reading || rd.from >= first {
		return
	}
	end := min(first-1, rd.until)
	lost := uint64(0)
	for seq := rd.from; seq <= end; {
		if done := rd.done.end(seq); done >= seq {
			seq = done + 1
			continue
		}
		next := end + 1
		for _, x := range rd.done.spans {
			if x.From > seq {
				next = min(next, x.From)
				break
			}
		}
		lost += next - seq
		seq = next
	}
	lost -= s.queuedWithin(rd.from, end)
	rd.done.add(rd.from, end)
	rd.at = max(rd.at, end)
	rd.moved = true
	if lost == 0 {
		return
	}
	s.expired += lost
	s.changed()
	text := fmt.Sprintf("the stream dropped up to %d events that were owed, up to sequence %d", lost, end)
	s.core.log(Error, text, "subscription_id", s.id)
	s.core.raise(AlertExpired, s, text, fmt.Sprint(end))
}

// queuedWithin counts what a reader has put into its lanes and not settled:
// each gets its own dead letter, and is counted then.
func (s *sub) queuedWithin(from, to uint64) (n uint64) {
	for _, ln := range s.lanes {
		for _, it := range ln.q {
			if it.seq >= from && it.seq <= to && ln.redrive == 0 && !s.reader.done.has(it.seq) {
				n++
			}
		}
	}
	return n
}

// holes counts what a reader of all subjects does not find between where it is
// and a sequence: somebody removed it. One that catches up from its anchor was
// never owed what is missing there, nor does one that was set back. Said once for each reading.
func (s *sub) holes(to uint64) {
	c, r := s.core, s.reader
	if to <= r.at || len(s.rec.Subjects) > 0 || r.reason == reasonNew || r.reason == reasonRewound && to <= r.seen {
		return
	}
	lost := to - r.at - r.done.size(r.at+1, to)
	if lost == 0 {
		return
	}
	s.expired += lost
	c.figures.Removed += lost
	s.changed()
	text := fmt.Sprintf("up to %d events that were owed had been removed from the stream before they were read, up to sequence %d; the status counts what follows", lost, to)
	if r.holes {
		c.log(Debug, text, "subscription_id", s.id)
		return
	}
	r.holes = true
	c.log(Error, text, "subscription_id", s.id)
	c.raise(AlertExpired, s, text, fmt.Sprint("holes-", to))
}

// rescue copies what is about to be dropped to the dead letters.
func (s *sub) rescue() {
	for _, token := range sorted(s.lanes) {
		if ln := s.lanes[token]; ln != nil {
			ln.rescue()
		}
	}
	s.pumpReader()
}

// rescue buries the head of a lane if the stream is about to drop it, unless the
// mark is just taking over what the lane holds (collapse).
func (ln *lane) rescue() bool {
	c := ln.sub.core
	if len(ln.q) == 0 || ln.q[0].gone || ln.run != nil || ln.redrive > 0 || ln.q[0].seq > c.expiring || c.stopping || ln.sub.mode == going {
		return false
	}
	o := Outcome{Reason: reasonExpiring, Status: ln.lastStatus}
	switch {
	case ln.q[0].seq < c.first:
		o.Reason, o.Gone = ReasonRemoved, true
	case c.losing != "":
		o.Reason = reasonLosing
	}
	ln.bury(ln.q[0], o, nil)
	return true
}
