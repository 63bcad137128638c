package publishers

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// twoVersions is a server that offers some protocols and counts what comes. It
// answers requests over HTTP/2 with refuse.
type twoVersions struct {
	addr           string
	asked2, asked1 atomic.Int32
	refuse         func(f *http2.Framer, stream uint32)
}

// newTwoVersions offers protocols; strict: it refuses who offers none of them, as the
// standard says.
func newTwoVersions(t *testing.T, protocols []string, strict bool, refuse func(f *http2.Framer, stream uint32)) *twoVersions {
	t.Helper()
	config := &tls.Config{Certificates: []tls.Certificate{issued(t, testCA(t).Issue)}, NextProtos: protocols}
	if strict {
		config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			fitting := config.Clone()
			fitting.GetConfigForClient = nil
			if len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == "http/1.1" && len(protocols) == 1 {
				fitting.NextProtos = []string{"none"} // crypto/tls is lenient with servers that offer h2 alone
			}
			return fitting, nil
		}
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", config)
	ok(t, err)
	s := &twoVersions{addr: ln.Addr().String(), refuse: refuse}
	acceptAll(t, ln, s.serve)
	return s
}

// acceptAll serves each connection until the test ends, and closes it then: the
// client may keep one for longer that it counts as busy.
func acceptAll(t *testing.T, ln net.Listener, serve func(*tls.Conn)) {
	t.Helper()
	over, end := context.WithCancel(context.Background())
	t.Cleanup(func() {
		ln.Close()
		end()
	})
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer context.AfterFunc(over, func() { conn.Close() })()
				serve(conn.(*tls.Conn))
			}()
		}
	}()
}

func (s *twoVersions) serve(conn *tls.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(lab.Patience))
	if conn.Handshake() != nil {
		return
	}
	if conn.ConnectionState().NegotiatedProtocol == "h2" {
		s.serve2(conn)
		return
	}
	reader := bufio.NewReader(conn)
	for {
		r, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		if body, _ := io.ReadAll(r.Body); len(body) == 0 && r.Method == http.MethodPost {
			return
		}
		s.asked1.Add(1)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	}
}

func (s *twoVersions) serve2(conn *tls.Conn) {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(conn, preface); err != nil {
		return
	}
	f := http2.NewFramer(conn, conn)
	_ = f.WriteSettings()
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				_ = f.WriteSettingsAck()
			}
		case *http2.HeadersFrame:
			s.asked2.Add(1)
			s.refuse(f, frame.StreamID)
		}
	}
}

func resetStream(f *http2.Framer, stream uint32) {
	_ = f.WriteRSTStream(stream, http2.ErrCodeHTTP11Required)
}

func goAway(f *http2.Framer, _ uint32) { _ = f.WriteGoAway(0, http2.ErrCodeHTTP11Required, nil) }

func acceptStream(f *http2.Framer, stream uint32) {
	var head bytes.Buffer
	_ = hpack.NewEncoder(&head).WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: head.Bytes(), EndHeaders: true, EndStream: true})
}

// TestHTTP11Required: a server that answers HTTP/2 with HTTP_1_1_REQUIRED gets
// the request over HTTP/1.1, in the same attempt, and the later ones at once.
func TestHTTP11Required(t *testing.T) {
	t.Parallel()
	both := []string{"h2", "http/1.1"}
	for _, tc := range []struct {
		name      string
		protocols []string
		netHTTP   bool
		refuse    func(*http2.Framer, uint32)
		want2     int32 // requests over HTTP/2
	}{
		{"stream, net/http", both, true, resetStream, 1},
		{"connection, net/http", both, true, goAway, 1},
		{"stream", both, false, resetStream, 0},
		{"connection", both, false, goAway, 0},
		{"HTTP/2 alone is offered, and then refused", []string{"h2"}, false, resetStream, 0}, // without a protocol it is HTTP/1.1
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := newTwoVersions(t, tc.protocols, false, tc.refuse)
			w := newWebhook(t, func(o *Options) { o.NetHTTP = tc.netHTTP })
			for range 3 {
				if err := publish(shortly(t), w, delivery("https://"+s.addr)); err != nil {
					t.Error(err)
				}
			}
			if s.asked1.Load() != 3 || s.asked2.Load() != tc.want2 {
				t.Errorf("%d requests over HTTP/1.1, %d over HTTP/2", s.asked1.Load(), s.asked2.Load())
			}
		})
	}
}

// TestHTTP2Only: servers that know nothing but HTTP/2 get each delivery once,
// over HTTP/2, however they refuse HTTP/1.1.
func TestHTTP2Only(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		start    func(t *testing.T) (addr string, requests func() int)
		failures int // attempts that may fail before it is known
	}{
		{"alert", func(t *testing.T) (string, func() int) {
			s := newTwoVersions(t, []string{"h2"}, true, acceptStream)
			return s.addr, func() int { return int(s.asked2.Load()) }
		}, 0},
		{"frames", func(t *testing.T) (string, func() int) {
			s := newSilentHTTP2(t, true)
			return s.addr, func() int { return int(s.asked2.Load()) }
		}, 0},
		{"closes", func(t *testing.T) (string, func() int) {
			s := newSilentHTTP2(t, false)
			return s.addr, func() int { return int(s.asked2.Load()) }
		}, 1},
		{"go", func(t *testing.T) (string, func() int) {
			var requests atomic.Int32
			server := &http.Server{Protocols: new(http.Protocols), ErrorLog: log.New(io.Discard, "", 0),
				TLSConfig: &tls.Config{Certificates: []tls.Certificate{issued(t, testCA(t).Issue)}},
				Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					if r.ProtoMajor == 2 {
						requests.Add(1)
					}
				})}
			server.Protocols.SetHTTP2(true)
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			ok(t, err)
			go func() { _ = server.ServeTLS(ln, "", "") }()
			t.Cleanup(func() { server.Close() })
			return ln.Addr().String(), func() int { return int(requests.Load()) }
		}, 1},
		{"node", func(t *testing.T) (string, func() int) {
			return node(`require('http2').createSecureServer(tls, (req, res) => { res.statusCode = req.httpVersion === '2.0' ? 200 : 500; res.end() }).listen(PORT, '127.0.0.1')`)(t), nil
		}, 1},
		{"haproxy", func(t *testing.T) (string, func() int) {
			return haproxy("alpn h2", "")(t), nil
		}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			addr, requests := tc.start(t)
			w := newWebhook(t)
			failures, delivered := 0, 0
			for range 4 {
				err := publish(shortly(t), w, delivery("https://"+addr+"/hook"))
				if err != nil {
					failures++
					t.Logf("failed: %v", err)
					if bridge.Judge(err, false).Verdict != protocol.Retry {
						t.Errorf("judged %+v", bridge.Judge(err, false))
					}
					continue
				}
				delivered++
			}
			if failures > tc.failures {
				t.Errorf("%d attempts failed", failures)
			}
			if requests != nil && requests() != delivered {
				t.Errorf("%d requests over HTTP/2 for %d deliveries", requests(), delivered)
			}
		})
	}
}

// TestHTTP2NoMore: a server that knew HTTP/2 only, and then HTTP/1.1 only, gets
// each delivery once; none of them over a connection of net/http in HTTP/1.1.
func TestHTTP2NoMore(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		strict bool // it refuses who does not offer HTTP/1.1; else it agrees on no protocol
	}{{"alert", true}, {"no protocol", false}} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var changed, gone atomic.Bool
			s := &twoVersions{refuse: func(f *http2.Framer, stream uint32) {
				if gone.Load() {
					return // not taken: it comes again, elsewhere
				}
				last := changed.Load()
				if acceptStream(f, stream); last {
					gone.Store(true)
					_ = f.WriteGoAway(stream, http2.ErrCodeNo, nil)
				}
			}}
			config := &tls.Config{Certificates: []tls.Certificate{issued(t, testCA(t).Issue)}}
			config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
				fitting := config.Clone()
				fitting.GetConfigForClient = nil
				offersHTTP2 := slices.Contains(hello.SupportedProtos, "h2")
				switch {
				case !changed.Load() && offersHTTP2:
					fitting.NextProtos = []string{"h2"}
				case !changed.Load(), offersHTTP2 && tc.strict:
					fitting.NextProtos = []string{"none"}
				case !offersHTTP2:
					fitting.NextProtos = []string{"http/1.1"}
				}
				return fitting, nil
			}
			ln, err := tls.Listen("tcp", "127.0.0.1:0", config)
			ok(t, err)
			s.addr = ln.Addr().String()
			acceptAll(t, ln, s.serve)
			w := newWebhook(t)
			for i := range 6 {
				if i == 2 {
					changed.Store(true)
				}
				ok(t, publish(shortly(t), w, delivery("https://"+s.addr)))
			}
			// The third goes over the connection that is there, and ends it.
			if s.asked1.Load() != 3 || w.standard.own.Stats().Dialed != 1 {
				t.Errorf("%d over HTTP/2, %d over HTTP/1.1, %+v", s.asked2.Load(), s.asked1.Load(), w.standard.own.Stats())
			}
		})
	}
}

// TestNetHTTPForSome: endpoints that are named get net/http, the others do not.
func TestNetHTTPForSome(t *testing.T) {
	t.Parallel()
	both := []string{"h2", "http/1.1"}
	named, other := newTwoVersions(t, both, false, acceptStream), newTwoVersions(t, both, false, acceptStream)
	w := newWebhook(t, func(o *Options) { o.NetHTTPFor = []string{named.addr} })
	for _, s := range []*twoVersions{named, other} {
		ok(t, publish(shortly(t), w, delivery("https://"+s.addr)))
	}
	if named.asked2.Load() != 1 || other.asked1.Load() != 1 {
		t.Errorf("named: %d over HTTP/2; other: %d over HTTP/1.1", named.asked2.Load(), other.asked1.Load())
	}
}

// newSilentHTTP2 agrees on no protocol where HTTP/2 is not offered, as OpenSSL
// does, and then speaks it all the same or closes.
func newSilentHTTP2(t *testing.T, speaks bool) *twoVersions {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{issued(t, testCA(t).Issue)}, NextProtos: []string{"h2"}})
	ok(t, err)
	s := &twoVersions{addr: ln.Addr().String(), refuse: acceptStream}
	acceptAll(t, ln, func(conn *tls.Conn) {
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(lab.Patience))
		if conn.Handshake() != nil {
			return
		}
		if conn.ConnectionState().NegotiatedProtocol == "" {
			if speaks {
				_ = http2.NewFramer(conn, conn).WriteSettings()
			}
			_, _ = conn.Read(make([]byte, 4096))
			return
		}
		s.serve2(conn)
	})
	return s
}
