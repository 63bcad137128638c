package http1

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// What hostile or merely odd servers do. The danger is one and the same: that a
// request gets what was not the answer to it.

// greet is a server that says something on each new connection before it was
// asked. The client begins once it has come.
func greet(t *testing.T, l layer, greeting string) (*server, *Client) {
	t.Helper()
	sent := make(chan struct{}, 100)
	s := listenRaw(t, listen(t, l, nil), func(conn net.Conn) {
		if c, ok := conn.(*tls.Conn); ok && c.Handshake() != nil {
			return
		}
		_, _ = io.WriteString(conn, greeting)
		sent <- struct{}{}
		_, _ = io.Copy(io.Discard, conn)
	})
	return s, newClient(t, func(o *Options) {
		dial := o.Dial
		o.Dial = func(ctx context.Context, key Key) (net.Conn, error) {
			conn, err := dial(ctx, key)
			if err == nil {
				<-sent
			}
			return conn, err
		}
	})
}

// TestBeforeTheRequest: what a server sends before it was asked is no answer, be
// it a success: the event would be lost.
func TestBeforeTheRequest(t *testing.T) {
	t.Parallel()
	for _, l := range layers {
		for name, greeting := range map[string]string{
			"success":  ok200(cl2, "ok"),
			"refusal":  "HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n",
			"goodbye":  "HTTP/1.1 408 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
			"interim":  "HTTP/1.1 100 X\r\n\r\n",
			"one byte": "H",
			"HTTP/2":   "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64",
		} {
			s, c := greet(t, l, greeting)
			a, err := c.Do(shortly(t), s.post("/", "x"))
			var none *AnswerError
			if good := errors.As(err, &none) || name == "HTTP/2" && errors.Is(err, ErrHTTP2); !good || a.Status != 0 {
				t.Errorf("%s, %s: %+v, %v", l.name, name, a, err)
			}
			if c.idleNow() != 0 {
				t.Errorf("%s, %s: the connection was kept", l.name, name)
			}
		}
	}
}

// inOneSegment collects what TLS writes until it is flushed.
type inOneSegment struct {
	net.Conn
	held  bytes.Buffer
	holds bool
}

func (c *inOneSegment) Write(b []byte) (int, error) {
	if c.holds {
		return c.held.Write(b)
	}
	return c.Conn.Write(b)
}

// TestSecondAnswerInItsOwnRecord: it comes in the same segment as the first, but
// TLS hands it out only when it is asked again.
func TestSecondAnswerInItsOwnRecord(t *testing.T) {
	t.Parallel()
	for _, first := range []string{ok200(cl2, "ok"), "HTTP/1.1 204 X\r\n\r\n", "HTTP/1.1 304 X\r\n\r\n", ok200(chunked, good)} {
		config := serverConfig(t, layers[2])
		s := listenRaw(t, listen(t, layers[0], nil), func(conn net.Conn) {
			under := &inOneSegment{Conn: conn}
			outer := tls.Server(under, config)
			_, _ = outer.Read(make([]byte, 4096))
			under.holds = true
			_, _ = io.WriteString(outer, first)
			_, _ = io.WriteString(outer, injected)
			_, _ = conn.Write(under.held.Bytes())
			_, _ = io.Copy(io.Discard, conn)
		})
		s.scheme = "https"
		c := newClient(t)
		for range 3 {
			if a, err := c.Do(shortly(t), s.post("/", "x")); err != nil || a.Status == 277 || a.Reused {
				t.Errorf("%.20q: %+v, %v", first, a, err)
			}
		}
	}
}

// TestBodyWhereNoneMayBe: it comes when its answer is over, and looks like the
// next one.
func TestBodyWhereNoneMayBe(t *testing.T) {
	t.Parallel()
	for _, l := range layers {
		for method, head := range map[string]string{
			"GET":  "HTTP/1.1 204 X\r\n\r\n",
			"POST": "HTTP/1.1 304 X\r\nContent-Length: 38\r\n\r\n",
			"PUT":  "HTTP/1.1 205 X\r\nContent-Length: 0\r\n\r\n",
			"HEAD": "HTTP/1.1 200 X\r\nContent-Length: 38\r\n\r\n",
		} {
			got, sent := make(chan struct{}), make(chan struct{})
			s := listen(t, l, func(p *peer, r *http.Request, _ []byte) bool {
				if r.URL.Path == "/second" {
					return echo(p, r)
				}
				_, _ = io.WriteString(p, head)
				<-got
				_, _ = io.WriteString(p, injected)
				close(sent)
				return true
			})
			c := newClient(t)
			r := s.post("/first", "first")
			if r.Method = method; method != "POST" && method != "PUT" {
				r.Body = nil
			}
			if a, err := c.Do(shortly(t), r); err != nil || !strings.Contains(head, strconv.Itoa(a.Status)) {
				t.Errorf("%s, %s: %+v, %v", l.name, method, a, err)
			}
			close(got)
			<-sent
			if a, err := c.Do(shortly(t), s.post("/second", "second")); err != nil || string(a.Text) != "second" || a.Reused {
				t.Errorf("%s, after %s: %+v, %v", l.name, method, a, err)
			}
		}
	}
}

// TestEndAtEachByte: an answer ends, breaks or is cut after each of its bytes. From
// the end of its status line on it is decided, the connection is not used again,
// and whoever comes next gets its own.
func TestEndAtEachByte(t *testing.T) {
	t.Parallel()
	const line = "HTTP/1.1 400 X\r\n"
	for _, answer := range []string{line + "Content-Length: 3\r\n\r\nrow", line + chunked + "\r\n3\r\nrow\r\n0\r\n\r\n"} {
		for _, l := range []layer{layers[0], layers[2]} {
			for _, ending := range []string{fin, rst, "cut"} {
				t.Run(fmt.Sprint(len(answer), l.name, ending), func(t *testing.T) {
					t.Parallel()
					var cut atomic.Value // of the request that is under way
					s := listen(t, l, func(p *peer, r *http.Request, _ []byte) bool {
						at, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
						if err != nil {
							return echo(p, r)
						}
						_, _ = io.WriteString(p, answer[:at])
						switch ending {
						case rst:
							p.reset()
						case "cut":
							cut.Load().(context.CancelFunc)()
							_, _ = io.Copy(io.Discard, p)
						}
						return false
					})
					c := newClient(t)
					for at := range len(answer) {
						used := at%2 == 0
						if _, err := c.Do(shortly(t), s.post("/echo", "first")); err != nil {
							t.Fatal(err)
						}
						if !used {
							c.dropIdle(c.oldest.key)
						}
						ctx, cancel := context.WithCancel(shortly(t))
						cut.Store(cancel)
						a, err := c.Do(ctx, s.post("/"+strconv.Itoa(at), "row"))
						cancel()
						decided := at >= len(line)
						switch {
						case err == nil && (!decided || a.Status != 400 || !strings.HasPrefix("row", string(a.Text))):
							t.Errorf("%d bytes: %+v", at, a)
						case err != nil && decided && ending == fin:
							t.Errorf("%d bytes: %v", at, err)
						case err != nil && ending == "cut" && !errors.Is(err, context.Canceled):
							t.Errorf("%d bytes: %v", at, err)
						}
						if c.idleNow() != 0 {
							t.Errorf("%d bytes: the connection was kept", at)
						}
						if a, err := c.Do(shortly(t), s.post("/echo", "next")); err != nil || string(a.Text) != "next" {
							t.Errorf("after %d bytes: %+v, %v", at, a, err)
						}
					}
				})
			}
		}
	}
}

// waiting counts the writes that would wait for the peer.
type waiting struct {
	net.Conn
	writes atomic.Int32
}

func (w *waiting) Write(b []byte) (int, error) {
	w.writes.Add(1)
	return w.Conn.Write(b)
}

// TestGoodbyeDoesNotWait: TLS takes leave of a peer that reads nothing any more,
// and whose buffers are full; crypto/tls alone would wait for 5 s.
func TestGoodbyeDoesNotWait(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	defer close(over)
	s := listenRaw(t, listen(t, layers[2], nil), func(conn net.Conn) {
		_ = conn.(*tls.Conn).Handshake()
		<-over
	})
	c := newClient(t)
	raw, err := c.o.Dial(shortly(t), Key{Scheme: s.scheme, Addr: s.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	cn := newConn(raw, Key{}, c.now())
	w := &waiting{Conn: cn.sock.Conn}
	cn.sock.writesNow = true
	for err == nil {
		_, err = cn.sock.Write(make([]byte, 64<<10)) // below TLS, until nothing fits
	}
	if !errors.Is(err, syscall.EPIPE) {
		t.Fatal(err)
	}
	cn.sock.writesNow, cn.sock.Conn = false, w
	cn.part()
	if n := w.writes.Load(); n != 0 {
		t.Errorf("%d writes that wait", n)
	}
	if _, err := w.Conn.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("it is not closed: %v", err)
	}
}

// TestExactlyAsManyConnectionsAsRequests: each of many requests at once has one,
// and all that come later use them again, for each tenant its own.
func TestExactlyAsManyConnectionsAsRequests(t *testing.T) {
	t.Parallel()
	const atOnce, tenants, rounds = 32, 2, 6
	for _, l := range []layer{layers[0], layers[2]} {
		var here sync.WaitGroup // all requests of the first round are there
		here.Add(atOnce * tenants)
		s := listen(t, l, func(p *peer, r *http.Request, _ []byte) bool {
			if p.n == 1 && r.URL.Path == "/0" {
				here.Done()
				here.Wait()
			}
			return echo(p, r)
		})
		c := newClient(t)
		var group sync.WaitGroup
		for tenant := range tenants {
			for worker := range atOnce {
				group.Go(func() {
					for round := range rounds {
						id := fmt.Sprintf("%d-%d-%d", tenant, worker, round)
						r := s.post("/"+strconv.Itoa(round), id)
						r.Tenant = strconv.Itoa(tenant)
						a, err := c.Do(shortly(t), r)
						if err != nil || string(a.Text) != id || a.Reused != (round > 0) {
							t.Errorf("%s got %+v, %v", id, a, err)
						}
					}
				})
			}
		}
		group.Wait()
		if n := s.accepted.Load(); n != atOnce*tenants {
			t.Errorf("%s: %d connections, want %d", l.name, n, atOnce*tenants)
		}
	}
}
