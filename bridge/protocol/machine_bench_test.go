package protocol

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"orderbridge/bridge/event"
	"orderbridge/bridge/record"
)

// answered answers a request as a bus at rest would; nil: it is none.
func answered(out Output) Input {
	switch out := out.(type) {
	case SurveyStream:
		return StreamSurveyed{out.Reply(nil), Survey{Stream: StreamState{Name: "ORDERS"}, Highest: -1}}
	case OpenFeed:
		return FeedOpened{out.Reply(nil), out.At}
	case LookAtStream:
		return StreamSeen{out.Reply(nil), Look{Stream: StreamState{Name: "ORDERS"}}}
	case FenceBucket:
		return BucketFenced{out.Reply(nil), Made{Created: 1}}
	case LoadState:
		return StateLoaded{out.Reply(nil), &Loaded{Status: map[string]Status{}, Marks: map[string]Mark{}, Lanes: map[string]map[string]LaneEntry{}}}
	case WatchRecords:
		return RecordsCaughtUp{}
	case AskRetention:
		return RetentionTold{out.Reply(nil), Retention{Beyond: make([]uint64, len(out.Fractions))}}
	case FindSequence:
		return SequenceFound{out.Reply(nil), 1, event.Ref{}}
	case WriteLease:
		return LeaseWritten{out.Reply(nil), out.Expect + 1}
	case WriteEntry:
		return EntryWritten{out.Reply(nil)}
	case ConfirmSettled:
		return SettledConfirmed{out.Reply(nil)}
	case KeepFrom:
		return StreamKeeps{out.Reply(nil)}
	case SealBucket:
		return BucketSealed{out.Reply(nil)}
	case CheckBucket:
		return BucketChecked{out.Reply(nil)}
	case ReadEvents:
		return EventsRead{out.Reply(nil), nil, Reading{Through: out.From - 1, Sure: true}}
	}
	return nil
}

// BenchmarkDelivery is what the machine does for one event that one subscription
// hears and whose endpoint takes it.
func BenchmarkDelivery(b *testing.B) {
	deliver := aDelivery(b)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		deliver()
	}
}

// What the machine may allocate for it, its inputs (4) included.
const deliveryObjects = 14

func TestAllocationsOfADelivery(t *testing.T) {
	if n := testing.AllocsPerRun(5000, aDelivery(t)); n > deliveryObjects {
		t.Errorf("the machine allocates %.0f objects for a delivery; its budget is %d", n, deliveryObjects)
	}
}

// aDelivery makes a machine that leads and returns what does one delivery.
func aDelivery(b testing.TB) func() {
	b.Helper()
	c := New(DefaultBounds(), rand.New(rand.NewPCG(1, 1)), Won{Entry: LeaseEntry{Epoch: 1, Term: "t", Holder: "h", FormerIDs: new(uint64)}, Revision: 1, Fresh: true})
	now := Now{Wall: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	var attempt *StartAttempt
	var step func(in Input)
	step = func(in Input) {
		for _, out := range append([]Output(nil), c.Step(now, in)...) {
			if a, ok := out.(*StartAttempt); ok {
				attempt = a
			} else if in := answered(out); in != nil {
				step(in)
			}
		}
	}
	settle := func(d time.Duration) {
		for end := now.Boot + d; now.Boot < end; {
			now.Boot += 50 * time.Millisecond
			step(Tick{})
		}
	}
	step(Start{})
	settle(3 * time.Second)
	rec, problems := record.Parse("s", []byte(`{"targetURL":"https://s.example/"}`), record.Policy{})
	if err := problems.Err(); err != nil {
		b.Fatal(err)
	}
	step(&RecordSeen{Revision{Key: "s", Revision: 1, Bucket: 1, Time: now.Wall}, rec, nil})
	settle(3 * time.Second)
	events := make([]*event.Event, 64)
	for i := range events {
		events[i] = &event.Event{ID: fmt.Sprint(i), OrderID: fmt.Sprint("o", i), Type: "T"}
	}
	i := 0
	return func() {
		i++
		seq := c.taken + 1
		ev := *events[i%len(events)]
		ev.Seq, ev.Time = seq, time.Unix(0, int64(seq))
		attempt = nil
		c.Step(now, &EventTaken{Event: &ev, Matches: []*record.Subscription{rec}, Version: c.Directory.Version(), Tag: seq})
		for _, out := range c.outputs {
			if a, ok := out.(*StartAttempt); ok {
				attempt = a
			}
		}
		if attempt == nil {
			b.Fatal("no attempt begins: ", c.outputs)
		}
		c.Step(now, &AttemptEnded{Attempt: attempt.Attempt, Outcome: Outcome{Verdict: Delivered, Status: 200}, Event: &ev})
		if len(c.win) > 0 {
			b.Fatal("the event is not settled")
		}
	}
}
