package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"orderbridge/internal/limits"
)

// outcome is what a parser makes of an answer.
type outcome struct {
	status     int
	phase      phase
	reusable   bool
	doubt      string
	retryAfter string
	text       string
	rest       int // bytes after the end
}

// parse feeds an answer in pieces of at most size bytes, and its end.
func parse(answer []byte, head bool, size int) (outcome, error) {
	p := parser{head: head}
	rest := answer
	for len(rest) > 0 && !p.over() {
		piece := rest[:min(size, len(rest))]
		used := p.feed(piece)
		rest = rest[used:]
		if used < len(piece) {
			break
		}
	}
	reusable := p.reusable() && len(rest) == 0
	p.end("the end")
	o := outcome{p.status, p.phase, reusable, p.doubt, p.retryAfter, string(p.text), 0}
	switch p.phase {
	case ended:
		o.rest = len(rest)
	case refused:
		o.doubt = "" // it says nothing more
	}
	return o, p.err
}

func TestRowsParsed(t *testing.T) {
	t.Parallel()
	for _, r := range rows {
		t.Run(r.n, func(t *testing.T) {
			t.Parallel()
			whole, err := parse([]byte(r.answer), false, len(r.answer)+1)
			if whole.status != r.status || (err != nil) != (r.status == 0) {
				t.Errorf("status %d, %v, want %d", whole.status, err, r.status)
			}
			if whole.reusable != r.reuse && r.after == stays {
				t.Errorf("reusable %v (%s), want %v", whole.reusable, whole.doubt, r.reuse)
			}
			if strings.HasPrefix(r.n, "89") != errors.Is(err, ErrHTTP2) {
				t.Errorf("got %v", err)
			}
			for _, size := range []int{1, 2, 7, 4096} {
				if o, _ := parse([]byte(r.answer), false, size); o != whole {
					t.Errorf("in pieces of %d: %+v, whole: %+v", size, o, whole)
				}
			}
		})
	}
}

// TestEveryRowIsThere: 85 to 88 are no answers but what happens to connections:
// TestUnsolicited, TestEarlyAnswer.
func TestEveryRowIsThere(t *testing.T) {
	t.Parallel()
	there := map[string]bool{}
	for _, r := range rows {
		n, _, _ := strings.Cut(r.n, " ")
		there[n] = true
	}
	for n := 1; n <= 89; n++ {
		if !there[strconv.Itoa(n)] && (n < 85 || n > 88) {
			t.Errorf("row %d is missing", n)
		}
	}
}

func TestAnswersThatAreKept(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, answer string
		text, after  string
	}{
		{"text", "HTTP/1.1 500 X\r\nContent-Length: 4\r\n\r\nwhy?", "why?", ""},
		{"chunked text", "HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nwh\r\n2\r\ny?\r\n0\r\n\r\n", "why?", ""},
		{"Retry-After", "HTTP/1.1 503 X\r\nretry-AFTER:  7 \r\nContent-Length: 0\r\n\r\n", "", "7"},
		{"Retry-After beside doubts", "HTTP/1.1 503 X\nRetry-After: 7\nX y\n\nwhy", "why", "7"},
		{"Retry-After of an interim answer", "HTTP/1.1 103 X\r\nRetry-After: 9\r\n\r\nHTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n", "", ""},
		{"long text", "HTTP/1.1 500 X\r\nContent-Length: 9000\r\n\r\n" + strings.Repeat("x", 9000), strings.Repeat("x", limits.AnswerTextBytes), ""},
		{"endless text", "HTTP/1.1 500 X\r\nContent-Length: 99999999\r\n\r\n" + strings.Repeat("x", 9000), strings.Repeat("x", limits.AnswerTextBytes), ""},
		{"none of a success", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "", ""},
	} {
		o, err := parse([]byte(tc.answer), false, 10)
		if err != nil || o.text != tc.text || o.retryAfter != tc.after {
			t.Errorf("%s: %+v, %v", tc.name, o, err)
		}
	}
	if o, err := parse([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"), true, 10); err != nil || !o.reusable {
		t.Errorf("the answer to a HEAD: %+v, %v", o, err)
	}
	p := parser{}
	p.feed([]byte("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5, max=100\r\nContent-Length: 0\r\n\r\n"))
	if p.keepFor != 4 || !p.reusable() {
		t.Errorf("Keep-Alive: timeout=5 came to %d s", p.keepFor)
	}
}

func FuzzAnswer(f *testing.F) {
	for _, r := range rows {
		if len(r.answer) < 1<<10 {
			f.Add([]byte(r.answer), uint8(1))
		}
	}
	f.Fuzz(func(t *testing.T, answer []byte, size uint8) {
		if len(answer) > 200<<10 {
			return
		}
		whole, err := parse(answer, false, len(answer)+1)
		// However it is cut, it means the same.
		if o, pieceErr := parse(answer, false, int(size)+1); o != whole || (err == nil) != (pieceErr == nil) {
			t.Errorf("in pieces of %d: %+v %v, whole: %+v %v", int(size)+1, o, pieceErr, whole, err)
		}
		if (err == nil) != (whole.status != 0) || whole.status != 0 && (whole.status < 100 || whole.status > 999) {
			t.Errorf("status %d, %v", whole.status, err)
		}
		if len(whole.text) > limits.AnswerTextBytes {
			t.Errorf("%d bytes of text", len(whole.text))
		}
		if !whole.reusable {
			return
		}
		// Where we would use the connection again, net/http reads the same, and
		// nothing is left.
		reader := bufio.NewReader(bytes.NewReader(answer))
		for {
			resp, err := http.ReadResponse(reader, nil)
			if err != nil {
				t.Fatalf("reusable, but net/http says %v: %q", err, answer)
			}
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatalf("reusable, but net/http says of the body %v: %q", err, answer)
			}
			if resp.StatusCode < 200 {
				continue
			}
			if resp.StatusCode != whole.status || whole.text != "" && !bytes.HasPrefix(body, []byte(whole.text)) {
				t.Errorf("status %d, net/http %d; text %q, body %q", whole.status, resp.StatusCode, whole.text, body)
			}
			break
		}
		if left, _ := io.ReadAll(reader); len(left) > 0 {
			t.Errorf("reusable, but net/http has left %q of %q", left, answer)
		}
	})
}
