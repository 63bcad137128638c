package protocol

import (
	"testing"

	"orderbridge/bridge/event"
)

// TestAgeOfWhatIsRead holds that the age of what a reader owes is told wherever it is
// known of an event next to the first: alerts are made of it.
func TestAgeOfWhatIsRead(t *testing.T) {
	at := func(from uint64, before int64) *reader {
		return &reader{from: from, at: from - 1, before: event.Ref{Seq: from - 1, Time: before}}
	}
	done := at(5, 0)
	done.done.addAt(5, 9, 900) // what follows had been in lanes, and its mark was adopted
	again := at(5, 0)
	again.reread.addAt(5, 6, 600)
	for _, c := range []struct {
		name   string
		reader *reader
		want   event.Ref
	}{
		{"after one that is known", at(5, 400), event.Ref{Seq: 5, Time: 400}},
		{"what was settled further on", done, event.Ref{Seq: 10, Time: 900}},
		{"read once more", again, event.Ref{Seq: 5, Time: 600}},
		{"unknown", at(5, 0), event.Ref{Seq: 5}},
	} {
		if got := c.reader.oldest(); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	none, lane, later := event.Ref{Seq: noLimit}, event.Ref{Seq: 7, Time: 700}, event.Ref{Seq: 9, Time: 900}
	if got := oldest(later, event.Ref{Seq: 5}, none, lane); got != (event.Ref{Seq: 5, Time: 700}) {
		t.Errorf("the oldest is %v; it is at least as old as the next of which the time is known", got)
	}
	if got := oldest(none, none); got != none {
		t.Errorf("the oldest of none is %v", got)
	}
}
