package bridge

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

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

// Ref names a message for good.
type Ref struct {
	Seq  uint64
	Time int64 // the server's time stamp, Unix nanoseconds; 0: not known
}

// Ref names the message.
func (m *Message) Ref() Ref {
	r := Ref{Seq: m.Seq}
	if !m.Time.IsZero() {
		r.Time = m.Time.UnixNano()
	}
	return r
}

func (r Ref) known() bool { return r.Seq > 0 && r.Time != 0 }

// MarshalJSON makes [sequence, nanoseconds] of it.
func (r Ref) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "[%d,%d]", r.Seq, r.Time), nil
}

// UnmarshalJSON reads what MarshalJSON made.
func (r *Ref) UnmarshalJSON(b []byte) error {
	var pair [2]json.Number
	if err := json.Unmarshal(b, &pair); err != nil {
		return fmt.Errorf("not a message: %w", err)
	}
	if _, err := fmt.Sscan(string(pair[0])+" "+string(pair[1]), &r.Seq, &r.Time); err != nil {
		return fmt.Errorf("not a message: %w", err)
	}
	return nil
}

// refs are messages in the order of the stream, each once, those that are not
// known left out.
func refs(list ...Ref) []Ref {
	list = slices.DeleteFunc(list, func(r Ref) bool { return !r.known() })
	slices.SortFunc(list, compareRefs)
	return slices.CompactFunc(list, func(a, b Ref) bool { return a.Seq == b.Seq })
}

func compareRefs(a, b Ref) int {
	switch {
	case a.Seq < b.Seq:
		return -1
	case a.Seq > b.Seq:
		return 1
	}
	return 0
}

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
	Known      Ref      // the highest message known that is not merely gone, else top
	Top, Floor Standing // of Known, of the floor's message
}

// judge tells how a message stands; stamp asks the stream's leader for the time
// of a message.
func (st *StreamState) judge(r Ref, stamp func(seq uint64) (int64, error)) (Standing, error) {
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
	case !r.known():
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

// highest is the index of the last message of one entry that is still there, -1
// if none is. All before it are then the same, or gone. other: the sequence of
// a later one is another message's.
func highest(list []Ref, judge func(Ref) (Standing, error)) (lo int, other bool, err error) {
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

var errStreamChanged = errors.New("the source stream has changed")

// Witnesses are the highest messages that are known, the highest first. Where
// that one was removed, those below it tell whether the stream is the same.
type Witnesses [4]Ref

// Know takes note of a message.
func (w *Witnesses) Know(r Ref) {
	if r.known() && r.Seq > w[0].Seq {
		copy(w[1:], w[:])
		w[0] = r
	}
}

// Testify tells how the first of them stands that is not merely gone.
func (w *Witnesses) Testify(judge func(Ref) (Standing, error)) (Ref, Standing, error) {
	for _, r := range w {
		if !r.known() {
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
func (c *core) know(r Ref) {
	if r.known() && r.Seq > c.top.Seq {
		c.took(r)
		c.emit(NoteMessage{r})
	}
}

// took takes note of a message that the feed brought.
func (c *core) took(r Ref) {
	c.witnesses.Know(r)
	c.top = c.witnesses[0]
}

// lookNow asks whether the stream is still the same, for all that waits for it.
func (c *core) lookNow() {
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

func (c *core) look() {
	c.lookedAt = c.now.Boot
	c.inLook, c.doubtful = c.doubtful, nil
	c.ask(request{out: LookAtStream{c.newRequest(), c.witnesses, c.floorRef}})
}

// looked takes what waited if the stream is the same. If it is not, the term ends.
func (c *core) looked(q *request, in StreamSeen) {
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
func (c *core) checkStream() {
	c.after(c.Check, timer{what: dueStream})
	if c.opened && len(c.doubtful) == 0 && !c.looking {
		c.sure(held{in: Tick{}})
	}
}

// differs says why the stream is not the one that the term knows; "" if it is.
func (c *core) differs(l Look, floor Ref) string {
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
func (c *core) streamSeen(st StreamState) {
	c.stream = st
	c.know(Ref{st.Last, st.LastTime})
}

// errFeedEnded: somebody else may lead.
var errFeedEnded = fmt.Errorf("the feed ended: %w", ErrDeposed)

// streamMissing gets why the stream did not answer a look.
func (c *core) streamMissing(err error) {
	c.complain("the stream does not answer", "look", "error", err)
}
