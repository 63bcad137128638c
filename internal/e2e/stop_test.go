package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/lab"
)

// R10b: a planned stop beside endpoints that hang: all else is delivered while
// the bridge waits for them, the stand-by goes on with it, nothing is repeated,
// and what was cut is not tried before its own time is over.
func TestStopBesideHangingEndpoints(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	good := receive(t, nil)
	part := receive(t, func(h *lab.Hit) int { // hangs for one order only
		if h.Order == "o0" {
			return lab.Hang
		}
		return http.StatusOK
	})
	bad := receive(t, lab.Always(lab.Hang))
	env := []string{"ORDERBRIDGE_NATS_URL=" + bus.URL(), "ORDERBRIDGE_SHUTDOWN_TIMEOUT=20s"}
	p := launch(t, env...)
	p.leads()
	second := launch(t, env...)
	second.said(20*time.Second, "standing by")
	subscribe(t, js, "good", recordFor(good))
	subscribe(t, js, "part", recordFor(part, `"timeout":"PT26S"`))
	for _, id := range []string{"bad1", "bad2", "bad3"} {
		subscribe(t, js, id, recordFor(bad, `"timeout":"PT26S"`))
	}
	f := publishFlow(t, js, 100, 8)
	good.came(t, 50)
	bad.came(t, 3)
	await(t, 20*time.Second, "the order that hangs is under way", func() bool {
		return slices.ContainsFunc(part.Journal(), func(h lab.Hit) bool { return h.Order == "o0" })
	})
	cut := underWay(part, bad)
	p.Signal(syscall.SIGTERM)
	p.said(20*time.Second, "handing over")
	wasGood, wasPart := good.Delivered(), part.Delivered()
	more := 100 // on a slow machine they may be fewer, for as long as the stop waits
	await(t, 0, "deliveries while the stop waits", func() bool {
		return !p.Running() || good.Delivered() >= wasGood+more && part.Delivered() >= wasPart+more*8/10
	})
	if good.Delivered() == wasGood || part.Delivered() == wasPart || !p.Running() && !strings.Contains(p.Output(), "attempts cut off by the stop") {
		t.Error("the process has ended: its stop did not wait for what hangs, and delivered nothing else")
	}
	if code := p.exit(20 * time.Second); code != exitGood {
		t.Errorf("exit code %d", code)
	}
	p.said(0, "attempts cut off by the stop")
	second.leads()
	at := good.Delivered()
	await(t, 20*time.Second, "the flow goes on", func() bool { return good.Delivered() >= at+50 })
	f.end()
	bad.Reply(nil)
	part.Reply(nil)
	f.arrives(t, good)
	f.arrives(t, part)
	for _, e := range []*receiver{good, part} {
		notAgain(t, f.check(t, e), p, second)
	}
	await(t, 60*time.Second, "what hung is delivered", func() bool { return bad.Delivered() >= 3*f.end() })
	cutCame(t, cut, 26*time.Second, part, bad)
}

// underWay are the requests that have no answer yet, by their delivery.
func underWay(endpoints ...*receiver) map[string]lab.Hit {
	hits := map[string]lab.Hit{}
	for _, e := range endpoints {
		for _, h := range e.Journal() {
			if h.Status == 0 {
				hits[h.ID()] = h
			}
		}
	}
	return hits
}

// cutCame checks that what was cut came again as the attempt that it was, and not
// before the endpoint's time for it was over.
func cutCame(t *testing.T, cut map[string]lab.Hit, timeout time.Duration, endpoints ...*receiver) {
	t.Helper()
	for _, e := range endpoints {
		for _, h := range e.Journal() {
			first, was := cut[h.ID()]
			if !was || h.At.Equal(first.At) {
				continue
			}
			if early := h.At.Sub(begun(t, first)); early < timeout {
				t.Errorf("%s %d came again %s after it was first sent, the endpoint may need %s", h.Order, h.N, early, timeout)
			}
			if got := h.Header.Get("X-Attempt"); got != "1" {
				t.Errorf("%s %d came again as attempt %s: what we cut counts for nothing", h.Order, h.N, got)
			}
			delete(cut, h.ID())
		}
	}
	if len(cut) > 0 {
		t.Errorf("%d deliveries that were cut never came again", len(cut))
	}
}

// A stop whose ledger takes nothing cannot write down what is owed. It frees the
// lease all the same, in time, so that the stand-by need not wait for its end;
// nothing is lost.
func TestStopWithALedgerThatRefuses(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	good, bad := receive(t, nil), receive(t, lab.Always(http.StatusServiceUnavailable))
	env := []string{"ORDERBRIDGE_NATS_URL=" + bus.URL(), "ORDERBRIDGE_SHUTDOWN_TIMEOUT=4s"}
	p := launch(t, env...)
	p.leads()
	second := launch(t, env...)
	second.said(20*time.Second, "standing by")
	subscribe(t, js, "good", recordFor(good))
	subscribe(t, js, "bad", recordFor(bad, quickRetries))
	room := func(open bool) {
		ctx := within(t, 10*time.Second)
		s, err := js.Stream(ctx, "KV_owed")
		if err != nil {
			t.Fatal(err)
		}
		cfg := s.CachedInfo().Config
		cfg.Discard, cfg.MaxBytes = jetstream.DiscardNew, 64<<20
		if !open {
			cfg.MaxBytes = max(1, int64(s.CachedInfo().State.Bytes))
		}
		if _, err := js.UpdateStream(ctx, cfg); err != nil {
			t.Fatal(err)
		}
	}
	room(false)
	for i := range 5 {
		publishOne(t, js, fmt.Sprint("o", i), 1)
	}
	p.complains("the ledger takes no writes")
	good.came(t, 5)
	was := leaseEntry(t, js)
	p.Signal(syscall.SIGTERM)
	p.said(20*time.Second, "handed over all the same")
	if code := p.exit(10 * time.Second); code == exitGood {
		t.Error("exit code 0, though not all could be written down")
	}
	// What a stand-by would have to wait for is the end of the lease, 12 s.
	handedOver(t, js, was)
	second.said(0, "lease won")
	room(true)
	bad.Reply(nil)
	last := publishOne(t, js, "o5", 1)
	acknowledged(t, js, last)
	await(t, 40*time.Second, "all is delivered", func() bool { return good.Delivered() == 6 && bad.Delivered() == 6 })
}

// R5: what a healthy endpoint got is soon settled, though another one leaves the
// same events without an answer: a crash repeats little of it.
func TestKilledBesideAHangingEndpoint(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	good, bad := receive(t, nil), receive(t, lab.Always(lab.Hang))
	p := serving(t, bus.URL())
	subscribe(t, js, "good", recordFor(good))
	subscribe(t, js, "bad", recordFor(bad))
	f := publishFlow(t, js, 100, 400) // few for each order: its lanes are parked one by one
	good.came(t, 500)
	crash := time.Now()
	p.kill()
	at := good.Count()
	launch(t, "ORDERBRIDGE_NATS_URL="+bus.URL())
	good.came(t, at+1)
	f.arrives(t, good)
	repeats := f.check(t, good)
	recent(t, repeats, crash)
	oldest := time.Duration(0)
	for _, r := range repeats {
		oldest = max(oldest, crash.Sub(r.First.Ended))
	}
	t.Logf("%d repeats, the oldest had been delivered %s before the crash", len(repeats), oldest)
}
