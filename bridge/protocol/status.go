package protocol

import (
	"time"

	"orderbridge/bridge/event"
	"orderbridge/bridge/record"
)

// announced is the part of the status entry that tells whether it must be written again.
type announced struct {
	state   State
	reason  string
	warned  int
	expired uint64
	since   time.Time
	said    uint64 // Problems.digest of the errors and warnings

	notBefore time.Duration // of the pace
	failing   bool
}

// verdict is what a person is told now.
func (s *sub) verdict() (State, string) {
	switch s.standing() {
	case isDeleted:
		if s.purged {
			return StateDeleted, "purged: a record that is put here again begins anew, and what is owed is dropped then, at the latest after a day"
		}
		return StateDeleted, "what is owed is kept for a day; put the record again to go on"
	case isInvalid:
		return StateInvalid, s.problems.Errors().Error()
	case isAbsent:
		return StateInvalid, s.missing()
	case isInactive:
		return StateDeactivated, s.deactivatedText()
	case isPaused:
		return StatePaused, s.pausedText()
	case isSuspended:
		return StateSuspended, s.reason
	case inForce:
	}
	switch {
	case s.failing():
		return StateSuspended, s.reason
	case s.mode == reading || s.mode == going:
		return StateReading, s.reader.reason
	case s.held > 0:
		return StateRetrying, s.letterReason()
	case s.alerts.Waits:
		return StateRetrying, s.alerts.text()
	case s.alerts.Reason != "":
		return StateActive, s.alerts.text()
	}
	return StateActive, s.letterReason()
}

func (s *sub) statusEntry(revision uint64, bucket int64) *Status {
	state, reason := s.verdict()
	st := Status{State: state, Revision: revision, Reason: reason, Since: s.told.since,
		Generation: s.gen, Bucket: bucket, Active: s.active, Valid: s.valid, Suspended: s.suspended, Paused: s.paused, Anchor: s.anchor(), AnchorTime: s.anchorTime, Known: event.Refs(s.core.top)}
	if s.valid && s.hasRecord() {
		st.Hears = s.rec.Describe()
	}
	for _, p := range s.remarks() {
		if p.Warning {
			st.Warnings = append(st.Warnings, p)
		} else {
			st.Errors = append(st.Errors, p)
		}
	}
	if !s.deletedAt.IsZero() {
		t := s.deletedAt
		st.DeletedAt = &t
	}
	if st.State != s.told.state || st.Since.IsZero() {
		st.Since = s.core.now.Wall
	}
	st.Expired = s.expired
	if s.warned > 0 {
		st.Warnings = append(st.Warnings, record.Problem{Message: s.retentionText(s.warned), Warning: true})
	}
	s.tell(announced{state: st.State, reason: st.Reason, warned: s.warned, expired: s.expired, since: st.Since, said: s.remarks().Digest()})
	st.Pace, st.Alerts = s.paceEntry(), s.alertTrouble()
	return &st
}

func (s *sub) anchor() uint64 {
	if s.mode == unseen {
		return 0
	}
	return max(1, s.liveFrom)
}

// flushStatus writes the status when what it says has changed.
func (c *Machine) flushStatus(s *sub) {
	delete(c.dirty, s)
	if s.mode == gone || s.applied == 0 {
		return
	}
	if s.busy() || len(s.revs) > 0 || s.queued {
		return // the revision's own status entry will say it
	}
	if state, reason := s.verdict(); state == s.told.state && reason == s.told.reason && s.warned == s.told.warned && s.expired == s.told.expired && s.remarks().Digest() == s.told.said && !s.paceMoved() {
		if !c.rest(s) {
			c.watchRest(s)
		}
		return
	}
	if k := c.keys[writerKey(BucketStatus, s.id)]; k != nil {
		c.dirty[s] = struct{}{} // one write at a time
		return
	}
	c.put(BucketStatus, s.id, s.statusEntry(s.applied, s.bucket))
}

func (s *sub) changed() { s.core.dirty[s] = struct{}{} }

// State is what a person is told about a subscription.
type State string

// The states of a subscription.
const (
	StateActive      State = "active"
	StateRetrying    State = "retrying"    // some orders wait for their next attempt
	StateReading     State = "reading"     // catches up from the stream at its own pace
	StateSuspended   State = "suspended"   // the endpoint fails; probed from time to time
	StatePaused      State = "paused"      // by its record: nothing is sent, and nothing is lost
	StateDeactivated State = "deactivated" // by its record
	StateInvalid     State = "invalid"     // the record cannot be used
	StateDeleted     State = "deleted"     // debts are kept for a day
)

// States are all of them.
var States = []State{StateActive, StateRetrying, StateReading, StateSuspended, StatePaused, StateDeactivated, StateInvalid, StateDeleted}

// Status is the entry of a subscription in the bucket subscription_status: the
// verdict on its record, and what the protocol needs to remember of it (R12, R13).
type Status struct {
	State    State            `json:"state"`
	Revision uint64           `json:"revision"` // of the record that this speaks of: the applied one
	Reason   string           `json:"reason,omitempty"`
	Hears    string           `json:"hears,omitempty"` // "hears orders.acme.>, POST erp.example.com"
	Errors   []record.Problem `json:"errors,omitempty"`
	Warnings []record.Problem `json:"warnings,omitempty"`
	Since    time.Time        `json:"since"`             // of this state
	Expired  uint64           `json:"expired,omitempty"` // events that were owed, at most, when the stream dropped them

	Generation uint64      `json:"generation"`
	Bucket     int64       `json:"bucket"` // creation time of the records' bucket, Unix nanoseconds
	Active     bool        `json:"active"`
	Valid      bool        `json:"valid"`
	Suspended  bool        `json:"suspendedByReceiver,omitempty"` // 410
	Paused     bool        `json:"paused,omitempty"`              // by the record
	DeletedAt  *time.Time  `json:"deletedAt,omitempty"`
	Anchor     uint64      `json:"anchor"`              // first sequence it hears; 0: never was valid
	AnchorTime time.Time   `json:"anchorTime,omitzero"` // hears nothing stamped earlier: what Anchor was made of
	Known      []event.Ref `json:"known,omitempty"`     // a message that the anchor speaks of (R15)
	Pace       *Pace       `json:"pace,omitempty"`      // what its endpoint was found to bear

	Alerts *AlertTrouble `json:"alerts,omitempty"` // of one that hears alerts
}
