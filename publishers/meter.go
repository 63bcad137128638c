package publishers

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"

	"orderbridge/internal/limits"
	"orderbridge/publishers/http1"
)

// errFlood ends a connection whose server sends more than its answers need.
var errFlood = errors.New("the server sent more over HTTP/2 than its answers need")

// errNoHTTP2 is a server that was to speak HTTP/2 and does not.
var errNoHTTP2 = errors.New("the server speaks no HTTP/2")

// meter is a connection that carries HTTP/2, below TLS. A server may send
// frames that belong to no answer (PING, SETTINGS, empty DATA of a stream that
// has ended), and net/http reads and answers them without end. So each running
// request allows the connection so many bytes, and without one there is only a
// little; what is beyond closes the connection. A read and a write cost
// something as well: a frame that asks for an answer is dearer than its bytes.
type meter struct {
	net.Conn

	mu      sync.Mutex
	armed   bool  // it carries HTTP/2
	running int64 // what the running requests allow
	left    int64
}

// arm begins to count.
func (m *meter) arm() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.armed, m.left = true, limits.HTTP2IdleBytes
}

func (m *meter) carriesHTTP2() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.armed
}

// begin allows what one more request needs, and returns its end.
func (m *meter) begin(body int64) (end func()) {
	allowed := limits.HTTP2RequestBytes + body/4 // a server may ask for a long body bit by bit
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running += allowed
	m.left += allowed
	return sync.OnceFunc(func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.running -= allowed
		m.left = min(m.left, m.running+limits.HTTP2IdleBytes)
	})
}

// spend takes from what is left, and reports whether that was enough.
func (m *meter) spend(n int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.armed {
		return true
	}
	m.left -= n
	return m.left >= 0
}

func (m *meter) Read(b []byte) (int, error) {
	n, err := m.Conn.Read(b)
	if !m.spend(int64(n) + limits.HTTP2ReadBytes) {
		_ = m.Conn.Close()
		return 0, errFlood
	}
	return n, err
}

func (m *meter) Write(b []byte) (int, error) {
	if !m.spend(limits.HTTP2WriteBytes) {
		_ = m.Conn.Close()
		return 0, errFlood
	}
	return m.Conn.Write(b)
}

// meterOf is that of a connection, nil if it has none.
func meterOf(conn net.Conn) *meter {
	if t, ok := conn.(*tls.Conn); ok {
		m, _ := t.NetConn().(*meter)
		return m
	}
	return nil
}

// metered counts the requests of a transport on the connections that carry
// them: each from the moment it has one to the end of its answer's body.
type metered struct{ *http.Transport }

func (t metered) RoundTrip(r *http.Request) (*http.Response, error) {
	use := &usage{body: max(r.ContentLength, 0)}
	ctx := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{GotConn: use.got})
	resp, err := t.Transport.RoundTrip(r.WithContext(ctx))
	switch {
	case err != nil:
		use.end()
		if remote := use.from(); remote != nil {
			err = &http1.ConnError{Remote: remote, Err: err}
		}
	case resp.ProtoMajor == 2 && resp.Body != http.NoBody:
		resp.Body = &meteredBody{resp.Body, use}
	default:
		use.end()
	}
	return resp, err
}

// usage is what one request uses.
type usage struct {
	body int64

	mu     sync.Mutex
	remote net.Addr // of the last connection that it got
	ends   []func()
	over   bool
}

func (u *usage) got(info httptrace.GotConnInfo) {
	m := meterOf(info.Conn)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.remote = info.Conn.RemoteAddr()
	if m != nil && !u.over {
		u.ends = append(u.ends, m.begin(u.body))
	}
}

func (u *usage) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.over = true
	for _, end := range u.ends {
		end()
	}
	u.ends = nil
}

// from is the other end of the connection, nil if it got none.
func (u *usage) from() net.Addr {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.remote
}

type meteredBody struct {
	io.ReadCloser
	use *usage
}

func (b *meteredBody) Close() error {
	err := b.ReadCloser.Close()
	b.use.end()
	return err
}

// dialMetered is dialTLS for a connection that may carry HTTP/2.
func (d *dialer) dialMetered(ctx context.Context, network, addr string, offered []string) (net.Conn, error) {
	ctx, cancel := withConnectTimeout(ctx)
	defer cancel()
	raw, err := d.dial(ctx, network, addr, false)
	if err != nil {
		return nil, err
	}
	config := d.tls.Clone()
	config.NextProtos = offered
	m := &meter{Conn: raw}
	conn, err := d.handshake(ctx, m, addr, config)
	if err != nil {
		return nil, err
	}
	switch {
	case conn.ConnectionState().NegotiatedProtocol == "h2":
		m.arm()
	case len(offered) == 1:
		_ = conn.Close()
		return nil, &connectError{stepHandshake, errNoHTTP2, d.leadsInside(conn, addr)}
	}
	return conn, nil
}
