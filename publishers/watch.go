package publishers

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"time"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
	"orderbridge/publishers/http1"
)

// What is noted of an attempt for the delivery log. Where nobody asks for it,
// nothing is: a nil *watch.

// watch is what is noted of one attempt while it runs.
type watch struct {
	exchange *bridge.Exchange
	began    time.Time
	notes    http1.Notes
}

var watches = sync.Pool{New: func() any { return new(watch) }}

// watching begins to note, if the attempt of this context is to be.
func watching(ctx context.Context) *watch {
	x := bridge.ExchangeOf(ctx)
	if x == nil {
		return nil
	}
	w := watches.Get().(*watch)
	w.exchange, w.began = x, time.Now()
	w.notes.Reset()
	return w
}

// own are the notes of our client; nil: none.
func (w *watch) own() *http1.Notes {
	if w == nil {
		return nil
	}
	return &w.notes
}

// end tells what was noted of a request; status is 0 if there was no answer.
func (w *watch) end(e *endpoint, d *protocol.Delivery, r *request, status int, err error) {
	if w == nil {
		return
	}
	x := w.exchange
	if err != nil || status < 200 || status > 299 || x.Wanted() {
		w.tell(x, e, d, r, status)
	}
	w.exchange = nil
	watches.Put(w)
}

func (w *watch) tell(x *bridge.Exchange, e *endpoint, d *protocol.Delivery, r *request, status int) {
	x.Request.Method, x.Request.URL, x.Request.Bytes = r.method, e.shownURL(d.Subscription, d.Event), len(r.body)
	x.Request.Headers = e.appendShown(x.Request.Headers, r.fields)
	if x.Status = status; status > 0 {
		x.Response.Bytes = w.notes.Bytes
		x.Response.Headers, x.Response.Excerpt = e.shownAnswer(w.notes.Head, w.notes.Text)
	}
	x.Timings.Total = millis(time.Since(w.began))
	if !w.notes.First.IsZero() {
		x.Timings.FirstByte = millis(w.notes.First.Sub(w.notes.Sent))
	}
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// dialTimes are the steps of a connection that was made for an attempt. net/http may
// make one beside the request that asked for it, and go on after that has ended.
type dialTimes struct {
	mu                sync.Mutex
	dns, connect, tls time.Duration
}

type dialTimesKey struct{}

// withDialTimes is a context for dials whose steps are noted.
func withDialTimes(ctx context.Context) (context.Context, *dialTimes) {
	t := &dialTimes{}
	return context.WithValue(ctx, dialTimesKey{}, t), t
}

// tell adds the steps to those that the attempt has taken.
func (t *dialTimes) tell(x *bridge.AttemptTimings) {
	t.mu.Lock()
	defer t.mu.Unlock()
	x.DNS += millis(t.dns)
	x.Connect += millis(t.connect)
	x.TLS += millis(t.tls)
}

// dialing notes how long names and the connection take; done ends that.
func dialing(ctx context.Context) (timed context.Context, done func()) {
	t, _ := ctx.Value(dialTimesKey{}).(*dialTimes)
	if t == nil {
		return ctx, func() {}
	}
	began := time.Now()
	var asked, told time.Time
	timed = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSStart: func(httptrace.DNSStartInfo) { t.locked(func() { asked = time.Now() }) },
		DNSDone:  func(httptrace.DNSDoneInfo) { t.locked(func() { told = time.Now() }) },
	})
	return timed, func() {
		t.locked(func() {
			if !told.IsZero() {
				t.dns = told.Sub(asked)
			}
			t.connect = time.Since(began) - t.dns
		})
	}
}

// shaking notes how long a TLS handshake takes; done ends that.
func shaking(ctx context.Context) (done func()) {
	t, _ := ctx.Value(dialTimesKey{}).(*dialTimes)
	if t == nil {
		return func() {}
	}
	began := time.Now()
	return func() { t.locked(func() { t.tls = time.Since(began) }) }
}

func (t *dialTimes) locked(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f()
}

// netTimes are what net/http tells of a request, of which it may be late.
type netTimes struct {
	dial        *dialTimes
	mu          sync.Mutex
	sent, first time.Time
}

// byNetHTTP is the context of a request through net/http; nil times: nothing is noted.
func (w *watch) byNetHTTP(ctx context.Context) (context.Context, *netTimes) {
	if w == nil {
		return ctx, nil
	}
	w.notes.Reset() // of the request before, which the server did not take
	t := &netTimes{}
	ctx, t.dial = withDialTimes(ctx)
	note := func(at *time.Time) {
		t.mu.Lock()
		defer t.mu.Unlock()
		*at = time.Now()
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:              func(httptrace.GotConnInfo) { note(&t.sent) },
		GotFirstResponseByte: func() { note(&t.first) },
	}), t
}

// head notes the fields of an answer that net/http has read.
func (w *watch) head(h http.Header) {
	if w == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(h)) {
		w.notes.Field([]byte(name + ": " + strings.Join(h[name], ", ")))
	}
}

// body notes a part of the body.
func (w *watch) body(b []byte) {
	if w != nil {
		w.notes.Body(b)
	}
}

// rest is where the rest of the body goes.
func (w *watch) rest() io.Writer {
	if w == nil {
		return io.Discard
	}
	return bodyNotes{w}
}

type bodyNotes struct{ *watch }

func (n bodyNotes) Write(b []byte) (int, error) {
	n.body(b)
	return len(b), nil
}

// noteNetHTTP takes what net/http has told.
func (w *watch) noteNetHTTP(t *netTimes) {
	if w == nil {
		return
	}
	t.dial.tell(&w.exchange.Timings)
	t.mu.Lock()
	defer t.mu.Unlock()
	w.notes.Sent, w.notes.First = t.sent, t.first
}
