package protocol

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestStories runs the stories in testdata: scripts in which the inputs of the
// machine, and the outputs that they cause, can be read like a trace. README.md
// beside them explains their language. After a change that is meant:
//
//	go test -run TestStories -rewrite
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			s := newStory()
			datadriven.RunTest(t, file, s.block)
			for _, w := range s.wrong {
				t.Error(w)
			}
		})
	}
}

// story is one script: the machine, and all that is around it.
type story struct {
	*storyBus
	storyView
	machine  *Machine
	began    time.Duration // when the present command did
	queue    []func()      // answers that come at once
	open     []*storyRequest
	late     []*storyRequest // went unanswered, and may yet land
	running  map[string]*StartAttempt
	rules    []storyRule
	bounds   Bounds
	timed    bool     // the command lets time pass
	steering bool     // the command is retry-now
	wrong    []string // commands that cannot be carried out
}

// storyRequest is a request that waits for its answer. Its name says what it
// asks for.
type storyRequest struct {
	name   string
	lands  func() error // does on the bus what was asked for
	answer func(error)  // tells the machine
}

var errNoAnswer = errors.New("no answer")

// storyRule says whether requests whose name matches wait for the script.
type storyRule struct {
	pattern string
	held    bool
}

func newStory() *story {
	s := &story{storyBus: newStoryBus(), storyView: newStoryView(), bounds: DefaultBounds()}
	s.rules = []storyRule{{"*/[0-9]*", true}} // attempts
	return s
}

// block runs one block of the script: a command, and further ones below it.
func (s *story) block(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	s.lines = nil
	commands := []storyCommand{{d.Cmd, d.CmdArgs}}
	silent := d.Cmd == "given"
	if silent {
		commands = nil
	}
	for line := range strings.Lines(d.Input) {
		cmd, args, err := datadriven.ParseLine(line)
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		commands = append(commands, storyCommand{cmd, args})
	}
	for _, c := range commands {
		s.began, s.timed = s.now, c.name == "time"
		if err := s.run(c); err != nil {
			s.say("cannot %s: %v", c.name, err)
			s.wrong = append(s.wrong, fmt.Sprintf("%s: %s: %v", d.Pos, c.name, err))
		}
		s.settle()
	}
	if silent && len(s.wrong) == 0 {
		return ""
	}
	if len(s.lines) == 0 {
		return "ok\n"
	}
	return strings.Join(s.lines, "\n") + "\n"
}

// say adds a line to what the command prints.
func (s *story) say(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if s.timed {
		line = fmt.Sprintf("%6s  %s", since(s.now), line)
	}
	s.lines = append(s.lines, line)
}

// settle lets the bus answer all that it answers at once.
func (s *story) settle() {
	for n := 0; len(s.queue) > 0; n++ {
		if n == 10_000 {
			panic("the machine and the bus go round in circles")
		}
		next := s.queue[0]
		s.queue = s.queue[1:]
		next()
	}
}

// ---- the machine

// step tells the machine, and carries out what it wants.
func (s *story) step(in Input) {
	m := s.machine
	if m == nil {
		return
	}
	outputs := append([]Output(nil), m.Step(Now{Boot: s.now, Wall: s.wall()}, in)...)
	for _, out := range outputs {
		s.perform(out)
	}
}

// pass lets time pass.
func (s *story) pass(d time.Duration) {
	for end := s.now + d; ; {
		at, ok := time.Duration(0), false
		if s.machine != nil {
			at, ok = s.machine.Next()
		}
		if !ok || at > end {
			s.now = end
			return
		}
		s.now = max(s.now, at)
		s.step(Tick{})
		s.settle()
	}
}

// start lets a replica win the lease, and begins its term.
func (s *story) start() {
	fresh := s.fresh() && s.lease.Absent()
	before, formers := s.inherit(s.lease)
	before.Epoch = max(before.Epoch, s.epoch)
	e := before.Succession(fmt.Sprint("replica", before.Epoch+1), fmt.Sprint("term", before.Epoch+1), s.bounds.Lease)
	s.epoch = e.Epoch
	s.lease = e
	s.lease.none = false
	s.leaseRev++
	s.machine = New(s.bounds, rand.New(evenChance{}), Won{Entry: e, Revision: s.leaseRev, At: s.now, Fresh: fresh, Layout: s.layout, Number: s.number, Formers: formers})
	s.open, s.running = nil, map[string]*StartAttempt{}
	s.feeding, s.watching = false, false
	s.say("replica%d leads epoch %d", e.Epoch, e.Epoch)
	s.step(Start{})
}

// crash ends the process: what it had sent may yet land.
func (s *story) crash() {
	s.late = append(s.late, s.open...)
	s.machine, s.open, s.queue, s.running = nil, nil, nil, nil
}

// evenChance draws the middle of every range: waits have no jitter.
type evenChance struct{}

func (evenChance) Uint64() uint64 { return 1 << 52 }

// ---- requests

// ask lets a request wait for the script, or answers it at once.
func (s *story) ask(q *storyRequest) (held bool) {
	if s.holds(q.name) {
		s.open = append(s.open, q)
		return true
	}
	s.queue = append(s.queue, func() { q.answer(q.lands()) })
	return false
}

func (s *story) holds(name string) (held bool) {
	for _, r := range s.rules {
		if ok, err := filepath.Match(r.pattern, name); err == nil && ok {
			held = r.held
		}
	}
	return held
}

// find takes an open request out of the list.
func (s *story) find(name string) (*storyRequest, error) {
	for i, q := range s.open {
		if q.name == name {
			s.open = append(s.open[:i:i], s.open[i+1:]...)
			return q, nil
		}
	}
	var names []string
	for _, q := range s.open {
		names = append(names, q.name)
	}
	return nil, fmt.Errorf("%s is not asked for; these are: %s", name, strings.Join(names, " "))
}

// ---- small things

// since is a time of the story.
func since(d time.Duration) string {
	return strconv.FormatFloat(d.Round(10*time.Millisecond).Seconds(), 'f', -1, 64) + "s"
}

// numbers reads 12 or 12..15.
func numbers(text string) (from, to uint64, err error) {
	a, b, more := strings.Cut(text, "..")
	if from, err = strconv.ParseUint(a, 10, 64); err != nil {
		return 0, 0, err
	}
	if to = from; more {
		to, err = strconv.ParseUint(b, 10, 64)
	}
	return from, to, err
}
