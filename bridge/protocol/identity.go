package protocol

import (
	"errors"
	"fmt"
	"time"

	"orderbridge/bridge/event"
	"orderbridge/internal/limits"
)

// R15. A sequence names a message only within one stream. A stream that was
// deleted and made anew, restored from a backup, or that has lost its tail
// gives the same sequences to other messages. So a message is named by sequence
// and time, and whatever the leader keeps on the bus tells, beside its numbers,
// messages at or above them (`known`). A number speaks of the present stream if
// a message that its entry tells, at or above it, is there: streams only lose
// and gain at their ends, so all below that message is the same too, or gone.
//
// The stream is *changed* when it ends below `top`, the highest message that is
// known, or when top's or the floor's sequence carries another time. A message
// that is merely gone (a limit, a purge) is no change. Checked at take-over,
// after each durable was made, and every few seconds; what was looked up in the
// stream counts only if top was the same in an answer that came after.

// Standing is what the stream holds under a message's sequence.
type Standing uint8

// The standings of a message.
const (
	Same   Standing = iota // that very message
	Absent                 // none: it was removed
	Other                  // another message, or the stream ends below it
)

// StreamState is what the leader of the source stream says of it.
type StreamState struct {
	Name        string
	Created     time.Time
	First, Last uint64
	FirstTime   int64  // of the message at First, Unix nanoseconds; 0: not known
	LastTime    int64  // of the message at Last, Unix nanoseconds; 0: not known
	Retention   string // "limits", "interest", "workqueue"
	Deleted     int    // messages missing between First and Last
	Settled     bool   // no former leader can be left: what is not found is not there
}

// ErrNoStream says that there is no source stream at present.
var ErrNoStream = errors.New("the stream does not exist")

// errUnsettled: a former leader may have said it.
var errUnsettled = errors.New("the stream's leader was elected a few seconds ago: what it lacks may be there")

// Look is an answer about the stream that came after what it is to confirm.
type Look struct {
	Stream     StreamState
	Known      event.Ref // the highest message known that is not merely gone, else top
	Top, Floor Standing  // of Known, of the floor's message
}

// Judge tells how a message stands; stamp asks the stream's leader for the time
// of a message.
func (st *StreamState) Judge(r event.Ref, stamp func(seq uint64) (int64, error)) (Standing, error) {
	switch {
	case r.Seq == 0 || r.Seq < st.First && r.Seq <= st.Last:
		if r.Seq == 0 {
			return Same, nil
		}
		return Absent, nil
	case r.Seq > st.Last:
		if !st.Settled {
			return Other, errUnsettled
		}
		return Other, nil
	case !r.Known():
		return Absent, nil
	}
	t, err := stamp(r.Seq)
	switch {
	case errors.Is(err, ErrNotFound): // a former leader may have said it: that proves nothing, and changes nothing
		return Absent, nil
	case err != nil:
		return Absent, err
	case t != r.Time:
		return Other, nil
	}
	return Same, nil
}

// Highest is the index of the last message of one entry that is still there, -1
// if none is. All before it are then the same, or gone. other: the sequence of
// a later one is another message's.
func Highest(list []event.Ref, judge func(event.Ref) (Standing, error)) (lo int, other bool, err error) {
	lo, hi := -1, len(list)-1
	for lo < hi {
		mid := lo + (hi-lo+1)/2
		i := mid
		standing := Absent
		for ; i <= hi && standing == Absent; i++ {
			if standing, err = judge(list[i]); err != nil {
				return -1, false, err
			}
		}
		if standing == Same {
			lo = i - 1
		} else {
			hi, other = mid-1, other || standing == Other
		}
	}
	return lo, other, nil
}

// ---- the checks of a term

// ErrStreamChanged ends a term whose stream is another one, or has lost its end (R15):
// the bridge takes over again at once.
var ErrStreamChanged = errors.New("the source stream has changed")

// Witnesses are the highest messages that are known, the highest first. Where
// that one was removed, those below it tell whether the stream is the same.
type Witnesses [4]event.Ref

// Know takes note of a message.
func (w *Witnesses) Know(r event.Ref) {
	if r.Known() && r.Seq > w[0].Seq {
		copy(w[1:], w[:])
		w[0] = r
	}
}

// Testify tells how the first of them stands that is not merely gone.
func (w *Witnesses) Testify(judge func(event.Ref) (Standing, error)) (event.Ref, Standing, error) {
	for _, r := range w {
		if !r.Known() {
			continue
		}
		if st, err := judge(r); err != nil || st != Absent {
			return r, st, err
		}
	}
	return w[0], Absent, nil
}

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
		return fmt.Sprintf("it was made anew or restored at %s", l.Stream.Created.UTC().Format(time.RFC3339))
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
