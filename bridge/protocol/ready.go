package protocol

// suspect tells whether what the lane sent last has failed.
func (ln *lane) suspect() bool { return ln.attempts > 0 || ln.failedAt > 0 }

// readyLanes are lanes whose head may be attempted: those that never failed,
// and those that did. What has failed must not keep the others from their turn:
// it has every other one, and half of what may run at once.
type readyLanes struct {
	urgent        []*lane // an operator wants them next
	fresh, failed []*lane
	turn          bool // of one that failed
}

func (r *readyLanes) add(ln *lane) {
	if ln.suspect() {
		r.failed = append(r.failed, ln)
	} else {
		r.fresh = append(r.fresh, ln)
	}
}

// any tells whether there is a lane that may be taken.
func (r *readyLanes) any(s *sub) bool { return len(r.urgent) > 0 || len(r.fresh) > 0 || r.mayRetry(s) }

func (r *readyLanes) mayRetry(s *sub) bool {
	return len(r.failed) > 0 && (s.failing() || !s.hasRecord() || s.retrying < max(1, s.rec.MaxInFlight/2))
}

// next is the next lane. A probe is best made with an order that never failed.
func (r *readyLanes) next(s *sub) *lane {
	if len(r.urgent) > 0 {
		return pop(&r.urgent)
	}
	if len(r.fresh) == 0 || r.turn && !s.failing() && r.mayRetry(s) {
		r.turn = false
		return pop(&r.failed)
	}
	r.turn = true
	return pop(&r.fresh)
}

func pop(list *[]*lane) *lane {
	q := *list
	ln := q[0]
	q[0] = nil
	if *list = q[1:]; len(*list) == 0 {
		*list = nil
	}
	return ln
}
