package store

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"orderbridge/bridge"
)

// newest is the last attempt at the newest event that was attempted.
func (x orderStanding) newest() *Attempt {
	var found *Attempt
	for i, a := range x.story.Attempts { // newest first
		if a.Subscription == x.id && a.Kind != bridge.KindTest && (found == nil || a.Sequence > found.Sequence) {
			found = &x.story.Attempts[i]
		}
	}
	return found
}

// last tells of the newest event that it hears: what its last attempt came to, or why there
// was none; of the newest of all where it hears none.
func (x orderStanding) last(out *Standing) bool {
	a := x.newest()
	var passed *Heard // why the newest is not heard
	var at uint64
	for _, e := range x.story.Events {
		i := slices.IndexFunc(e.Hearing, func(h Heard) bool { return h.Subscription == x.id })
		switch {
		case a != nil && a.Sequence >= e.Sequence:
			return x.attempted(out, a) && passedBy(out, passed, at)
		case i < 0:
		case !e.Hearing[i].Hears:
			if passed == nil {
				passed, at = &e.Hearing[i], e.Sequence
			}
		case passed == nil || x.unsettled != nil && x.unsettled(e.Sequence):
			out.Sequence = e.Sequence
			return false
		}
	}
	switch {
	case a != nil:
		return x.attempted(out, a) && passedBy(out, passed, at)
	case passed == nil:
		return false
	}
	out.Fate, out.Sequence, out.Says = OrderNotHeard, at, "not heard: "+passed.Why
	out.Remedy = fmt.Sprintf("orderbridge explain --seq %d --subscription %s", at, x.id)
	return true
}

// passedBy adds that a later event is not heard, and why.
func passedBy(out *Standing, passed *Heard, at uint64) bool {
	if passed != nil {
		out.Says += fmt.Sprintf("; a later event, sequence %d, is not heard: %s", at, passed.Why)
	}
	return true
}

func (x orderStanding) attempted(out *Standing, a *Attempt) bool {
	out.Sequence, out.Time, out.Status, out.Attempts, out.Next = a.Sequence, a.Time, a.Status, a.Attempt.Attempt, a.Next
	switch a.Outcome {
	case bridge.OutcomeDelivered:
		out.Fate = OrderDelivered
		out.Says = fmt.Sprintf("delivered %s with %d, attempt %d", stamp(a.Time), a.Status, a.Attempt.Attempt)
		if a.Timings != nil {
			digits := 0
			if a.Timings.Total < 10 {
				digits = 1
			}
			out.Says += fmt.Sprintf(", in %.*f ms", digits, a.Timings.Total)
		}
	case bridge.OutcomeFiltered, bridge.OutcomeSuperseded:
		out.Fate = OrderNotSent
		out.Says = "not sent: " + cmp.Or(a.Reason, a.Outcome)
		out.Remedy = fmt.Sprintf("orderbridge explain --seq %d --subscription %s", a.Sequence, x.id)
	case bridge.OutcomeDead:
		out.Fate = OrderDead
		out.Says = fmt.Sprintf("given up %s: %s; its dead letter is gone", stamp(a.Time), a.Reason)
	default:
		out.Fate = OrderOwed
		out.Says = fmt.Sprintf("attempt %d %s with %s", a.Attempt.Attempt, a.Outcome, answered(a.Status, a.Reason))
		if a.Generation < x.status.Generation { // of a record that was deleted before the present one was put
			out.Fate, out.Next = OrderNotSent, time.Time{}
			out.Says += "; then its record was deleted, and what it owed dropped"
			return true
		}
		x.waits(out)
	}
	return true
}
