package protocol

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewriteStates = flag.Bool("rewrite-states", false, "write testdata/transitions.table again")

// TestTransitions prints the table of modes, so that a change of it is seen.
func TestTransitions(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("How a subscription gets its events, and all changes of it.\n\n")
	for _, x := range transitions {
		fmt.Fprintf(&b, "%-16s -> %-16s  %s\n", x.from, x.to, x.when)
	}
	name := filepath.Join("testdata", "transitions.table")
	if *rewriteStates {
		if err := os.WriteFile(name, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the table is not that of %s (-rewrite-states writes it again):\n%s", name, b.String())
	}
	for m := range modes {
		reached := m == unseen
		for _, x := range transitions {
			reached = reached || x.to == m
		}
		if !reached {
			t.Errorf("nothing leads to %q", m)
		}
	}
}

// TestNoOtherTransition: the machine refuses what the table does not hold.
func TestNoOtherTransition(t *testing.T) {
	t.Parallel()
	defer func() {
		if said := fmt.Sprint(recover()); said != "subscription s cannot go from gone to live" {
			t.Errorf("it said %q", said)
		}
	}()
	s := &sub{id: "s", mode: gone}
	s.enter(live)
}
