// Package limits names every bound of the program: how many bytes, how many at
// once, how often, how long. It imports nothing of ours, and every package may
// import it.
//
// A bound is a constant in the file of its topic. The rows that stand below its group say
// for whom it holds and what happens beyond it; they are the table in
// docs/security.md. To add one: write the constant, write its row (the name of
// the constant twice: as the row's name, and in the call that prints its
// value), and run
//
//	go test ./internal/limits -update
//
// Its tests fail if a constant has no row, a row no constant, if the document
// says something else, or if a named test does not exist.
package limits

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limit is a row of the table.
type Limit struct {
	Part    string // of the program
	Name    string // of the constant
	Value   string // as people read it
	For     string // whom it holds for: the process, a tenant, an event, …
	What    string // it bounds
	Beyond  string // what happens past it
	Setting string // that changes it, "" if none does
	Test    string // that goes past it, "" if none does yet
}

// parts are the groups of rows, in the order of the table. Constants without a
// unit are numbers of bytes where their name says Bytes, and counts elsewhere.
func parts() [][]Limit {
	return [][]Limit{
		api(),
		listeners(),
		embeddedServer(),
		answers(),
		http2(),
		requests(),
		records(),
		secrets(),
		core(),
		shares(),
		feed(),
		metrics(),
		bus(),
		assets(),
		letters(),
		pool(),
		host(),
		events(),
		lookups(),
		clients(),
		patterns(),
		filters(),
		subscriptions(),
		shards(),
		audits(),
		attempts(),
		patience(),
		outgo(),
		trail(),
		explanations(),
		service(),
		recorder(),
		replays(),
	}
}

// All are the bounds of the program, in the order of their constants.
func All() []Limit { return slices.Concat(parts()...) }

// Whom a bound holds for.
const (
	process      = "the process"
	tenant       = "a tenant"
	subscription = "a subscription"
	endpoint     = "an endpoint"
	event        = "an event"
	delivery     = "a delivery"
	attempt      = "an attempt"
	connection   = "a connection"
	caller       = "a caller of the API"
	address      = "a caller's address"
	request      = "a request to the API"
	recordScope  = "a record"
	file         = "a file"
	stream       = "a stream"
	bucket       = "a bucket"
	command      = "a command"
	question     = "a question"
)

func part(name string, rows ...Limit) []Limit {
	for i := range rows {
		rows[i].Part = name
	}
	return rows
}

// row is a Limit; more are Setting and Test.
func row(name, value, scope, what, beyond string, more ...string) Limit {
	l := Limit{Name: name, Value: value, For: scope, What: what, Beyond: beyond}
	for _, m := range more {
		if strings.HasPrefix(m, "ORDERBRIDGE_") {
			l.Setting = m
		} else {
			l.Test = m
		}
	}
	return l
}

// size is a number of bytes as people read it.
func size(n int64) string {
	for _, unit := range []struct {
		name  string
		bytes int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= unit.bytes && n%unit.bytes == 0 {
			return fmt.Sprintf("%d %s", n/unit.bytes, unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

// count is a number with commas, and what is counted.
func count(n int64, unit ...string) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return strings.Join(append([]string{s}, unit...), " ")
}

// lasts is a time as people read it.
func lasts(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= day && d%day == 0 {
		if d == day {
			return "a day"
		}
		return fmt.Sprintf("%d days", d/day)
	}
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}

// The flight recorder of the machine.
const (
	TraceSegment    = 4 << 20 // bytes; two are kept
	TraceCheckpoint = 1 << 20
	TraceInput      = 4 << 20
	TraceFiles      = 8
	TraceInterval   = time.Minute // between two files that nobody asked for
)

func recorder() []Limit {
	const listed = "its steps can be read, but not stepped through"
	return part("The flight recorder",
		row("TraceSegment", size(TraceSegment), process, "the older, and the newer half of what it keeps", "the older half is dropped", "TestRecorderIsBounded"),
		row("TraceCheckpoint", size(TraceCheckpoint), process, "what a half begins with", listed, "TestRecorderIsBounded"),
		row("TraceInput", size(TraceInput), process, "an input", "it is named only; "+listed, "TestRecorderLeavesOutWhatIsTooLarge"),
		row("TraceFiles", count(TraceFiles), process, "its files in one directory", "the oldest are removed", "TestTraceFiles"),
		row("TraceInterval", lasts(TraceInterval), process, "time between two files that nobody asked for", "no file; the log says so", "TestPanicEndsTheTerm"),
	)
}
