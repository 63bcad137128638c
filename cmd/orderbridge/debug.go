package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"orderbridge/bridge/flight"
	"orderbridge/config"
	"orderbridge/internal/telemetry"
)

func newDebug() *cobra.Command {
	cmd := newGroup("debug", "Look into what a bridge did", newDebugTrace())
	cmd.Example = "  orderbridge debug trace orderbridge-trace-20260131T120000.000Z-epoch7.gz"
	return cmd
}

func newDebugTrace() *cobra.Command {
	format := output("text")
	var v traceView
	cmd := &cobra.Command{
		Use:   "trace FILE",
		Short: "Step through what the flight recorder of a leader has kept",
		Long: `Step the machine of the bridge through the inputs that a leader's flight recorder
has kept, and print each with the outputs that it causes. A leader writes such a
file when its term ends by an error or a panic, and on SIGUSR1; the log names it.
Where the outputs differ from those that were recorded, it says so. Steps that lie
before the first checkpoint of a large bridge are printed with the kinds of their
outputs only.`,
		Example: `  orderbridge debug trace FILE
  orderbridge debug trace FILE --only acme
  orderbridge debug trace FILE --from 12000 --to 12100 -o json`,
		Args: args(1, 1, "one FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := flight.ReadFile(args[0])
			if err != nil {
				return err
			}
			v.out, v.json = cmd.OutOrStdout(), format.data()
			return v.print(t)
		},
	}
	format.register(cmd, "text", "json")
	cmd.Flags().IntVar(&v.from, "from", 1, "first step to print")
	cmd.Flags().IntVar(&v.to, "to", math.MaxInt, "last step to print")
	cmd.Flags().StringVar(&v.only, "only", "", "print only the steps that name this subscription")
	return cmd
}

// traceView prints the steps of a trace.
type traceView struct {
	out      io.Writer
	json     bool
	from, to int
	only     string

	asked   map[string]bool // requests and attempts of the subscription
	printed int
	differs string // the first difference
}

func (v *traceView) print(t *flight.Trace) error {
	v.asked = map[string]bool{}
	if err := v.head(t.Head); err != nil {
		return err
	}
	if err := t.Replay(v.step); err != nil && !errors.Is(err, errShown) {
		return err
	}
	if v.printed == 0 && !v.json {
		fmt.Fprintln(v.out, "no step is one of those that --from, --to and --only ask for")
	}
	if v.differs != "" {
		return fmt.Errorf("this build does not do what was recorded: %s", v.differs)
	}
	return nil
}

// errShown ends a replay when all was printed.
var errShown = errors.New("all was printed")

func (v *traceView) head(h flight.Head) error {
	if v.json {
		return json.NewEncoder(v.out).Encode(h)
	}
	fmt.Fprintf(v.out, "epoch %d, written %s by build %s: %s\n", h.Epoch, h.Time.UTC().Format(time.RFC3339), h.Build, h.Why)
	if mine := thisBuild(); mine != h.Build {
		fmt.Fprintf(v.out, "this is build %s, another one: it may do other things\n", mine)
	}
	if h.Broken != "" {
		fmt.Fprintf(v.out, "the recorder had given up: %s\n", h.Broken)
	}
	for _, s := range h.Segments {
		how := map[string]string{"start": "from the start of the term", "checkpoint": "from a checkpoint"}[s.Begin]
		if how == "" {
			how = "without a checkpoint: what the machine did is known by its kind only"
		}
		fmt.Fprintf(v.out, "steps %d to %d, %s\n", s.First, s.First+s.Steps-1, how)
	}
	return nil
}

func thisBuild() flight.Build {
	b := telemetry.Version()
	return flight.Build{Version: b.Version, Commit: b.Commit}
}

// step prints a step, if it is one of those that are wanted.
func (v *traceView) step(s flight.Step) error {
	if s.Differs != "" && v.differs == "" {
		v.differs = fmt.Sprintf("step %d: %s", s.Number, s.Differs)
	}
	if s.Number > v.to {
		return errShown
	}
	shown := shownStep{Step: s.Number, Boot: s.Now.Boot.String(), Wall: s.Now.Wall, Input: part{Kind: s.Kind}, Recorded: s.Recorded, Unanswered: s.Ended,
		Stepped: s.Stepped, Panic: s.Panic, Differs: s.Differs}
	if s.Input != nil {
		shown.Input = partOf(s.Input)
	}
	for _, out := range s.Outputs {
		shown.Outputs = append(shown.Outputs, partOf(out))
	}
	if !v.concerns(&shown) || s.Number < v.from {
		return nil
	}
	v.printed++
	if v.json {
		return json.NewEncoder(v.out).Encode(shown)
	}
	return shown.print(v.out)
}

// concerns tells whether a step names the subscription: itself, or by the number
// of a request or an attempt.
func (v *traceView) concerns(s *shownStep) bool {
	if v.only == "" {
		return true
	}
	found := false
	for _, p := range append([]part{s.Input}, s.Outputs...) {
		named := p.names(v.only)
		for _, m := range p.members {
			switch m.Name {
			case "ID", "To", "Attempt":
				number := m.Name == "Attempt"
				key := fmt.Sprint(number, m.Value)
				if named {
					v.asked[key] = true
				}
				named = named || v.asked[key]
			}
		}
		found = found || named
	}
	return found
}

// shownStep is a step as it is printed.
type shownStep struct {
	Step       int       `json:"step"`
	Boot       string    `json:"boot"` // time since the machine's boot
	Wall       time.Time `json:"time"`
	Input      part      `json:"input"`
	Stepped    bool      `json:"stepped"`
	Outputs    []part    `json:"outputs,omitempty"`
	Recorded   []string  `json:"recorded,omitempty"` // kinds
	Unanswered bool      `json:"unanswered,omitempty"`
	Panic      string    `json:"panic,omitempty"`
	Differs    string    `json:"differs,omitempty"`
}

// part is an input or an output.
type part struct {
	Kind    string
	members []flight.Member
}

func partOf(x any) part { return part{flight.Kind(x), flight.Members(x)} }

func (p part) names(subscription string) bool {
	for _, m := range p.members {
		if m.Value == subscription || m.Name == "Write.Key" && strings.HasPrefix(m.Value, subscription+".") {
			return true
		}
	}
	return false
}

func (p part) String() string {
	var b strings.Builder
	b.WriteString(p.Kind)
	for _, m := range p.members {
		fmt.Fprintf(&b, " %s=%s", m.Name, quotedIfNeeded(m.Value))
	}
	return b.String()
}

func (p part) MarshalJSON() ([]byte, error) {
	m := map[string]string{"kind": p.Kind}
	for _, x := range p.members {
		m[x.Name] = x.Value
	}
	return json.Marshal(m)
}

func quotedIfNeeded(s string) string {
	if s == "" || strings.ContainsAny(s, " \t\n\"=") {
		return fmt.Sprintf("%q", s)
	}
	return s
}

func (s *shownStep) print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d  %s  %s\n", s.Step, s.Wall.UTC().Format("15:04:05.000000"), s.Input)
	switch {
	case s.Panic != "":
		fmt.Fprintf(&b, "   PANIC %s\n", s.Panic)
	case s.Stepped:
		for _, out := range s.Outputs {
			fmt.Fprintf(&b, "   -> %s\n", out)
		}
	default:
		for _, kind := range s.Recorded {
			fmt.Fprintf(&b, "   -> %s\n", kind)
		}
	}
	if s.Unanswered {
		b.WriteString("   it ended here: no outputs were recorded\n")
	}
	if s.Differs != "" {
		fmt.Fprintf(&b, "   DIFFERS: %s; recorded were %s\n", s.Differs, strings.Join(s.Recorded, ", "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// traceDir is where traces are written: the data directory, if there is one.
func traceDir(cfg *config.Config) string {
	if info, err := os.Stat(cfg.DataDir); err == nil && info.IsDir() {
		return cfg.DataDir
	}
	return os.TempDir()
}

// traceWhenAsked writes a trace at each signal that asks for one.
func (a *app) traceWhenAsked(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.asked:
			if _, err := a.bridge.Load().WriteTrace(ctx); err != nil && ctx.Err() == nil {
				a.log.Warn("no trace is written", "error", err)
			}
		}
	}
}
