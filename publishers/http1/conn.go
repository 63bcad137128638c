package http1

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"orderbridge/internal/limits"
)

// conn is a connection. Each moment one owns it: an attempt, or the list of idle
// ones with its sweeper.
type conn struct {
	net.Conn         // *Socket, or TLS over one
	sock     *Socket // nil: it cannot be probed, and is used once
	key      Key
	born     time.Time
	since    time.Time     // when it carried its last answer, or was made
	keepFor  time.Duration // how long it may be idle, by the server's hint; 0: none

	mu   sync.Mutex // held while it is probed or changes its owner
	idle bool       // belongs to the list

	newer, older *conn // in the list of idle ones
	peeked       [16]byte
	cut          func() // ends what is waited for; kept, so that it allocates nothing
}

func newConn(c net.Conn, key Key, now time.Time) *conn {
	cn := &conn{Conn: c, key: key, born: now, since: now}
	cn.cut = func() { _ = c.SetDeadline(past) }
	switch c := c.(type) {
	case *Socket:
		cn.sock = c
	case *tls.Conn:
		cn.sock, _ = c.NetConn().(*Socket)
	}
	if cn.sock != nil && cn.sock.raw == nil {
		cn.sock = nil
	}
	return cn
}

// part closes in good order: TLS says goodbye, which some servers want before
// they resume a session. It is not waited for.
func (c *conn) part() {
	if c.sock == nil {
		c.abort()
		return
	}
	c.sock.writesNow = true
	_ = c.Conn.Close()
}

// abort closes without a word.
func (c *conn) abort() {
	if t, ok := c.Conn.(*tls.Conn); ok {
		_ = t.NetConn().Close()
		return
	}
	_ = c.Conn.Close()
}

// probe looks, without waiting, at what came since the last answer. Alive is
// one on which nothing came but what TLS itself reads (tickets, new keys).
// Bytes that nobody asked for are unsolicited: what follows them would be taken
// for the answer to the next request.
func (c *conn) probe() (alive, unsolicited bool) {
	n, err := c.peek()
	if n > 0 {
		return false, !isGoodbye(c.peeked[:n])
	}
	return errors.Is(err, errNothing), false
}

// peek reads into peeked what has come, and waits for nothing.
func (c *conn) peek() (n int, err error) {
	c.sock.readsNow, c.sock.writesNow = true, true
	n, err = c.Conn.Read(c.peeked[:])
	c.sock.readsNow, c.sock.writesNow = false, false
	return n, err
}

// early is what came on a new connection before there was a request, as an
// error: it answers nothing. A success among it would lose a delivery.
func (c *conn) early() error {
	if c.sock == nil {
		return nil
	}
	n, _ := c.peek() // if it has ended the request will tell
	if n == 0 {
		return nil
	}
	p := parser{}
	if p.feed(c.peeked[:n]); errors.Is(p.err, ErrHTTP2) {
		return p.err
	}
	return &AnswerError{"an answer that came before the request"}
}

// isGoodbye: a 408 is how some servers end an idle connection.
func isGoodbye(b []byte) bool {
	const goodbye = "HTTP/1.1 408"
	return len(b) >= len(goodbye) && string(b[8:len(goodbye)]) == goodbye[8:]
}

// exchange sends a request and reads its answer into p. The error is that of
// the connection; it counts only if p is not decided.
func (c *conn) exchange(msg []byte, deadline time.Time, p *parser) error {
	var (
		wrote   error
		writing chan error
	)
	if len(msg) <= limits.OneWriteBytes {
		if _, wrote = c.Write(msg); wrote != nil {
			switch {
			case errors.Is(wrote, errNothing): // a second handshake, begun by the server while nobody waited for it
				return io.EOF
			case isTimeout(wrote):
				return wrote
			}
			// The server may have answered before it closed: 413, say.
			p.doubts("the request could not be written whole")
			_ = c.SetReadDeadline(earlier(time.Now().Add(limits.AnswerLastWords), deadline))
		}
	} else {
		writing = make(chan error, 1)
		go func() {
			_, err := c.Write(msg)
			writing <- err
		}()
	}
	err := c.read(deadline, p)
	if writing != nil {
		wrote = c.joinWriter(writing, p)
	}
	if wrote != nil && !isTimeout(wrote) && (isEnd(err) || isTimeout(err)) {
		return wrote // the reason why there was nothing to read
	}
	return err
}

// joinWriter ends the write of a long request whose answer is there, or will not come.
func (c *conn) joinWriter(writing chan error, p *parser) error {
	if p.reusable() {
		grace := time.NewTimer(limits.WriteGrace)
		defer grace.Stop()
		select {
		case err := <-writing:
			if err != nil {
				p.doubts("the request could not be written whole")
			}
			return err
		case <-grace.C:
		}
	}
	select {
	case err := <-writing:
		if err != nil {
			p.doubts("the request could not be written whole")
		}
		return err
	default:
	}
	p.doubts("answered before the request was whole")
	c.abort()
	<-writing //nolint:errcheck // it was cut
	return nil
}

var readBuffers = sync.Pool{New: func() any { return new([4 << 10]byte) }}

// read feeds p until the answer is over. From the status line on it waits only
// for a little more.
func (c *conn) read(deadline time.Time, p *parser) error {
	b := readBuffers.Get().(*[4 << 10]byte)
	defer readBuffers.Put(b)
	waits := time.Duration(0)
	for !p.over() {
		if patience := p.patience(); patience != waits {
			waits = patience
			_ = c.SetReadDeadline(earlier(time.Now().Add(patience), deadline))
		}
		n, err := c.Read(b[:])
		if p.notes != nil && n > 0 && p.notes.First.IsZero() {
			p.notes.First = time.Now()
		}
		p.received(b[:n])
		if err == nil {
			continue
		}
		switch {
		case p.over():
		case isTimeout(err):
			if !p.decided() {
				return err
			}
			c.readNow(b[:], p)
			p.end("an answer that did not end in time")
		case errors.Is(err, io.EOF):
			p.end("the connection ended with the answer")
		default:
			if !p.decided() {
				return err
			}
			p.end("the connection broke in the answer")
		}
	}
	return p.err
}

// received feeds what was read; after the end of the answer there must be nothing.
func (p *parser) received(b []byte) {
	if used := p.feed(b); used < len(b) {
		p.doubts("bytes after the answer")
		p.second = bytes.HasPrefix(b[used:], []byte(protocolName)) && !isGoodbye(b[used:])
	}
}

// readNow reads what has come, and waits for nothing: on a busy machine the time
// may be over before what is there was looked at.
func (c *conn) readNow(b []byte, p *parser) {
	if c.sock == nil {
		return
	}
	c.sock.readsNow = true
	defer func() { c.sock.readsNow = false }()
	for !p.over() {
		n, err := c.Conn.Read(b)
		if p.received(b[:n]); err != nil {
			return
		}
	}
}

// patience is how long is waited for the next part; 0: as long as the attempt lasts.
func (p *parser) patience() time.Duration {
	switch {
	case !p.decided():
		return 0
	case !p.success():
		return limits.AnswerTextPatience
	case p.phase == inHead:
		return limits.AnswerHeadPatience
	case p.doubt != "" || p.close:
		return limits.AnswerRestPatience
	}
	return limits.AnswerBodyPatience
}

func earlier(t, deadline time.Time) time.Time {
	if !deadline.IsZero() && deadline.Before(t) {
		return deadline
	}
	return t
}

func isTimeout(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) && netErr.Timeout()
}

// isEnd reports whether a connection ended as one does that its server had
// closed while it was idle.
func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// untilDone waits for the end of a context whose deadline has passed by the
// clock: a connection with the same deadline ends a moment earlier.
func untilDone(ctx context.Context) {
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		<-ctx.Done()
	}
}
