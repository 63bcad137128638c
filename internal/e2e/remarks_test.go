package e2e

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/lab"
)

// What comes by `nats kv put` and cannot be used is told in the log, without
// its secrets; ten thousand of them do not fill it.
func TestInvalidRecordsAreLogged(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	p := serving(t, bus.URL())
	put(t, js, "bad", `{"targetURL":"https://u:hunter2@erp.example.com/","methd":"PUT","timeout":10,"secret":7,"auth":{"type":"bearer","token":"hunter 2"}}`)
	line := p.said(20*time.Second, `(level=WARN msg="invalid record[^\n]* subscription_id=bad [^\n]*)\n`)
	for _, want := range []string{"targetURL: ", "methd: is unknown; the nearest known member is ", "timeout: ", "auth.token: "} {
		if !strings.Contains(line, want) {
			t.Errorf("the line names no %q: %s", want, line)
		}
	}
	if strings.Contains(p.Output(), "hunter") {
		t.Error("the log holds a secret")
	}
	for i := range 100 {
		put(t, js, "bad", `{"targetURL":"ftp://x`+strings.Repeat("x", i)+`"}`)
	}
	named, counted := regexp.MustCompile(`(?m)^time=(\S+) .*msg="invalid record`), regexp.MustCompile(`msg="more invalid records[^\n]* records=(\d+)`)
	var lines [][]string
	await(t, lab.Patience, "all 101 invalid records are named or counted", func() bool {
		lines = named.FindAllStringSubmatch(p.Output(), -1)
		n := len(lines)
		for _, more := range counted.FindAllStringSubmatch(p.Output(), -1) {
			some, _ := strconv.Atoi(more[1])
			n += some
		}
		return n == 101
	})
	// Twenty in ten seconds are named, so forty in any ten seconds.
	for i := 40; i < len(lines); i++ {
		from, err := time.Parse(time.RFC3339, lines[i-40][1])
		if err != nil {
			t.Fatal(err)
		}
		to, err := time.Parse(time.RFC3339, lines[i][1])
		if err != nil {
			t.Fatal(err)
		}
		if to.Sub(from) < 9*time.Second {
			t.Fatalf("41 records are named within %s", to.Sub(from))
		}
	}
}

// startFrom counts when a record is new; later it has no effect, and the status says so.
func TestStartFromThatComesTooLate(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, nil)
	p := serving(t, bus.URL())
	late := func(s protocol.Status) bool {
		for _, w := range s.Warnings {
			if w.Field == "startFrom" && strings.Contains(w.Message, "has no effect any more") && strings.Contains(w.Message, "`orderbridge rewind s --since TIME`") {
				return true
			}
		}
		return false
	}
	says := func(what string, want bool, value string) {
		t.Helper()
		s, _ := verdict(t, js, "s", put(t, js, "s", value), protocol.StateActive, protocol.StateReading)
		if late(s) != want {
			t.Errorf("%s: warnings are %v", what, s.Warnings)
		}
	}
	says("at first", false, recordFor(e, `"startFrom":"all"`))
	says("unchanged", false, recordFor(e, `"startFrom":"all","maxInFlight":3`))
	says("another", true, recordFor(e, `"startFrom":"2026-01-01T00:00:00Z"`))
	says("still", true, recordFor(e, `"startFrom":"2026-01-01T00:00:00Z","maxInFlight":3`))
	p.stop()
	serving(t, bus.URL())
	s, _ := verdict(t, js, "s", 4, protocol.StateActive, protocol.StateReading)
	if !late(s) {
		t.Errorf("after a restart: warnings are %v", s.Warnings)
	}
	says("gone", false, recordFor(e))
	says("new", false, recordFor(e, `"startFrom":"new"`))
	says("all", true, recordFor(e, `"startFrom":"all"`))
}

// A stream that keeps events for less time than the schedule lasts is told at
// the start, and to each record that it concerns.
func TestMaxAgeBelowTheRetrySchedule(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	ctx := within(t, 20*time.Second)
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders", "orders.>"}, MaxAge: time.Hour}); err != nil {
		t.Fatal(err)
	}
	e := receive(t, nil)
	p := serving(t, bus.URL())
	p.said(20*time.Second, `level=WARN msg="it keeps events for 1h[^\n]*the default retry schedule takes 30h21m`)
	warned := func(s protocol.Status) bool {
		return slices.ContainsFunc(s.Warnings, func(w record.Problem) bool {
			return w.Field == "retry.schedule" && strings.Contains(w.Message, "the stream ORDERS keeps events for 1h only")
		})
	}
	if s, _ := verdict(t, js, "long", put(t, js, "long", recordFor(e)), protocol.StateActive); !warned(s) {
		t.Errorf("warnings are %v", s.Warnings)
	}
	if s, _ := verdict(t, js, "short", put(t, js, "short", recordFor(e, `"retry":{"schedule":["PT1M"]}`)), protocol.StateActive); warned(s) {
		t.Errorf("warnings are %v", s.Warnings)
	}
}

// Who starts the program for the first time is told what to type next.
func TestNothingIsSubscribedYet(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := launch(t, "ORDERBRIDGE_DATA_DIR="+dir, "ORDERBRIDGE_NATS_LISTEN=127.0.0.1:0")
	p.said(30*time.Second, `msg="nothing is subscribed yet[^\n]*orderbridge subscriptions put --help`)
	js := jetStream(t, p.said(20*time.Second, `url=(nats://\S+)`))
	subscribe(t, js, "first", recordFor(receive(t, nil)))
	p.stop()
	p = launch(t, "ORDERBRIDGE_DATA_DIR="+dir, "ORDERBRIDGE_NATS_LISTEN=127.0.0.1:0")
	p.said(30*time.Second, `msg=leading[^\n]* subscriptions=1`)
	await(t, 20*time.Second, "the figures", func() bool { return p.figure(t, "subscriptions") == 1 })
	p.stop()
	if strings.Contains(p.Output(), "nothing is subscribed") {
		t.Error("it says that nothing is subscribed")
	}
}
