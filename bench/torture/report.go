package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"orderbridge/bench/torture/journal"
)

const shown = 20 // violations

// verdict checks a journal and prints what came out.
func verdict(j *journal.Journal) error {
	r := journal.Check(j)
	row := func(what, value string) { fmt.Printf("  %-28s %s\n", what, value) }
	n := strconv.Itoa
	fmt.Printf("\ntorture, seed %d, %s\n", j.Seed, j.Ended.Sub(j.Started).Round(time.Second))
	row("events confirmed", n(r.Events))
	row("deliveries owed", n(r.Owed))
	row("requests", fmt.Sprintf("%d, of which %d failed", r.Requests, r.Failed))
	row("deliveries that arrived", n(r.Deliveries))
	row("superseded by newer ones", n(r.Coalesced))
	row("dead letters", n(r.Letters))
	row("repeats after crashes",
		fmt.Sprintf("%d, the oldest %s before the crash", r.Repeats, max(r.OldestRepeat, 0).Round(time.Millisecond)))
	row("changes of records", n(len(j.Operations)))
	row("leaderships", n(r.Terms))
	row("longest gap", fmt.Sprintf("%s from %s", r.Gap.Round(time.Millisecond), clock(r.GapFrom)))
	var faults []string
	total := 0
	for _, kind := range slices.Sorted(maps.Keys(r.Faults)) {
		faults = append(faults, fmt.Sprintf("%s %d", kind, r.Faults[kind]))
		total += r.Faults[kind]
	}
	row("faults", fmt.Sprintf("%d: %s", total, strings.Join(faults, ", ")))
	row("promises broken", n(len(r.Violations)))
	if len(r.Violations) == 0 {
		return nil
	}
	kinds := map[string]int{}
	for _, v := range r.Violations {
		kinds[v.Kind]++
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		row("  "+kind, n(kinds[kind]))
	}
	for _, v := range r.Violations[:min(shown, len(r.Violations))] {
		fmt.Printf("%s %s: %s\n", clock(v.At), v.Kind, v.Text)
	}
	fmt.Println("faults:")
	list := slices.SortedFunc(slices.Values(j.Faults), func(a, b journal.Fault) int { return a.From.Compare(b.From) })
	for _, f := range list {
		fmt.Printf("  %s - %s %s %s\n", clock(f.From), clock(f.Until), f.Kind, f.Target)
	}
	first := slices.MinFunc(r.Violations,
		func(a, b journal.Violation) int { return cmp.Compare(a.At.UnixNano(), b.At.UnixNano()) })
	return fmt.Errorf("%w: %s: %s", errBroken, first.Kind, first.Text)
}

func clock(t time.Time) string { return t.Format("15:04:05.000") }
