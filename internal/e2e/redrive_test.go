package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// A delivery that is given up, and put back by an operator.
func TestDeadLettersAndRedrive(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	r := &redrive{t, bus, jetStream(t, bus.URL()), receive(t, lab.Always(http.StatusInternalServerError))}
	serving(t, bus.URL())
	subscribe(t, r.js, "s", recordFor(r.e, twoRetries))
	publishOne(t, r.js, "a", 1)
	await(t, 20*time.Second, "a dead letter", func() bool { return deadLetters(t, r.js) == 1 })
	first := r.isShown()
	r.failsAgainThenSucceeds(first)
	r.isNotForAnotherEndpoint()
}

const twoRetries = `"retry":{"schedule":["PT0.1S","PT0.1S"]}`

// redrive is a subscription whose events become dead letters.
type redrive struct {
	t   *testing.T
	bus *lab.Bus
	js  jetstream.JetStream
	e   *receiver
}

// run runs a command, which must end with the exit code.
func (r *redrive) run(code int, args ...string) string {
	r.t.Helper()
	out, got := command(r.t, r.bus.URL(), "", args...)
	if got != code {
		r.t.Errorf("%v: exit code %d, want %d:\n%s", args, got, code, out)
	}
	return out
}

// isShown returns the first attempt of what became a dead letter.
func (r *redrive) isShown() lab.Hit {
	if got := r.e.Count(); got != 3 {
		r.t.Errorf("%d attempts, the schedule allows 3", got)
	}
	first := r.e.Journal()[0]
	if out := r.run(0, "dead-letters", "list"); !strings.Contains(out, "500 Internal Server Error") {
		r.t.Errorf("list:\n%s", out)
	}
	if out := r.run(0, "dead-letters", "show", "1"); !strings.Contains(out, `"deliveryId": "`+first.Header.Get("Webhook-Id")+`"`) || !strings.Contains(out, `"publisherId": "e-a-1"`) {
		r.t.Errorf("show:\n%s", out)
	}
	r.run(0, "owed", "list")
	return first
}

// failsAgainThenSucceeds: when it fails for good once more, a new letter takes
// its place.
func (r *redrive) failsAgainThenSucceeds(first lab.Hit) {
	r.run(0, "dead-letters", "redrive", "1")
	await(r.t, 20*time.Second, "a new letter instead of the old one", func() bool {
		s, err := r.js.Stream(briefly(r.t, 10*time.Second), "DEAD_LETTERS")
		return err == nil && s.CachedInfo().State.Msgs == 1 && s.CachedInfo().State.LastSeq == 2
	})
	r.e.Reply(nil)
	tries := r.e.Count()
	r.run(0, "dead-letters", "redrive", "2")
	again := r.e.came(r.t, tries+1)
	if again.Header.Get("X-Redrive") != "true" || again.Header.Get("Webhook-Id") != first.Header.Get("Webhook-Id") || again.Header.Get("X-Attempt") != "1" {
		r.t.Errorf("redriven with %v, first came %v", again.Header, first.Header)
	}
	await(r.t, 20*time.Second, "the letter is gone", func() bool { return deadLetters(r.t, r.js) == 0 && len(owedKeys(r.t, r.js)) == 0 })
	if out := r.run(1, "dead-letters", "redrive", "2"); !strings.Contains(out, "2") {
		r.t.Errorf("second redrive:\n%s", out)
	}
	if got := r.e.Count(); got != tries+1 {
		r.t.Errorf("%d attempts after the redrive, want 1", got-tries)
	}
}

// isNotForAnotherEndpoint: a letter of a former generation is not for the new one.
func (r *redrive) isNotForAnotherEndpoint() {
	other := receive(r.t, nil)
	r.e.Reply(lab.Always(http.StatusInternalServerError))
	publishOne(r.t, r.js, "a", 2)
	await(r.t, 20*time.Second, "a dead letter", func() bool { return deadLetters(r.t, r.js) == 1 })
	verdict(r.t, r.js, "s", remove(r.t, r.js, "s"), protocol.StateDeleted)
	subscribe(r.t, r.js, "s", recordFor(other, twoRetries))
	if out := r.run(1, "dead-letters", "redrive", "3"); !strings.Contains(out, "generation") {
		r.t.Errorf("redrive of another generation's letter:\n%s", out)
	}
	if deadLetters(r.t, r.js) != 1 {
		r.t.Errorf("%d letters are left", deadLetters(r.t, r.js))
	}
	for _, h := range other.Journal() { // it hears of events of the last two seconds for itself
		if h.Header.Get("X-Redrive") != "" || h.Header.Get("X-Attempt") != "1" {
			r.t.Errorf("the new endpoint got what was owed to the old one: %v", h.Header)
		}
	}
}
