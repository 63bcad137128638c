package protocol

import (
	"errors"
	"fmt"
	"time"

	"orderbridge/bridge/event"
	"orderbridge/internal/limits"
)

// # R15, noticing
//
// The stream is changed when it ends below top, or when the sequence of top, or of the floor,
// carries another time. A message that is merely gone (a limit, a purge, removed by hand) is not a change. This is looked
// at during a take-over, before and after each durable is made, when a reader gets a new consumer, when the event of a
// lane is read, and every 3 s. What was looked up (the end of the stream, a sequence at a time, what a reader's new
// consumer answers) counts only if top was still the same in an answer that came after it. During a term another
// creation time, or a stream that ends below where it ended before, is a change too. A change ends the term.

// know takes note of a message that was read or looked up. Ahead of the feed it
// tells the feed too, which looks for it when it makes a new durable.
func (c *Machine) know(r event.Ref) {
	if r.Known() && r.Seq > c.top.Seq {
		c.took(r)
		c.emit(NoteMessage{r})
	}
}

// took takes note of a message that the feed brought.
func (c *Machine) took(r event.Ref) {
	c.witnesses.Know(r)
	c.top = c.witnesses[0]
}

// lookNow asks whether the stream is still the same, for all that waits for it.
func (c *Machine) lookNow() {
	if c.looking || len(c.doubtful) == 0 {
		return
	}
	c.looking = true
	if wait := c.lookedAt + limits.LookGap - c.now.Boot; wait > 0 && c.lookedAt > 0 {
		c.after(wait, timer{what: dueLook})
		return
	}
	c.look()
}

func (c *Machine) look() {
	c.lookedAt = c.now.Boot
	c.inLook, c.doubtful = c.doubtful, nil
	c.ask(request{out: LookAtStream{c.newRequest(), c.witnesses, c.floorRef}})
}

// looked takes what waited if the stream is the same. If it is not, the term ends.
func (c *Machine) looked(q *request, in StreamSeen) {
	batch := c.inLook
	c.inLook, c.looking = nil, false
	if in.Err != nil {
		c.doubtful = append(batch, c.doubtful...)
		c.streamMissing(in.Err)
		c.looking = true
		c.after(c.Busy, timer{what: dueLook})
		return
	}
	if why := c.differs(in.Look, q.out.(LookAtStream).Floor); why != "" {
		c.leave(why)
		return
	}
	c.streamSeen(in.Look.Stream)
	for _, h := range batch {
		if c.over {
			return
		}
		c.isSure(h)
	}
	c.lookNow()
}

// checkStream looks every few seconds.
func (c *Machine) checkStream() {
	c.after(c.Check, timer{what: dueStream})
	if c.opened && len(c.doubtful) == 0 && !c.looking {
		c.sure(held{in: Tick{}})
	}
}

// differs says why the stream is not the one that the term knows; "" if it is.
func (c *Machine) differs(l Look, floor event.Ref) string {
	switch {
	case !l.Stream.Created.Equal(c.stream.Created):
		return fmt.Sprintf("it was recreated or restored at %s", l.Stream.Created.UTC().Format(time.RFC3339))
	case l.Top == Other && l.Known.Seq > l.Stream.Last:
		return fmt.Sprintf("it ends at sequence %d, message %d was known", l.Stream.Last, l.Known.Seq)
	case l.Top == Other:
		return fmt.Sprintf("sequence %d is another message now", l.Known.Seq)
	case l.Floor == Other:
		return fmt.Sprintf("sequence %d is another message now", floor.Seq)
	case l.Stream.Last < c.stream.Last && l.Stream.Settled:
		return fmt.Sprintf("it ends at sequence %d, it had ended at %d", l.Stream.Last, c.stream.Last)
	}
	return ""
}

// streamSeen gets what the stream's leader says of it, every few seconds.
// Its end was told before top was looked at, so it counts as known.
func (c *Machine) streamSeen(st StreamState) {
	c.stream = st
	c.know(event.Ref{Seq: st.Last, Time: st.LastTime})
}

// errFeedEnded: somebody else may lead.
var errFeedEnded = fmt.Errorf("the feed ended: %w", ErrDeposed)

// streamMissing gets why the stream did not answer a look.
func (c *Machine) streamMissing(err error) {
	c.complain("the stream does not answer", "look", "error", err)
}

// ErrStreamChanged ends a term whose stream is another one, or has lost its end (R15):
// the bridge takes over again at once.
var ErrStreamChanged = errors.New("the source stream has changed")
