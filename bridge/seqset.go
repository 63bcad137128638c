package bridge

import "sort"

// Span is a closed interval of stream sequences.
type Span struct{ From, To uint64 }

// seqSet is a set of stream sequences, kept as sorted, disjoint, not adjacent spans.
type seqSet struct{ spans []Span }

// add puts the sequences from lo to hi into the set; nothing if hi < lo.
func (s *seqSet) add(lo, hi uint64) {
	if hi < lo {
		return
	}
	n := len(s.spans)
	if n > 0 && s.spans[n-1].To+1 >= lo && s.spans[n-1].From <= lo { // the usual case: grows at its end
		s.spans[n-1].To = max(s.spans[n-1].To, hi)
		return
	}
	i := sort.Search(n, func(i int) bool { return s.spans[i].To+1 >= lo })
	j := i
	for j < n && s.spans[j].From <= hi+1 {
		lo, hi = min(lo, s.spans[j].From), max(hi, s.spans[j].To)
		j++
	}
	if i == j {
		s.spans = append(s.spans, Span{})
		copy(s.spans[i+1:], s.spans[i:])
		s.spans[i] = Span{lo, hi}
		return
	}
	s.spans[i] = Span{lo, hi}
	s.spans = append(s.spans[:i+1], s.spans[j:]...)
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
