package e2e

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"orderbridge/internal/lab"
)

// receiver is a real endpoint that keeps a journal.
type receiver struct{ *lab.Receiver }

// receive starts an endpoint that answers with reply; nil: always 200.
func receive(t testing.TB, reply lab.Reply) *receiver {
	t.Helper()
	return receiveTLS(t, nil, reply)
}

// receiveTLS is receive with TLS settings of its own.
func receiveTLS(t testing.TB, settings *tls.Config, reply lab.Reply) *receiver {
	t.Helper()
	return received(t)(lab.Receive(settings, reply))
}

// receivePlain is receive without TLS.
func receivePlain(t testing.TB, reply lab.Reply) *receiver {
	t.Helper()
	return received(t)(lab.ReceivePlain(reply))
}

// received closes a receiver when the test ends, and shows what came last if it
// failed.
func received(t testing.TB) func(*lab.Receiver, error) *receiver {
	return func(e *lab.Receiver, err error) *receiver {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			e.Close()
			if t.Failed() {
				for _, h := range e.Since(max(0, e.Count()-20)) {
					t.Logf("%s %s", e.URL, h)
				}
			}
		})
		return &receiver{e}
	}
}

// handle starts a TLS endpoint with a handler of its own and returns its URL.
func handle(t testing.TB, h http.Handler) string {
	t.Helper()
	e, err := lab.Handle(nil, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e.URL
}

// connections starts a TLS endpoint that does what it likes with each
// connection, and returns its URL; nil settings are the usual ones.
func connections(t testing.TB, settings *tls.Config, serve func(net.Conn)) string {
	t.Helper()
	l, err := lab.Listen(settings, serve)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.URL
}

// begun is when the bridge began an attempt at the latest, by what it says itself: it
// may come to the endpoint some time later.
func begun(t testing.TB, h lab.Hit) time.Time {
	t.Helper()
	seconds, err := strconv.ParseInt(h.Header.Get("Webhook-Timestamp"), 10, 64)
	if err != nil {
		t.Fatalf("an attempt without its time: %v", err)
	}
	return time.Unix(seconds, 0)
}

// came waits for the nth request (from 1).
func (e *receiver) came(t testing.TB, n int) lab.Hit {
	t.Helper()
	await(t, 30*time.Second, fmt.Sprintf("request %d", n), func() bool { return e.Count() >= n })
	return e.Journal()[n-1]
}
