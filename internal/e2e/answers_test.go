package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"orderbridge/internal/lab"
)

// rawEndpoint is a TLS endpoint that answers with bytes of its own, so that it
// may break what HTTP says of answers. Who gets which is told by the order.
type rawEndpoint struct {
	url     string
	answers map[string]func(conn net.Conn) (again bool) // by order

	mu    sync.Mutex
	seen  map[string]int // requests by Webhook-Id
	order []string       // the orders of the requests, as they came
	at    []time.Time
}

func newRawEndpoint(t *testing.T, answers map[string]func(net.Conn) bool) *rawEndpoint {
	t.Helper()
	e := &rawEndpoint{answers: answers, seen: map[string]int{}}
	e.url = connections(t, nil, e.serve)
	return e
}

func (e *rawEndpoint) serve(conn net.Conn) {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for {
		r, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		var event struct{ OrderID string }
		_ = json.Unmarshal(body, &event)
		e.mu.Lock()
		e.seen[r.Header.Get("Webhook-Id")]++
		e.order, e.at = append(e.order, event.OrderID), append(e.at, time.Now())
		e.mu.Unlock()
		if answer := e.answers[event.OrderID]; answer == nil || !answer(conn) {
			return
		}
	}
}

// answersWith answers with a text, and goes on if it may.
func answersWith(text string) func(net.Conn) bool {
	return func(conn net.Conn) bool {
		_, err := io.WriteString(conn, text)
		return err == nil
	}
}

// never answers with the beginning of a success and then never ends.
func never(start, more string) func(net.Conn) bool {
	return func(conn net.Conn) bool {
		_, err := io.WriteString(conn, start)
		for err == nil {
			<-time.After(50 * time.Millisecond)
			_, err = io.WriteString(conn, more)
			if more == "" { // nothing comes: until the other side goes
				_, err = conn.Read(make([]byte, 1))
			}
		}
		return false
	}
}

// hardToRead are successes by their first line, by the order that gets them.
var hardToRead = map[string]func(net.Conn) bool{
	"te-twice":     answersWith(ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	"te-identity":  answersWith(ok + "Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok"),
	"te-unknown":   answersWith(ok + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
	"no-colon":     answersWith(ok + "what is this\r\nContent-Length: 2\r\n\r\nok"),
	"name":         answersWith(ok + "X y(z): 1\r\nContent-Length: 2\r\n\r\nok"),
	"folded":       answersWith(ok + " X: 1\r\nContent-Length: 2\r\n\r\nok"),
	"nul":          answersWith(ok + "X: a\x00b\r\nContent-Length: 2\r\n\r\nok"),
	"control":      answersWith(ok + "X: a\x01b\r\nContent-Length: 2\r\n\r\nok"),
	"length-word":  answersWith(ok + "Content-Length: two\r\n\r\nok"),
	"length-minus": answersWith(ok + "Content-Length: -1\r\n\r\nok"),
	"length-two":   answersWith(ok + "Content-Length: 2\r\nContent-Length: 3\r\n\r\nok"),
	"length-long":  answersWith(ok + "Content-Length: 99999999999999999999\r\n\r\nok"),
	"head-70k":     answersWith(ok + strings.Repeat("X: "+strings.Repeat("x", 995)+"\r\n", 70) + "Content-Length: 2\r\n\r\nok"),
	"head-line":    answersWith(ok + "X: " + strings.Repeat("x", 70<<10) + "\r\nContent-Length: 2\r\n\r\nok"),
	"head-cut":     func(c net.Conn) bool { _, _ = io.WriteString(c, ok+"Content-Le"); return false },
	"lf":           answersWith("HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
	"blank-line":   answersWith("\r\n" + ok + "Content-Length: 2\r\n\r\nok"),
	"no-reason":    answersWith("HTTP/1.1 201\r\nContent-Length: 2\r\n\r\nok"),
	"chunk-size":   answersWith(ok + "Transfer-Encoding: chunked\r\n\r\nxyz\r\nok\r\n0\r\n\r\n"),
	"204-body":     answersWith("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello"),
	"short":        func(c net.Conn) bool { _, _ = io.WriteString(c, ok+"Content-Length: 20\r\n\r\nok"); return false },
	"second":       answersWith(ok + "Content-Length: 2\r\n\r\nok" + "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"),
	"good":         answersWith(ok + "Content-Length: 2\r\n\r\nok"),
	"drips-body":   never(ok+"Content-Length: 1000000\r\n\r\n", "x"),
	"drips-chunks": never(ok+"Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"),
	"drips-head":   never(ok, "X: y\r\n"),
	"silent-body":  never(ok+"Content-Length: 1000000\r\n\r\n", ""),
	"silent-head":  never(ok, ""),
	"no-length":    never(ok+"\r\n", ""),
}

const ok = "HTTP/1.1 200 OK\r\n"

// TestSuccessesThatAreHardToRead: a 2xx status line is a success, whatever
// follows it: each event is sent once, nothing becomes owed or a dead letter,
// and no lane waits for an end that does not come.
func TestSuccessesThatAreHardToRead(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := newRawEndpoint(t, hardToRead)
	p := serving(t, bus.URL())
	subscribe(t, js, "s", fmt.Sprintf(`{"targetURL":"%s/hook",%s}`, e.url, quickRetries))

	const each = 4
	last, n := uint64(0), 0
	for i := range each {
		for order := range hardToRead {
			last = publishOne(t, js, order, i+1)
			n++
		}
	}
	acknowledged(t, js, last)
	nothingOwed(t, js)
	p.stop()

	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.seen) != n {
		t.Errorf("%d deliveries came of %d", len(e.seen), n)
	}
	first, longest := map[string]time.Time{}, map[string]time.Duration{}
	for i, order := range e.order {
		if before, ok := first[order]; ok {
			longest[order] = max(longest[order], e.at[i].Sub(before))
		}
		first[order] = e.at[i]
	}
	for order, took := range longest {
		lab.Promise(t, order+": how long the lane was held", took, 3*time.Second)
	}
	if len(e.order) != n {
		t.Errorf("%d requests for %d events: %v", len(e.order), n, e.order)
	}
	if n := deadLetters(t, js); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}
