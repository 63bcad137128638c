package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// What an endpoint has asked for by Retry-After holds for the next leader too,
// after a stop and after a crash.
func TestRetryAfterOutlivesTheLeader(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*program){"stop": (*program).stop, "kill": (*program).kill} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bus := lab.ListenBus(t)
			js := jetStream(t, bus.URL())
			const pause = 25 * time.Second // a crash costs the lease: 12 s
			e := receive(t, func(h *lab.Hit) int {
				h.Answer.Set("Retry-After", "25")
				return http.StatusTooManyRequests
			})
			p := serving(t, bus.URL())
			subscribe(t, js, "s", recordFor(e))
			for i := range 60 {
				publishOne(t, js, fmt.Sprint("o", i), 1)
			}
			first := e.came(t, 1)
			await(t, 20*time.Second, "the pause in the status", func() bool {
				var s protocol.Status
				value := entry(t, js, "subscription_status", "s")
				return value != nil && json.Unmarshal(value, &s) == nil && s.Pace != nil && s.Pace.NotBefore.After(first.At.Add(20*time.Second))
			})
			end(p)
			before := e.Count()
			e.Reply(nil)
			p = serving(t, bus.URL())
			publishOne(t, js, "new", 1)
			await(t, 60*time.Second, "the next leader asks again", func() bool { return e.Count() > before })
			again := e.came(t, before+1)
			if early := again.At.Sub(first.At); early < pause-500*time.Millisecond {
				t.Errorf("the next leader asked again %s after the answer that said 25 s", early)
			}
			await(t, 60*time.Second, "all is delivered", func() bool { return e.Delivered() == 61 })
			p.stop()
		})
	}
}

// A suspended endpoint stays suspended under the next leader, which probes it
// once at a time.
func TestSuspensionOutlivesTheLeader(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, lab.Always(http.StatusInternalServerError))
	p := serving(t, bus.URL())
	revision := subscribe(t, js, "s", recordFor(e))
	for i := range 100 {
		publishOne(t, js, fmt.Sprint("o", i), 1)
	}
	verdict(t, js, "s", revision, protocol.StateSuspended)
	for range 2 {
		p.stop()
		before := e.Count()
		p = serving(t, bus.URL())
		e.came(t, before+1) // the probe, some seconds later
		for i, h := range e.Since(before)[1:] {
			if first := e.Since(before)[i]; h.At.Before(first.Ended) {
				t.Errorf("the next leader probed at %s and at %s, before it had an answer", first.At, h.At)
			}
		}
		if s, _ := verdict(t, js, "s", revision, protocol.StateSuspended); s.Pace == nil || s.Pace.FailingSince.IsZero() {
			t.Errorf("status tells the pace %+v", s.Pace)
		}
	}
	e.Reply(nil)
	await(t, 60*time.Second, "all is delivered", func() bool { return e.Delivered() == 100 })
	verdict(t, js, "s", revision, protocol.StateActive)
	p.stop()
}
