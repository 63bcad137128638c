package flight

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

var someStart = Start{Bounds: protocol.DefaultBounds(), Won: protocol.Won{Entry: protocol.LeaseEntry{Epoch: 3, Holder: "here"}}}

// What is kept is bounded, whatever comes and however long.
func TestRecorderIsBounded(t *testing.T) {
	t.Parallel()
	room := Room{Segment: 20_000, Checkpoint: 10_000, Input: 10_000}
	r := NewRecorder(someStart, room)
	m := someStart.Machine()
	now := protocol.Now{Wall: time.Unix(1e9, 0)}
	large := &protocol.EventsRead{}
	for range 5000 {
		large.Events = append(large.Events, someEvent(1))
	}
	for n := range uint64(5000) {
		now.Boot += time.Millisecond
		now.Wall = now.Wall.Add(time.Millisecond)
		r.Step(m, now, &protocol.EventTaken{Event: someEvent(n + 1), Tag: n})
		if n == 4000 {
			r.Step(m, now, *large)
		}
		if kept := len(r.former.buf) + len(r.present.buf); kept > 2*(room.Segment+2*room.Checkpoint) {
			t.Fatalf("%d bytes are kept", kept)
		}
	}
	trace := r.Trace(Build{}, now.Wall, "test")
	if n := trace.Head.Segments[1].First + trace.Head.Segments[1].Steps; n != 5002 {
		t.Errorf("%d steps", n-1)
	}
	if err := trace.Replay(func(s Step) error { return nil }); err != nil {
		t.Error(err)
	}
}

// An input that is too large is named; from there nothing is stepped through, up
// to the next checkpoint.
func TestRecorderLeavesOutWhatIsTooLarge(t *testing.T) {
	t.Parallel()
	r := NewRecorder(someStart, Room{Segment: 100_000, Checkpoint: 20_000, Input: 20_000})
	m := someStart.Machine()
	now := protocol.Now{Wall: time.Unix(1e9, 0)}
	var large protocol.EventsRead
	for range 5000 {
		large.Events = append(large.Events, someEvent(1))
	}
	for _, in := range []protocol.Input{protocol.RoomChanged{Window: 7}, large, protocol.RoomChanged{Window: 9}} {
		r.Step(m, now, in)
	}
	var got []string
	err := r.Trace(Build{}, now.Wall, "test").Replay(func(s Step) error {
		got = append(got, fmt.Sprintf("%d %s %v %v%s", s.Number, s.Kind, s.Input != nil, s.Stepped, s.Differs))
		return nil
	})
	if want := "[1 RoomChanged true true 2 EventsRead false false 3 RoomChanged true true]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("%v, %v; want %s", got, err, want)
	}
}

func TestTraceFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := NewRecorder(someStart, DefaultRoom)
	r.Step(someStart.Machine(), protocol.Now{Wall: time.Unix(1e9, 0)}, protocol.Start{})
	var last string
	for n := range limits.TraceFiles + 3 {
		path, err := r.Trace(Build{Version: "1.2.3"}, time.Unix(1e9+int64(n), 0), "test").WriteFile(dir)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		last = path
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) != limits.TraceFiles || files[len(files)-1] != last {
		t.Errorf("%d files: %v", len(files), files)
	}
	trace, err := ReadFile(last)
	if err != nil || trace.Head.Build.Version != "1.2.3" || trace.Head.Epoch != 3 {
		t.Fatalf("%+v, %v", trace, err)
	}
	steps := 0
	err = trace.Replay(func(s Step) error {
		steps++
		if s.Kind != "Start" || !s.Stepped || s.Differs != "" || len(s.Outputs) == 0 {
			t.Errorf("%+v", s)
		}
		return nil
	})
	if err != nil || steps != 1 {
		t.Errorf("%d steps, %v", steps, err)
	}
}

// A file that is cut, changed or of something else is an error, never a panic.
func TestDamagedTraces(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := NewRecorder(someStart, DefaultRoom)
	m := someStart.Machine()
	now := protocol.Now{Wall: time.Unix(1e9, 0)}
	r.Step(m, now, protocol.Start{})
	for n := range uint64(50) {
		r.Step(m, now, &protocol.EventTaken{Event: someEvent(n + 1), Tag: n})
	}
	trace := r.Trace(Build{}, now.Wall, "test")
	whole := trace.segments[0]
	for at := range whole {
		broken := append([]byte(nil), whole...)
		broken[at] ^= 0x55
		trace.segments[0] = broken
		_ = trace.Replay(func(Step) error { return nil }) // may be another input
		trace.segments[0] = whole[:at]
		if err := trace.Replay(func(Step) error { return nil }); err == nil && at < len(whole)-20 {
			t.Errorf("cut at %d of %d: no error", at, len(whole))
		}
	}
	var later bytes.Buffer
	zip := gzip.NewWriter(&later)
	if _, err := zip.Write([]byte("orderbridge trace 2\n{}\n")); err != nil || zip.Close() != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "later")
	if err := os.WriteFile(path, later.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(path); err == nil || !strings.Contains(err.Error(), "format") {
		t.Errorf("of a later format: %v", err)
	}
	for name, data := range map[string]string{"empty": "", "text": "hello", "no trace": "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadFile(path); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func someEvent(seq uint64) *event.Event {
	return &event.Event{Message: event.Message{Seq: seq, Time: time.Unix(1e9, int64(seq)*1e6), Subject: "orders.acme.OrderAccepted", Data: make([]byte, 600)},
		ID: "ORDERS-1767225600-" + fmt.Sprint(seq), PublisherID: "0197e0a4-6f9d-7c10-b4a4-93c2f57b8d11", Type: "OrderAccepted", OrderID: fmt.Sprint("order-", seq%1000), Tenant: "acme"}
}

// What an event costs that is recorded: it, its attempt's end and the answer to a write.
func BenchmarkRecord(b *testing.B) {
	r := NewRecorder(someStart, DefaultRoom)
	m := someStart.Machine()
	ev := someEvent(1)
	in := []protocol.Input{&protocol.EventTaken{Event: ev, Tag: 7}, &protocol.AttemptEnded{Attempt: 9, Event: ev}, protocol.EntryWritten{Reply: protocol.Reply{To: 8}}, protocol.Tick{}}
	out := []protocol.Output{protocol.SettleEvent{Sequence: 7, Tag: 7}}
	now := protocol.Now{Wall: time.Unix(1e9, 0)}
	b.ReportAllocs()
	defer cpu(b)()
	bytes, steps := 0, 0
	for n := 0; b.Loop(); n++ {
		now.Boot += 1000
		now.Wall = now.Wall.Add(1000)
		before := len(r.present.buf)
		r.before(m, now, in[n%len(in)])
		r.after(out)
		if grown := len(r.present.buf) - before; grown > 0 {
			bytes += grown
			steps++
		}
	}
	b.ReportMetric(float64(bytes)/float64(steps), "B/input")
}

// A term of a shard is recorded with what the former shards told.
func TestTraceTellsFormerShards(t *testing.T) {
	t.Parallel()
	formers := []protocol.LeaseEntry{
		protocol.Closed(protocol.LeaseEntry{Epoch: 3, Holder: "a", Floor: 30, Settled: [][2]uint64{{33, 34}}, Top: event.Ref{Seq: 40, Time: 1}, Cursor: &protocol.Cursor{Seq: 35, ID: "x"}}),
		protocol.Closed(protocol.LeaseEntry{Epoch: 2, Holder: "b", Floor: 20, Top: event.Ref{Seq: 40, Time: 1}}),
	}
	start := Start{Bounds: protocol.DefaultBounds(), Won: protocol.Won{Entry: protocol.Inherit(formers).Succession("here", "term", time.Minute),
		Layout: protocol.Layout{Generation: 1, Shards: 1, Former: 2}, Formers: formers}}
	r, m, now := NewRecorder(start, DefaultRoom), start.Machine(), protocol.Now{Wall: time.Unix(1e9, 0)}
	var next protocol.Input = protocol.Start{}
	var at uint64
	for asked := 0; next != nil; {
		out := r.Step(m, now, next)
		next = nil
		for _, o := range out {
			switch o := o.(type) {
			case protocol.SurveyStream:
				asked++
				next = protocol.StreamSurveyed{Reply: o.Reply(nil), Survey: protocol.Survey{Stream: protocol.StreamState{Name: "ORDERS", First: 1, Last: 50, LastTime: 9, Settled: true}}}
			case protocol.OpenFeed:
				at = o.At.Seq
			}
		}
	}
	if at != 20 {
		t.Errorf("the feed begins after %d", at)
	}
	steps := 0
	err := r.Trace(Build{}, time.Unix(1e9, 0), "test").Replay(func(s Step) error {
		steps++
		if s.Differs != "" {
			t.Errorf("step %d: %s", s.Number, s.Differs)
		}
		return nil
	})
	if err != nil || steps != 4 {
		t.Errorf("%d steps, %v", steps, err)
	}
}
