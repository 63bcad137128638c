package protocol

import (
	"time"

	"orderbridge/bridge/event"
)

// Reading is how far a reader has come.
type Reading struct {
	Through uint64    // no other matching message lies between where it began and here; one less than that: nothing new is there
	Known   event.Ref // a message at or above Through, if one is known
	Sure    bool      // it goes on where it was: the stream need not be looked at (R15)
}

// reader is what a subscription that reads remembers.
type reader struct {
	from        uint64    // everything below is settled
	at          uint64    // read up to here
	until       uint64    // owes nothing above; noLimit if there is no end
	done        seqSet    // settled, from `from` on
	reread      seqSet    // had been in lanes, and is read once more (collapse.go)
	before      event.Ref // the message at from - 1, if it is known (R15)
	outstanding int       // read, neither settled nor confirmed in the ledger
	reason      string
	moved       bool // since the last flush
	holes       bool // in the stream, told
	pulling     bool
	rescued     bool // it stands still, and has read for the dead letters
	round       int  // answers of earlier rounds are stale
	empty       bool // the last read found nothing new
	again       time.Duration

	// For the figures (figures.go).
	seen      uint64 // the feed has counted every match above it
	uncounted bool   // those up to it were not counted by this leader
	ahead     int    // counted by the feed, not read yet
}

func (s *sub) startReading(from uint64, reason string) *reader {
	s.reader = &reader{from: from, at: from - 1, until: noLimit, reason: reason, again: 0, seen: s.core.dispatched(s.id)}
	s.core.readers[s] = struct{}{}
	s.changed()
	return s.reader
}

// advance moves from over what is settled.
func (r *reader) advance() {
	if r.from <= r.at && r.done.has(r.from) {
		end := min(r.done.end(r.from), r.at)
		if ref := r.done.atEnd(end); ref.Known() {
			r.before = ref
		}
		r.from = end + 1
		r.done.cut(r.from)
		r.moved = true
	}
}

// pumpReader reads on, goes back to live when nothing is left to read, and
// gives a breaker that has nothing to probe with its chance.
func (s *sub) pumpReader() {
	c := s.core
	r := s.reader
	if s.leftovers() {
		s.endLeftovers()
		return
	}
	if s.mode != reading || !s.hasRecord() || s.absent || c.stopping || !c.opened {
		return
	}
	rescuing := r.at < min(c.expiring, r.until) // reads on whatever its state, for the dead letters
	if s.standing() != inForce && !rescuing {
		if r.rescued && !r.pulling { // what is not about to be dropped any more
			r.rescued = false
			s.shed()
		}
		return
	}
	if end := min(r.done.end(r.at+1), r.until); end > r.at {
		r.at = end // settled already: need not be read
	}
	r.advance()
	if s.standing() == inForce && s.backToLive() || r.pulling || s.busy() || len(s.revs) > 0 {
		return
	}
	now := c.now.Boot
	if r.empty && now < r.again {
		return
	}
	if s.failing() && r.empty && r.at >= s.position() && r.outstanding == 0 && s.owesNothing() {
		c.log(Info, "breaker half open: nothing is owed that could probe", "subscription_id", s.id)
		s.halfOpen()
	}
	room := c.Outstanding - r.outstanding
	if s.failing() && !rescuing {
		room = min(room, c.Failures-r.outstanding)
	}
	if room <= 0 || !(rescuing && r.outstanding == 0) && !c.shares.may(s.share(), ahead) || s.lanesFull() && !s.servesOthers() || r.at >= r.until {
		return
	}
	r.pulling, r.rescued = true, s.standing() != inForce
	c.ask(request{out: ReadEvents{c.newRequest(), s.id, s.tenant(), r.at + 1, s.rec.Subjects, room, c.ReadBytes}, sub: s, reader: r, round: r.round})
}

// eventsRead is the answer to a read, unless the reader has been set back since.
func (s *sub) eventsRead(q *request, in EventsRead) {
	c, r := s.core, q.reader
	switch {
	case s.reader != r || r.round != q.round:
	case in.Err != nil:
		r.pulling = false
		c.complain("reader waits", s.id, "subscription_id", s.id, "error", in.Err)
		r.empty, r.again = true, c.now.Boot+max(c.Poll, c.Busy)
	default:
		s.hasRead(in.Events, in.Reading)
	}
}

// hasRead takes in what the reader has read.
func (s *sub) hasRead(evs []*event.Event, got Reading) {
	c, r := s.core, s.reader
	r.pulling = false
	c.know(got.Known)
	before := r.at
	for _, ev := range evs {
		if ev.Seq <= r.at {
			continue
		}
		if ev.Seq > r.until {
			break
		}
		c.know(ev.Ref())
		s.holes(ev.Seq - 1)
		r.done.add(r.at+1, ev.Seq-1)
		r.at = ev.Seq
		if r.done.has(ev.Seq) {
			continue
		}
		if !s.rec.MatchesEvent(ev) {
			r.done.addRef(ev.Ref())
			continue
		}
		s.matchedByReader(ev.Seq)
		s.enqueue(&item{seq: ev.Seq, stamp: ev.Ref().Time, ev: ev, sub: s, reader: true, at: c.now.Boot})
		if ev.Seq <= c.expiring {
			ln := s.laneOf(ev)
			ln.rescue()
			ln.drop() // it may be settled already
		}
	}
	if end := min(got.Through, r.until); end > r.at {
		s.holes(end)
		r.done.add(r.at+1, end)
		r.done.learn([]event.Ref{got.Known})
		r.at = end
	}
	r.moved = r.moved || r.at > before
	r.empty = r.at == before
	if r.empty {
		r.again = c.now.Boot + c.Poll
	}
	s.shedWhilePaced()
	s.pumpReader()
	s.pump()
}

// restartReader forgets what was read ahead under a record that has changed.
func (s *sub) restartReader() {
	if s.reader != nil {
		s.reader.round++
		s.reader.pulling = false
		s.core.emit(ForgetReader{s.id})
	}
}

func (s *sub) endReading() {
	s.core.emit(ForgetReader{s.id})
	s.disownReader() // what was dropped from the stream counts as read, and may still wait in a lane
	s.reader = nil
	delete(s.core.readers, s)
	s.changed()
}

func (s *sub) owesNothing() bool {
	for _, ln := range s.lanes {
		if len(ln.q) > 0 {
			return false
		}
	}
	return true
}

// noteSettled takes note of a settled message where the mark has to say it.
func (s *sub) noteSettled(m event.Ref) {
	r := s.reader
	if r == nil || m.Seq < r.from || s.leftovers() && m.Seq > r.at {
		return
	}
	r.countSettled(m.Seq)
	r.done.addRef(m)
	r.moved = true
}
