package protocol

import (
	"time"

	"orderbridge/internal/limits"
)

// runs are the attempts under way, the oldest first.
type runs struct {
	oldest, newest *attempt
}

func (r *runs) add(a *attempt) {
	if a.older = r.newest; a.older != nil {
		a.older.newer = a
	} else {
		r.oldest = a
	}
	r.newest = a
}

func (r *runs) remove(a *attempt) {
	if a.older != nil {
		a.older.newer = a.newer
	} else {
		r.oldest = a.newer
	}
	if a.newer != nil {
		a.newer.older = a.older
	} else {
		r.newest = a.older
	}
	a.older, a.newer = nil, nil
}

// answered takes note of how long an endpoint took to answer. usual is a moving
// mean; 0: it never answered.
func (s *sub) answered(took time.Duration) {
	if took = max(took, time.Microsecond); s.usual == 0 {
		s.usual = took
	} else {
		s.usual += (took - s.usual) / 8
	}
}

// fast tells whether the endpoint is known to answer soon: what it leaves
// without an answer for long is then a matter of that one delivery.
func (s *sub) fast() bool { return s.usual > 0 && s.usual <= limits.SlowAnswer }
