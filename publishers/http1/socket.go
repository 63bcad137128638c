package http1

import (
	"errors"
	"io"
	"net"
	"syscall"
)

// Socket is a connection that can be asked whether something has come, without
// waiting. What a Client is to use again must be one, or TLS over one.
type Socket struct {
	net.Conn
	raw syscall.RawConn // nil: it cannot be asked, and is used once

	// Reads and writes that do not wait. A long request is written beside the
	// reading of its answer, so each has its own.
	readsNow, writesNow bool
	receive, send       func(fd uintptr) // kept, so that they allocate nothing
	in, out             transfer
}

// transfer is one read or write.
type transfer struct {
	b   []byte
	n   int
	err error
}

// NewSocket makes a Socket of a connection, which belongs to it from then on.
func NewSocket(c net.Conn) *Socket {
	s := &Socket{Conn: c}
	if t, ok := c.(*net.TCPConn); ok && canProbe {
		if raw, err := t.SyscallConn(); err == nil {
			s.raw = raw
			boundSilence(raw)
		}
	}
	s.receive = func(fd uintptr) { s.in.n, s.in.err = readNow(fd, s.in.b) }
	s.send = func(fd uintptr) { s.out.n, s.out.err = writeNow(fd, s.out.b) }
	return s
}

// Read is that of the connection. While it is probed nothing is waited for.
func (s *Socket) Read(b []byte) (int, error) {
	if !s.readsNow {
		return s.Conn.Read(b)
	}
	s.in.b = b
	err := s.raw.Control(s.receive) // raw.Read would not run after a deadline
	s.in.b = nil
	switch {
	case err != nil:
		return 0, err
	case errors.Is(s.in.err, syscall.EAGAIN):
		return 0, errNothing
	case s.in.err != nil:
		return 0, s.in.err
	case s.in.n == 0 && len(b) > 0:
		return 0, io.EOF
	}
	return s.in.n, nil
}

// Write is that of the connection. What TLS has to say to an idle one, and its
// goodbye, is not waited for: where it does not fit, nothing else would.
func (s *Socket) Write(b []byte) (int, error) {
	if !s.writesNow {
		return s.Conn.Write(b)
	}
	s.out.b = b
	err := s.raw.Control(s.send)
	s.out.b = nil
	switch {
	case err != nil:
		return 0, err
	case s.out.err == nil && s.out.n < len(b), errors.Is(s.out.err, syscall.EAGAIN):
		return s.out.n, syscall.EPIPE
	}
	return s.out.n, s.out.err
}

// nothing is that nothing has come. TLS takes it for a passing error, because
// it is Temporary, and can be read again.
type nothing struct{}

func (nothing) Error() string   { return "nothing has come" }
func (nothing) Timeout() bool   { return true }
func (nothing) Temporary() bool { return true }

var errNothing net.Error = nothing{}
