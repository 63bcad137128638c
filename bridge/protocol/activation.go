package protocol

import (
	"fmt"
	"time"
)

func (s *sub) update(r revision) {
	c := s.core
	s.startsAt(r.rec)
	s.holdsRecord(r.rec)
	s.problems = r.problems
	wasValid := s.valid
	s.valid, s.suspended, s.alerts = true, false, AlertTrouble{}
	s.pauses(r.rec)
	if s.active {
		c.Directory.Put(s.rec)
	}
	if !wasValid || s.mode == reading {
		s.restartReader()
	}
	if s.paused {
		s.standStill()
		return
	}
	s.finish()
}

// invalidate: a record that cannot be used harms no other. If it was valid
// before, it reads, frozen, so that nothing it should have heard is lost.
func (s *sub) invalidate(r revision) {
	s.problems = r.problems
	s.valid = false
	s.tellInvalid(r)
	s.fires(firingInvalid, AlertInvalid, r.problems.Errors().Error(), fmt.Sprint(r.Revision.Revision))
	if s.mode == unseen {
		s.finish()
		return
	}
	s.shed()
	s.goReading(reasonInvalid, effect{what: endsChange, sub: s})
}

func (s *sub) deactivate(seq, last uint64) {
	c, r := s.core, &s.change.revision
	deleted := s.change.kind == deleting
	reason := reasonDeactivated
	if deleted {
		reason = reasonDeleted
	}
	s.active = false
	s.shed()
	if deleted {
		s.deletedAt = r.Time
		if r.Purged {
			s.purged = true // R12: after a purge nothing is continued
		}
		c.expireDebts(s)
	} else {
		s.startsAt(r.rec)
		s.holdsRecord(r.rec)
		s.problems, s.valid, s.paused = r.problems, true, false
	}
	until := max(min(last, seq-1), s.liveFrom-1)
	if s.mode != reading {
		until = max(until, r.seen)
	} else {
		until = max(until, s.reader.at)
	}
	s.untilTime = r.Time.Add(c.Overlap)
	if s.mode == reading {
		c.Directory.Remove(s.id)
		s.reader.until = min(s.reader.until, until)
		if r := s.reader; r.reason == reasonSuspended || r.reason == reasonResumed { // the others say how it goes on
			r.reason = reason
		}
		s.writeMark(effect{what: endsChange, sub: s})
		return
	}
	s.goReadingUntil(reason, until, effect{what: endsChange, sub: s})
}

func (s *sub) activate(seq uint64) {
	c, r := s.core, &s.change.revision
	s.startsAt(r.rec)
	s.holdsRecord(r.rec)
	s.problems, s.valid = r.problems, true
	s.suspended, s.deletedAt, s.alerts = false, time.Time{}, AlertTrouble{}
	s.pauses(r.rec)
	rd := s.reader
	if rd != nil && rd.until != noLimit {
		rd.done.add(rd.until+1, max(seq, 1)-1)
		rd.until = noLimit
	}
	switch {
	case rd == nil || rd.reason != reasonDeleted && rd.reason != reasonDeactivated:
	case s.failing():
		rd.reason = reasonSuspended
	default:
		rd.reason = reasonResumed
	}
	if r.rec.Inactive { // put again after a deletion, but deactivated
		c.log(Info, "put again as deactivated", "subscription_id", s.id)
		if rd == nil {
			s.untilTime = r.Time.Add(-c.Overlap)
			s.goReadingUntil(reasonDeactivated, seq-1, effect{what: endsChange, sub: s})
			return
		}
		rd.until, s.untilTime = max(rd.at, seq-1), r.Time.Add(-c.Overlap)
		s.writeMark(effect{what: endsChange, sub: s})
		return
	}
	c.Directory.Put(s.rec)
	s.restartReader()
	switch {
	case rd != nil:
		s.writeMark(effect{what: activates, sub: s}, effect{what: endsChange, sub: s})
	case s.paused:
		s.active = true
		s.standStill()
	default:
		s.active = true
		s.finish()
	}
}
