package http1

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"orderbridge/internal/lab"
	"orderbridge/internal/limits"
)

var newCA = sync.OnceValues(lab.NewCA)

// layer is what a server speaks below HTTP.
type layer struct {
	name    string
	version uint16 // 0: no TLS
}

var layers = []layer{{"plain", 0}, {"TLS 1.2", tls.VersionTLS12}, {"TLS 1.3", tls.VersionTLS13}}

// server accepts raw connections; serve is called with each request and its
// number on the connection, and false ends the connection.
type server struct {
	net.Listener
	layer    layer
	scheme   string
	accepted atomic.Int32
	open     atomic.Int32
	requests atomic.Int32
}

type peer struct {
	net.Conn
	r *bufio.Reader
	n int // requests that came on it
}

func listen(t testing.TB, l layer, serve func(p *peer, r *http.Request, body []byte) bool) *server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Listener: ln, scheme: "http", layer: l}
	if l.version != 0 {
		s.scheme = "https"
		s.Listener = tls.NewListener(ln, serverConfig(t, l))
	}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := s.Accept()
			if err != nil {
				return
			}
			s.accepted.Add(1)
			s.open.Add(1)
			group.Go(func() {
				defer s.open.Add(-1)
				defer conn.Close()
				p := &peer{Conn: conn, r: bufio.NewReader(conn)}
				for {
					_ = conn.SetDeadline(time.Now().Add(lab.Patience))
					r, err := http.ReadRequest(p.r)
					if err != nil {
						return
					}
					body, err := io.ReadAll(r.Body)
					if err != nil {
						return
					}
					s.requests.Add(1)
					p.n++
					if !serve(p, r, body) {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		s.Close()
		group.Wait()
	})
	return s
}

func serverConfig(t testing.TB, l layer) *tls.Config {
	t.Helper()
	ca, err := newCA()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: l.version, MaxVersion: l.version, NextProtos: []string{"http/1.1"}}
}

func (p *peer) reset() {
	conn := p.Conn
	if c, ok := conn.(*tls.Conn); ok {
		conn = c.NetConn()
	}
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

func (s *server) url(path string) *url.URL {
	return &url.URL{Scheme: s.scheme, Host: s.Addr().String(), Path: path}
}

// newClient trusts the servers of these tests.
func newClient(t testing.TB, change ...func(*Options)) *Client {
	t.Helper()
	ca, err := newCA()
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{RootCAs: ca.Pool(), ServerName: "127.0.0.1", NextProtos: []string{"http/1.1"},
		CurvePreferences: []tls.CurveID{tls.X25519}} // many handshakes
	o := Options{Dial: func(ctx context.Context, key Key) (net.Conn, error) {
		raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", key.Addr)
		if err != nil {
			return nil, err
		}
		s := NewSocket(raw)
		if key.Scheme == "http" {
			return s, nil
		}
		c := tls.Client(s, config)
		return c, c.HandshakeContext(ctx)
	}}
	for _, f := range change {
		f(&o)
	}
	c := New(o)
	t.Cleanup(c.Close)
	return c
}

func (s *server) post(path, id string) *Request {
	return requestTo(s.url(path), "POST", []byte("{}"), Field{"User-Agent", "test"}, Field{"Webhook-Id", id})
}

func requestTo(u *url.URL, method string, body []byte, fields ...Field) *Request {
	o, _ := OriginOf(u) // else the request fails
	return &Request{Method: method, Origin: o, Target: u.RequestURI(), Fields: fields, Body: body}
}

func shortly(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), lab.Patience)
	t.Cleanup(cancel)
	return ctx
}

// idle counts the idle connections.
func (c *Client) idleNow() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.idle
}

// echo answers with a status that is not a success and the request's id as text:
// who gets another one's answer sees it.
func echo(p *peer, r *http.Request) bool {
	id := r.Header.Get("Webhook-Id")
	_, err := io.WriteString(p, "HTTP/1.1 400 X\r\nContent-Length: "+strconv.Itoa(len(id))+"\r\n\r\n"+id)
	return err == nil
}

// TestRows: each measured answer, over TCP and TLS, on a new connection and on
// one that was used before; and then a request that must get its own answer.
func TestRows(t *testing.T) {
	t.Parallel()
	for _, l := range layers {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			s := listen(t, l, serveRows)
			slots := make(chan struct{}, 32) // most of the time they wait
			var group sync.WaitGroup
			for i, r := range rows {
				for _, used := range []bool{false, true} {
					if r.status == 0 && r.answer == "" && used || r.n == "79" && used {
						continue // these are repeated: TestRepeat
					}
					if !used && l.version == tls.VersionTLS12 {
						continue // handshakes take most of the time
					}
					slots <- struct{}{}
					group.Go(func() {
						defer func() { <-slots }()
						for _, problem := range checkRow(t, s, i, used) {
							t.Errorf("%s, used %v: %s", r.n, used, problem)
						}
					})
				}
			}
			group.Wait()
		})
	}
}

// serveRows answers /N with row N, all else with an echo.
func serveRows(p *peer, r *http.Request, _ []byte) bool {
	i, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
	if err != nil {
		return echo(p, r)
	}
	_, _ = io.WriteString(p, rows[i].answer)
	switch rows[i].after {
	case fin:
		return false
	case rst:
		p.reset()
		return false
	case late:
		<-time.After(30 * time.Millisecond)
		_, _ = io.WriteString(p, injected)
	case lateRST:
		<-time.After(20 * time.Millisecond)
		p.reset()
		return false
	}
	return true
}

func checkRow(t *testing.T, s *server, i int, used bool) (problems []string) {
	t.Helper()
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	r := rows[i]
	c := newClient(t)
	if used {
		if a, err := c.Do(shortly(t), s.post("/echo", "first")); err != nil || string(a.Text) != "first" || c.idleNow() != 1 {
			wrong("before it: %+v, %v", a, err)
		}
	}
	began := time.Now()
	ctx := shortly(t)
	a, err := c.Do(ctx, s.post("/"+strconv.Itoa(i), "row"))
	if a.Status != r.status || (err != nil) != (r.status == 0) {
		wrong("status %d, %v, want %d", a.Status, err, r.status)
	}
	if ctx.Err() != nil {
		wrong("it took all the time it had")
	}
	lab.Promise(t, "row "+r.n, time.Since(began), 8*time.Second)
	switch r.after {
	case late, lateRST, fin: // what comes later is found when the connection is to be used
		for until := time.Now().Add(lab.Patience); c.idleNow() > 0 && time.Now().Before(until); <-time.After(time.Millisecond) {
			c.sweepOnce()
		}
	}
	if kept := c.idleNow() == 1; kept != r.reuse {
		wrong("connection kept: %v (%s), want %v", kept, a.Doubt, r.reuse)
	}
	b, err := c.Do(shortly(t), s.post("/echo", "second"))
	if err != nil || b.Status != 400 || string(b.Text) != "second" || b.Reused != r.reuse {
		wrong("the next request got %+v, %v", b, err)
	}
	return problems
}

func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(lab.Patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

// TestRepeat: a request that met a connection which its server was closing is
// sent once more, on a new one, and only then.
func TestRepeat(t *testing.T) {
	t.Parallel()
	for _, l := range layers {
		for name, end := range map[string]func(p *peer){
			"FIN": func(*peer) {},
			"RST": (*peer).reset,
			"408": func(p *peer) {
				_, _ = io.WriteString(p, "HTTP/1.1 408 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
			},
			"half":       func(p *peer) { _, _ = io.WriteString(p, "HTTP") },
			"interim":    func(p *peer) { _, _ = io.WriteString(p, "HTTP/1.1 100 X\r\n\r\n") },
			"always FIN": func(*peer) {},
		} {
			t.Run(l.name+", "+name, func(t *testing.T) {
				t.Parallel()
				var mu sync.Mutex
				seen := map[string]int{}
				s := listen(t, l, func(p *peer, r *http.Request, _ []byte) bool {
					id := r.Header.Get("Webhook-Id")
					mu.Lock()
					seen[id]++
					n := seen[id]
					mu.Unlock()
					if id == "second" && (n == 1 || name == "always FIN") {
						end(p)
						return false
					}
					return echo(p, r)
				})
				c := newClient(t)
				if _, err := c.Do(shortly(t), s.post("/", "first")); err != nil {
					t.Fatal(err)
				}
				a, err := c.Do(shortly(t), s.post("/", "second"))
				times := map[string]int{"half": 1, "interim": 1}[name]
				if times == 0 {
					times = 2
				}
				mu.Lock()
				defer mu.Unlock()
				if seen["second"] != times {
					t.Errorf("sent %d times, want %d", seen["second"], times)
				}
				good := times == 2 && name != "always FIN"
				if good != (err == nil) || good && (string(a.Text) != "second" || !a.Repeated) {
					t.Errorf("%+v, %v", a, err)
				}
			})
		}
	}
}

// TestNoRepeatOnANewConnection: what breaks on a new connection was sent once.
func TestNoRepeatOnANewConnection(t *testing.T) {
	t.Parallel()
	s := listen(t, layers[2], func(*peer, *http.Request, []byte) bool { return false })
	if a, err := newClient(t).Do(shortly(t), s.post("/", "one")); !errors.Is(err, io.EOF) || s.requests.Load() != 1 {
		t.Errorf("%+v, %v, %d requests", a, err, s.requests.Load())
	}
}

// TestUnsolicited: bytes on an idle connection are never an answer, and for a
// while no connection to that server is used twice.
func TestUnsolicited(t *testing.T) {
	t.Parallel()
	for _, l := range layers {
		for _, goodbye := range []bool{false, true} {
			t.Run(fmt.Sprint(l.name, goodbye), func(t *testing.T) {
				t.Parallel()
				got, sent := make(chan struct{}), make(chan struct{})
				s := listen(t, l, func(p *peer, r *http.Request, _ []byte) bool {
					if !echo(p, r) {
						return false
					}
					if r.URL.Path == "/poison" {
						extra := injected
						if goodbye {
							extra = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"
						}
						<-got
						_, _ = io.WriteString(p, extra)
						close(sent)
					}
					return true
				})
				var notices atomic.Int32
				now := atomic.Int64{}
				base := time.Now()
				c := newClient(t, func(o *Options) {
					o.Notice = func(Key, string) { notices.Add(1) }
					o.Now = func() time.Time { return base.Add(time.Duration(now.Load())) }
				})
				_, err := c.Do(shortly(t), s.post("/poison", "first"))
				if err != nil {
					t.Fatal(err)
				}
				close(got)
				<-sent
				for i := range 3 {
					id := strconv.Itoa(i)
					a, err := c.Do(shortly(t), s.post("/", id))
					if err != nil || string(a.Text) != id || a.Reused != (goodbye && i > 0) {
						t.Errorf("%d: %+v, %v", i, a, err)
					}
				}
				if (notices.Load() > 0) == goodbye {
					t.Errorf("%d notices", notices.Load())
				}
				now.Store(int64(11 * time.Minute))
				for i := range 2 {
					if a, err := c.Do(shortly(t), s.post("/", "x")); err != nil || a.Reused != (i == 1) {
						t.Errorf("later: %+v, %v", a, err)
					}
				}
			})
		}
	}
}

// TestEarlyAnswer: a server may answer a long request and read no more of it,
// or close; the answer is not lost and the connection is not used again.
func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	for _, l := range layers {
		for _, name := range []string{"stays", "closes"} {
			t.Run(l.name+" "+name, func(t *testing.T) {
				t.Parallel()
				over := make(chan struct{})
				ln := listen(t, l, nil)
				raw := listenRaw(t, ln, func(conn net.Conn) {
					_, _ = conn.Read(make([]byte, 1000))
					_, _ = io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge")
					if name == "stays" {
						<-over
					}
				})
				defer close(over)
				c := newClient(t)
				r := raw.post("/", "big")
				r.Body = make([]byte, 8<<20)
				for range 3 {
					began := time.Now()
					a, err := c.Do(shortly(t), r)
					if err != nil || a.Status != 413 || string(a.Text) != "large" || c.idleNow() != 0 {
						t.Errorf("%+v, %v, %d idle", a, err, c.idleNow())
					}
					lab.Promise(t, "an early answer", time.Since(began), 8*time.Second)
				}
			})
		}
	}
}

// listenRaw is a server at the side of another, with connections that nothing
// was read of.
func listenRaw(t *testing.T, like *server, serve func(net.Conn)) *server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if like.scheme == "https" {
		ln = tls.NewListener(ln, serverConfig(t, like.layer))
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(lab.Patience))
				serve(conn)
			}()
		}
	}()
	return &server{Listener: ln, scheme: like.scheme, layer: like.layer}
}

// TestLongRequest: a request of megabytes arrives whole, and its connection is
// used again.
func TestLongRequest(t *testing.T) {
	t.Parallel()
	for _, l := range layers {
		s := listen(t, l, func(p *peer, r *http.Request, body []byte) bool {
			_, _ = fmt.Fprintf(p, "HTTP/1.1 400 X\r\nContent-Length: 8\r\n\r\n%08d", len(body))
			return true
		})
		c := newClient(t)
		r := s.post("/", "big")
		r.Body = make([]byte, 3<<20)
		for i := range 3 {
			if a, err := c.Do(shortly(t), r); err != nil || string(a.Text) != "03145728" || a.Reused != (i > 0) {
				t.Errorf("%s: %+v, %v", l.name, a, err)
			}
		}
	}
}

// TestDeadlines: the attempt ends when its context does, with its cause, and a
// success whose rest never comes holds nobody.
func TestDeadlines(t *testing.T) {
	t.Parallel()
	errStop := errors.New("stop")
	drip := func(p *peer, what string) {
		for {
			if _, err := io.WriteString(p, what); err != nil {
				return
			}
			<-time.After(20 * time.Millisecond)
		}
	}
	s := listen(t, layers[2], func(p *peer, r *http.Request, _ []byte) bool {
		switch r.URL.Path {
		case "/silent":
			_, _ = io.Copy(io.Discard, p)
		case "/line":
			_, _ = io.WriteString(p, "HTTP/1.1 ")
			_, _ = io.Copy(io.Discard, p)
		case "/head":
			_, _ = io.WriteString(p, "HTTP/1.1 200 OK\r\n")
			drip(p, "X: y\r\n")
		case "/body":
			_, _ = io.WriteString(p, "HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
			drip(p, "x")
		case "/chunks":
			_, _ = io.WriteString(p, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			drip(p, "1\r\nx\r\n")
		case "/quiet":
			_, _ = io.WriteString(p, "HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
			_, _ = io.Copy(io.Discard, p)
		case "/rest":
			_, _ = io.WriteString(p, "HTTP/1.1 200 OK\r\n\r\n")
			_, _ = io.Copy(io.Discard, p)
		case "/503":
			_, _ = io.WriteString(p, "HTTP/1.1 503 X\r\nRetry-After: 5\r\nContent-Length: 9999\r\n\r\nsorry")
			_, _ = io.Copy(io.Discard, p)
		}
		return false
	})
	for _, path := range []string{"/silent", "/line"} {
		c := newClient(t)
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		if _, err := c.Do(ctx, s.post(path, "x")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", path, err)
		}
		cancel()
		ctx, cancel = context.WithTimeoutCause(context.Background(), 200*time.Millisecond, errStop)
		if _, err := c.Do(ctx, s.post(path, "x")); !errors.Is(err, errStop) {
			t.Errorf("%s, with a cause: %v", path, err)
		}
		cancel()
		ctx, stop := context.WithCancelCause(context.Background())
		time.AfterFunc(100*time.Millisecond, func() { stop(errStop) })
		if _, err := c.Do(ctx, s.post(path, "x")); !errors.Is(err, errStop) {
			t.Errorf("%s, cut: %v", path, err)
		}
		ctx, stop = context.WithCancelCause(context.Background())
		time.AfterFunc(100*time.Millisecond, func() { stop(errStop) })
		if _, err := c.Do(cuttableOf(ctx), s.post(path, "x")); !errors.Is(err, errStop) {
			t.Errorf("%s, cut by OnCut: %v", path, err)
		}
		if _, err := c.Do(cuttableOf(ctx), s.post(path, "x")); !errors.Is(err, errStop) {
			t.Errorf("%s, cut by OnCut before it began: %v", path, err)
		}
	}
	for path, want := range map[string]time.Duration{"/head": limits.AnswerHeadPatience, "/body": limits.AnswerBodyPatience, "/chunks": limits.AnswerBodyPatience, "/quiet": limits.AnswerBodyPatience, "/rest": limits.AnswerRestPatience, "/503": limits.AnswerTextPatience} {
		began := time.Now()
		a, err := newClient(t).Do(shortly(t), s.post(path, "x"))
		if err != nil || a.Status != 200 && (a.Status != 503 || a.RetryAfter != "5" || string(a.Text) != "sorry") {
			t.Errorf("%s: %+v, %v", path, a, err)
		}
		took := time.Since(began)
		if took < want/2 {
			t.Errorf("%s took %v, want %v", path, took, want)
		}
		lab.Promise(t, path, took, want+2*time.Second)
	}
}

// cuttableContext tells of its end by OnCut.
type cuttableContext struct {
	context.Context
	mu   sync.Mutex
	over bool
	f    func()
}

func cuttableOf(ctx context.Context) *cuttableContext {
	c := &cuttableContext{Context: ctx}
	context.AfterFunc(ctx, func() {
		c.mu.Lock()
		f := c.f
		c.over, c.f = true, nil
		c.mu.Unlock()
		if f != nil {
			f()
		}
	})
	return c
}

func (c *cuttableContext) OnCut(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.f = f
	return !c.over
}

// TestCutNeverHurtsTheNext: requests are cut at any moment; those that are not
// get their own answers and meet no stale deadline.
func TestCutNeverHurtsTheNext(t *testing.T) {
	t.Parallel()
	for _, l := range layers {
		s := listen(t, l, func(p *peer, r *http.Request, _ []byte) bool { return echo(p, r) })
		c := newClient(t)
		var group sync.WaitGroup
		for worker := range 8 {
			group.Go(func() {
				for i := range 150 {
					id := fmt.Sprintf("%d-%d", worker, i)
					ctx, cancel := context.WithCancel(shortly(t))
					if i%2 == 0 {
						time.AfterFunc(time.Duration(i)*2*time.Microsecond, cancel)
					}
					if i%4 < 2 {
						ctx = cuttableOf(ctx)
					}
					a, err := c.Do(ctx, s.post("/", id))
					if err != nil && !errors.Is(err, context.Canceled) || err == nil && string(a.Text) != id && a.Text != nil {
						t.Errorf("%s got %+v", id, a)
					}
					if i%2 == 1 && (err != nil || string(a.Text) != id) {
						t.Errorf("%s: %+v, %v", id, a, err)
					}
					cancel()
				}
			})
		}
		group.Wait()
	}
}

// TestLastLook: a request that may not begin when its connection is there is not
// sent, and the connection is fit for the next one.
func TestLastLook(t *testing.T) {
	t.Parallel()
	errOver := errors.New("over")
	for _, l := range layers {
		s := listen(t, l, func(p *peer, r *http.Request, _ []byte) bool {
			return r.Header.Get("Webhook-Id") != "lost" && echo(p, r)
		})
		var over atomic.Bool
		looks := 0
		c := newClient(t, func(o *Options) {
			dial := o.Dial
			o.Dial = func(ctx context.Context, key Key) (net.Conn, error) {
				over.Store(true) // while the connection is made
				return dial(ctx, key)
			}
			o.MayBegin = func(context.Context) error {
				if looks++; over.Load() {
					return errOver
				}
				return nil
			}
		})
		long := s.post("/", "long")
		long.Body = make([]byte, 2*limits.OneWriteBytes)
		for i, r := range []*Request{s.post("/", "a"), s.post("/", "b"), long} {
			over.Store(true)
			for _, ctx := range []context.Context{context.Background(), shortly(t), cuttableOf(shortly(t))} {
				if a, err := c.Do(ctx, r); !errors.Is(err, errOver) || a.Status != 0 {
					t.Errorf("%s, %d: %+v, %v", l.name, i, a, err)
				}
			}
			over.Store(false)
			if a, err := c.Do(shortly(t), r); err != nil || a.Status != 400 {
				t.Errorf("%s, %d: %+v, %v", l.name, i, a, err)
			}
			if s.requests.Load() != int32(i+1) || s.accepted.Load() != 1 || c.idleNow() != 1 {
				t.Errorf("%s, %d: %d requests on %d connections, %d idle", l.name, i, s.requests.Load(), s.accepted.Load(), c.idleNow())
			}
		}
		looks = 0 // the server closes, and the request would be repeated on a new connection
		if a, err := c.Do(shortly(t), s.post("/", "lost")); !errors.Is(err, errOver) || looks != 2 || s.requests.Load() != 4 {
			t.Errorf("%s, repeated: %+v, %v, %d looks, %d requests", l.name, a, err, looks, s.requests.Load())
		}
	}
}

// TestNoMoreConnectionsThanRequests: at no time has a key more open connections
// than requests at once.
func TestNoMoreConnectionsThanRequests(t *testing.T) {
	t.Parallel()
	for _, l := range layers {
		s := listen(t, l, func(p *peer, r *http.Request, _ []byte) bool { return echo(p, r) })
		c := newClient(t)
		var group sync.WaitGroup
		stop := make(chan struct{})
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					c.sweepOnce()
				}
			}
		})
		var workers sync.WaitGroup
		for range 4 {
			workers.Go(func() {
				for i := range 300 {
					if a, err := c.Do(shortly(t), s.post("/", strconv.Itoa(i))); err != nil || string(a.Text) != strconv.Itoa(i) {
						t.Errorf("%+v, %v", a, err)
						return
					}
				}
			})
		}
		workers.Wait()
		close(stop)
		group.Wait()
		if n := s.accepted.Load(); n > 4 {
			t.Errorf("%s: %d connections for 4 requests at once", l.name, n)
		}
	}
}

// TestTenantsShareNothing: an idle connection is used by its own tenant only.
func TestTenantsShareNothing(t *testing.T) {
	t.Parallel()
	s := listen(t, layers[0], func(p *peer, r *http.Request, _ []byte) bool { return echo(p, r) })
	c := newClient(t)
	for range 3 {
		for _, tenant := range []string{"", "acme", "other"} {
			r := s.post("/", "x")
			r.Tenant = tenant
			if _, err := c.Do(shortly(t), r); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := s.accepted.Load(); n != 3 {
		t.Errorf("%d connections for 3 tenants", n)
	}
}

// TestIdleConnections: they are bounded, grow old, end with the server's hint
// and are learned from.
func TestIdleConnections(t *testing.T) {
	t.Parallel()
	var hint atomic.Value
	hint.Store("")
	closeNext := atomic.Bool{}
	s := listen(t, layers[0], func(p *peer, r *http.Request, _ []byte) bool {
		if closeNext.CompareAndSwap(true, false) {
			return false
		}
		_, _ = io.WriteString(p, "HTTP/1.1 200 OK\r\n"+hint.Load().(string)+"Content-Length: 0\r\n\r\n")
		return true
	})
	var shift atomic.Int64
	base := time.Now()
	c := newClient(t, func(o *Options) {
		o.MaxIdle = 3
		o.Now = func() time.Time { return base.Add(time.Duration(shift.Load())) }
	})
	reused := func(after time.Duration) bool {
		t.Helper()
		shift.Add(int64(after))
		a, err := c.Do(shortly(t), s.post("/", "x"))
		if err != nil {
			t.Fatal(err)
		}
		return a.Reused
	}
	reused(0)
	if !reused(50 * time.Second) {
		t.Error("not reused after 50 s")
	}
	if reused(56 * time.Second) {
		t.Error("reused after 56 s")
	}
	hint.Store("Keep-Alive: timeout=5\r\n")
	reused(0)
	if !reused(3 * time.Second) {
		t.Error("not reused after 3 of 5 s")
	}
	if reused(4 * time.Second) {
		t.Error("reused after 4 of 5 s")
	}
	hint.Store("")
	reused(0)
	closeNext.Store(true)
	reused(20 * time.Second) // repeated
	if reused(11 * time.Second) {
		t.Error("reused after 11 s, although the server closes after 20")
	}
	if !reused(9 * time.Second) {
		t.Error("not reused after 9 s")
	}
	// For its age, however busy it is.
	old := 0
	for range 70 {
		if !reused(9 * time.Second) {
			old++
		}
	}
	if old == 0 || old > 2 {
		t.Errorf("%d times a new connection in 10 minutes", old)
	}
	var group sync.WaitGroup
	for _, tenant := range []string{"a", "b", "c", "d", "e"} {
		group.Go(func() {
			r := s.post("/", "x")
			r.Tenant = tenant
			if _, err := c.Do(shortly(t), r); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := c.idleNow(); n != 3 {
		t.Errorf("%d idle connections, want 3", n)
	}
}

// TestSweeper: a connection that its server closes is closed here too, although
// nobody uses it.
func TestSweeper(t *testing.T) {
	t.Parallel()
	for _, l := range layers {
		closed := make(chan struct{})
		s := listen(t, l, func(p *peer, r *http.Request, _ []byte) bool {
			echo(p, r)
			<-closed
			return false
		})
		c := newClient(t)
		if _, err := c.Do(shortly(t), s.post("/", "x")); err != nil || c.idleNow() != 1 {
			t.Fatal(err)
		}
		close(closed)
		await(t, "the sweeper closes it", func() bool { return c.idleNow() == 0 })
	}
}

func TestRequestsThatAreNone(t *testing.T) {
	t.Parallel()
	s := listen(t, layers[0], func(p *peer, r *http.Request, _ []byte) bool { return echo(p, r) })
	field := func(name, value string) func(*Request, *url.URL) {
		return func(r *Request, _ *url.URL) { r.Fields = append(r.Fields, Field{name, value}) }
	}
	for name, change := range map[string]func(r *Request, u *url.URL){
		"line break":        field("X-Id", "a\r\nX: y"),
		"NUL":               field("X-Id", "a\x00"),
		"name":              field("X Id", "a"),
		"length":            field("Content-Length", "1"),
		"length, small":     field("content-length", "1"),
		"connection":        field("Connection", "close"),
		"transfer encoding": field("Transfer-Encoding", "chunked"),
		"TE":                field("te", "trailers"),
		"host":              field("hOST", "other.example"),
		"agent":             field("user-agent", "x"),
		"proxy":             field("proxy-Authenticate", "x"),
		"no name":           field("", "x"),
		"target":            func(r *Request, _ *url.URL) { r.Target = "/?a b" },
		"target line break": func(r *Request, _ *url.URL) { r.Target = "/?a\r\nX: y" },
		"no target":         func(r *Request, _ *url.URL) { r.Target = "" },
		"no origin":         func(r *Request, _ *url.URL) { r.Origin = Origin{} },
		"method":            func(r *Request, _ *url.URL) { r.Method = "PO ST" },
		"URL's host":        func(r *Request, u *url.URL) { u.Host = "a b"; r.Origin, _ = OriginOf(u) },
		"URL's scheme":      func(r *Request, u *url.URL) { u.Scheme = "ftp"; r.Origin, _ = OriginOf(u) },
	} {
		r := s.post("/", "x")
		change(r, s.url("/"))
		var wrong *RequestError
		if _, err := newClient(t).Do(shortly(t), r); !errors.As(err, &wrong) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s.requests.Load() != 0 {
		t.Error("something was sent")
	}
}
