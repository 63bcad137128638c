package publishers

import (
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"orderbridge/internal/limits"
)

// Faults of this machine. A connection that cannot even be tried says nothing of
// the endpoint: it is not counted, opens no breaker, and is told to the operator.

// localError is such a fault.
type localError struct {
	what string // for people
	err  error
}

func (e *localError) Error() string { return e.what }
func (e *localError) Unwrap() error { return e.err }

var shortages = []struct {
	errno syscall.Errno
	what  string
}{
	{syscall.EMFILE, "this process may open no more files: raise its limit (LimitNOFILE, ulimit -n)"},
	{syscall.ENFILE, "this machine may open no more files: raise fs.file-max"},
	{syscall.ENOBUFS, "this machine has no buffers left for connections"},
	{syscall.ENOMEM, "this machine has no memory left for connections"},
}

// localFault returns err as a *localError if it is a fault of this machine, else
// as it is. proxied: it is that of dialing the egress proxy, which is ours.
func localFault(err error, proxied bool) error {
	var known *localError
	if err == nil || errors.As(err, &known) {
		return err
	}
	if what := shortage(err); what != "" {
		return &localError{what, err}
	}
	var (
		policy *policyError
		dns    *net.DNSError
	)
	switch {
	case proxied && !errors.As(err, &policy):
		if errors.As(err, &dns) {
			return &localError{"the egress proxy's name cannot be resolved (ORDERBRIDGE_EGRESS_PROXY)", err}
		}
		return &localError{"the egress proxy cannot be reached (ORDERBRIDGE_EGRESS_PROXY)", err}
	case errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EAGAIN):
		// To an IPv6 address it may mean that this machine has none.
		var op *net.OpError
		if errors.As(err, &op) {
			if to, ok := op.Addr.(*net.TCPAddr); ok && to.IP.To4() != nil {
				return &localError{"this machine has no local port left for connections: widen net.ipv4.ip_local_port_range", err}
			}
		}
	}
	return err
}

// shortage says what is used up, "" if nothing is.
func shortage(err error) string {
	var dns *net.DNSError
	isDNS := errors.As(err, &dns)
	for _, s := range shortages {
		// The resolver keeps of its errors the text alone.
		if errors.Is(err, s.errno) || isDNS && strings.HasSuffix(dns.Err, s.errno.Error()) {
			return s.what
		}
	}
	return ""
}

// trouble remembers the last fault of this machine.
type trouble struct {
	mu   sync.Mutex
	what string
	last time.Time // it was seen
	said time.Time // it was logged
}

// saw notes a fault and logs it, now and then.
func (t *trouble) saw(what string, now time.Time, log *slog.Logger) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.said) >= limits.LocalFaultSaid || what != t.what {
		log.Warn("deliveries wait for this machine, not for their endpoints; nothing is counted as failed", "reason", what)
		t.said = now
	}
	t.what, t.last = what, now
}

// LocalProblem is what keeps this machine from making connections, "" if nothing
// has lately.
func (w *Webhook) LocalProblem() string {
	t := &w.trouble
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.what == "" || w.options.Now().Sub(t.last) > limits.LocalFaultLasts {
		return ""
	}
	return "deliveries wait: " + t.what
}
