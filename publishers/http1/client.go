package http1

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"orderbridge/internal/limits"
)

// Options are what a Client is made from.
type Options struct {
	// Dial makes a connection: a *Socket, or a *tls.Conn over one after its
	// handshake. Others are used once.
	Dial func(ctx context.Context, key Key) (net.Conn, error)
	// MaxIdle bounds the connections that are kept open for reuse. Default 4096.
	MaxIdle int
	// MayBegin is asked right before the first byte of a request is written, when
	// all that may take time is done; an error keeps the request from being sent,
	// and is that of Do. nil: every request may be.
	MayBegin func(ctx context.Context) error
	// Notice is told, at most once an hour for an origin, why connections to it
	// are not used again although nobody asked for their end. nil: nobody.
	Notice func(key Key, why string)
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Answer is what a server answered.
type Answer struct {
	Status     int
	RetryAfter string // of the Retry-After field, "" if there was none
	Text       []byte // the beginning of the body, if Status is no 2xx
	Doubt      string // why the connection was not kept, though nobody asked for its end
	Reused     bool   // on a connection that had carried a request before
	Repeated   bool   // the request was sent a second time
}

// Stats are what a client has done so far.
type Stats struct {
	Dialed   uint64 // connections made
	Reused   uint64 // requests on a connection that had carried one before
	Repeated uint64 // of these, sent again on a new one
}

// Stats tells what the client has done.
func (c *Client) Stats() Stats {
	return Stats{c.dialed.Load(), c.reused.Load(), c.repeated.Load()}
}

// RequestError is a request that cannot be sent at all.
type RequestError struct{ err error }

func (e *RequestError) Error() string { return e.err.Error() }
func (e *RequestError) Unwrap() error { return e.err }

// ConnError is a connection that brought no answer.
type ConnError struct {
	Remote net.Addr
	Err    error
}

func (e *ConnError) Error() string { return e.Err.Error() }
func (e *ConnError) Unwrap() error { return e.Err }

var requests = sync.Pool{New: func() any { return new([]byte) }}

// Do sends a request and returns its answer: as soon as its status line is
// whole there is one, whatever follows. An error means that there was none.
// After the end of ctx the error is its cause.
//
// The request is sent a second time, on a new connection, if a connection that
// had been used before ended without a byte of an answer: its server had closed
// it at that moment. So a request without an id of its own is not for Do.
func (c *Client) Do(ctx context.Context, r *Request) (Answer, error) {
	buffer := requests.Get().(*[]byte)
	defer func() {
		if cap(*buffer) <= limits.PooledRequestBytes {
			requests.Put(buffer)
		}
	}()
	msg, err := r.append((*buffer)[:0])
	if err != nil {
		return Answer{}, &RequestError{err}
	}
	*buffer = msg

	key := Key{r.Tenant, r.Origin.scheme, r.Origin.addr}
	repeated := false
	if cn, idle := c.checkout(ctx, key); cn != nil {
		a, again, err := c.attempt(ctx, cn, msg, r)
		a.Reused = true
		c.reused.Add(1)
		if !again || ctx.Err() != nil {
			if err != nil && isTimeout(err) {
				c.dropIdle(key) // the path is dead, or the server: do not try them one by one
			}
			return a, err
		}
		repeated = true
		c.repeated.Add(1)
		c.learn(key, idle)
	}
	cn, err := c.dial(ctx, key, r.Connect)
	if err != nil {
		return Answer{}, err
	}
	a, _, err := c.attempt(ctx, cn, msg, r)
	a.Repeated = repeated
	return a, err
}

func (c *Client) dial(ctx context.Context, key Key, within time.Duration) (*conn, error) {
	bounded := ctx
	if within > 0 {
		var cancel context.CancelFunc
		bounded, cancel = context.WithTimeout(ctx, within)
		defer cancel()
	}
	raw, err := c.o.Dial(bounded, key)
	if err != nil {
		if untilDone(ctx); ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	c.dialed.Add(1)
	cn := newConn(raw, key, c.now())
	setDeadline(ctx, cn)
	if err := cn.early(); err != nil {
		cn.abort()
		return nil, &ConnError{cn.RemoteAddr(), err}
	}
	return cn, nil
}

func setDeadline(ctx context.Context, cn *conn) {
	deadline, _ := ctx.Deadline() // none: the zero time, which takes away the one before
	_ = cn.SetDeadline(deadline)
}

var past = time.Unix(1, 0)

// cutter is a context with a deadline that tells by itself of an end before it: f
// is called then, unless nil has taken it back. False: that end was already.
type cutter interface {
	OnCut(f func()) (uncut bool)
}

// exchange sends a request and reads its answer into p, until ctx ends. Unless it
// is uncut the deadline of the connection may be changed at any moment.
func exchange(ctx context.Context, cn *conn, msg []byte, p *parser) (uncut bool, err error) {
	deadline, _ := ctx.Deadline()
	if x, ok := ctx.(cutter); ok {
		if !x.OnCut(cn.cut) {
			return false, context.Cause(ctx)
		}
		err = cn.exchange(msg, deadline, p)
		return x.OnCut(nil), err
	}
	if ctx.Done() == nil {
		return true, cn.exchange(msg, deadline, p)
	}
	stop := context.AfterFunc(ctx, cn.cut)
	err = cn.exchange(msg, deadline, p)
	return stop(), err
}

// attempt sends, if the request may still begin, on a connection whose deadline is
// set, and gives it back or closes it. again tells that the connection had ended before the request came.
func (c *Client) attempt(ctx context.Context, cn *conn, msg []byte, r *Request) (a Answer, again bool, err error) {
	p := parsers.Get().(*parser)
	defer p.release()
	p.head, p.notes = r.Method == http.MethodHead, r.Notes
	if c.o.MayBegin != nil {
		if err := c.o.MayBegin(ctx); err != nil {
			c.list(cn)
			return Answer{}, false, err
		}
	}
	if p.notes != nil {
		p.notes.sent(time.Now())
	}
	uncut, err := exchange(ctx, cn, msg, p)
	if !p.decided() {
		cn.abort()
		if untilDone(ctx); ctx.Err() != nil {
			return Answer{}, false, &ConnError{cn.RemoteAddr(), context.Cause(ctx)}
		}
		return Answer{}, !p.seen && isEnd(err), &ConnError{cn.RemoteAddr(), err}
	}
	a = Answer{Status: p.status, RetryAfter: p.retryAfter, Text: p.text, Doubt: p.doubt}
	switch {
	case p.reusable() && uncut:
		c.put(cn, time.Duration(p.keepFor)*time.Second)
	case p.doubt == "" && uncut:
		cn.part()
	default:
		cn.abort()
		c.distrust(cn.key, p.second)
		c.notice(cn.key, p.doubt)
	}
	// A server's answer to an idle connection may cross our request.
	return a, p.status == http.StatusRequestTimeout && p.close, nil
}

// Close closes the idle connections. Requests that run are left to end; their
// connections are closed then.
func (c *Client) Close() {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.stop)
	}
	all := c.unlistAll(nil)
	c.mu.Unlock()
	for _, cn := range all {
		if cn.own() {
			cn.part()
		}
	}
	c.sweepers.Wait()
}

// New makes a client.
func New(o Options) *Client {
	if o.MaxIdle == 0 {
		o.MaxIdle = 4096
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Client{o: o, origins: map[Key]*origin{}, stop: make(chan struct{})}
}

func (c *Client) now() time.Time { return c.o.Now() }
