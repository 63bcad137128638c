package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// prints checks what a command printed.
func prints(t testing.TB, out string, code, want int, texts ...string) {
	t.Helper()
	if code != want {
		t.Fatalf("exit code %d, want %d:\n%s", code, want, out)
	}
	for _, text := range texts {
		if !strings.Contains(out, text) {
			t.Fatalf("no %q in:\n%s", text, out)
		}
	}
}

// A change of the stream stands until an operator has acknowledged it, over
// restarts too.
func TestStreamAdoptAcknowledges(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, nil)
	p := serving(t, bus.URL())
	subscribe(t, js, "s", recordFor(e))
	publishSome(t, js, someOrders, 1, 5)
	gets(t, e, someOrders, 1, 5)
	out, code := command(t, bus.URL(), "", "stream", "adopt", "--yes")
	prints(t, out, code, exitFailed, "nothing to adopt")
	remake(t, js)
	publishSome(t, js, someOrders, 6, 8)
	gets(t, e, someOrders, 6, 8)
	toldChange(t, p, js, "recreated")
	p.stop()
	p = serving(t, bus.URL())
	toldChange(t, p, js, "recreated")

	out, code = command(t, bus.URL(), "", "stream", "status")
	prints(t, out, code, exitGood, "stream     ORDERS", "not acknowledged", "recreated")
	out, code = command(t, bus.URL(), "", "stream", "adopt")
	prints(t, out, code, exitGood, "would acknowledge", "nothing was done")
	out, code = command(t, bus.URL(), "", "stream", "adopt", "--from-seq", "1", "--yes")
	prints(t, out, code, exitGood, "acknowledged") // nothing lies before sequence 1
	await(t, 20*time.Second, "/readyz tells it no more", func() bool {
		r, _ := p.readyz()
		return len(r.Reasons) == 0 && p.figure(t, "stream_changes_open") == 0
	})
	p.stop()
	p = serving(t, bus.URL())
	publishSome(t, js, someOrders, 9, 9)
	gets(t, e, someOrders, 9, 9)
	once(t, e)
	if r, _ := p.readyz(); len(r.Reasons) > 0 {
		t.Errorf("/readyz after a restart: %v", r.Reasons)
	}
}

// An operator may say where the bridge begins, while it leads and while it is away.
func TestStreamAdoptAtEnd(t *testing.T) {
	t.Parallel()
	t.Run("nobody leads", adoptAtEndWithoutALeader)
	t.Run("a subscription that reads", adoptAtEndBesideAReader)
}

func adoptAtEndWithoutALeader(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, nil)
	p := serving(t, bus.URL())
	subscribe(t, js, "s", recordFor(e))
	publishSome(t, js, someOrders, 1, 5)
	gets(t, e, someOrders, 1, 5)
	p.stop()
	remake(t, js)
	publishSome(t, js, someOrders, 6, 9)
	out, code := command(t, bus.URL(), "", "stream", "adopt", "--at-end")
	prints(t, out, code, exitGood, "changed ", "begin after sequence 12: up to 12 events", "nothing was done")
	out, code = command(t, bus.URL(), "", "stream", "adopt", "--at-end", "--yes")
	prints(t, out, code, exitGood, "the next leader acknowledges")
	p = serving(t, bus.URL())
	publishSome(t, js, someOrders, 10, 12)
	gets(t, e, someOrders, 10, 12)
	once(t, e)
	if n := len(got(e)); n != 15+9 {
		t.Errorf("%d events were delivered, want 24: those before the end were to be left out", n)
	}
	if r, _ := p.readyz(); len(r.Reasons) > 0 {
		t.Errorf("/readyz: %v", r.Reasons)
	}
}

func adoptAtEndBesideAReader(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, lab.Always(503))
	serving(t, bus.URL())
	subscribe(t, js, "s", recordFor(e, `"ordering":"none"`, `"retry":{"schedule":["PT1H"]}`))
	publishSome(t, js, someOrders, 1, 10)
	verdict(t, js, "s", 0, protocol.StateSuspended)
	remake(t, js)
	publishSome(t, js, someOrders, 11, 20)
	await(t, 20*time.Second, "the change is known", func() bool {
		out, _ := command(t, bus.URL(), "", "stream", "status")
		return strings.Contains(out, "not acknowledged") && strings.Contains(out, "sequences 1 to 30")
	})
	out, code := command(t, bus.URL(), "", "stream", "adopt", "--at-end", "--yes")
	prints(t, out, code, exitGood, "acknowledged")
	e.Reply(nil)
	publishSome(t, js, someOrders, 21, 25)
	gets(t, e, someOrders, 21, 25)
	await(t, 20*time.Second, "nothing more waits", func() bool {
		st, _ := verdict(t, js, "s", 0, protocol.StateActive, protocol.StateReading, protocol.StateSuspended, protocol.StateRetrying)
		return st.State == protocol.StateActive
	})
	skipped := 0 // the few that had been tried are held orders
	for _, o := range someOrders {
		for n := 11; n <= 20; n++ {
			if got(e)[fmt.Sprintf("%s %d", o, n)] == 0 {
				skipped++
			}
		}
	}
	if skipped < 10 {
		t.Errorf("%d of 30 events before the end were left out", skipped)
	}
}
