package e2e

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

const hourlyRetries = `"retry":{"schedule":["PT1H","PT1H","PT1H"]}`

// What an operator does about deliveries: try now what waits for an hour, skip what
// nobody can take, hold back and lose nothing. Each outlives the process.
func TestSteer(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, lab.Always(http.StatusServiceUnavailable))
	p := serving(t, bus.URL())
	subscribe(t, js, "s", recordFor(e, hourlyRetries))
	run := func(code int, want string, args ...string) {
		t.Helper()
		if out, got := command(t, bus.URL(), "", args...); got != code || !strings.Contains(out, want) {
			t.Errorf("%v: exit code %d, want %d and %q:\n%s", args, got, code, want, out)
		}
	}
	got := func(order string, status int) (n int) {
		for _, h := range e.Journal() {
			if h.Order == order && h.Status == status {
				n++
			}
		}
		return n
	}
	holds := func(order string, attempts, events int) {
		t.Helper()
		await(t, lab.Patience, fmt.Sprintf("order %s waits with %d events after %d attempts", order, events, attempts), func() bool {
			out, _ := command(t, bus.URL(), "", "owed", "list", "s", "-o", "json")
			return strings.Contains(strings.Join(strings.Fields(out), ""), fmt.Sprintf(`"order":%q`, order)) && got(order, 503)+got(order, 422) >= attempts
		})
	}

	// Retry now: an order of several, then a host.
	publishOne(t, js, "a", 1)
	publishOne(t, js, "b", 1)
	holds("a", 1, 1)
	holds("b", 1, 1)
	e.Reply(lab.Always(http.StatusOK))
	run(0, "1 subscription waited", "retry-now", "s", "--order", "a")
	await(t, lab.Patience, "order a is delivered", func() bool { return got("a", 200) == 1 })
	if got("b", 200) > 0 {
		t.Error("order b was tried as well")
	}
	run(0, "nothing waits", "retry-now", "--host", "elsewhere.example")
	run(2, "--order: is empty", "retry-now", "s", "--order", "")
	run(1, "order: is empty", "skip", "s", "")
	ctx, cancel := context.WithTimeout(t.Context(), lab.Patience)
	defer cancel()
	if m, err := js.Conn().RequestWithContext(ctx, "orderbridge.retry-now", []byte(`{"subscriptions":"s"}`)); err != nil || !strings.Contains(string(m.Data), "subscriptions: is unknown") {
		t.Errorf("a request whose subscription is misspelt is answered with %v, %v", m, err)
	}
	run(0, "1 subscription waited", "retry-now", "--host", "127.0.0.1")
	await(t, lab.Patience, "order b is delivered", func() bool { return got("b", 200) == 1 })

	// Skip: the head is what was meant, and the rest goes on.
	e.Reply(func(h *lab.Hit) int {
		if h.Order == "c" && h.N == 1 {
			return http.StatusUnprocessableEntity
		}
		return http.StatusOK
	})
	poison := publishOne(t, js, "c", 1)
	publishOne(t, js, "c", 2)
	holds("c", 1, 2)
	run(1, fmt.Sprintf("the head of order \"c\" is sequence %d", poison), "skip", "s", "c", "--sequence", fmt.Sprint(poison+1))
	run(1, "no order \"d\"", "skip", "s", "d")
	run(0, fmt.Sprintf("sequence %d", poison), "skip", "s", "c", "--sequence", fmt.Sprint(poison), "--reason", "negative")
	await(t, lab.Patience, "the rest of order c is delivered", func() bool { return got("c", 200) == 1 })
	run(0, ": negative", "dead-letters", "list")

	// What was redriven waits beside its order, and is named by its sequence; the ledger
	// tells how old both are.
	e.Reply(lab.Always(http.StatusServiceUnavailable))
	run(0, "", "dead-letters", "redrive", "--subscription", "s")
	publishOne(t, js, "c", 3)
	await(t, lab.Patience, "both wait", func() bool {
		out, _ := command(t, bus.URL(), "", "owed", "list", "s", "-o", "json")
		return strings.Count(out, `"order": "c"`) == 2 && strings.Count(out, `"published": "`) == 2
	})
	e.Reply(lab.Always(http.StatusOK))
	await(t, lab.Patience, "it is skipped between two attempts", func() bool {
		out, _ := command(t, bus.URL(), "", "skip", "s", "c", "--sequence", fmt.Sprint(poison), "--reason", "negative still")
		return strings.Contains(out, fmt.Sprintf("sequence %d", poison)) && strings.Contains(out, "is a dead letter now")
	})
	run(0, ": negative still", "dead-letters", "list")
	if n := got("c", 200); n != 1 {
		t.Errorf("%d deliveries of order c, want that of its second event alone", n)
	}
	run(0, "1 subscription waited", "retry-now", "s", "--order", "c")
	await(t, lab.Patience, "the order's own is delivered", func() bool { return got("c", 200) == 2 })

	// Pause, over the end of the process.
	run(0, "paused", "pause", "s")
	before := e.Count()
	publishOne(t, js, "d", 1)
	publishOne(t, js, "d", 2)
	p.kill()
	serving(t, bus.URL()).leads()
	publishOne(t, js, "d", 3)
	verdict(t, js, "s", 0, protocol.StatePaused)
	run(1, "is paused", "retry-now", "s")
	if n := e.Count(); n != before {
		t.Errorf("%d requests while it was paused", n-before)
	}
	run(0, "stored as revision", "resume", "s")
	await(t, lab.Patience, "all of order d is delivered", func() bool { return got("d", 200) >= 3 })
	var order []int
	for _, h := range e.Journal() {
		if h.Order == "d" {
			order = append(order, h.N)
		}
	}
	if !slices.Equal(order, []int{1, 2, 3}) {
		t.Errorf("order d came as %v", order)
	}
	for _, action := range []string{"retry-now", "skip", "pause", "resume"} {
		await(t, lab.Patience, "the audit tells of "+action, func() bool {
			out, _ := command(t, bus.URL(), "", "audit")
			return strings.Contains(out, "  "+action+" ")
		})
	}
}
