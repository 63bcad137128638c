package publishers

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/lab"
	"orderbridge/internal/localca"
)

var newCA = sync.OnceValues(lab.NewCA)

// testCA is the one authority of the tests.
func testCA(tb testing.TB) *localca.CA {
	tb.Helper()
	ca, err := newCA()
	if err != nil {
		tb.Fatal(err)
	}
	return ca
}

// issued is a certificate for the test receivers, made by issue.
func issued(tb testing.TB, issue func(hosts ...string) (tls.Certificate, error)) tls.Certificate {
	tb.Helper()
	cert, err := issue("localhost", "127.0.0.1")
	if err != nil {
		tb.Fatal(err)
	}
	return cert
}

// receiver is a TLS server with a certificate of the test authority.
func receiver(tb testing.TB, h http.HandlerFunc, change ...func(*httptest.Server)) *httptest.Server {
	tb.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{issued(tb, testCA(tb).Issue)}}
	for _, c := range change {
		c(s)
	}
	s.StartTLS()
	tb.Cleanup(s.Close)
	return s
}

func newWebhook(tb testing.TB, change ...func(*Options)) *Webhook {
	tb.Helper()
	o := Options{Version: "test", TrustRoots: testCA(tb).Pool()}
	for _, c := range change {
		c(&o)
	}
	w, err := NewWebhook(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { w.Close() })
	return w
}

func delivery(target string) *protocol.Delivery {
	return &protocol.Delivery{
		Subscription: &record.Subscription{ID: "erp", TargetURL: target, Method: "POST", Payload: "event"},
		Event: &event.Event{
			Message: event.Message{Seq: 1, Time: noon, Subject: "orders.4711", Data: []byte(`{"orderId":"4711"}`)},
			ID:      "e-1", Type: "OrderAccepted", OrderID: "4711",
		},
		Generation: 1, Attempt: 1,
	}
}

func publish(ctx context.Context, w *Webhook, d *protocol.Delivery) error {
	m := message.NewMessage(d.ID(), d.Event.Data)
	m.SetContext(bridge.WithDelivery(ctx, d))
	return w.Publish(d.Subscription.ID, m)
}

// shortly bounds a test that would hang if what it tests were broken.
func shortly(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), lab.Patience)
	tb.Cleanup(cancel)
	return ctx
}

func attemptError(t *testing.T, err error) *bridge.AttemptError {
	t.Helper()
	var a *bridge.AttemptError
	if !errors.As(err, &a) {
		t.Fatalf("got %T %v, want an AttemptError", err, err)
	}
	return a
}

func TestNewWebhookChecksItsOptions(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{Version: "1\r\nX: y"}, {MaxIdleConns: -1}} {
		if _, err := NewWebhook(o); err == nil {
			t.Errorf("%+v: accepted", o)
		}
	}
}

func TestContractD7PostArrivesAsRendered(t *testing.T) {
	t.Parallel()
	type got struct {
		*http.Request
		body string
	}
	requests := make(chan got, 1)
	server := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests <- got{r, string(body)}
	})
	d := delivery(server.URL + "/orders/{orderId}")
	d.Event.OrderID = "a/b ü"
	if err := publish(shortly(t), newWebhook(t), d); err != nil {
		t.Fatal(err)
	}
	r := <-requests
	if r.Method != http.MethodPost || r.RequestURI != "/orders/a%2Fb%20%C3%BC" || r.body != `{"orderId":"4711"}` {
		t.Errorf("got %s %s %s", r.Method, r.RequestURI, r.body)
	}
	if r.ContentLength != int64(len(r.body)) || len(r.TransferEncoding) > 0 {
		t.Errorf("content length %d, transfer encoding %v", r.ContentLength, r.TransferEncoding)
	}
	for name, want := range map[string]string{
		"User-Agent": "orderbridge/test", "Content-Type": "application/json", "Webhook-Id": "wsirmic63uprt6n7g4jomvniexzlkm5x", "Idempotency-Key": "wsirmic63uprt6n7g4jomvniexzlkm5x",
		"X-Order-Id": "a/b%20%C3%BC", "X-Event-Type": "OrderAccepted", "X-Attempt": "1", "X-Redrive": "", "Accept-Encoding": "",
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestContractD2GetHasNoBody(t *testing.T) {
	t.Parallel()
	requests := make(chan *http.Request, 1)
	server := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); len(body) > 0 {
			t.Errorf("body %q", body)
		}
		requests <- r
	})
	d := delivery(server.URL + "/?orderId={orderId}")
	d.Subscription.Method = "GET"
	if err := publish(shortly(t), newWebhook(t), d); err != nil {
		t.Fatal(err)
	}
	r := <-requests
	_, hasType := r.Header["Content-Type"]
	_, hasLength := r.Header["Content-Length"]
	if r.Method != http.MethodGet || r.RequestURI != "/?orderId=4711" || hasType || hasLength || len(r.TransferEncoding) > 0 {
		t.Errorf("got %s %s %v", r.Method, r.RequestURI, r.Header)
	}
}

func TestContractD10BasicWithTheFirstRequest(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	server := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if user, password, ok := r.BasicAuth(); !ok || user != "aladdin" || password != "open:sesame ü" {
			w.Header().Set("WWW-Authenticate", "Basic")
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	d := delivery(server.URL)
	d.Subscription.More = &record.More{Auth: &record.Auth{Type: "basic", Username: "aladdin", Password: "open:sesame ü"}}
	if err := publish(shortly(t), newWebhook(t), d); err != nil || requests.Load() != 1 {
		t.Errorf("%d requests, %v", requests.Load(), err)
	}
}

func TestContractX1OnlySuccessIsSuccess(t *testing.T) {
	t.Parallel()
	server := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		var status int
		fmt.Sscanf(r.URL.Path, "/%d", &status)
		w.WriteHeader(status)
	})
	w := newWebhook(t)
	for _, status := range []int{200, 201, 202, 204, 205, 226, 299, 300, 304, 400, 401, 404, 409, 410, 418, 422, 429, 500, 502, 503, 599} {
		err := publish(shortly(t), w, delivery(fmt.Sprintf("%s/%d", server.URL, status)))
		if status < 300 {
			if err != nil {
				t.Errorf("%d: %v", status, err)
			}
			continue
		}
		if a := attemptError(t, err); a.Fault != bridge.FaultStatus || a.Status != status || a.Reason == "" {
			t.Errorf("%d: got %+v", status, a)
		}
	}
}

func TestContractX1RedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int32
	target := receiver(t, func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := receiver(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", target.URL+"/?secret=1")
			w.WriteHeader(status)
		})
		a := attemptError(t, publish(shortly(t), newWebhook(t), delivery(server.URL)))
		if a.Status != status || !bridge.Judge(a, false).EndpointFault || strings.Contains(a.Reason, "secret") {
			t.Errorf("%d: got %+v", status, a)
		}
	}
	if elsewhere.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

func TestRetryAfterBothForms(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	for _, tc := range []struct {
		status int
		value  string
		want   time.Duration
	}{
		{503, "120", 2 * time.Minute},
		{503, now.Add(time.Minute).UTC().Format(http.TimeFormat), time.Minute},
		{429, "7", 7 * time.Second},
		{503, "", 0},
		{500, "120", 0},
		{302, "120", 0},
	} {
		server := receiver(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", tc.value)
			w.WriteHeader(tc.status)
		})
		w := newWebhook(t, func(o *Options) { o.Now = func() time.Time { return now } })
		if a := attemptError(t, publish(shortly(t), w, delivery(server.URL))); a.RetryAfter != tc.want {
			t.Errorf("%d %q: got %v, want %v", tc.status, tc.value, a.RetryAfter, tc.want)
		}
	}
}

func TestReasonHoldsNoSecret(t *testing.T) {
	t.Parallel()
	server := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, password, _ := r.BasicAuth()
		fmt.Fprintf(w, "you sent\r\n\x1b[31m %s %s %s %s", r.RequestURI, r.Header.Get("Authorization"), password, r.Header.Get("X-Api-Token"))
	})
	d := delivery(server.URL + "/path?token=in-the-query")
	d.Subscription.More = &record.More{
		Key:     "the&key",
		Auth:    &record.Auth{Type: "basic", Username: "aladdin", Password: "opensesame"},
		Headers: map[string]string{"X-Api-Token": "headersecret"},
	}
	a := attemptError(t, publish(shortly(t), newWebhook(t), d))
	for _, secret := range []string{"the&key", "the%26key", "opensesame", "YWxhZGRpbjpvcGVuc2VzYW1l", "headersecret", "in-the-query", "\x1b", "\n", "\r"} {
		if strings.Contains(a.Reason, secret) {
			t.Errorf("%q stands in the reason: %q", secret, a.Reason)
		}
	}
	if !strings.HasPrefix(a.Reason, "400 Bad Request: you sent ") {
		t.Errorf("reason %q", a.Reason)
	}
}

func TestConnectionsAreReused(t *testing.T) {
	t.Parallel()
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			const workers, each = 16, 20
			var opened atomic.Int32
			var all sync.WaitGroup // the first request of each worker waits for the others
			all.Add(workers)
			server := receiver(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Proto != proto {
					t.Errorf("spoke %s", r.Proto)
				}
				switch r.Header.Get("X-Attempt") {
				case "1":
					all.Done()
					all.Wait()
				case "2":
					w.WriteHeader(http.StatusInternalServerError)
				}
				_, _ = w.Write(make([]byte, 32<<10)) // small enough to be read to its end
			}, func(s *httptest.Server) {
				s.EnableHTTP2 = proto == "HTTP/2.0"
				s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
					if state == http.StateNew {
						opened.Add(1)
					}
				}
			})
			w := newWebhook(t, func(o *Options) { o.NetHTTP = proto == "HTTP/2.0" }) // that chooses it where it can
			send := func(attempt int) {
				d := delivery(server.URL)
				d.Attempt = attempt
				if err := publish(shortly(t), w, d); (err == nil) != (attempt != 2) {
					t.Errorf("attempt %d: %v", attempt, err)
				}
			}
			if proto == "HTTP/2.0" {
				send(3) // all share the connection that stands; without one each dials first
			}
			var group sync.WaitGroup
			for range workers {
				group.Go(func() { send(1) })
			}
			group.Wait()
			before := opened.Load()
			for range workers {
				group.Go(func() {
					for i := range each {
						send(2 + i%2)
					}
				})
			}
			group.Wait()
			// One that is given back a moment too late may be replaced.
			if n := opened.Load(); n > before+2 {
				t.Errorf("%d connections for %d requests at once, %d more for the next %d", before, workers, n-before, workers*each)
			}
		})
	}
}

func TestLargeBodyCostsTheConnectionOnly(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 500} {
		var written atomic.Int64
		ended := make(chan struct{})
		server := receiver(t, func(w http.ResponseWriter, r *http.Request) {
			defer close(ended)
			w.Header().Set("Content-Length", "1073741824")
			w.WriteHeader(status)
			block := make([]byte, 64<<10)
			for written.Load() < 1<<30 {
				n, err := w.Write(block)
				if written.Add(int64(n)); err != nil {
					return
				}
			}
		})
		err := publish(shortly(t), newWebhook(t), delivery(server.URL))
		if (err == nil) != (status == 200) {
			t.Errorf("%d: %v", status, err)
		}
		<-ended
		// What lies in the socket buffers of both sides is sent, but not read.
		if n := written.Load(); n > 64<<20 {
			t.Errorf("%d: the server could send %d bytes", status, n)
		}
	}
}

func TestHangingEndpointEndsAtTheDeadline(t *testing.T) {
	t.Parallel()
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	hangInBody := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte("part"))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}
	}
	for _, tc := range []struct {
		name    string
		handler http.HandlerFunc
		want    string // "" is success
	}{
		{"before the answer", hang, "timeout: no answer from "},
		{"in the body of a 500", hangInBody(500), "500 Internal Server Error: part"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			server := receiver(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // else the server does not see the client go
				tc.handler(w, r)
			})
			d := delivery(server.URL)
			d.Subscription.More = &record.More{Timeout: 300 * time.Millisecond}
			began := time.Now()
			err := publish(shortly(t), newWebhook(t), d)
			took := time.Since(began)
			if took < 250*time.Millisecond {
				t.Errorf("took %v", took)
			}
			lab.Promise(t, "an attempt with a timeout of 0.3 s", took, 10*time.Second)
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
			} else if a := attemptError(t, err); !strings.HasPrefix(a.Reason, tc.want) {
				t.Errorf("got %q", a.Reason)
			}
		})
	}
}

// rawServer answers each connection with what serve does; the request's head
// is read before.
func rawServer(t *testing.T, serve func(*tls.Conn)) string {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{issued(t, testCA(t).Issue)}})
	if err != nil {
		t.Fatal(err)
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
				buffer := make([]byte, 4096)
				if _, err := conn.Read(buffer); err == nil {
					serve(conn.(*tls.Conn))
				}
			}()
		}
	}()
	return "https://" + ln.Addr().String()
}

func TestBrokenAnswers(t *testing.T) {
	t.Parallel()
	reset := func(c *tls.Conn) { _ = c.NetConn().(*net.TCPConn).SetLinger(0); c.NetConn().Close() }
	const unread = 6 << 20 // what may lie in the socket buffers of both sides
	endless := func(start, more string) func(*tls.Conn) {
		return func(c *tls.Conn) {
			_, _ = io.WriteString(c, start)
			for sent := 0; ; sent += len(more) {
				if _, err := io.WriteString(c, more); err != nil {
					return
				}
				if sent > unread {
					t.Error("the endless answer is read on and on")
					return
				}
			}
		}
	}
	for _, tc := range []struct {
		name  string
		serve func(*tls.Conn)
		want  string // beginning of the reason, "" is success
	}{
		{"reset before the answer", reset, "connection reset by "},
		{"reset in the body of a 500", func(c *tls.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 500 No\r\nContent-Length: 100\r\n\r\npart")
			reset(c)
		}, "500 Internal Server Error"},
		{"cut in the body of a 200", func(c *tls.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart") }, ""},
		{"closed without a word", func(c *tls.Conn) { c.Close() }, "connection closed by "},
		{"no HTTP", func(c *tls.Conn) { _, _ = io.WriteString(c, "SSH-2.0-OpenSSH\r\n\r\n") }, "no valid answer from "},
		{"headers for ever", endless("HTTP/1.1 200 OK\r\n", "X-More: "+strings.Repeat("x", 1000)+"\r\n"), ""},
		{"a header for ever", endless("HTTP/1.1 200 OK\r\nX: ", strings.Repeat("x", 1000)), ""},
		{"headers of a 503 for ever", endless("HTTP/1.1 503 No\r\n", "X-More: "+strings.Repeat("x", 1000)+"\r\n"), "503 Service Unavailable"},
		{"a status line for ever", endless("HTTP/1.1 200 ", strings.Repeat("x", 1000)), "no valid answer from "},
		{"informational answers for ever", endless("", "HTTP/1.1 103 Early Hints\r\nX: "+strings.Repeat("x", 1000)+"\r\n\r\n"), "no valid answer from "},
		{"switching protocols", func(c *tls.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
			_, _ = io.Copy(io.Discard, c)
		}, "101 Switching Protocols"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			err := publish(shortly(t), newWebhook(t), delivery(rawServer(t, tc.serve)))
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			a := attemptError(t, err)
			if !strings.HasPrefix(a.Reason, tc.want) {
				t.Errorf("got %q", a.Reason)
			}
			if o := bridge.Judge(err, false); o.Verdict != protocol.Retry || !o.EndpointFault {
				t.Errorf("judged %+v", o)
			}
		})
	}
}

func TestContractD9Certificates(t *testing.T) {
	t.Parallel()
	cert := func(c tls.Certificate) func(*httptest.Server) {
		return func(s *httptest.Server) { s.TLS.Certificates = []tls.Certificate{c} }
	}
	other, err := testCA(t).Issue("other.example.com")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		change func(*httptest.Server)
		dev    bool
		want   string // "" is success
	}{
		{"good", func(*httptest.Server) {}, false, ""},
		{"expired", cert(issued(t, lab.Expired(testCA(t)))), false, `TLS: the certificate of "orderbridge local" has expired at 20`},
		{"self-signed", cert(issued(t, lab.SelfSigned)), false, "TLS: the certificate is signed by an unknown authority: by itself; if that is right, give the authority's certificate in tls.trustFile"},
		{"wrong host", cert(other), false, `TLS: the certificate is not valid for host "127.0.0.1"`},
		{"TLS 1.1 only", func(s *httptest.Server) { s.TLS.MinVersion, s.TLS.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, false, "TLS: refused by the server: tls: protocol version not supported"},
		{"TLS 1.2 only", func(s *httptest.Server) { s.TLS.MaxVersion = tls.VersionTLS12 }, false, ""},
		{"dev: self-signed", cert(issued(t, lab.SelfSigned)), true, ""},
		{"dev: expired", cert(issued(t, lab.Expired(testCA(t)))), true, `TLS: the certificate of "orderbridge local" has expired at 20`},
		{"dev: wrong host", cert(other), true, `TLS: the certificate is not valid for host "127.0.0.1"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int32
			server := receiver(t, func(http.ResponseWriter, *http.Request) { requests.Add(1) }, tc.change)
			w := newWebhook(t, func(o *Options) { o.Dev = tc.dev })
			for range 2 { // the second one could resume a session
				err := publish(shortly(t), w, delivery(server.URL))
				if tc.want == "" {
					if err != nil {
						t.Error(err)
					}
					continue
				}
				if a := attemptError(t, err); a.Fault != bridge.FaultTransport || !strings.HasPrefix(a.Reason, tc.want) {
					t.Errorf("got %+v", a)
				}
			}
			if tc.want != "" && requests.Load() > 0 {
				t.Error("a request was sent")
			}
		})
	}
}

func TestNoConnection(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts by its backlog, and is silent
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	for _, tc := range []struct{ name, target, want string }{
		{"no such host", "https://receiver.invalid/x?secret=1", `DNS: `},
		{"refused", "https://" + gone.Addr().String(), "connection refused by " + gone.Addr().String()},
		{"no handshake", "https://" + silent.Addr().String(), "TLS handshake: no connection to " + silent.Addr().String() + " within 2s"},
		{"no TLS", strings.Replace(plain.URL, "http:", "https:", 1), "TLS: " + strings.TrimPrefix(plain.URL, "http://") + " does not speak TLS at this port"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			d := delivery(tc.target)
			d.Subscription.More = &record.More{ConnectionTimeout: lab.Patience, Timeout: lab.Patience}
			switch tc.name {
			case "no such host":
				d.Subscription.More = nil
			case "no handshake":
				d.Subscription.More.ConnectionTimeout = 2 * time.Second
			}
			began := time.Now()
			a := attemptError(t, publish(shortly(t), newWebhook(t), d))
			if a.Fault != bridge.FaultTransport || !strings.HasPrefix(a.Reason, tc.want) || strings.Contains(a.Reason, "secret") {
				t.Errorf("got %+v", a)
			}
			if tc.name == "no handshake" {
				lab.Promise(t, "an attempt without a handshake within 2 s", time.Since(began), 5*time.Second)
			}
		})
	}
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	server := receiver(t, func(http.ResponseWriter, *http.Request) {})
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(plain.Close)
	var dialed atomic.Value
	guard := func(o *Options) {
		o.DialControl = func(_, address string, _ syscall.RawConn) error {
			dialed.Store(address)
			return errors.New("address is loopback; set ORDERBRIDGE_EGRESS_ALLOW")
		}
	}
	for _, tc := range []struct {
		name, target string
		change       func(*Options)
		want         string // "" is success
	}{
		{"guard", strings.Replace(server.URL, "127.0.0.1", "localhost", 1), guard, "not allowed by policy: address is loopback; set ORDERBRIDGE_EGRESS_ALLOW"},
		{"http", plain.URL, func(*Options) {}, errPlainHTTP.Error()},
		{"http allowed", plain.URL, func(o *Options) { o.AllowHTTP = true }, ""},
		{"http, dev, loopback", plain.URL, func(o *Options) { o.Dev = true }, ""},
		{"http, dev, elsewhere", "http://192.0.2.1:9/", func(o *Options) { o.Dev = true }, "not allowed by policy: " + errPlainHTTP.Error()},
	} {
		err := publish(shortly(t), newWebhook(t, tc.change), delivery(tc.target))
		if tc.want == "" {
			if err != nil {
				t.Errorf("%s: %v", tc.name, err)
			}
			continue
		}
		if a := attemptError(t, err); a.Fault != bridge.FaultConfig || a.Reason != tc.want {
			t.Errorf("%s: got %+v", tc.name, a)
		}
	}
	if got := fmt.Sprint(dialed.Load()); got != server.Listener.Addr().String() {
		t.Errorf("the guard saw %s, want the resolved address %s", got, server.Listener.Addr())
	}
}

func TestOurOwnCutIsNoAttempt(t *testing.T) {
	t.Parallel()
	w := newWebhook(t)
	server := receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})

	t.Run("while it runs", func(t *testing.T) {
		t.Parallel()
		arrived := make(chan struct{}, 1)
		server := receiver(t, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			arrived <- struct{}{}
			<-r.Context().Done()
		})
		ctx, cut := context.WithCancelCause(shortly(t))
		go func() { <-arrived; cut(bridge.ErrCut) }()
		err := publish(ctx, w, delivery(server.URL))
		if !errors.Is(err, bridge.ErrCut) || bridge.Judge(err, false).Verdict != protocol.NotAttempted {
			t.Errorf("got %v", err)
		}
	})
	t.Run("by a deadline of ours", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeoutCause(shortly(t), 200*time.Millisecond, bridge.ErrCut)
		defer cancel()
		if err := publish(ctx, w, delivery(server.URL)); !errors.Is(err, bridge.ErrCut) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("before it began", func(t *testing.T) {
		t.Parallel()
		ctx, cut := context.WithCancelCause(shortly(t))
		cut(bridge.ErrCut)
		if err := publish(ctx, w, delivery(server.URL)); !errors.Is(err, bridge.ErrCut) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("after Close", func(t *testing.T) {
		t.Parallel()
		closed := newWebhook(t)
		closed.Close()
		if err := publish(shortly(t), closed, delivery(server.URL)); !errors.Is(err, bridge.ErrCut) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a deadline of the caller is a timeout", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(shortly(t), 200*time.Millisecond)
		defer cancel()
		if a := attemptError(t, publish(ctx, w, delivery(server.URL))); a.Fault != bridge.FaultTransport {
			t.Errorf("got %+v", a)
		}
	})
}

// unheard is a context that has ended while nobody was told yet: the process was stopped.
type unheard struct {
	context.Context
	over atomic.Bool
}

func (c *unheard) Err() error {
	if c.over.Load() {
		return bridge.ErrCut
	}
	return c.Context.Err()
}

// R10: an attempt whose time passes while its connection is made is not sent, whichever client
// sends it, and is no failure.
func TestNothingIsSentWhenItsTimeIsOver(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name         string
		netHTTP, two bool
		handshakes   int32 // for two requests, of which one is not sent
	}{
		{"HTTP/1.1", false, false, 1},
		{"HTTP/1.1 by net/http", true, false, 2},
		{"HTTP/2", true, true, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			ctx := &unheard{Context: shortly(t)}
			var handshakes, requests atomic.Int32
			server := receiver(t, func(http.ResponseWriter, *http.Request) { requests.Add(1) }, func(s *httptest.Server) {
				s.EnableHTTP2 = tc.two
				s.TLS.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
					ctx.over.Store(handshakes.Add(1) == 1)
					return nil, nil
				}
			})
			w := newWebhook(t, func(o *Options) { o.NetHTTP = tc.netHTTP })
			d := delivery(server.URL)
			d.Subscription.More = &record.More{Timeout: 2 * lab.Patience, ConnectionTimeout: lab.Patience} // that of ctx is the shorter
			err := publish(ctx, w, d)
			if !errors.Is(err, bridge.ErrCut) || bridge.Judge(err, false).Verdict != protocol.NotAttempted {
				t.Errorf("got %v", err)
			}
			ctx.over.Store(false)
			if err := publish(ctx, w, d); err != nil {
				t.Error(err)
			}
			if requests.Load() != 1 || handshakes.Load() != tc.handshakes {
				t.Errorf("%d requests, %d handshakes", requests.Load(), handshakes.Load())
			}
		})
	}
}

// A server may close a connection at the moment at which we send on it. Such a
// request is sent again on another one, and is not a failed attempt.
func TestConnectionThatTheServerClosed(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	server := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if len(body) == 0 {
			t.Error("empty body")
		}
		if requests.Add(1) == 2 {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				conn.Close()
			}
		}
	})
	w := newWebhook(t)
	for range 2 {
		if err := publish(shortly(t), w, delivery(server.URL)); err != nil {
			t.Error(err)
		}
	}
	if n := requests.Load(); n != 3 {
		t.Errorf("%d requests", n)
	}
}

// A new connection that breaks is a failed attempt: nothing is sent twice.
func TestBrokenConnectionIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	target := rawServer(t, func(c *tls.Conn) { requests.Add(1); c.Close() })
	attemptError(t, publish(shortly(t), newWebhook(t), delivery(target)))
	if n := requests.Load(); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestUsedAlone(t *testing.T) {
	t.Parallel()
	requests := make(chan *http.Request, 1)
	server := receiver(t, func(_ http.ResponseWriter, r *http.Request) { requests <- r })
	unknown := errors.New("no such subscription")
	w := newWebhook(t, func(o *Options) {
		o.Resolve = func(id string) (*record.Subscription, error) {
			if id != "erp" {
				return nil, unknown
			}
			return &record.Subscription{ID: id, TargetURL: server.URL + "/{orderId}"}, nil
		}
	})
	m := message.NewMessage("u-1", []byte(`{}`))
	m.Metadata.Set("orderId", "4711")
	m.SetContext(shortly(t))
	if err := w.Publish("erp", m); err != nil {
		t.Fatal(err)
	}
	if r := <-requests; r.URL.Path != "/4711" || r.Header.Get("Webhook-Id") != "sltyk34hldyjdag7vdax2an2i6cbjph4" {
		t.Errorf("got %s %v", r.URL, r.Header)
	}
	if err := w.Publish("crm", m); !errors.Is(err, unknown) {
		t.Errorf("got %v", err)
	}
	if err := newWebhook(t).Publish("erp", m); err == nil {
		t.Error("published without a delivery and without a resolver")
	}
}

// A success whose body never ends holds nobody: the status line decides. So it
// is with the client of our own, and with net/http in either version.
func TestEndlessBodyOfASuccess(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	server := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/length" {
			w.Header().Set("Content-Length", "1000000")
		}
		w.WriteHeader(http.StatusAccepted)
		for r.URL.Path != "/silent" && r.Context().Err() == nil {
			_, _ = io.WriteString(w, "x")
			w.(http.Flusher).Flush()
			<-time.After(10 * time.Millisecond)
		}
		w.(http.Flusher).Flush()
		select {
		case <-r.Context().Done():
		case <-over:
		}
	}, func(s *httptest.Server) { s.EnableHTTP2 = true })
	defer close(over)
	var group sync.WaitGroup
	for _, netHTTP := range []bool{false, true} {
		w := newWebhook(t, func(o *Options) { o.NetHTTP = netHTTP })
		for _, path := range []string{"/drips", "/length", "/silent"} {
			group.Go(func() {
				began := time.Now()
				if err := publish(shortly(t), w, delivery(server.URL+path)); err != nil {
					t.Errorf("net/http %v, %s: %v", netHTTP, path, err)
				}
				lab.Promise(t, fmt.Sprintf("net/http %v, %s", netHTTP, path), time.Since(began), 3*time.Second)
			})
		}
	}
	group.Wait()
}
