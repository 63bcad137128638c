package protocol

import (
	"time"

	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

// What is said of records beside their state: startFrom that comes too late
// (in the status), and in the log one line for each record that turns invalid.

// remarks are the problems that the status entry names.
func (s *sub) remarks() record.Problems {
	remarks := append(s.problems[:len(s.problems):len(s.problems)], s.letterRemarks()...)
	if !s.lateStart {
		return remarks
	}
	return append(remarks, record.Problem{Field: "startFrom", Warning: true,
		Message: "has no effect any more: a subscription that is there goes on from where it is; `orderbridge rewind " + s.id + " --since TIME` sets it back, `orderbridge replay " + s.id + " --since TIME` sends again what it heard, beside what it is owed"})
}

func startFromOf(rec *record.Subscription) string {
	if rec == nil || rec.More == nil || rec.More.StartFrom == "new" {
		return ""
	}
	return rec.More.StartFrom
}

// startsAt takes note of what a revision that follows others says of the start.
// The warning stays until the member goes.
func (s *sub) startsAt(rec *record.Subscription) {
	from := startFromOf(rec)
	s.lateStart = from != "" && s.hasRecord() && (s.lateStart || from != startFromOf(s.rec))
}

// invalidTold: an invalid record is told in the log, but whoever puts ten thousand
// of them does not fill it.
type invalidTold struct {
	since  time.Duration
	lines  int
	unsaid int
}

// tellInvalid writes the line.
func (s *sub) tellInvalid(r revision) {
	c := s.core
	t := &c.invalid
	now := c.now.Boot
	if t.lines == 0 || now-t.since >= limits.InvalidTime {
		*t = invalidTold{since: now, unsaid: t.unsaid}
	}
	if t.lines >= limits.InvalidLines {
		if t.unsaid++; t.unsaid == 1 {
			c.after(limits.InvalidTime-(now-t.since), timer{what: dueInvalid})
		}
		return
	}
	t.lines++
	text := r.problems.Errors().Error()
	if len(text) > limits.InvalidText {
		text = text[:limits.InvalidText] + "… (the status entry names all)"
	}
	c.log(Warn, "invalid record: nothing is sent for it until a good one is put", "subscription_id", s.id, "revision", r.Revision.Revision, "errors", text)
}

func (c *Machine) tellUnsaid() {
	n := c.invalid.unsaid
	c.invalid.unsaid = 0
	c.log(Warn, "more invalid records: the bucket subscription_status names each", "records", n)
}
