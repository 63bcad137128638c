package protocol

import (
	"fmt"

	"orderbridge/bridge/record"
)

// A record that is not in its bucket any more though nobody has deleted it (its
// TTL ran out, the bucket was purged or recreated, a limit removed it) is no
// deletion (R12). It is a state: its subscription stands still from the moment
// that it is seen, whether the bridge was running or is starting; what it owes
// and what is published meanwhile waits, and comes when the record is put again.
// The last known record stays in memory for what runs.

// Census is how many messages a bucket of records held at one time.
type Census struct {
	Bucket   int64  // creation, Unix nanoseconds
	Last     uint64 // sequence
	Messages uint64
}

// Listing is which records a bucket holds: the newest revision of each, markers
// of deletions included.
type Listing struct {
	Bucket  int64
	Through uint64 // as of this sequence
	Newest  map[string]uint64
}

// reasonNotInBucket is what a person is told of it.
const reasonNotInBucket = "the record is not in the bucket: put it again, or delete it; what it owes and what is published meanwhile is kept"

// reasonRefused is what is told of the readings of one that is there and cannot be used.
const reasonRefused = "the record cannot be used, its status says why; what it owes and what is published meanwhile is kept"

// listed compares the records in force with those that the bucket holds. It is
// false if it has to be asked again, because records are just being applied.
func (c *Machine) listed(l *Listing) (all bool) {
	all = true
	c.wakeAll(func(x *resting) bool { return x.lacks(l) })
	for _, s := range c.which(func(s *sub) bool { return s.lacks(l) }) {
		if s.changing() || !c.opened {
			all = false
			continue
		}
		s.vanish()
	}
	return all
}

func (s *sub) lacks(l *Listing) bool {
	if s.absent || !s.hasRecord() || s.mode == gone || s.mode == unseen || !s.deletedAt.IsZero() {
		return false
	}
	return l.lacks(s.id, s.bucket, s.applied)
}

func (x *resting) lacks(l *Listing) bool { return l.lacks(x.rec.ID, x.bucket, x.applied) }

// lacks tells whether the revision that is applied is not there any more.
func (l *Listing) lacks(id string, bucket int64, applied uint64) bool {
	newest, there := l.Newest[id]
	if bucket != l.Bucket {
		return !there
	}
	return applied <= l.Through && newest < applied
}

// vanish makes the subscription stand still. Events that the feed brings are
// still matched until its mark is confirmed.
func (s *sub) vanish() {
	s.goneNow()
	s.shed()
	s.goReading(reasonNotInBucket)
}

// vanished tells of a record that a take-over does not find in the bucket, of
// which it finds only former revisions, or that was good and is not any more (the
// operator's policy is another one): then it waits for a better day in the same way.
func (s *sub) vanished() bool {
	return s.mode != unseen && s.deletedAt.IsZero() && len(s.revs) == 0 && s.recalled == nil && (s.lastSeen < s.applied || !s.hasRecord() && s.valid)
}

// missing is what a person is told of such a record.
func (s *sub) missing() string {
	if s.refused() {
		return s.problems.Errors().Error()
	}
	return reasonNotInBucket
}

// refused reports whether the record is there as it was, and cannot be used any more.
func (s *sub) refused() bool { return len(s.problems.Errors()) > 0 && s.lastSeen == s.applied }

// vanishBeforeOpen is vanish at a take-over: the mark is confirmed before the
// feed opens, since without a record nothing is matched.
func (s *sub) vanishBeforeOpen() {
	s.goneNow()
	if s.busy() || s.mode != live {
		return
	}
	s.begin(confirmingOwn, revision{})
	reason := reasonNotInBucket
	if s.refused() {
		reason = reasonRefused
	}
	s.goReading(reason, effect{what: goesOn, sub: s})
}

func (s *sub) goneNow() {
	s.absent = true
	s.restartReader()
	s.changed()
	what := "nothing is sent for a record that is not there any more"
	if s.refused() {
		what = "nothing is sent for a record that cannot be used any more"
	}
	s.core.log(Warn, what, "subscription_id", s.id, "reason", s.missing())
	s.firing |= firingInvalid
	s.core.raiseAlert(Alert{Kind: AlertInvalid, Key: s.alertKey(AlertInvalid), Subscription: s.id, Generation: s.gen, Text: s.missing(), Vanished: !s.refused()}, fmt.Sprintf("gone-%d", s.applied))
}

// holdsRecord notes the record that is in force.
func (s *sub) holdsRecord(rec *record.Subscription) {
	s.rec, s.absent = rec, false
	if s.own != nil {
		s.core.shares.move(s.own, s.tenant())
	}
}
