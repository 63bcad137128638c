package store

import (
	"strings"
	"testing"
	"time"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
)

// What waits for nothing is being sent, or is about to be; an event of which no
// request can be made is not offered to be tried again.
func TestStandings(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	letter := Letter{Sequence: 3, DeadLetter: protocol.DeadLetter{Subscription: "a", Sequence: 7, Reason: "targetURL: no orderId"}}
	owed := func(h protocol.Head) *OrderStory {
		return &OrderStory{Order: "1", Owed: []Debt{{Subscription: "a", Lane: &protocol.LaneEntry{Seqs: []uint64{7}, Head: h}}}}
	}
	dead := func(hears bool, decided string) *OrderStory {
		h := Heard{Subscription: "a", Hears: hears, Why: "the event has no orderId"}
		if decided != "" {
			h.Decided = "request"
		}
		return &OrderStory{Order: "1", DeadLetters: []Letter{letter}, Events: []OrderEvent{{Sequence: 7, Hearing: []Heard{h}}}}
	}
	heard := func(sequence uint64) *OrderStory {
		return &OrderStory{Order: "1", Events: []OrderEvent{{Sequence: sequence, Hearing: []Heard{{Subscription: "a", Hears: true}}}}}
	}
	tried := func(generation uint64) *OrderStory {
		return &OrderStory{Order: "1", Attempts: []Attempt{{Attempt: bridge.Attempt{Subscription: "a", Generation: generation, Sequence: 7, Attempt: 2,
			Outcome: bridge.OutcomeFailed, Status: 503, Next: now.Add(time.Minute)}}}}
	}
	// passed has an event that it does not hear come after those of a story.
	passed := func(s *OrderStory, outcome string) *OrderStory {
		for i := range s.Attempts {
			s.Attempts[i].Outcome, s.Attempts[i].Status = outcome, 204
		}
		s.Events = append([]OrderEvent{{Sequence: 12, Hearing: []Heard{{Subscription: "a", Why: "no subject filter matches"}}}}, s.Events...)
		return s
	}
	for _, tt := range []struct {
		name         string
		story        *OrderStory
		state        protocol.State
		says, remedy string
	}{
		{"first attempt", owed(protocol.Head{}), protocol.StateRetrying, "owed; its first attempt is being sent, or waits for its turn", "retry-now a"},
		{"first attempt, paused", owed(protocol.Head{}), protocol.StatePaused, "owed; it waits: the subscription is paused", "resume a"},
		{"due", owed(protocol.Head{Attempts: 1, LastStatus: 503, Next: now.Add(-time.Minute)}), protocol.StateRetrying,
			"attempt 2 is due since 2026-01-31T11:59:00Z: it is being sent", "retry-now a"},
		{"later", owed(protocol.Head{Attempts: 1, LastStatus: 503, Next: now.Add(time.Minute)}), protocol.StateRetrying, "tried again in 1m0s", "retry-now a"},
		{"nothing to send", dead(true, "request"), protocol.StateActive, "no request can be made of it: the event has no orderId", "explain --seq 7 --subscription a"},
		{"mended", dead(true, ""), protocol.StateActive, "dead letter 3", "dead-letters redrive 3"},
		{"of a former record", tried(4), protocol.StateActive, "then its record was deleted, and what it owed dropped", ""},
		{"of this record", tried(5), protocol.StateRetrying, "attempt 2 failed with 503", "retry-now a"},
		{"in hand", heard(9), protocol.StateActive, "owed; its first attempt is being sent", "attempts --subscription a"},
		{"not heard", passed(&OrderStory{Order: "1"}, ""), protocol.StateActive, "not heard: no subject filter matches", "explain --seq 12 --subscription a"},
		{"delivered, and the later one is not heard", passed(tried(5), bridge.OutcomeDelivered), protocol.StateActive,
			"with 204, attempt 2; a later event, sequence 12, is not heard: no subject filter matches", ""},
		{"in hand, and the later one is not heard", passed(heard(9), ""), protocol.StateActive, "owed; its first attempt is being sent", ""},
		{"not told, and the later one is not heard", passed(heard(8), ""), protocol.StateActive, "not heard: no subject filter matches", ""},
		{"not told", heard(8), protocol.StateActive, "nothing tells what became of it", "attempts"},
	} {
		s := orderStanding{story: tt.story, id: "a", now: now, status: protocol.Status{State: tt.state, Generation: 5},
			unsettled: func(sequence uint64) bool { return sequence > 8 }}.tell()
		if !strings.Contains(s.Says, tt.says) || !strings.Contains(s.Remedy, tt.remedy) {
			t.Errorf("%s: %q, %q", tt.name, s.Says, s.Remedy)
		}
	}
}
