package publishers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

const (
	maxResponseHeader = limits.AnswerHeadBytes
	maxResponseBody   = limits.AnswerBodyBytes
)

// dialer makes the connections of a transport: guarded, and with one deadline
// over dial and TLS handshake.
type dialer struct {
	control   func(network, address string, c syscall.RawConn) error
	resolver  *net.Resolver
	proxy     string // host:port of an HTTP proxy; "": none
	internal  func(netip.Addr) bool
	inside    *memory // host:port that led to such an address
	allowHTTP bool
	dev       bool // accept unknown issuers on loopback
	tls       *tls.Config
}

// newDialer makes the dialer of one TLS setting, nil: the default.
func newDialer(o Options, settings *tlsSettings) *dialer {
	d := &dialer{
		control:   o.DialControl,
		resolver:  o.Resolver,
		proxy:     o.Proxy,
		internal:  o.Internal,
		inside:    o.inside,
		allowHTTP: o.AllowHTTP,
		dev:       o.Dev,
		tls: &tls.Config{
			MinVersion:         tls.VersionTLS12,
			RootCAs:            o.TrustRoots,
			ClientSessionCache: tls.NewLRUClientSessionCache(1024),
		},
	}
	if settings != nil {
		settings.apply(d.tls)
		d.dev = d.dev && settings.roots == nil && !settings.trustAll
	}
	return d
}

// newTransport is net/http on a dialer, with the protocols that it offers; none:
// what speaks HTTP/1.1 takes it for granted.
// It keeps many idle connections for each host, because a new one costs more
// than the request. It looks at no environment variable and, used by RoundTrip,
// follows no redirect.
func newTransport(o Options, d *dialer, offered ...string) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(slices.Contains(offered, "h2"))
	config := d.tls.Clone()
	config.NextProtos = offered
	return &http.Transport{
		DialContext: d.dialPlain,
		DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return d.dialMetered(ctx, network, addr, offered)
		},
		TLSClientConfig:        config,
		Protocols:              protocols,
		DisableCompression:     true,
		MaxIdleConns:           o.MaxIdleConns,
		MaxIdleConnsPerHost:    o.MaxIdleConns,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: maxResponseHeader,
		// A connection that died without a word is found by a ping instead of
		// by one attempt after another that times out on it.
		// What a server may send unasked is bounded by a meter, so its windows are small.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second,
			MaxReceiveBufferPerStream: limits.HTTP2WindowBytes},
	}
}

// connectTimeout is how a request's own timeout reaches the dialer: the
// transport keeps the values of its context, not its deadline.
type connectTimeout struct{}

// connecting is the context for what net/http makes of a request.
func (r *request) connecting(ctx context.Context) context.Context {
	if r.connect == 0 || r.connect == record.DefaultConnectTimeout {
		return ctx
	}
	return context.WithValue(ctx, connectTimeout{}, r.connect)
}

// connectError tells in which step a connection failed to come about.
type connectError struct {
	step     string // for people
	err      error
	internal bool // an address that is none of the public internet was dialed
}

func (e *connectError) Error() string { return e.step + ": " + e.err.Error() }
func (e *connectError) Unwrap() error { return e.err }

const (
	stepDial      = "connect"
	stepHandshake = "TLS handshake"
)

// policyError is a refusal by the operator's policy.
type policyError struct {
	err     error
	literal bool // the address stands in the URL: to name it tells nothing
}

func (e *policyError) Error() string { return e.err.Error() }
func (e *policyError) Unwrap() error { return e.err }

func (d *dialer) dialPlain(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := withConnectTimeout(ctx)
	defer cancel()
	return d.dial(ctx, network, addr, !d.allowHTTP)
}

func (d *dialer) dialTLS(ctx context.Context, network, addr string, offered []string) (*tls.Conn, error) {
	ctx, cancel := withConnectTimeout(ctx)
	defer cancel()
	conn, err := d.dial(ctx, network, addr, false)
	if err != nil {
		return nil, err
	}
	config := d.tls.Clone()
	config.NextProtos = offered
	return d.handshake(ctx, conn, addr, config)
}

// handshake makes TLS of a connection, which it closes if that fails. The
// config is the connection's own.
func (d *dialer) handshake(ctx context.Context, conn net.Conn, addr string, config *tls.Config) (*tls.Conn, error) {
	var err error
	if config.ServerName, _, err = net.SplitHostPort(addr); err != nil {
		config.ServerName = addr
	}
	if d.dev && d.proxy == "" && isLoopback(conn.RemoteAddr().String()) {
		acceptPrivate(config)
	}
	client := tls.Client(conn, config)
	defer shaking(ctx)()
	if err := client.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, &connectError{stepHandshake, err, d.leadsInside(conn, addr)}
	}
	return client, nil
}

func (d *dialer) dial(ctx context.Context, network, addr string, loopbackOnly bool) (net.Conn, error) {
	if err := d.guardHost(network, addr); err != nil {
		return nil, &connectError{stepDial, err, false}
	}
	ctx, connected := dialing(ctx)
	defer connected()
	if d.proxy != "" {
		return d.dialProxy(ctx, network, addr, loopbackOnly)
	}
	var inside atomic.Bool // two addresses may be dialed beside each other
	nd := net.Dialer{KeepAlive: 30 * time.Second, Resolver: d.resolver}
	nd.Control = func(network, address string, c syscall.RawConn) error {
		if loopbackOnly && !isLoopback(address) {
			return &policyError{err: errPlainHTTP, literal: true}
		}
		if d.control != nil {
			if err := d.control(network, address, c); err != nil {
				_, given := netip.ParseAddrPort(addr)
				return &policyError{err, given == nil}
			}
		}
		if d.isInternal(address) {
			inside.Store(true)
			d.inside.add(addr)
		}
		return nil
	}
	conn, err := nd.DialContext(ctx, network, addr)
	if err != nil {
		return nil, &connectError{stepDial, localFault(err, false), inside.Load()}
	}
	return conn, nil
}

var errPlainHTTP = errors.New("http:// is not allowed: use https, or have the operator set ORDERBRIDGE_ALLOW_HTTP")

func withConnectTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	timeout, ok := ctx.Value(connectTimeout{}).(time.Duration)
	if !ok || timeout <= 0 {
		timeout = record.DefaultConnectTimeout
	}
	return context.WithTimeout(ctx, timeout)
}

func isLoopback(address string) bool {
	ap, err := netip.ParseAddrPort(address)
	return err == nil && ap.Addr().Unmap().IsLoopback()
}

// acceptPrivate makes the config accept an issuer that nobody knows. Host name
// and time of validity are still checked.
func acceptPrivate(config *tls.Config) {
	roots, host := config.RootCAs, config.ServerName
	config.ClientSessionCache = nil
	config.InsecureSkipVerify = true // VerifyConnection below does it
	config.VerifyConnection = func(state tls.ConnectionState) error {
		chain := state.PeerCertificates
		options := x509.VerifyOptions{DNSName: host, Roots: roots, Intermediates: x509.NewCertPool()}
		for _, c := range chain[1:] {
			options.Intermediates.AddCert(c)
		}
		_, err := chain[0].Verify(options)
		var unknown x509.UnknownAuthorityError
		if errors.As(err, &unknown) {
			options.Roots = x509.NewCertPool()
			options.Roots.AddCert(chain[len(chain)-1])
			_, err = chain[0].Verify(options)
		}
		if err != nil {
			return &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err}
		}
		return nil
	}
}
