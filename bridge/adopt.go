package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
)

// Begin says where the bridge is to begin: at one of these, or, with none of
// them, where it is.
type Begin struct {
	Seq  uint64    `json:"fromSeq,omitempty"`
	Time time.Time `json:"fromTime,omitzero"`
	End  bool      `json:"atEnd,omitempty"`
}

// Adoption makes a decision of where to begin, as the stream is now.
func (b Begin) Adoption(ctx context.Context, source Source, now time.Time) (protocol.Adoption, error) {
	a := protocol.Adoption{Time: now}
	st, err := source.State(ctx)
	if err != nil {
		return a, fmt.Errorf("look at the stream: %w", err)
	}
	switch {
	case b.End:
		a.After, a.Known = st.Last, event.Ref{Seq: st.Last, Time: st.LastTime}
	case !b.Time.IsZero():
		seq, last, err := source.SequenceAt(ctx, b.Time)
		if err != nil {
			return a, fmt.Errorf("look at the stream: %w", err)
		}
		a.After, a.Known = max(seq, 1)-1, last
	case b.Seq > 0:
		if b.Seq > st.Last+1 {
			return a, fmt.Errorf("--from-seq is %d, but the stream ends at sequence %d", b.Seq, st.Last)
		}
		a.After, a.Known = b.Seq-1, event.Ref{Seq: st.Last, Time: st.LastTime}
	}
	return a, nil
}

// InspectStream reports on the stream where nobody leads: what the next leader
// will find. free: the lease was given back.
func InspectStream(ctx context.Context, source Source, lease []byte) (r protocol.StreamReport, free bool, err error) {
	var e protocol.LeaseEntry
	if err := json.Unmarshal(lease, &e); err != nil {
		return r, false, fmt.Errorf("the lease cannot be read: %w", err)
	}
	st, err := source.State(ctx)
	if err != nil {
		return r, false, fmt.Errorf("look at the stream: %w", err)
	}
	stamp := func(seq uint64) (int64, error) { return source.Stamp(ctx, seq) }
	judge := func(x event.Ref) (protocol.Standing, error) { return st.Judge(x, stamp) }
	s := protocol.Survey{Stream: st, Durable: true}
	if s.Top, err = judge(e.Top); err == nil {
		if s.Floor, err = judge(e.FloorRef()); err == nil {
			s.Highest, s.Other, err = protocol.Highest(e.Refs(), judge)
		}
	}
	if err != nil {
		return r, false, fmt.Errorf("look at the stream: %w", err)
	}
	p := protocol.Place(&e, &s, false)
	return protocol.StreamReport{Name: st.Name, Created: st.Created, First: st.First, Last: st.Last, Floor: e.Floor,
		Known:    e.Top.Seq,
		Position: p.At.Seq, Changed: p.Changed, Changes: append([]protocol.StreamChange{}, e.Changes...),
		Adopt: e.Adopt}, e.Free, nil
}
