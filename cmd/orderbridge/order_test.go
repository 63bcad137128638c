package main

import (
	"strings"
	"testing"

	"orderbridge/internal/store"
)

// Each command stands on a line of its own, so that it can be run as it is printed.
func TestRemediesAreLines(t *testing.T) {
	var b strings.Builder
	printRemedies(&b, []store.Standing{{Fate: store.OrderOwed, Remedy: "orderbridge retry-now a"},
		{Fate: store.OrderNotHeard, Remedy: "orderbridge explain --seq 1 --subscription c"},
		{Fate: store.OrderOwed, Remedy: "orderbridge retry-now b"}, {Fate: store.OrderOwed, Remedy: "orderbridge retry-now a"}})
	if want := "\nto mend it, or to know more:\n  orderbridge retry-now a\n  orderbridge retry-now b\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
	b.Reset()
	if printRemedies(&b, nil); b.Len() > 0 {
		t.Errorf("got %q for none", b.String())
	}
}
