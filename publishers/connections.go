package publishers

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"time"

	"orderbridge/bridge"
	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
	"orderbridge/publishers/http1"
)

// answer is what an endpoint answered. As soon as the status is known there is
// one, whatever follows.
type answer struct {
	status     int
	retryAfter string
	text       []byte // the beginning of the body, if the status is not a success
}

func (a answer) success() bool { return a.status >= 200 && a.status < 300 }

// connections are those of one TLS setting. HTTP/1.1 goes through a client of
// our own (decisions/0014-http1-client.md), which is offered alone; net/http
// speaks HTTP/2 with servers that know nothing else, and asks for tokens.
type connections struct {
	dialer    *dialer
	transport *negotiated
	own       *http1.Client   // nil: net/http for everything
	second    metered         // net/http over HTTP/2 alone
	byNetHTTP map[string]bool // host:port in small letters: net/http for these

	// By host and port.
	onlyHTTP2 memory // know nothing else
	silent    memory // agreed on no protocol
	doubtful  memory // did so and then failed: perhaps they know HTTP/2 only
	asked     memory // were asked for HTTP/2 therefore
}

func newConnections(o Options, settings *tlsSettings) *connections {
	d := newDialer(o, settings)
	c := &connections{dialer: d, transport: newNegotiated(o, d)}
	if o.NetHTTP {
		return c
	}
	c.second = metered{newTransport(o, d, "h2")}
	c.byNetHTTP = make(map[string]bool, len(o.NetHTTPFor))
	for _, addr := range o.NetHTTPFor {
		c.byNetHTTP[strings.ToLower(addr)] = true
	}
	c.own = http1.New(http1.Options{
		Dial:     c.dial,
		MaxIdle:  o.MaxIdleConns,
		MayBegin: bridge.MayBegin,
		Notice: func(key http1.Key, why string) {
			o.Logger.Info("each answer of an endpoint costs its connection", "endpoint", key.Addr, "tenant", key.Tenant,
				"why", why)
		},
	})
	return c
}

func (c *connections) closeIdle() {
	c.transport.CloseIdleConnections()
	if c.own != nil {
		c.second.CloseIdleConnections()
		c.own.Close()
	}
}

// send makes a request of an attempt: no redirects, no cookies, and no second
// one, but to a server that did not take the first for a request.
func (c *connections) send(ctx context.Context, r request, tenant string) (answer, error) {
	addr := r.origin.Addr()
	if c.own == nil || len(c.byNetHTTP) > 0 && c.byNetHTTP[strings.ToLower(addr)] {
		return sendByNetHTTP(ctx, c.transport, r)
	}
	secure := r.url.Scheme == "https"
	if secure {
		if c.askSilent(r.connecting(ctx), addr); c.onlyHTTP2.has(addr) {
			a, err := sendByNetHTTP(ctx, c.second, r)
			if err == nil || !refusesHTTP2(err) {
				return a, err
			}
			c.onlyHTTP2.forget(addr) // it has changed; nothing was sent, or not taken
		}
	}
	a, err := c.own.Do(ctx, &http1.Request{Method: r.method, Origin: r.origin, Target: r.url.RequestURI(),
		Fields: r.fields, Body: r.body, Tenant: tenant, Connect: cmp.Or(r.connect, record.DefaultConnectTimeout), Notes: r.watch.own()})
	switch failed := err != nil || a.Status >= http.StatusBadRequest; {
	case secure && wantsHTTP2(err):
		c.onlyHTTP2.add(addr)
		return sendByNetHTTP(ctx, c.second, r)
	case secure && failed && c.silent.has(addr) && !c.asked.has(addr):
		c.doubtful.add(addr)
	}
	return answer{a.Status, a.RetryAfter, a.Text}, err
}

// dial makes a connection for our own client.
func (c *connections) dial(ctx context.Context, key http1.Key) (net.Conn, error) {
	if x := bridge.ExchangeOf(ctx); x != nil {
		timed, times := withDialTimes(ctx)
		ctx = timed
		defer func() { times.tell(&x.Timings) }()
	}
	d := c.dialer
	raw, err := d.dial(ctx, "tcp", key.Addr, key.Scheme == "http" && !d.allowHTTP)
	if err != nil {
		return nil, err
	}
	socket := http1.NewSocket(raw)
	if key.Scheme == "http" {
		return socket, nil
	}
	config := d.tls.Clone()
	config.NextProtos = []string{"http/1.1"}
	config.DynamicRecordSizingDisabled = true // a request is one record
	conn, err := d.handshake(ctx, socket, key.Addr, config)
	if err != nil {
		return nil, err
	}
	if conn.ConnectionState().NegotiatedProtocol == "" {
		c.silent.add(key.Addr)
	}
	return conn, nil
}

// wantsHTTP2: the server refused HTTP/1.1 in the handshake, or answered it with
// a frame.
func wantsHTTP2(err error) bool {
	return err != nil && (errors.Is(err, http1.ErrHTTP2) || refusesProtocol(err))
}

// refusesHTTP2: a server that knew HTTP/2 only does not want it any more.
func refusesHTTP2(err error) bool {
	return errors.Is(err, errNoHTTP2) || demandsHTTP1(err) || refusesProtocol(err)
}

// refusesProtocol: the server refused in the handshake what we speak. crypto/tls
// exports no type for that.
func refusesProtocol(err error) bool {
	const noApplicationProtocol = tls.AlertError(120)
	var (
		step *connectError
		op   *net.OpError
	)
	switch {
	case !errors.As(err, &step) || step.step != stepHandshake:
		return false
	case errors.As(err, &op):
		return op.Op == "remote error" && op.Err.Error() == noApplicationProtocol.Error()
	}
	return step.err.Error() == "tls: server selected unadvertised ALPN protocol"
}

// askSilent asks a server that agreed on no protocol, and then failed, whether
// it knows HTTP/2. That takes a handshake, and is done once an hour at most.
func (c *connections) askSilent(ctx context.Context, addr string) {
	if !c.doubtful.forget(addr) || c.asked.has(addr) {
		return
	}
	c.asked.add(addr)
	conn, err := c.dialer.dialTLS(ctx, "tcp", addr, []string{"h2"})
	if err != nil {
		return // the attempt will tell
	}
	if conn.ConnectionState().NegotiatedProtocol == "h2" {
		c.onlyHTTP2.add(addr)
	}
	_ = conn.Close()
}

// sendByNetHTTP uses RoundTrip instead of a Client: no redirects, no cookies, no
// copy of the request.
func sendByNetHTTP(ctx context.Context, by http.RoundTripper, r request) (answer, error) {
	attempt := ctx
	ctx, cancel := context.WithCancel(r.connecting(ctx))
	defer cancel()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if bridge.MayBegin(attempt) != nil {
			cancel() // over HTTP/2 it is looked at before the request is written
			if m := meterOf(info.Conn); m == nil || !m.carriesHTTP2() {
				_ = info.Conn.Close() // over HTTP/1.1 it is not
			}
		}
	}})
	ctx, times := r.watch.byNetHTTP(ctx)
	defer func() { r.watch.noteNetHTTP(times) }()
	resp, err := by.RoundTrip(r.http(ctx))
	if err != nil {
		return answer{}, err
	}
	r.watch.head(resp.Header)
	a := answer{status: resp.StatusCode, retryAfter: resp.Header.Get("Retry-After")}
	if resp.Body == http.NoBody || a.status < 200 { // a 1xx here has taken the connection over: it has no body
		_ = resp.Body.Close()
		return a, nil
	}
	patience := limits.AnswerTextPatience
	if a.success() {
		patience = limits.AnswerBodyPatience
	}
	timer := time.AfterFunc(patience, cancel)
	defer timer.Stop()
	if !a.success() {
		a.text, _ = io.ReadAll(io.LimitReader(resp.Body, limits.AnswerTextBytes))
	}
	r.watch.body(a.text)
	// The rest of a small body is read, so that the connection can be used
	// again. A large one costs the connection instead.
	_, _ = io.Copy(r.watch.rest(), io.LimitReader(resp.Body, maxResponseBody+1))
	_ = resp.Body.Close()
	return a, nil
}

// blank is copied for each request: that is the one way to make a request with
// a context and no second copy.
var blank = &http.Request{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}

func (r *request) http(ctx context.Context) *http.Request {
	req := blank.WithContext(ctx)
	req.Method, req.URL, req.Host, req.Header = r.method, r.url, r.url.Host, make(http.Header, len(r.fields))
	for _, f := range r.fields {
		req.Header[f.Name] = []string{f.Value}
	}
	if r.body == nil {
		return req
	}
	if len(r.body) == 0 {
		req.Body, req.GetBody = http.NoBody, func() (io.ReadCloser, error) { return http.NoBody, nil }
		return req
	}
	// A bytes.Reader is what net/http knows not to block: it then sends head and
	// body in one write. GetBody lets it repeat a request that met a connection
	// which the server was closing at that moment, unanswered.
	body := r.body
	req.ContentLength = int64(len(body))
	req.Body = io.NopCloser(bytes.NewReader(body))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	return req
}
