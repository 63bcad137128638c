package protocol

import (
	"time"
)

// # R13 Anchor
//
// A record is anchored when its first valid revision is applied: at the first sequence stamped at or after
// its put
//   - 2 s (or the time that startFrom names; all: the first message there is). The anchor is
//     confirmed in the status entry before the first attempt. If the anchor is at or below the
//     position, the subscription starts reading from the anchor, its mark confirmed first; else it
//     is live from the anchor on. Gaps of up to 4,096 events (8 MB) are served from memory.

// locate asks for the sequence at a time, which the change needs.
func (s *sub) locate(at time.Time) { s.core.find("subscription "+s.id, at, s, nil) }

// find asks for whom the stream for the sequence at a time.
func (c *Machine) find(whom string, at time.Time, s *sub, m *moving) {
	c.ask(request{out: FindSequence{c.newRequest(), at}, sub: s, moving: m,
		until: "record waits: the stream does not answer", args: []any{"for", whom}})
}

// sequenceFound goes on with whoever asked.
func (c *Machine) sequenceFound(q *request, in SequenceFound) {
	if q.step {
		c.formerTold(in.Last.Seq)
		return
	}
	c.know(in.Last)
	if q.moving != nil {
		q.moving.located(in.Sequence)
		return
	}
	s := q.sub
	switch s.change.kind {
	case anchoring:
		s.anchored(in.Sequence)
	case deactivating, deleting:
		s.deactivate(in.Sequence, in.Last.Seq)
	case activating:
		s.activate(in.Sequence)
	case restoring:
		s.restoreAt(in.Sequence)
	case updating, invalidating, forgetting, confirmingOwn: // ask nothing
	}
}

// anchorOf is the time from which a record hears events (R13).
func (s *sub) anchorOf(r *revision) time.Time {
	at := r.Time.Add(-s.core.Overlap)
	if r.rec.More != nil {
		at = anchorTime(at, r.rec.More.StartFrom)
	}
	return at
}

func (s *sub) locateAnchor(r revision) { s.locate(s.anchorOf(&r)) }

// anchored is R13, for a record's first valid revision.
func (s *sub) anchored(anchor uint64) {
	c, r := s.core, &s.change.revision
	at := s.anchorOf(r)
	s.holdsRecord(r.rec)
	s.problems, s.valid, s.active, s.paused = r.problems, true, true, r.rec.Paused
	s.deletedAt = time.Time{}
	s.liveFrom = anchor
	s.anchorTime = at
	switch {
	case r.rec.Inactive:
		s.active = false
		s.readFrom(anchor, reasonDeactivated)
		s.reader.until, s.untilTime = anchor-1, at
		s.writeMark(effect{what: entersRead, sub: s}, effect{what: endsChange, sub: s})
	case anchor <= s.position() || s.paused:
		c.Directory.Put(s.rec)
		s.readFrom(anchor, reasonNew)
		s.writeMark(effect{what: entersRead, sub: s}, effect{what: endsChange, sub: s})
	default:
		c.Directory.Put(s.rec)
		s.enter(joining)
		if c.keys[writerKey(BucketOwed, s.id)] != nil {
			// A mark of its former life is being removed (R16). The status comes after:
			// with it, a successor would take the mark for its own.
			c.put(BucketOwed, s.id, nil, effect{what: endsChange, sub: s})
			return
		}
		s.finish()
	}
}

func (s *sub) readFrom(anchor uint64, reason string) {
	s.startReading(anchor, reason).uncounted = true
	s.enter(going)
}

// anchorTime is the time from which a record hears events (R13).
func anchorTime(put time.Time, startFrom string) time.Time {
	switch startFrom {
	case "", "new":
		return put
	case "all":
		return time.Time{}
	}
	if t, err := time.Parse(time.RFC3339, startFrom); err == nil {
		return t
	}
	return put
}
