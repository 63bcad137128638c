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
	raw     syscall.RawConn // nil: it cannot be asked, and is used once
	probing bool

	// Of a read that does not wait; kept, so that it allocates nothing.
	receive func(fd uintptr)
	into    []byte
	n       int
	err     error
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
	s.receive = func(fd uintptr) { s.n, s.err = readNow(fd, s.into) }
	return s
}

// Read is that of the connection. While it is probed nothing is waited for.
func (s *Socket) Read(b []byte) (int, error) {
	if !s.probing {
		return s.Conn.Read(b)
	}
	s.into = b
	err := s.raw.Control(s.receive) // raw.Read would not run after a deadline
	s.into = nil
	switch {
	case err != nil:
		return 0, err
	case errors.Is(s.err, syscall.EAGAIN):
		return 0, errNothing
	case s.err != nil:
		return 0, s.err
	case s.n == 0 && len(b) > 0:
		return 0, io.EOF
	}
	return s.n, nil
}

// nothing is that nothing has come. TLS takes it for a passing error, because
// it is Temporary, and can be read again.
type nothing struct{}

func (nothing) Error() string   { return "nothing has come" }
func (nothing) Timeout() bool   { return true }
func (nothing) Temporary() bool { return true }

var errNothing net.Error = nothing{}
