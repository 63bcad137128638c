package protocol_test

import (
	"slices"
	"testing"
	"time"

	"orderbridge/bridge/flight"
	"orderbridge/bridge/protocol"
)

// recordedTerm is a term of the simulation under a flight recorder.
type recordedTerm struct {
	*flight.Recorder
	outputs [][]protocol.Output // of each step
}

// Terms of the simulation are recorded, and replayed from what was recorded: the
// same outputs come at the same steps, from the start of the term and from
// checkpoints in the middle of it.
func TestRecordedTermsReplay(t *testing.T) {
	t.Parallel()
	seeds := uint64(300)
	if testing.Short() {
		seeds = 40
	}
	for name, room := range map[string]flight.Room{
		"whole":       flight.DefaultRoom,
		"checkpoints": {Segment: 4000, Checkpoint: 400_000, Input: 400_000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := replays{t: t, begins: map[string]int{}}
			for seed := uint64(1); seed <= seeds && !t.Failed(); seed++ {
				var terms []*recordedTerm
				protocol.SimulateRecorded(seed, func(m *protocol.Machine, s protocol.SimStart) func(protocol.Now, protocol.Input) []protocol.Output {
					x := &recordedTerm{Recorder: flight.NewRecorder(flight.Start(s), room)}
					terms = append(terms, x)
					return func(now protocol.Now, in protocol.Input) []protocol.Output {
						out := x.Step(m, now, in)
						x.outputs = append(x.outputs, slices.Clone(out))
						if name == "checkpoints" && len(x.outputs)%307 == 0 {
							r.replay(seed, x)
						}
						return out
					}
				})
				for _, x := range terms {
					r.replay(seed, x)
				}
			}
			t.Logf("%d traces, %d steps, begun at %v", r.traces, r.steps, r.begins)
			if r.begins["start"] == 0 || name == "checkpoints" && r.begins["checkpoint"] == 0 {
				t.Errorf("it proves nothing: %v", r.begins)
			}
		})
	}
}

// replays replays traces, and counts.
type replays struct {
	t             *testing.T
	traces, steps int
	begins        map[string]int
}

func (r *replays) replay(seed uint64, x *recordedTerm) {
	trace := x.Trace(flight.Build{}, time.Time{}, "test")
	epoch := trace.Head.Epoch
	if trace.Head.Broken != "" {
		r.t.Fatalf("seed %d, epoch %d: %s", seed, epoch, trace.Head.Broken)
	}
	r.traces++
	for _, s := range trace.Head.Segments {
		r.begins[s.Begin]++
	}
	err := trace.Replay(func(s flight.Step) error {
		r.steps++
		switch want := x.outputs[s.Number-1]; {
		case s.Differs != "" || s.Panic != "" || !s.Stepped:
			r.t.Errorf("seed %d, epoch %d, step %d, %s %v: %s %s", seed, epoch, s.Number, s.Kind, flight.Members(s.Input), s.Differs, s.Panic)
		case len(want) != len(s.Outputs):
			r.t.Errorf("seed %d, epoch %d, step %d: %d outputs, want %d", seed, epoch, s.Number, len(s.Outputs), len(want))
		default:
			for i := range want {
				if !same(want[i], s.Outputs[i]) {
					r.t.Errorf("seed %d, epoch %d, step %d, %s:\n%s %v, want\n%s %v", seed, epoch, s.Number, s.Kind,
						flight.Kind(s.Outputs[i]), flight.Members(s.Outputs[i]), flight.Kind(want[i]), flight.Members(want[i]))
				}
			}
		}
		return nil
	})
	if err != nil {
		r.t.Errorf("seed %d, epoch %d: %v", seed, epoch, err)
	}
}

// same compares all that two outputs say, but for what is not recorded: what a
// status says of the host, and the text of an error that is wrapped.
func same(a, b protocol.Output) bool {
	if w, ok := a.(protocol.WriteEntry); ok && w.Write.Bucket == protocol.BucketStatus {
		v := b.(protocol.WriteEntry)
		return w.ID == v.ID && w.Write.Key == v.Write.Key && w.Write.ID == v.Write.ID
	}
	return flight.Kind(a) == flight.Kind(b) && slices.Equal(flight.Members(a), flight.Members(b))
}
