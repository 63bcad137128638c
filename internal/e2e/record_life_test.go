package e2e

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// X4, X5 and R12: one record through its life. Each change has its verdict and
// takes effect; within a second is promised.
func TestLifeOfARecord(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	l := &recordLife{t: t, js: jetStream(t, bus.URL()), e: receive(t, nil), other: receive(t, nil), neighbour: receive(t, nil)}
	serving(t, bus.URL())
	subscribe(t, l.js, "neighbour", recordFor(l.neighbour))
	generation := l.becomesValid()
	l.turnsInvalidAndIsMended()
	l.isDeactivatedAndActivated()
	l.isDeletedAndPutAgain(generation)
	l.isPutForAnotherEndpoint(generation)

	slices.Sort(l.took)
	lab.Promise(t, "the median until a verdict", l.took[len(l.took)/2], time.Second)
	l.delivered(l.neighbour, "nobody else noticed", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
}

// recordLife is a record that changes while events are published.
type recordLife struct {
	t                   *testing.T
	js                  jetstream.JetStream
	e, other, neighbour *receiver
	n                   int             // events published
	took                []time.Duration // until each verdict
}

func (l *recordLife) published() { l.n++; publishOne(l.t, l.js, "a", l.n) }

// delivered waits until the endpoint has got as many events; they must be these.
func (l *recordLife) delivered(e *receiver, what string, want ...int) {
	l.t.Helper()
	await(l.t, 20*time.Second, what, func() bool { return len(numbers(e)) >= len(want) })
	if got := numbers(e); !slices.Equal(got, want) {
		l.t.Fatalf("%s: delivered %v, want %v", what, got, want)
	}
}

// becomes changes the record, "" removes it, and waits for its verdict.
func (l *recordLife) becomes(value string, want protocol.State) protocol.Status {
	l.t.Helper()
	var revision uint64
	if value == "" {
		revision = remove(l.t, l.js, "s")
	} else {
		revision = put(l.t, l.js, "s", value)
	}
	s, took := verdict(l.t, l.js, "s", revision, want)
	l.took = append(l.took, took)
	return s
}

// apart lets the two seconds pass by which clocks may differ: what is published
// within them belongs to the time before and after a change alike.
func (l *recordLife) apart() { <-time.After(2500 * time.Millisecond) }

// becomesValid: a record that never was valid hears nothing of the time before
// it is.
func (l *recordLife) becomesValid() (generation uint64) {
	s := l.becomes(`{"targetURL":"ftp://x","colour":"red","method":"PATCH"}`, protocol.StateInvalid)
	fields := []string{}
	for _, p := range s.Errors {
		fields = append(fields, p.Field)
	}
	if slices.Sort(fields); !slices.Equal(fields, []string{"colour", "method", "targetURL"}) {
		l.t.Errorf("errors of %v, want colour, method and targetURL", fields)
	}
	l.published() // 1: for nobody
	l.apart()
	l.becomes(recordFor(l.e), protocol.StateActive)
	l.published()
	l.delivered(l.e, "valid", 2)
	return s.Generation
}

// turnsInvalidAndIsMended: what it would have heard comes when it is mended.
func (l *recordLife) turnsInvalidAndIsMended() {
	l.becomes(`{"targetURL":`, protocol.StateInvalid)
	l.published()
	l.published()
	await(l.t, 20*time.Second, "the neighbour hears everything", func() bool { return len(numbers(l.neighbour)) == 4 })
	if got := numbers(l.e); len(got) != 1 {
		l.t.Errorf("delivered %v under an invalid record", got)
	}
	l.becomes(recordFor(l.e), protocol.StateActive)
	l.delivered(l.e, "mended", 2, 3, 4)
}

// isDeactivatedAndActivated: what was owed before comes after, what was published
// meanwhile does not.
func (l *recordLife) isDeactivatedAndActivated() {
	l.e.Reply(lab.Always(http.StatusServiceUnavailable))
	l.published() // 5 fails
	l.e.came(l.t, 4)
	l.apart()
	l.becomes(recordFor(l.e, `"status":"deactivated"`), protocol.StateDeactivated)
	l.e.Reply(nil)
	l.apart()
	l.published() // 6: not for us
	l.apart()
	l.becomes(recordFor(l.e), protocol.StateActive)
	l.published() // 7
	l.delivered(l.e, "activated again", 2, 3, 4, 5, 7)
}

// isDeletedAndPutAgain for the same endpoint: the same generation goes on.
func (l *recordLife) isDeletedAndPutAgain(generation uint64) {
	l.apart()
	l.becomes("", protocol.StateDeleted)
	l.apart()
	l.published() // 8: for nobody
	l.apart()
	if s := l.becomes(recordFor(l.e), protocol.StateActive); s.Generation != generation {
		l.t.Errorf("generation %d after it was put again, want %d", s.Generation, generation)
	}
	l.published()
	l.delivered(l.e, "put again", 2, 3, 4, 5, 7, 9)
}

// isPutForAnotherEndpoint, deleted with a debt: nothing of the old one's goes there.
func (l *recordLife) isPutForAnotherEndpoint(generation uint64) {
	l.e.Reply(lab.Always(http.StatusServiceUnavailable))
	l.published() // 10 fails
	await(l.t, 20*time.Second, "a failure", func() bool { return len(owedKeys(l.t, l.js)) > 0 })
	l.apart()
	l.becomes("", protocol.StateDeleted)
	l.apart()
	if s := l.becomes(recordFor(l.other), protocol.StateActive); s.Generation == generation {
		l.t.Error("the same generation for another endpoint")
	}
	tries := l.e.Count()
	l.published()
	l.delivered(l.other, "another endpoint", 11)
	if l.e.Count() > tries {
		l.t.Error("the old endpoint is still tried")
	}
	nothingOwed(l.t, l.js)
}
