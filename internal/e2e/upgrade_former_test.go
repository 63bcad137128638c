package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// docs/operations.md: the state that the former build left on the bus is taken over
// in mid-flow, with held orders, subscriptions that read, and dead letters:
// nothing is lost, nothing out of order, and repeated only what a crash may repeat.
func TestUpgradeFromTheFormerBuildInMidFlow(t *testing.T) {
	t.Parallel()
	old := formerBuild(t)
	for _, how := range []string{"stopped", "killed"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			bus := lab.ListenBus(t)
			js := jetStream(t, bus.URL())
			env := "ORDERBRIDGE_NATS_URL=" + bus.URL()
			release := make(chan struct{})
			e, down := receive(t, held(release)), receive(t, lab.Always(http.StatusServiceUnavailable))
			dead, off := receive(t, lab.Always(http.StatusUnprocessableEntity)), receive(t, nil)
			was := launchBinary(t, old, env)
			was.leads()
			subscribe(t, js, "s", recordFor(e, slowRetries))
			subscribe(t, js, "down", recordFor(down, slowerRetries))
			subscribe(t, js, "dead", recordFor(dead, `"retry":{"schedule":[]}`))
			subscribe(t, js, "off", recordFor(off))
			f := publishFlow(t, js, 60, 8)
			await(t, 30*time.Second, "held orders, dead letters, a reading", func() bool {
				return len(owedKeys(t, js)) >= 3 && letterCount(t, js) > 100 && e.Delivered() > 200
			})
			verdict(t, js, "off", put(t, js, "off", recordFor(off, `"status":"deactivated"`)), protocol.StateDeactivated)
			verdict(t, js, "down", 0, protocol.StateSuspended)
			quiet := off.Count()

			is := launch(t, env)
			is.said(30*time.Second, "standing by")
			crash := time.Now()
			if how == "stopped" {
				was.stop()
			} else {
				was.kill()
			}
			is.leads()
			at := e.Delivered()
			await(t, 20*time.Second, "the flow goes on", func() bool { return e.Delivered() > at+50 })
			if off.Count() != quiet {
				t.Errorf("the deactivated one got %d events", off.Count()-quiet)
			}
			close(release)
			down.Reply(nil)
			f.arrives(t, e)
			n := f.end()
			await(t, 3*time.Minute, "the one that was down has all", func() bool { return down.Delivered() >= n })
			await(t, 30*time.Second, "all dead letters", func() bool { return letterCount(t, js) >= n })
			repeats := f.check(t, e)
			f.check(t, down)
			recent(t, repeats, crash)
			if how == "stopped" {
				notAgain(t, repeats, was, is)
			}
			if got := letterCount(t, js); how == "stopped" && got != n {
				t.Errorf("%d dead letters for %d events", got, n)
			}
			await(t, 30*time.Second, "nothing is owed", func() bool { return len(owedKeys(t, js)) <= 1 }) // the mark of the deactivated one
			is.stop()
		})
	}
}

// letterCount counts the dead letters.
func letterCount(t *testing.T, js jetstream.JetStream) int {
	t.Helper()
	s, err := js.Stream(within(t, 10*time.Second), "DEAD_LETTERS")
	if err != nil {
		t.Fatal(err)
	}
	return int(s.CachedInfo().State.Msgs)
}
