// Package bus connects to NATS the way the protocol needs it: nothing is
// buffered over a lost connection, and reconnecting never gives up.
package bus

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

// Options of a connection. Without InProcess, URL is needed; all else may be empty.
type Options struct {
	URL       string                     // one or more, comma separated
	InProcess nats.InProcessConnProvider // the embedded server; URL and TLS are then not used

	Creds    string // path of a credentials file
	NkeyFile string // path of an nkey seed file
	Nkey     string // public key, with Sign
	Sign     nats.SignatureHandler
	User     string
	Password record.Secret
	Token    record.Secret
	UserJWT  record.Secret // with UserSeed
	UserSeed record.Secret
	CA       string // path of a PEM file: trusted roots
	Cert     string // path of a PEM file: client certificate, with Key
	Key      string // path of a PEM file

	SocksProxy     record.Secret // socks5://host:port, it may hold a password
	HandshakeFirst bool          // TLS begins before the server has said anything

	Domain    string // of JetStream; "": the server's own
	APIPrefix string // of the JetStream API's subjects; "": $JS.API

	Inbox  string // prefix of the subjects on which answers come; empty: _INBOX
	Name   string // shown by the server
	Logger *slog.Logger
	Once   bool // the first failure to connect is the answer: for commands

	Denied  func(error) // hears each permission that the server refuses; may be nil
	Spared  []string    // beginnings of subjects without whose permission the program does its work all the same
	Context string      // the context of natscli that this comes from, for messages
	Link    *Link       // tells how the connection stands; may be nil
}

// Connect waits until the bus is reached, with a log line while it is not, or
// until ctx ends: also refused credentials, a name that is not found or a wrong
// certificate may mend themselves. What the program has to be restarted for
// (a file that is not there) is returned at once. Once connected, only the
// caller ends the connection.
func Connect(ctx context.Context, o Options) (*nats.Conn, error) {
	log := o.Logger
	if log == nil {
		log = slog.Default()
	}
	link := o.Link
	if link == nil {
		link = &Link{}
	}
	link.begin(o)
	connected := make(chan struct{}, 1)
	opts := append(o.handlers(link, log), nats.ConnectHandler(func(*nats.Conn) { signal(connected) }))
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
		return nil, &connectError{Redact(target), o.Explain(err), err}
	}
	link.made(nc)
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for !nc.IsConnected() {
		select {
		case <-connected:
		case <-link.closed:
			return nil, &connectError{Redact(target), link.Problem(), nc.LastError()}
		case <-ctx.Done():
			problem := link.Problem()
			nc.Close()
			return nil, &connectError{Redact(target), context.Cause(ctx).Error() + "; " + problem, context.Cause(ctx)}
		case <-tick.C:
			if problem := link.Problem(); link.news(problem) {
				log.Warn("bus not reached yet", "url", Redact(target), "error", problem)
			}
		}
	}
	return nc, nil
}

// connectError says in words what went wrong.
type connectError struct {
	where, why string
	err        error
}

func (e *connectError) Error() string { return "connect to NATS at " + e.where + ": " + e.why }
func (e *connectError) Unwrap() error { return e.err }

// handlers are what a connection does in its life, whoever it is for.
func (o Options) handlers(link *Link, log *slog.Logger) []nats.Option {
	return []nats.Option{
		nats.Name(o.Name),
		// A publish that is reported as sent while it lies in a client buffer
		// would break the order of checked writes (R4).
		nats.ReconnectBufSize(-1),
		nats.MaxReconnects(-1),
		nats.CustomReconnectDelay(reconnectDelay),
		nats.RetryOnFailedConnect(!o.Once),
		// Credentials that are refused twice may be good the third time: they
		// are rotated, and servers restart with yesterday's.
		nats.IgnoreAuthErrorAbort(),
		nats.Timeout(limits.BusConnectTime),
		nats.DrainTimeout(limits.BusDrainTime),
		nats.PingInterval(limits.BusPing),
		nats.MaxPingsOutstanding(2),
		nats.ReconnectHandler(func(c *nats.Conn) { log.Info("bus reconnected", "url", c.ConnectedUrlRedacted()) }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { link.failed(err) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err == nil {
				return // closed by ourselves
			}
			link.failed(err)
			log.Warn("bus disconnected", "error", err)
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrConnectionClosed) {
				return
			}
			if o.Denied != nil && errors.Is(err, nats.ErrPermissionViolation) {
				o.Denied(err)
				return
			}
			link.refuses(err)
			if subject, spared := o.spares(err); spared {
				if link.firstOf(subject) {
					log.Warn("a permission is missing: the bridge works, except for what needs it", "subject", subject,
						"remedy", "give it to the user (deploy/nats/accounts.conf)")
				}
				return
			}
			link.failed(err)
			if text := o.Explain(err); link.news(text) {
				attrs := []any{"error", text}
				if sub != nil {
					attrs = append(attrs, "subject", sub.Subject)
				}
				log.Warn("bus error", attrs...)
			}
		}),
		nats.ClosedHandler(func(*nats.Conn) { close(link.closed) }),
	}
}

// reconnectDelay is how long to wait when all servers were tried for the nth
// time: a fifth of the time that it has taken so far, at most limits.BusReconnectMost.
func reconnectDelay(n int) time.Duration {
	d := limits.BusReconnectMost
	if n < 32 {
		d = min(d, time.Duration(float64(limits.BusReconnectFirst)*math.Pow(1.2, float64(n))))
	}
	return d + rand.N(d/2)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
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
