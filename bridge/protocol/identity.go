package protocol

import (
	"errors"
	"time"

	"orderbridge/bridge/event"
)

// # R15, naming
//
// A message is named by (sequence, time). What the leader keeps on the bus tells, beside its numbers,
// messages at or above them (known): the lease, each mark, each lane entry and each status. The lease also tells
// top, the highest message known (taken in, read by a reader, or looked up), and checkpoints: former floors, one for
// each power of two of age, from 1 s to 12 days. A number speaks of the present stream if a message that its entry
// tells, at or above it, is there: streams lose and gain messages only at their ends, or lose them one by one, so all
// below that message is the same too, or gone. The time of the stream's creation is told as well, but at a take-over it
// decides only where no message can.

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
