package e2e

import (
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// shaky answers some first attempts with 503, so that lanes are held now and
// then. Only three orders fail: after a pause each order runs up to its next
// failure at once, and five failures in a row would suspend the subscription.
func shaky(h *lab.Hit) int {
	if (h.N+5*int(h.Order[1]))%13 == 0 && strings.Contains("o0 o1 o4", h.Order) && h.Header.Get("X-Attempt") == "1" {
		return http.StatusServiceUnavailable
	}
	return http.StatusOK
}

// Promises 1, 3 and 4 over a crash: killed in mid-flow, started again.
func TestKilledAndStartedAgain(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, shaky)
	p := serving(t, bus.URL())
	subscribe(t, js, "s", recordFor(e, quickRetries))
	f := publishFlow(t, js, 200, 8)
	e.came(t, 200)
	crash := time.Now()
	p.kill()
	at := e.Count()
	p = launch(t, "ORDERBRIDGE_NATS_URL="+bus.URL())
	e.came(t, at+1)
	f.arrives(t, e)
	recent(t, f.check(t, e), crash)
	p.stop()
}

// The same with a second bridge that stands by.
func TestSecondBridgeTakesOverFromAKilledOne(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, shaky)
	p := serving(t, bus.URL())
	second := launch(t, "ORDERBRIDGE_NATS_URL="+bus.URL())
	second.said(20*time.Second, "standing by")
	subscribe(t, js, "s", recordFor(e, quickRetries))
	f := publishFlow(t, js, 200, 8)
	e.came(t, 200)
	was := leaseEntry(t, js)
	crash := time.Now()
	p.kill()
	is, renewed := leaseEntry(t, js), leaseTime(t, js)
	took := second.leads()
	// A slow machine may have read it too late.
	if early := time.Since(renewed); is.Holder == was.Holder && early < 12*time.Second {
		t.Errorf("took over %s after the last renewal, the lease holds for 10 s and 2 s more", early)
	}
	lab.Promise(t, "the take-over from a killed bridge", took, 20*time.Second)
	f.arrives(t, e)
	recent(t, f.check(t, e), crash)
}

// A stopped process holds no lease when it wakes: what it still has in hand
// must neither be sent nor settled.
func TestSecondBridgeTakesOverFromAStoppedOneThatWakesLater(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, shaky)
	p := serving(t, bus.URL())
	second := launch(t, "ORDERBRIDGE_NATS_URL="+bus.URL())
	second.said(20*time.Second, "standing by")
	subscribe(t, js, "s", recordFor(e, quickRetries))
	f := publishFlow(t, js, 200, 8)
	e.came(t, 200)
	crash := time.Now()
	p.Signal(syscall.SIGSTOP)
	second.leads()
	p.Signal(syscall.SIGCONT)
	p.said(20*time.Second, "leadership lost")
	if r, _ := p.readyz(); r.Role == "leader" {
		t.Errorf("two lead")
	}
	at := e.Delivered()
	await(t, 20*time.Second, "the flow goes on", func() bool { return e.Delivered() > at+100 })
	f.arrives(t, e)
	recent(t, f.check(t, e), crash)
}

// Promise 4: a graceful stop repeats nothing, and its successor need not wait.
func TestSecondBridgeTakesOverFromOneThatIsStopped(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, shaky)
	p := serving(t, bus.URL())
	second := launch(t, "ORDERBRIDGE_NATS_URL="+bus.URL())
	second.said(20*time.Second, "standing by")
	subscribe(t, js, "s", recordFor(e, quickRetries))
	f := publishFlow(t, js, 200, 8)
	e.came(t, 200)
	was := leaseEntry(t, js)
	p.stop()
	handedOver(t, js, was)
	lab.Promise(t, "the take-over from a stopped bridge", second.leads(), 5*time.Second)
	at := e.Delivered()
	await(t, 20*time.Second, "the flow goes on", func() bool { return e.Delivered() > at+50 })
	f.arrives(t, e)
	notAgain(t, f.check(t, e), p, second)
}

// leaseEntry is what the lease says.
func leaseEntry(t testing.TB, js jetstream.JetStream) protocol.LeaseEntry {
	t.Helper()
	return protocol.Sight(entry(t, js, "lease", "leader"), 1).Entry
}

// leaseTime is when the lease was last written.
func leaseTime(t testing.TB, js jetstream.JetStream) time.Time {
	t.Helper()
	kv, err := js.KeyValue(within(t, 0), "lease")
	if err != nil {
		t.Fatal(err)
	}
	e, err := kv.Get(within(t, 0), "leader")
	if err != nil {
		t.Fatal(err)
	}
	return e.Created()
}

// handedOver fails if the lease is still that of the leader that was, who has ended:
// whoever comes next need not wait for its end.
func handedOver(t testing.TB, js jetstream.JetStream, was protocol.LeaseEntry) {
	t.Helper()
	if is := leaseEntry(t, js); !is.Free && is.Holder == was.Holder {
		t.Errorf("the leader has gone and left its lease as %+v", is)
	}
}

// The embedded server's lock proves that the former bridge is gone, so neither
// a stop nor a crash makes the next start wait.
func TestEmbeddedServerStartsAgainAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	env := []string{"ORDERBRIDGE_DATA_DIR=" + dir, "ORDERBRIDGE_NATS_LISTEN=127.0.0.1:0"}
	e := receive(t, shaky)
	start := func() (*program, time.Duration) {
		p := launch(t, env...)
		began := time.Now()
		p.leads()
		return p, time.Since(began)
	}
	url := func(p *program) string { return p.said(20*time.Second, `embedded NATS server.* url=(\S+)`) }
	run := func(p *program, f *flow) *flow {
		js := jetStream(t, url(p))
		if f == nil {
			subscribe(t, js, "s", recordFor(e, quickRetries))
		}
		at := e.Delivered()
		g := publishFlow(t, js, 100, 4)
		if f != nil {
			// Another run of the program, other orders.
			g.end()
		}
		await(t, 20*time.Second, "the flow goes on", func() bool { return e.Delivered() > at || f != nil })
		return g
	}
	p, _ := start()
	f := run(p, nil)
	await(t, 20*time.Second, "deliveries", func() bool { return e.Delivered() > 50 })
	if out := launch(t, env...); out.exit(20*time.Second) != exitFailed || !strings.Contains(out.Output(), "in use") {
		t.Errorf("a second process on the same data directory: %s", out.Output())
	}
	f.end()
	p.stop()
	first := p
	p, took := start()
	lab.Promise(t, "until it leads again after a stop", took, 8*time.Second)
	p.neverWaited()
	f.arrives(t, e)
	notAgain(t, f.check(t, e), first, p)
	p.kill()
	p, took = start()
	lab.Promise(t, "until it leads again after a crash", took, 8*time.Second)
	p.neverWaited()
	js := jetStream(t, url(p))
	seq := publishOne(t, js, "o0", f.count["o0"]+1)
	f.count["o0"]++
	f.arrives(t, e)
	acknowledged(t, js, seq)
	p.stop()
}

// R10: an attempt under way may finish; it counts, and nothing is repeated.
func TestStopLetsRunningAttemptsFinish(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	finish := make(chan struct{})
	e := receive(t, func(*lab.Hit) int { <-finish; return http.StatusOK })
	p := serving(t, bus.URL())
	subscribe(t, js, "s", recordFor(e))
	seq := publishOne(t, js, "a", 1)
	waits := publishOne(t, js, "a", 2) // in the lane behind it
	e.came(t, 1)
	p.Signal(syscall.SIGTERM)
	p.said(20*time.Second, "handing over")
	late := publishOne(t, js, "b", 1)
	if e.Count() != 1 {
		t.Errorf("an attempt was started during the stop")
	}
	close(finish)
	if code := p.exit(15 * time.Second); code != exitGood {
		t.Errorf("exit code %d", code)
	}
	if got := e.Count(); got != 1 {
		t.Errorf("%d requests, want the one that was under way", got)
	}
	p = serving(t, bus.URL())
	acknowledged(t, js, max(seq, waits, late))
	await(t, 20*time.Second, "the rest is delivered", func() bool { return e.Delivered() == 3 })
	if got := e.Count(); got != 3 {
		t.Errorf("%d requests for 3 events", got)
	}
	p.stop()
}

// R10: a hanging attempt is cut when the time is up, burns no attempt and comes
// again under the same id.
func TestStopCutsHangingAttempts(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, lab.Always(lab.Hang))
	p := serving(t, bus.URL(), "ORDERBRIDGE_SHUTDOWN_TIMEOUT=2s")
	subscribe(t, js, "s", recordFor(e, `"timeout":"PT5S"`))
	publishOne(t, js, "a", 1)
	last := publishOne(t, js, "a", 2)
	first := e.came(t, 1)
	began := time.Now()
	p.Signal(syscall.SIGTERM)
	if code := p.exit(10 * time.Second); code != exitGood {
		t.Errorf("exit code %d", code)
	}
	lab.Promise(t, "a stop that may take 2 s", time.Since(began), 4*time.Second)
	if keys := owedKeys(t, js); len(keys) != 1 {
		t.Errorf("the ledger holds %v, want the lane that was cut", keys)
	}
	e.Reply(nil)
	p = serving(t, bus.URL())
	await(t, 20*time.Second, "both are delivered", func() bool { return e.Delivered() == 2 })
	again := e.Journal()[1]
	if again.Header.Get("Webhook-Id") != first.Header.Get("Webhook-Id") || again.Header.Get("X-Attempt") != "1" {
		t.Errorf("came again as %s attempt %s, first %s", again.Header.Get("Webhook-Id"), again.Header.Get("X-Attempt"), first.Header.Get("Webhook-Id"))
	}
	// The endpoint may still be at work on what was given up, for as long as the attempt could have taken.
	if early := again.At.Sub(begun(t, first)); early < 5*time.Second {
		t.Errorf("came again %s after it was first sent, the endpoint may need 5 s", early)
	}
	acknowledged(t, js, last)
	verdict(t, js, "s", 0, protocol.StateActive)
	p.stop()
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	var hits atomic.Int32
	e := receive(t, func(*lab.Hit) int {
		if hits.Add(1) == 1 {
			return lab.Hang
		}
		return http.StatusOK
	})
	p := serving(t, bus.URL())
	subscribe(t, js, "s", recordFor(e))
	publishOne(t, js, "a", 1)
	e.came(t, 1)
	p.Signal(syscall.SIGTERM)
	p.said(20*time.Second, "handing over")
	began := time.Now()
	p.Signal(syscall.SIGTERM)
	if code := p.exit(5 * time.Second); code == exitGood {
		t.Error("exit code 0, though nothing was handed over")
	}
	lab.Promise(t, "until the end after the second signal", time.Since(began), 3*time.Second)
}
