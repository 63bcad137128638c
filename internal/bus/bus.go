// Package bus connects to NATS the way the protocol needs it: nothing is
// buffered over a lost connection, and reconnecting never gives up.
package bus

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"orderbridge/bridge"
)

// Options of a connection. Without InProcess, URL is needed; all else may be empty.
type Options struct {
	URL       string                     // one or more, comma separated
	InProcess nats.InProcessConnProvider // the embedded server; URL and TLS are then not used

	Creds    string // path of a credentials file
	NkeyFile string // path of an nkey seed file
	User     string
	Password bridge.Secret
	Token    bridge.Secret
	CA       string // path of a PEM file: trusted roots
	Cert     string // path of a PEM file: client certificate, with Key
	Key      string // path of a PEM file

	HandshakeFirst bool // TLS begins before the server has said anything

	Domain    string // of JetStream; "": the server's own
	APIPrefix string // of the JetStream API's subjects; "": $JS.API

	Inbox  string // prefix of the subjects on which answers come; empty: _INBOX
	Name   string // shown by the server
	Logger *slog.Logger
	Once   bool // the first failure to connect is the answer: for commands
}

const (
	connectTimeout = 5 * time.Second
	drainTimeout   = 5 * time.Second
	reconnectWait  = 250 * time.Millisecond
	pingInterval   = 5 * time.Second
)

// Connect waits until the bus is reached, with a log line while it is not, or
// until ctx ends. What cannot mend itself (a bad file, refused credentials) is
// returned at once.
func Connect(ctx context.Context, o Options) (*nats.Conn, error) {
	log := o.Logger
	if log == nil {
		log = slog.Default()
	}
	var lastErr atomic.Pointer[string]
	fail := func(err error) {
		if err != nil {
			s := err.Error()
			lastErr.Store(&s)
		}
	}
	connected := make(chan struct{}, 1)
	closed := make(chan struct{})
	opts := []nats.Option{
		nats.Name(o.Name),
		// A publish that is reported as sent while it lies in a client buffer
		// would break the order of checked writes (R4).
		nats.ReconnectBufSize(-1),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(100*time.Millisecond, 500*time.Millisecond),
		nats.RetryOnFailedConnect(!o.Once),
		nats.Timeout(connectTimeout),
		nats.DrainTimeout(drainTimeout),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(2),
		nats.ConnectHandler(func(*nats.Conn) { signal(connected) }),
		nats.ReconnectHandler(func(c *nats.Conn) { log.Info("bus reconnected", "url", c.ConnectedUrlRedacted()) }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { fail(err) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err == nil {
				return // closed by ourselves
			}
			fail(err)
			log.Warn("bus disconnected", "error", err)
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrConnectionClosed) {
				return
			}
			attrs := []any{"error", err}
			if sub != nil {
				attrs = append(attrs, "subject", sub.Subject)
			}
			log.Warn("bus error", attrs...)
		}),
		nats.ClosedHandler(func(*nats.Conn) { close(closed) }),
	}
	if o.Inbox != "" {
		opts = append(opts, nats.CustomInboxPrefix(o.Inbox))
	}
	more, err := o.credentials()
	if err != nil {
		return nil, err
	}
	opts = append(opts, more...)
	target := o.URL
	if o.InProcess != nil {
		target = ""
		opts = append(opts, nats.InProcessServer(o.InProcess))
	} else if target == "" {
		return nil, errors.New("no NATS URL given")
	}
	nc, err := nats.Connect(target, opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w", Redact(target), err)
	}
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for !nc.IsConnected() {
		select {
		case <-connected:
		case <-closed:
			return nil, fmt.Errorf("connect to NATS at %s: %s", Redact(target), reason(nc, &lastErr))
		case <-ctx.Done():
			nc.Close()
			return nil, fmt.Errorf("connect to NATS at %s: %w (last error: %s)", Redact(target), context.Cause(ctx), reason(nc, &lastErr))
		case <-tick.C:
			log.Warn("bus not reached yet", "url", Redact(target), "error", reason(nc, &lastErr))
		}
	}
	return nc, nil
}

func reason(nc *nats.Conn, last *atomic.Pointer[string]) string {
	if s := last.Load(); s != nil {
		return *s
	}
	if err := nc.LastError(); err != nil {
		return err.Error()
	}
	return "no answer"
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (o Options) credentials() ([]nats.Option, error) {
	var opts []nats.Option
	if o.Creds != "" {
		if _, err := os.Stat(o.Creds); err != nil {
			return nil, fmt.Errorf("credentials file: %w", err)
		}
		opts = append(opts, nats.UserCredentials(o.Creds))
	}
	if o.NkeyFile != "" {
		opt, err := nats.NkeyOptionFromSeed(o.NkeyFile)
		if err != nil {
			return nil, fmt.Errorf("nkey file %q: %w", o.NkeyFile, err)
		}
		opts = append(opts, opt)
	}
	if o.User != "" {
		opts = append(opts, nats.UserInfo(o.User, o.Password.Reveal()))
	}
	if o.Token != "" {
		opts = append(opts, nats.Token(o.Token.Reveal()))
	}
	if o.HandshakeFirst {
		opts = append(opts, nats.TLSHandshakeFirst())
	}
	if o.CA == "" && o.Cert == "" && o.Key == "" {
		return opts, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CA != "" {
		pem, err := os.ReadFile(o.CA)
		if err != nil {
			return nil, fmt.Errorf("NATS CA file: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("NATS CA file %q: no PEM certificate in it", o.CA)
		}
	}
	if o.Cert != "" || o.Key != "" {
		pair, err := tls.LoadX509KeyPair(o.Cert, o.Key)
		if err != nil {
			return nil, fmt.Errorf("NATS client certificate %q with key %q: %w", o.Cert, o.Key, err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return append(opts, nats.Secure(cfg)), nil
}

// Redact leaves user info and query out of a list of URLs.
func Redact(urls string) string {
	if urls == "" {
		return "the embedded server"
	}
	parts := strings.Split(urls, ",")
	for i, p := range parts {
		u, err := url.Parse(strings.TrimSpace(p))
		if err != nil || u.Host == "" {
			if at := strings.LastIndex(p, "@"); at >= 0 {
				p = p[at+1:]
			}
			parts[i] = strings.TrimSpace(p)
			continue
		}
		parts[i] = u.Scheme + "://" + u.Host
	}
	return strings.Join(parts, ",")
}
