package event

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

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

// Known tells whether it names a message: both its sequence and its time are told.
func (r Ref) Known() bool { return r.Seq > 0 && r.Time != 0 }

// Published is the time of the message; zero: it is not known.
func (r Ref) Published() time.Time {
	if r.Time == 0 {
		return time.Time{}
	}
	return time.Unix(0, r.Time).UTC()
}

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

// Refs are messages in the order of the stream, each once, those that are not
// known left out.
func Refs(list ...Ref) []Ref {
	list = slices.DeleteFunc(list, func(r Ref) bool { return !r.Known() })
	slices.SortFunc(list, CompareRefs)
	return slices.CompactFunc(list, func(a, b Ref) bool { return a.Seq == b.Seq })
}

// CompareRefs puts messages in the order of the stream: -1, 0 or 1.
func CompareRefs(a, b Ref) int {
	switch {
	case a.Seq < b.Seq:
		return -1
	case a.Seq > b.Seq:
		return 1
	}
	return 0
}
