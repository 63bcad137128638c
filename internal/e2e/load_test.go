package e2e

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/lab"
)

// burst publishes events, perSecond of them (0: as fast as it goes), without
// waiting for each confirmation.
func burst(t testing.TB, js jetstream.JetStream, n, perSecond, size int) {
	t.Helper()
	pad := strings.Repeat("x", size)
	start := time.Now()
	var last jetstream.PubAckFuture
	for i := range n {
		f, err := js.PublishMsgAsync(&nats.Msg{Subject: "orders.acme.OrderChanged." + strconv.Itoa(i),
			Data: []byte(fmt.Sprintf(`{"orderId":"%d","n":%d,"x":%q}`, i, i+1, pad))}, jetstream.WithStallWait(lab.Patience), jetstream.WithStallWait(lab.Patience))
		if err != nil {
			t.Fatal(err)
		}
		last = f
		if perSecond > 0 && i%20 == 0 {
			<-time.After(time.Until(start.Add(time.Duration(i) * time.Second / time.Duration(perSecond))))
		}
	}
	select {
	case <-last.Ok():
	case err := <-last.Err():
		t.Fatal(err)
	case <-time.After(lab.Patience):
		t.Fatal("not confirmed")
	}
}

// Promise 2: an endpoint that hangs does not slow another one down. The largest
// pause of its flow is held against that of the same flow without the other.
func TestHangingEndpointDelaysNobody(t *testing.T) {
	const perSecond, seconds = 2000, 4
	if testing.Short() {
		t.Skip("takes 12 s and wants the machine for itself")
	}
	pause := func(hanging bool) time.Duration {
		bus := lab.ListenBus(t)
		js := jetStream(t, bus.URL())
		good, bad := receive(t, nil), receive(t, lab.Always(lab.Hang))
		p := serving(t, bus.URL())
		subscribe(t, js, "good", recordFor(good, `"maxInFlight":64`))
		if hanging {
			subscribe(t, js, "bad", recordFor(bad))
		}
		burst(t, js, perSecond*seconds, perSecond, 300)
		await(t, 30*time.Second, "all of the healthy flow", func() bool { return good.Delivered() == perSecond*seconds })
		if hanging && bad.Count() == 0 {
			t.Error("nothing was sent to the hanging endpoint")
		}
		longest := time.Duration(0)
		j := good.Journal()
		for i := 1; i < len(j); i++ {
			longest = max(longest, j[i].At.Sub(j[i-1].At))
		}
		p.kill()
		return longest
	}
	alone, beside := pause(false), pause(true)
	t.Logf("longest pause %s alone, %s beside an endpoint that hangs", alone, beside)
	lab.Promise(t, "the longest pause beside an endpoint that hangs", beside, 3*alone+300*time.Millisecond)
}

// Memory is bounded by design: 50,000 waiting events of 10 KB, an endpoint that
// hangs, and the embedded server in the same process.
func TestMemoryStaysBounded(t *testing.T) {
	const events, size, limit = 50_000, 10_000, 250 << 20
	if testing.Short() {
		t.Skip("writes 500 MB")
	}
	e := receive(t, lab.Always(lab.Hang))
	dir := t.TempDir()
	env := []string{"ORDERBRIDGE_DATA_DIR=" + dir, "ORDERBRIDGE_NATS_LISTEN=127.0.0.1:0", "ORDERBRIDGE_EMBEDDED_SYNC=interval"}
	p := launch(t, env...)
	p.leads()
	js := jetStream(t, p.said(20*time.Second, `embedded NATS server.* url=(\S+)`))
	subscribe(t, js, "s", recordFor(e))
	burst(t, js, events, 0, size)
	e.came(t, record.DefaultMaxInFlight)
	t.Logf("peak %d MiB after publishing", p.peak()>>20)
	bounded(t, fmt.Sprintf("the peak with %d waiting events", events), p.steadyPeak(), limit)
	// And when it starts with all that before it, after a crash.
	p.kill()
	before := e.Count()
	p = launch(t, env...)
	p.leads()
	e.came(t, before+1)
	again := p.steadyPeak()
	bounded(t, fmt.Sprintf("the peak after a start with %d waiting events", events), again, limit)
}

// steadyPeak waits until the peak has stayed the same for three seconds: the
// program takes in no more.
func (p *program) steadyPeak() int64 {
	p.t.Helper()
	peak, since := p.peak(), time.Now()
	await(p.t, time.Minute, "the peak stays the same", func() bool {
		if now := p.peak(); now > peak+1<<20 { // some pages always come
			peak, since = now, time.Now()
		}
		return time.Since(since) > 3*time.Second
	})
	return p.peak()
}

// bounded holds memory against what is promised, and fails for what cannot be but a
// leak: how much more than it needs a program keeps depends on what else runs.
func bounded(t testing.TB, what string, bytes, promised int64) {
	t.Helper()
	lab.Promise(t, what+", in MiB", bytes>>20, promised>>20)
	if bytes > 3*promised {
		t.Errorf("%s: %d MiB, thrice what is promised", what, bytes>>20)
	}
}

// peak is the largest resident size of the program so far, bytes.
func (p *program) peak() int64 {
	p.t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", p.Pid()))
	if err != nil {
		p.t.Skip("the resident size is read from /proc: ", err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				p.t.Fatal(err)
			}
			return kb << 10
		}
	}
	p.t.Fatal("no VmHWM")
	return 0
}

// TestLiveAgainUnderASteadyFlow: a record that is put in mid-flow catches up and
// is live while the flow goes on.
func TestLiveAgainUnderASteadyFlow(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	first, late := receive(t, nil), receive(t, nil)
	p := serving(t, bus.URL())
	subscribe(t, js, "first", recordFor(first, `"maxInFlight":64`))
	f := publishFlow(t, js, 500, 100)
	first.came(t, 500)
	revision := put(t, js, "late", recordFor(late, `"maxInFlight":64`))
	verdict(t, js, "late", revision, protocol.StateActive)
	select {
	case <-f.done:
		t.Error("the flow had ended before the record was live")
	default:
	}
	f.stop()
	<-f.done
	p.stop()
}
