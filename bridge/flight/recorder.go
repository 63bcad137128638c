package flight

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

// Recorder steps a machine and keeps its last steps. It belongs to the
// goroutine of the machine.
type Recorder struct {
	start   Start
	room    Room
	codecs  *codecs
	w       writer
	in      protocol.Input // of the present step
	former  segment
	present segment
	broken  string // why nothing is recorded any more; "": it is
	failed  int    // checkpoints that were too large, one after the other
	passed  int    // segments without one since the last of these
}

// segment is a part of a term: what it begins with, and the steps from there.
type segment struct {
	buf   []byte
	begin beginning
	steps int
	total int // steps of the term before it
	clock clock
	full  bool // the next step begins another one
}

// beginning is what a segment begins with.
type beginning uint8

const (
	nowhere    beginning = iota // its steps can be read, but not stepped through
	fromStart                   // what the machine was made from
	checkpoint                  // the machine as it was
)

// clock tells times as differences from those of the step before.
type clock struct {
	boot time.Duration
	wall int64 // Unix nanoseconds
}

// Room is how much a recorder keeps.
type Room struct {
	Segment    int // bytes; two are kept
	Checkpoint int // bytes; 0: none is made
	Input      int // bytes, of one
}

// DefaultRoom is that of internal/limits.
var DefaultRoom = Room{limits.TraceSegment, limits.TraceCheckpoint, limits.TraceInput}

// NewRecorder returns the recorder of a machine that was just made from start.
func NewRecorder(start Start, room Room) *Recorder {
	r := &Recorder{start: start, room: room, codecs: newCodecs()}
	r.w = writer{hide: newHide()}
	r.begin(func() beginning {
		r.codecs.start.put(&r.w, pointer(&r.start))
		return fromStart
	})
	return r
}

// Step steps the machine.
func (r *Recorder) Step(m *protocol.Machine, now protocol.Now, in protocol.Input) []protocol.Output {
	r.before(m, now, in)
	out := m.Step(now, in)
	r.after(out)
	return out
}

func (r *Recorder) before(m *protocol.Machine, now protocol.Now, in protocol.Input) {
	if r.broken != "" {
		return
	}
	if r.present.full {
		r.turn(m)
	}
	p := &r.present
	wall := now.Wall.UnixNano()
	p.buf = binary.AppendVarint(p.buf, int64(now.Boot-p.clock.boot))
	p.buf = binary.AppendVarint(p.buf, wall-p.clock.wall-int64(now.Boot-p.clock.boot))
	p.clock = clock{now.Boot, wall}
	p.steps++
	r.in = in
	if !r.write(r.room.Input, func() { r.codecs.input.put(&r.w, pointer(&r.in)) }) {
		name := Kind(in)
		p.buf = append(p.buf, 0) // no input
		p.buf = append(binary.AppendUvarint(p.buf, uint64(len(name))), name...)
		p.full = true
	}
	r.in = nil
}

// after: a step without its outputs is the one at which the machine panicked.
func (r *Recorder) after(out []protocol.Output) {
	if r.broken != "" {
		return
	}
	p := &r.present
	p.buf = binary.AppendUvarint(p.buf, uint64(len(out))+1)
	if len(out) > 0 {
		sum := newSum()
		for _, o := range out {
			kind := kindOf(o)
			p.buf = append(p.buf, kind)
			sum.add(kind, o)
		}
		p.buf = binary.LittleEndian.AppendUint32(p.buf, uint32(sum))
	}
	p.full = p.full || len(p.buf) >= r.room.Segment
}

// turn begins another segment, with a checkpoint if that is not too large.
func (r *Recorder) turn(m *protocol.Machine) {
	total := r.present.total + r.present.steps
	r.former, r.present = r.present, segment{buf: r.former.buf[:0], total: total}
	if r.passed++; r.passed < 1<<min(r.failed, maxPassed) {
		return // the last one was too large, and the machine stands still for each
	}
	r.passed = 0
	r.begin(func() beginning {
		r.w.graph, r.w.seen, r.w.count = true, map[ref]uint64{}, 0
		defer func() { r.w.graph, r.w.seen = false, nil }()
		r.codecs.machine.put(&r.w, pointer(&m))
		return checkpoint
	})
	if r.failed++; r.present.begin == checkpoint {
		r.failed = 0
	}
}

// maxPassed: at most that many times in a row the number of segments doubles that
// begin nowhere after a checkpoint that was too large.
const maxPassed = 6

func (r *Recorder) begin(write func() beginning) {
	begin := nowhere
	if r.write(r.room.Checkpoint, func() { begin = write() }) {
		r.present.begin = begin
	}
}

// write lets codecs append to the present segment; false if it was too much:
// then nothing of it stays.
func (r *Recorder) write(most int, put func()) (ok bool) {
	length := len(r.present.buf)
	r.w.buf, r.w.most = r.present.buf, length+most
	defer func() {
		switch x := recover(); x {
		case nil, errTooLarge:
		default: // a recorder must not end a term
			r.broken = fmt.Sprint(x)
		}
		r.present.buf, r.w.buf = r.w.buf, nil
		if !ok {
			r.present.buf = r.present.buf[:length]
		}
	}()
	put()
	r.w.check()
	return true
}

// Trace returns a copy of what is kept. why says what it is for.
func (r *Recorder) Trace(build Build, at time.Time, why string) *Trace {
	t := &Trace{Head: Head{Build: build, Layout: r.codecs.layout(), Time: at, Epoch: r.start.Won.Entry.Epoch, Why: why, Broken: r.broken}}
	for _, s := range []*segment{&r.former, &r.present} {
		if s.steps > 0 {
			t.Head.Segments = append(t.Head.Segments, Segment{Begin: s.begin.String(), First: s.total + 1, Steps: s.steps, Bytes: len(s.buf)})
			t.segments = append(t.segments, slices.Clone(s.buf))
		}
	}
	return t
}

func (b beginning) String() string { return [...]string{"nowhere", "start", "checkpoint"}[b] }
