package publishers

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
	"orderbridge/publishers/http1"
)

// Options are what a Webhook is made from. The zero value makes a good one.
type Options struct {
	// Version stands in the User-Agent: orderbridge/<Version>. Default "dev".
	Version string
	// TrustRoots are the authorities that a server's chain must end in; nil:
	// the system's. For extra ones begin with x509.SystemCertPool.
	TrustRoots *x509.CertPool
	// AllowHTTP allows http:// URLs.
	AllowHTTP bool
	// AllowTrustAll allows records that accept every certificate.
	AllowTrustAll bool
	// Secrets reads what records refer to: references and the files of tls.
	// nil: records with either cannot be used.
	Secrets Secrets
	// Dev allows, on loopback addresses only, http:// and certificates whose
	// issuer nobody knows (host name and time are still checked).
	Dev bool
	// DialControl is asked before each dial, with the resolved address; its
	// error is the reason of the failed attempt. nil: everything may be dialed.
	DialControl func(network, address string, c syscall.RawConn) error
	// Internal reports whether an address is none of the public internet. Why a
	// connection to one failed is told to the operator, not to a tenant. nil: none is.
	Internal func(netip.Addr) bool
	// Resolver finds the addresses of hosts. nil: the system's way.
	Resolver *net.Resolver
	// Proxy is the host:port of an HTTP proxy through which all connections go
	// (CONNECT); "": none. No environment variable is looked at.
	Proxy string
	// NetHTTP has net/http send everything, HTTP/1.1 too, as it was before there
	// was a client of our own: a way back.
	NetHTTP bool
	// NetHTTPFor are endpoints, host:port, for which net/http alone is used.
	NetHTTPFor []string
	// Logger is told of endpoints whose connections cannot be used again. nil:
	// nobody is.
	Logger *slog.Logger
	// MaxIdleConns bounds the connections that are kept open for reuse, over
	// all hosts, for each TLS setting; each takes a file descriptor. Default 4096.
	MaxIdleConns int
	// Resolve finds the subscription for a topic when a message carries no
	// delivery. nil: such messages are refused.
	Resolve func(id string) (*record.Subscription, error)
	// Tracer makes a span of each attempt. nil: none is made, and the endpoint is sent
	// the event's trace context.
	Tracer bridge.Tracer
	// Now is the wall clock. Default time.Now.
	Now func() time.Time

	inside *memory // host:port that led to an internal address
}

// Webhook is a Watermill publisher that sends a message to an endpoint: the
// topic is the id of a subscription, a published message one attempt. It never
// retries. Safe for concurrent use.
type Webhook struct {
	options   Options
	standard  *pool // of the records without tls
	pools     pools // of the others
	userAgent string
	trouble   trouble
	closed    atomic.Bool
}

var _ message.Publisher = (*Webhook)(nil)

// NewWebhook checks the options and returns a publisher with connections of
// its own.
func NewWebhook(o Options) (*Webhook, error) {
	if o.Version == "" {
		o.Version = "dev"
	}
	if !validFieldValue(o.Version) {
		return nil, fmt.Errorf("version %q cannot stand in a User-Agent", o.Version)
	}
	if o.MaxIdleConns < 0 {
		return nil, fmt.Errorf("MaxIdleConns is %d: want 0 for the default, or more", o.MaxIdleConns)
	}
	if o.MaxIdleConns == 0 {
		o.MaxIdleConns = limits.IdleConnections
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.inside = new(memory)
	return &Webhook{
		options:   o,
		standard:  &pool{newConnections(o, nil)},
		pools:     pools{make: func(s *tlsSettings) *connections { return newConnections(o, s) }},
		userAgent: "orderbridge/" + o.Version,
	}, nil
}

// Publish makes one attempt for each message, in order, and stops at the first
// that fails. It returns nil on a 2xx; the status line decides, whatever
// becomes of the body. Otherwise the error is a *bridge.AttemptError, or wraps
// bridge.ErrCut (or the context's cause) if the message's context was cancelled.
//
// The attempt is bridge.DeliveryOf the message's context. Without one the
// subscription comes from Options.Resolve and the event is made of the message:
// its UUID is the event id, its metadata are the headers, and the metadata
// orderId, legacyOrderId and eventType are what the event tells.
func (w *Webhook) Publish(topic string, messages ...*message.Message) error {
	for _, m := range messages {
		d := bridge.DeliveryOf(m.Context())
		if d == nil {
			var err error
			if d, err = w.resolve(topic, m); err != nil {
				return &bridge.AttemptError{Fault: bridge.FaultConfig, Reason: err.Error(), Err: err}
			}
		}
		if err := w.attempt(m.Context(), d); err != nil {
			return err
		}
	}
	return nil
}

// Close drops the idle connections; attempts that run are left to end by
// themselves. What is published afterwards is not attempted (bridge.ErrCut).
func (w *Webhook) Close() error {
	w.closed.Store(true)
	w.standard.closeIdle()
	w.pools.closeIdle()
	return nil
}

func (w *Webhook) resolve(topic string, m *message.Message) (*protocol.Delivery, error) {
	if w.options.Resolve == nil {
		return nil, fmt.Errorf("message for subscription %q carries no delivery, and there is no resolver", topic)
	}
	s, err := w.options.Resolve(topic)
	if err != nil {
		return nil, fmt.Errorf("find subscription %q: %w", topic, err)
	}
	header := make(map[string][]string, len(m.Metadata))
	for k, v := range m.Metadata {
		header[k] = []string{v}
	}
	return &protocol.Delivery{Subscription: s, Attempt: 1, Event: &event.Event{
		Message:       event.Message{Header: header, Data: m.Payload},
		ID:            m.UUID,
		PublisherID:   m.UUID,
		Type:          m.Metadata.Get("eventType"),
		OrderID:       m.Metadata.Get("orderId"),
		LegacyOrderID: m.Metadata.Get("legacyOrderId"),
	}}, nil
}

// attempt makes one request and reads its answer.
func (w *Webhook) attempt(ctx context.Context, d *protocol.Delivery) error {
	if w.closed.Load() {
		return fmt.Errorf("webhook publisher is closed: %w", bridge.ErrCut)
	}
	if ctx.Err() != nil {
		return cutOff(ctx)
	}
	now := w.options.Now()
	e, r, err := w.prepare(d, now)
	if err != nil {
		return err
	}
	if w.options.Tracer == nil {
		_, err = w.perform(ctx, d, e, r, now)
		return err
	}
	span := w.options.Tracer.Begin(d, r.method, r.url.Host)
	told := span.Context()
	r.fields = withTrace(r.fields, told.Parent, told.State)
	bridge.Traced(ctx, told.Trace)
	status, err := w.perform(ctx, d, e, r, now)
	o := bridge.Judge(err, d.Subscription.PerOrderURL())
	o.Status = status
	span.End(o)
	return err
}

// perform sends a request that is made, and tells the status of its answer, 0: none came.
func (w *Webhook) perform(ctx context.Context, d *protocol.Delivery, e *endpoint, r request, now time.Time) (status int, err error) {
	connect, timeout := d.Subscription.ConnectTimeout(), d.Subscription.AttemptTimeout()
	attemptCtx := ctx
	if end, ok := ctx.Deadline(); !ok || time.Until(end) > timeout {
		var cancel context.CancelFunc
		attemptCtx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	r.watch = watching(ctx)
	a, err := e.send(attemptCtx, r)
	r.watch.end(e, d, &r, a.status, err)
	if err != nil {
		if ctx.Err() != nil && (errors.Is(context.Cause(ctx), bridge.ErrCut) || errors.Is(ctx.Err(), context.Canceled)) {
			return 0, cutOff(ctx)
		}
		e.failed()
		failure := e.told(requestFailure(err, r.url.Host, timeout, connect))
		w.discreet(failure, err, e.tenant, r.url)
		if x := bridge.ExchangeOf(ctx); x != nil && failure.Detail != "" {
			x.Timings = bridge.AttemptTimings{} // how long it took would tell what is there
		}
		if failure.Fault == bridge.FaultLocal {
			w.trouble.saw(failure.Reason, now, w.options.Logger)
		}
		if d.Test && failure.Detail != "" {
			<-attemptCtx.Done() // nor does the time tell
		}
		return 0, failure
	}
	if a.success() {
		bridge.Answered(ctx, a.status)
		return a.status, nil
	}
	e.failed()
	return a.status, e.told(statusFailure(a, w.options.Now()))
}

// send makes the request, with a token where the record needs one. A token that
// the endpoint refuses is fetched again, once.
func (e *endpoint) send(ctx context.Context, r request) (answer, error) {
	if e.token == nil {
		return e.roundTrip(ctx, r, "")
	}
	token, err := e.token.get(r.connecting(ctx), "")
	if err != nil {
		return answer{}, err
	}
	a, err := e.roundTrip(ctx, r, token)
	if err != nil || a.status != http.StatusUnauthorized {
		return a, err
	}
	fresh, err := e.token.get(r.connecting(ctx), token)
	if err != nil {
		return answer{}, err
	}
	if fresh == token {
		return a, nil
	}
	return e.roundTrip(ctx, r, fresh)
}

func (e *endpoint) roundTrip(ctx context.Context, r request, token string) (answer, error) {
	if token != "" {
		r.fields = with(r.fields, http1.Field{Name: "Authorization", Value: "Bearer " + token})
	}
	return e.pool.send(ctx, r, e.tenant)
}

// Check reports why a record could not be used for an attempt now. It reads, but
// sends nothing. What is missing or does not fit is a warning, because it may be
// gone by the first attempt; a secret that is not for this record is an error.
func (w *Webhook) Check(s *record.Subscription) record.Problems {
	if !refersOutside(s) {
		return nil
	}
	e, err := w.endpoint(s)
	if err == nil {
		return e.warnings
	}
	problems := w.refused(s)
	if len(problems) > 0 {
		return problems
	}
	p := record.Problem{Message: err.Error(), Warning: true}
	var member *memberError
	if errors.As(err, &member) {
		p.Field, p.Message = member.member, member.err.Error()
	}
	return record.Problems{p}
}

// refused are all secrets of a record that are not for it, each with its member.
func (w *Webhook) refused(s *record.Subscription) (problems record.Problems) {
	from := &sources{secrets: w.options.Secrets, record: s}
	note := func(err error) {
		var member *memberError
		var refusal *record.RefusedSecret
		if errors.As(err, &member) && errors.As(err, &refusal) {
			problems = append(problems, record.Problem{Field: member.member, Message: refusal.Reason})
		}
	}
	for _, secret := range s.Secrets() {
		_, err := from.secret(secret.Field, secret.Value)
		note(err)
	}
	if t := s.More.TLS; t != nil && t.KeyFile != "" {
		_, err := from.key("tls.keyFile", t.KeyFile, s.Hosts())
		note(err)
	}
	return problems
}

// refersOutside reports whether a record needs what does not stand in it.
func refersOutside(s *record.Subscription) bool {
	if s.More == nil {
		return false
	}
	return s.More.TLS != nil ||
		slices.ContainsFunc(s.Secrets(), func(v record.SecretValue) bool { return record.IsReference(v.Value.Reveal()) })
}

// cutOff is the error of an attempt whose context we cancelled ourselves.
func cutOff(ctx context.Context) error {
	return fmt.Errorf("attempt not made or cut off: %w", context.Cause(ctx))
}
