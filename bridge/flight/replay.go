package flight

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"time"

	"orderbridge/bridge/protocol"
)

// Step is one step of a trace.
type Step struct {
	Number   int // in its term, from 1
	Now      protocol.Now
	Input    protocol.Input // nil: it was too large to be recorded
	Kind     string         // of the input
	Recorded []string       // kinds of the outputs that came; nil, with Ended, if none were recorded
	Ended    bool           // the machine panicked at it, or had not answered yet
	Stepped  bool           // it could be stepped through
	Outputs  []protocol.Output
	Panic    string // of the machine, at this step, now
	Differs  string // how the outputs differ from what was recorded; "": they do not
}

// Replay steps a machine through the trace, and calls fn with each step; what a
// Step holds is valid until fn returns. It ends with the first error, which is
// that of fn, or says where the trace cannot be read.
func (t *Trace) Replay(fn func(Step) error) error {
	if t.codecs == nil {
		t.codecs = newCodecs()
	}
	if got := t.codecs.layout(); got != t.Head.Layout {
		return fmt.Errorf("build %s wrote it, whose types this one does not have (layout %s, not %s): step through it with that build", t.Head.Build, t.Head.Layout, got)
	}
	p := player{codecs: t.codecs}
	for i, s := range t.Head.Segments {
		if err := p.play(s, t.segments[i], fn); err != nil {
			return err
		}
	}
	return nil
}

func (b Build) String() string {
	if b.Commit == "" {
		return b.Version
	}
	return b.Version + " (" + b.Commit + ")"
}

// player steps through the segments of a trace.
type player struct {
	codecs  *codecs
	machine *protocol.Machine // nil: the next beginning is waited for
	clock   clock
}

func (p *player) play(s Segment, data []byte, fn func(Step) error) error {
	r := &reader{data: data}
	if err := p.read(r, func() { p.begin(r, s.Begin) }); err != nil {
		return fmt.Errorf("the beginning of its steps: %w", err)
	}
	p.clock = clock{}
	for n := range s.Steps {
		step := Step{Number: s.First + n}
		var sum checksum
		err := p.read(r, func() { sum = p.step(r, &step) })
		if err != nil {
			return fmt.Errorf("step %d: %w", step.Number, err)
		}
		p.replay(&step, sum)
		if err := fn(step); err != nil {
			return err
		}
	}
	return nil
}

// begin makes the machine that a segment begins with; one that got here by
// itself goes on.
func (p *player) begin(r *reader, how string) {
	var m *protocol.Machine
	switch how {
	case fromStart.String():
		var s Start
		p.codecs.start.get(r, pointer(&s))
		m = s.Machine()
	case checkpoint.String():
		r.graph = true
		p.codecs.machine.get(r, pointer(&m))
		r.graph, r.seen = false, nil
	}
	if p.machine == nil {
		p.machine = m
	}
}

// read turns what a damaged trace does to a codec into an error.
func (p *player) read(r *reader, get func()) (err error) {
	defer func() {
		if x := recover(); x != nil {
			err = fmt.Errorf("%w at byte %d", errDamaged, r.at)
			if cause, _ := x.(error); !errors.Is(cause, errDamaged) {
				err = fmt.Errorf("%w: %v", err, x)
			}
		}
	}()
	get()
	return nil
}

func (p *player) step(r *reader, s *Step) checksum {
	boot := r.int()
	p.clock.boot += time.Duration(boot)
	p.clock.wall += r.int() + boot
	s.Now = protocol.Now{Boot: p.clock.boot, Wall: time.Unix(0, p.clock.wall).UTC()}
	p.codecs.input.get(r, pointer(&s.Input))
	if s.Input == nil {
		s.Kind = r.string()
	} else {
		s.Kind = nameOf(reflect.TypeOf(s.Input))
	}
	if r.at == len(r.data) {
		s.Ended = true
		return 0
	}
	n := int(r.uint()) - 1
	if n < 0 || n > len(r.data)-r.at {
		panic(errDamaged)
	}
	for range n {
		s.Recorded = append(s.Recorded, nameOf(outputs[r.data[r.at]]))
		r.at++
	}
	if n == 0 {
		return newSum()
	}
	r.at += 4
	return checksum(binary.LittleEndian.Uint32(r.data[r.at-4:]))
}

// replay lets the machine take the step.
func (p *player) replay(s *Step, sum checksum) {
	if s.Input == nil {
		p.machine = nil
	}
	if p.machine == nil {
		return
	}
	s.Stepped = true
	func() {
		defer func() {
			if x := recover(); x != nil {
				s.Panic = fmt.Sprintf("%v\n%s", x, debug.Stack())
				p.machine = nil
			}
		}()
		s.Outputs = p.machine.Step(s.Now, s.Input)
	}()
	s.Differs = s.difference(sum)
}

func (s *Step) difference(sum checksum) string {
	switch {
	case s.Ended:
		return ""
	case s.Panic != "":
		return "the machine panics now, and did not then"
	case len(s.Outputs) != len(s.Recorded):
		return fmt.Sprintf("%d outputs, %d were recorded", len(s.Outputs), len(s.Recorded))
	}
	got := newSum()
	for i, out := range s.Outputs {
		if kind := nameOf(reflect.TypeOf(out)); kind != s.Recorded[i] {
			return fmt.Sprintf("output %d is %s, %s was recorded", i+1, kind, s.Recorded[i])
		}
		got.add(kindOf(out), out)
	}
	if got != sum {
		return "the outputs are of the same kinds, but name something else"
	}
	return ""
}

// nameOf is the name of a type as people read it.
func nameOf(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Name()
}
