package protocol

import (
	"sort"

	"orderbridge/bridge/event"
)

// span is a closed interval of stream sequences. At is the time of the message
// at To, 0 if it is not known (R15).
type span struct {
	From, To uint64
	At       int64
}

// seqSet is a set of stream sequences, kept as sorted, disjoint, not adjacent spans.
type seqSet struct{ spans []span }

// add puts the sequences from lo to hi into the set; nothing if hi < lo.
func (s *seqSet) add(lo, hi uint64) { s.addAt(lo, hi, 0) }

// addRef puts one message into the set.
func (s *seqSet) addRef(r event.Ref) { s.addAt(r.Seq, r.Seq, r.Time) }

// addAt is add with the time of the message at hi.
func (s *seqSet) addAt(lo, hi uint64, at int64) {
	if hi < lo {
		return
	}
	n := len(s.spans)
	if n > 0 && s.spans[n-1].To+1 >= lo && s.spans[n-1].From <= lo { // the usual case: grows at its end
		s.spans[n-1].extend(hi, at)
		return
	}
	i := sort.Search(n, func(i int) bool { return s.spans[i].To+1 >= lo })
	j := i
	x := span{lo, hi, at}
	for j < n && s.spans[j].From <= hi+1 {
		x.From = min(x.From, s.spans[j].From)
		x.extend(s.spans[j].To, s.spans[j].At)
		j++
	}
	if i == j {
		s.spans = append(s.spans, span{})
		copy(s.spans[i+1:], s.spans[i:])
		s.spans[i] = x
		return
	}
	s.spans[i] = x
	s.spans = append(s.spans[:i+1], s.spans[j:]...)
}

// extend moves the end of the span up to a message.
func (x *span) extend(to uint64, at int64) {
	if to > x.To || to == x.To && x.At == 0 {
		x.To, x.At = to, at
	}
}

// top removes everything above x.
func (s *seqSet) top(x uint64) {
	for n := len(s.spans); n > 0 && s.spans[n-1].To > x; n = len(s.spans) {
		if s.spans[n-1].From > x {
			s.spans = s.spans[:n-1]
			continue
		}
		s.spans[n-1].To, s.spans[n-1].At = x, 0
	}
}

// ends are the messages at the ends of the spans, as far as they are known.
func (s *seqSet) ends() []event.Ref {
	var out []event.Ref
	for _, x := range s.spans {
		if x.At != 0 {
			out = append(out, event.Ref{Seq: x.To, Time: x.At})
		}
	}
	return out
}

// learn gives the ends of spans the times of known messages.
func (s *seqSet) learn(known []event.Ref) {
	for _, r := range known {
		i := sort.Search(len(s.spans), func(i int) bool { return s.spans[i].To >= r.Seq })
		if i < len(s.spans) && s.spans[i].To == r.Seq && s.spans[i].At == 0 {
			s.spans[i].At = r.Time
		}
	}
}

// atEnd is the message at the end of the span that ends at x.
func (s *seqSet) atEnd(x uint64) event.Ref {
	i := sort.Search(len(s.spans), func(i int) bool { return s.spans[i].To >= x })
	if i < len(s.spans) && s.spans[i].To == x {
		return event.Ref{Seq: x, Time: s.spans[i].At}
	}
	return event.Ref{}
}

// size is how many sequences from lo to hi are in the set.
func (s *seqSet) size(lo, hi uint64) (n uint64) {
	for _, x := range s.spans {
		if from, to := max(x.From, lo), min(x.To, hi); from <= to {
			n += to - from + 1
		}
	}
	return n
}

func (s *seqSet) has(x uint64) bool {
	i := sort.Search(len(s.spans), func(i int) bool { return s.spans[i].To >= x })
	return i < len(s.spans) && s.spans[i].From <= x
}

// end returns the last sequence of the span that holds x, or x-1 if none does.
func (s *seqSet) end(x uint64) uint64 {
	i := sort.Search(len(s.spans), func(i int) bool { return s.spans[i].To >= x })
	if i < len(s.spans) && s.spans[i].From <= x {
		return s.spans[i].To
	}
	return x - 1
}

// cut removes everything below x.
func (s *seqSet) cut(x uint64) {
	i := sort.Search(len(s.spans), func(i int) bool { return s.spans[i].To >= x })
	s.spans = s.spans[i:]
	if len(s.spans) > 0 && s.spans[0].From < x {
		s.spans[0].From = x
	}
}

func (s *seqSet) max() uint64 {
	if len(s.spans) == 0 {
		return 0
	}
	return s.spans[len(s.spans)-1].To
}

// list returns the spans in the form in which they are stored.
func (s *seqSet) list() [][2]uint64 {
	if len(s.spans) == 0 {
		return nil
	}
	out := make([][2]uint64, len(s.spans))
	for i, x := range s.spans {
		out[i] = [2]uint64{x.From, x.To}
	}
	return out
}

func (s *seqSet) load(list [][2]uint64) {
	for _, x := range list {
		s.add(x[0], x[1])
	}
}
