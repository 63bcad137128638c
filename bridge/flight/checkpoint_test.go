package flight

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
)

// agreeable answers all that a machine asks: everything is there and is written.
func agreeable(out protocol.Output) protocol.Input {
	switch out := out.(type) {
	case protocol.SurveyStream:
		return protocol.StreamSurveyed{Reply: out.Reply(nil), Survey: protocol.Survey{Stream: protocol.StreamState{Name: "ORDERS"}, Highest: -1}}
	case protocol.OpenFeed:
		return protocol.FeedOpened{Reply: out.Reply(nil), At: out.At}
	case protocol.LookAtStream:
		return protocol.StreamSeen{Reply: out.Reply(nil), Look: protocol.Look{Stream: protocol.StreamState{Name: "ORDERS"}}}
	case protocol.FenceBucket:
		return protocol.BucketFenced{Reply: out.Reply(nil)}
	case protocol.SealBucket:
		return protocol.BucketSealed{Reply: out.Reply(nil)}
	case protocol.LoadState:
		return protocol.StateLoaded{Reply: out.Reply(nil), State: &protocol.Loaded{}}
	case protocol.AskRetention:
		return protocol.RetentionTold{Reply: out.Reply(nil), Retention: protocol.Retention{Beyond: make([]uint64, len(out.Fractions))}}
	case protocol.FindSequence:
		return protocol.SequenceFound{Reply: out.Reply(nil), Sequence: 1}
	case protocol.WriteEntry:
		return protocol.EntryWritten{Reply: out.Reply(nil)}
	case protocol.WriteLease:
		return protocol.LeaseWritten{Reply: out.Reply(nil), Revision: out.Expect + 1}
	case *protocol.StartAttempt:
		return &protocol.AttemptEnded{Attempt: out.Attempt, Event: out.Delivery.Event, Outcome: protocol.Outcome{Verdict: protocol.Delivered}}
	}
	return nil
}

// driven is a machine that is agreed with.
type driven struct {
	*Recorder
	m   *protocol.Machine
	now protocol.Now
}

func drive(in ...protocol.Input) *driven {
	d := &driven{NewRecorder(someStart, DefaultRoom), someStart.Machine(), protocol.Now{Wall: time.Unix(1e9, 0)}}
	d.step(in...)
	return d
}

func (d *driven) step(queue ...protocol.Input) (outputs int) {
	for ; len(queue) > 0; queue = queue[1:] {
		for _, out := range d.Step(d.m, d.now, queue[0]) {
			outputs++
			if in := agreeable(out); in != nil {
				queue = append(queue, in)
			}
		}
	}
	return outputs
}

func (d *driven) pass(t time.Duration) {
	d.now = protocol.Now{Boot: d.now.Boot + t, Wall: d.now.Wall.Add(t)}
	d.step(protocol.Tick{})
}

// led returns one that leads, with so many subscriptions that hear each event of
// a subject of their own.
func led(subscriptions int) *driven {
	d := drive(protocol.Start{})
	for n := range subscriptions {
		rec := &record.Subscription{ID: fmt.Sprintf("subscription-%06d", n), TargetURL: "https://erp.example.com/hook", Method: "POST", Payload: "event",
			Subjects: []string{fmt.Sprintf("orders.t%d.>", n)}, MaxInFlight: 16}
		d.step(&protocol.RecordSeen{Revision: protocol.Revision{Key: rec.ID, Revision: uint64(n) + 1, Bucket: 1, Time: d.now.Wall}, Record: rec})
	}
	d.step(protocol.RecordsCaughtUp{})
	for range 50 {
		d.pass(20 * time.Millisecond)
	}
	return d
}

// event that the nth subscription hears.
func (d *driven) take(seq uint64, n int) {
	ev := someEvent(seq)
	ev.Subject = fmt.Sprintf("orders.t%d.OrderAccepted", n)
	matches, version := d.m.Directory.Match(ev, nil)
	d.now.Boot += 100 * time.Microsecond
	d.now.Wall = d.now.Wall.Add(100 * time.Microsecond)
	d.step(&protocol.EventTaken{Event: ev, Matches: matches, Version: version, Tag: seq})
}

// cpu reports processor time, which a busy machine does not change.
func cpu(b *testing.B) func() {
	used := func() float64 {
		var u syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		return float64(u.Utime.Nano() + u.Stime.Nano())
	}
	from := used()
	return func() { b.ReportMetric((used()-from)/float64(b.N), "cpu-ns/op") }
}

// How much a checkpoint takes, and how long the machine stands for it.
func BenchmarkCheckpoint(b *testing.B) {
	for _, n := range []int{10, 1000, 5000} {
		b.Run(fmt.Sprint(n, " subscriptions"), func(b *testing.B) {
			d := led(n)
			size := 0
			defer cpu(b)()
			for b.Loop() {
				d.turn(d.m)
				if d.present.begin == checkpoint {
					size = len(d.present.buf)
				}
			}
			b.ReportMetric(float64(size), "B")
		})
	}
}

// What a delivery costs the machine, and what its recorder adds.
func BenchmarkDelivery(b *testing.B) {
	for _, recorded := range []bool{false, true} {
		b.Run(fmt.Sprintf("recorded %v", recorded), func(b *testing.B) {
			d := led(100)
			if !recorded {
				d.broken = "not wanted"
			}
			b.ReportAllocs()
			defer cpu(b)()
			seq := uint64(0)
			steps := d.present.total + d.present.steps
			for b.Loop() {
				seq++
				d.take(seq, int(seq%100))
				if seq%1000 == 0 {
					d.pass(10 * time.Millisecond)
				}
			}
			if recorded {
				b.ReportMetric(float64(d.present.total+d.present.steps-steps)/float64(b.N), "inputs/op")
			}
		})
	}
}
