package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// A restart of the bus loses nothing and, since the bridge lives on, repeats nothing.
func TestBusRestartsInMidFlow(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	// One delivery is under way all the time: what is settled after it is not
	// acknowledged, and comes again with the new durable.
	finish := make(chan struct{})
	e, late := receive(t, func(h *lab.Hit) int {
		if h.Order == "o2" && h.N == 10 { // of an order that shaky leaves alone: it stands in no ledger
			<-finish
		}
		return shaky(h)
	}), receive(t, nil)
	p := serving(t, bus.URL())
	subscribe(t, js, "s", recordFor(e, quickRetries))
	f := publishFlow(t, js, 200, 8)
	e.came(t, 150)
	bus.Restart()
	p.said(20*time.Second, "feed reopened")
	at := e.Delivered()
	await(t, 20*time.Second, "the flow goes on", func() bool { return e.Delivered() > at+100 })
	close(finish)
	// X4, after a restart of the bus too.
	_, took := verdict(t, js, "late", put(t, js, "late", recordFor(late)), protocol.StateActive, protocol.StateReading)
	lab.Promise(t, "the verdict after the restart", took, 3*time.Second)
	f.arrives(t, e)
	notAgain(t, f.check(t, e), p)
	if late.Count() == 0 {
		publishOne(t, js, "late", 1)
		late.came(t, 1)
	}
	p.stop()
}

// A short freeze is survived unnoticed, a long one costs the lease.
func TestConnectionFreezes(t *testing.T) {
	t.Parallel()
	for name, length := range map[string]time.Duration{"200ms": 200 * time.Millisecond, "20s": 20 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bus := lab.ListenBus(t)
			js := jetStream(t, bus.URL())
			e := receive(t, shaky)
			proxy := bus.Proxy()
			p := serving(t, proxy.URL())
			subscribe(t, js, "s", recordFor(e, quickRetries))
			f := publishFlow(t, js, 100, 8)
			e.came(t, 150)
			frozen := time.Now()
			proxy.Silence(true)
			<-time.After(length) // how long it is frozen is what is tested
			proxy.Silence(false)
			at := e.Delivered()
			await(t, 40*time.Second, "the flow goes on", func() bool { return e.Delivered() > at+100 })
			f.arrives(t, e)
			repeats := f.check(t, e)
			recent(t, repeats, frozen)
			if length < time.Second {
				notAgain(t, repeats, p)
				return
			}
			if len(p.losses()) == 0 {
				t.Errorf("the lease was not lost, though it could not be renewed for %s", length)
			}
			last := time.Duration(0)
			for _, h := range e.Journal() {
				if since := h.At.Sub(frozen); since < length {
					last = max(last, since)
				}
			}
			lab.Promise(t, "the last attempt after the last renewal of the lease", last, 4*time.Second)
		})
	}
}

// unwritable is something that cannot be written for a while.
type unwritable struct {
	record  string                                                // members of that of the endpoint that fails
	set     func(*testing.T, *lab.Bus, jetstream.JetStream, bool) // breaks it, or mends it
	readyz  string
	log     string
	stopped bool // nothing is delivered at all
	letters uint64
}

// bridgeUser is the bridge's on the bus, which may not publish to some subjects.
func bridgeUser(deny ...string) *server.User {
	u := &server.User{Username: "bridge", Password: "pw"}
	if len(deny) > 0 {
		u.Permissions = &server.Permissions{Publish: &server.SubjectPermission{Allow: []string{">"}, Deny: deny}}
	}
	return u
}

var testUser = &server.User{Username: "test", Password: "pw"} // may do everything

// forbidden takes the permission to publish to a subject away.
func forbidden(subject string) func(*testing.T, *lab.Bus, jetstream.JetStream, bool) {
	return func(_ *testing.T, bus *lab.Bus, _ jetstream.JetStream, broken bool) {
		if broken {
			bus.Permit(testUser, bridgeUser(subject))
		} else {
			bus.Permit(testUser, bridgeUser())
		}
	}
}

// fullStream lets a stream be full.
func fullStream(name string) func(*testing.T, *lab.Bus, jetstream.JetStream, bool) {
	return func(t *testing.T, _ *lab.Bus, js jetstream.JetStream, broken bool) {
		ctx := within(t, 10*time.Second)
		s, err := js.Stream(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		cfg := s.CachedInfo().Config
		cfg.Discard, cfg.MaxBytes = jetstream.DiscardNew, 64<<20
		if broken {
			cfg.MaxBytes = max(1, int64(s.CachedInfo().State.Bytes))
		}
		if _, err := js.UpdateStream(ctx, cfg); err != nil {
			t.Fatal(err)
		}
	}
}

// What cannot be written down is not settled, is said, and goes on when mended.
func TestWhatCannotBeWrittenIsNotSettled(t *testing.T) {
	t.Parallel()
	const none = `"retry":{"schedule":[]}`
	for name, u := range map[string]unwritable{
		"ledger full":            {quickRetries, fullStream("KV_owed"), "the ledger takes no writes", "the ledger refuses an entry", false, 0},
		"ledger forbidden":       {slowRetries, forbidden("$KV.owed.>"), "the ledger takes no writes", `Permissions Violation for Publish to \\"\$KV.owed`, false, 0},
		"dead letters full":      {none, fullStream("DEAD_LETTERS"), "dead letters", "dead letter could not be stored", false, 1},
		"dead letters forbidden": {none, forbidden("dead-letters.>"), "dead letters", "dead letter could not be stored", false, 1},
		"lease forbidden":        {quickRetries, forbidden("$KV.lease.>"), "the lease cannot be", `Permissions Violation for Publish to \\"\$KV.lease`, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bus := lab.ListenBusFor(t, testUser, bridgeUser())
			js := jetStream(t, "nats://test:pw@"+bus.Addr())
			bad, good := receive(t, lab.Always(http.StatusServiceUnavailable)), receive(t, nil)
			p := serving(t, bus.URL(), "ORDERBRIDGE_NATS_USER=bridge", "ORDERBRIDGE_NATS_PASSWORD=pw")
			subscribe(t, js, "good", recordFor(good))
			subscribe(t, js, "bad", recordFor(bad, u.record))
			u.begins(t, js, bad, good)
			u.set(t, bus, js, true)
			last := u.isNotSettled(t, js, p, bad, good)
			u.set(t, bus, js, false)
			u.goesOn(t, js, p, bad, good, last)
		})
	}
}

// begins lets one event be settled while all can be written.
func (u unwritable) begins(t *testing.T, js jetstream.JetStream, bad, good *receiver) {
	first := publishOne(t, js, "before", 1)
	if u.stopped {
		bad.Reply(nil)
	} else {
		bad.came(t, 1)
	}
	good.came(t, 1)
	acknowledged(t, js, first)
	if u.letters == 0 {
		bad.Reply(nil)
		await(t, 20*time.Second, "a clean start", func() bool { return bad.Delivered() == 1 && len(owedKeys(t, js)) == 0 })
		bad.Reply(lab.Always(http.StatusServiceUnavailable))
	}
}

// isNotSettled: what is published while it cannot be written stays unsettled, and
// that is said. It returns the sequence of the last event.
func (u unwritable) isNotSettled(t *testing.T, js jetstream.JetStream, p *program, bad, good *receiver) (last uint64) {
	if u.stopped {
		p.complains(u.readyz) // until then it may deliver, and be sure of it
	}
	came := good.Count()
	seq := publishOne(t, js, "x", 1)
	last = publishOne(t, js, "y", 1)
	if !u.stopped {
		good.came(t, came+2)
		bad.came(t, 2)
	}
	p.complains(u.readyz)
	p.said(20*time.Second, u.log)
	if u.stopped { // also when it no longer leads
		p.said(20*time.Second, "leadership lost")
		p.complains("the lease cannot be written")
	}
	if got := floor(t, js); got >= seq && len(owedKeys(t, js)) == 0 {
		t.Errorf("acknowledged up to %d, though event %d stands nowhere", got, seq)
	}
	if u.stopped && good.Count() > came {
		t.Errorf("%d attempts without a lease", good.Count()-came)
	}
	return last
}

// goesOn: once it can be written again, all is settled.
func (u unwritable) goesOn(t *testing.T, js jetstream.JetStream, p *program, bad, good *receiver, last uint64) {
	if u.letters == 0 {
		bad.Reply(nil)
	}
	acknowledged(t, js, last)
	p.leads()
	await(t, 40*time.Second, "all is delivered", func() bool {
		return good.Delivered() == 3 && (u.letters > 0 || bad.Delivered() == 3)
	})
	if u.letters > 0 {
		if got := deadLetters(t, js); got != 3 {
			t.Errorf("%d dead letters, want 3", got)
		}
	}
	nothingOwed(t, js)
}
