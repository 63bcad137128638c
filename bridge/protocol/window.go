package protocol

import (
	"slices"
	"time"

	"orderbridge/bridge/event"
	"orderbridge/bridge/record"
)

// windowEvent is one event of the feed's window.
type windowEvent struct {
	ev                         *event.Event
	tag                        uint64 // of whoever gave it
	version                    uint64
	matches                    []*record.Subscription // by id
	next                       int                    // matches before it are expanded
	items                      []*item
	debts                      int
	at                         time.Duration
	expanded, settled, touched bool
	marks                      []*sub // R7: confirmation of their {live} marks is a debt of this event
}

func (w *windowEvent) seq() uint64 { return w.ev.Seq }

// unexpanded tells whether the event is not yet expanded for a subscription.
func (w *windowEvent) unexpanded(id string) bool {
	return !w.expanded && !w.settled && w.next < len(w.matches) && id >= w.matches[w.next].ID
}

// brought is the input of the feed.
func (c *Machine) brought(in *EventTaken) {
	if c.stopping || c.leaving != nil {
		return
	}
	c.pending = append(c.pending, &windowEvent{ev: in.Event, matches: in.Matches, version: in.Version, tag: in.Tag})
	c.expandNext()
}

// expandNext expands the newest event as far as D allows; only then the next
// one is taken in, so at most one event is expanded in part.
func (c *Machine) expandNext() {
	for !c.stopping {
		if n := len(c.win); n > 0 && !c.win[n-1].expanded {
			if !c.expand(c.win[n-1]) {
				return
			}
		}
		if len(c.pending) == 0 {
			return
		}
		w := c.pending[0]
		c.pending = slices.Delete(c.pending, 0, 1)
		c.takeIn(w)
	}
}

func (c *Machine) takeIn(w *windowEvent) {
	if from := max(c.taken+1, c.counting); w.seq() > from {
		c.missed(c.formers.owed(from, w.seq()-1), w.seq()-1)
	}
	c.taken, c.takenAt = w.seq(), w.ev.Ref().Time
	c.took(w.ev.Ref())
	c.figures.Taken++
	if w.ev.Not != "" {
		c.passOver(w.ev)
	}
	c.noteTenant(w.ev)
	c.noteBounds(w.ev)
	w.at = c.now.Boot
	c.win = append(c.win, w)
	c.winBytes += w.ev.Size()
	for _, s := range c.newMarks { // R7: a debt of the feed's next event
		s.markEvent = w
		w.marks = append(w.marks, s)
		w.debts++
		c.owed++
	}
	c.newMarks = c.newMarks[:0]
	if c.inherited.has(w.seq()) {
		w.expanded, w.matches = true, nil
		c.settleIfPaid(w)
		return
	}
	if w.version != c.Directory.Version() {
		w.matches, w.version = c.Directory.Match(w.ev, w.matches[:0])
	}
}

// expand turns matches into deliveries; false if D is reached before the last.
func (c *Machine) expand(w *windowEvent) bool {
	now := c.now.Boot
	for w.next < len(w.matches) {
		if c.owed >= c.Deliveries {
			return false
		}
		m := w.matches[w.next]
		w.next++
		if w.seq() == c.cursor.Seq && m.ID < c.cursor.ID {
			continue
		}
		s := c.sub(m.ID)
		if s != nil && s.mode == reading {
			s.matchesAhead(w.seq())
			continue
		}
		if s == nil || s.mode == unseen || w.seq() < s.liveFrom || !s.active && s.mode == live || c.formers.settled(m.ID, w.seq()) {
			continue
		}
		if s.mode == live && c.standsInTheWay(s) {
			w.next-- // it may still owe this one
			s.goReading(reasonSlow)
			w.next++
		}
		c.figures.Matched++
		it := &item{seq: w.seq(), stamp: w.ev.Ref().Time, ev: w.ev, win: w, sub: s, at: now}
		w.items = append(w.items, it)
		w.debts++
		c.owed++
		if s.mode == live || s.mode == joining {
			s.enqueue(it)
		}
	}
	w.expanded = true
	w.matches = nil
	c.settleIfPaid(w)
	return true
}

// pay takes the debt of a delivery off its event.
func (c *Machine) pay(it *item) {
	w := it.win
	if w == nil {
		return
	}
	it.win = nil
	c.owed--
	w.debts--
	w.touched = true
	c.settleIfPaid(w)
}

// payMark takes the debt of a {live} mark off its event.
func (c *Machine) payMark(s *sub) {
	if w := s.markEvent; w != nil {
		s.markEvent = nil
		c.owed--
		w.debts--
		c.settleIfPaid(w)
		return
	}
	for i, x := range c.newMarks {
		if x == s {
			c.newMarks = append(c.newMarks[:i], c.newMarks[i+1:]...)
			return
		}
	}
}

// settleIfPaid moves the settleIfPaid prefix when nothing of an event is owed any more.
func (c *Machine) settleIfPaid(w *windowEvent) {
	if w.debts > 0 || !w.expanded || w.settled {
		return
	}
	w.settled = true
	c.winBytes -= w.ev.Size()
	if c.losing != "" {
		c.holdAcks() // before it may be acknowledged
	}
	c.emit(SettleEvent{w.seq(), w.tag})
	w.items = nil
	i := 0
	for i < len(c.win) && c.win[i].settled {
		c.prefix, c.floorRef = c.win[i].seq(), c.win[i].ev.Ref()
		c.win[i] = nil
		i++
	}
	if i > 0 {
		c.win = c.win[i:]
		c.inherited.cut(c.prefix + 1)
	}
}
