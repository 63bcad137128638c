package publishers

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"orderbridge/internal/limits"
)

// negotiated is net/http with both versions of HTTP. Servers that offer HTTP/2
// and then answer it with HTTP_1_1_REQUIRED get the request once more over
// HTTP/1.1 (RFC 9113, 7: it may be retried), and are remembered.
type negotiated struct {
	both     metered
	one      metered
	required memory // origins that demand HTTP/1.1
}

func newNegotiated(o Options, d *dialer) *negotiated {
	return &negotiated{both: metered{newTransport(o, d, "h2", "http/1.1")}, one: metered{newTransport(o, d)}}
}

// RoundTrip sends a request over the version that the server wants.
func (n *negotiated) RoundTrip(r *http.Request) (*http.Response, error) {
	origin := r.URL.Scheme + "://" + r.URL.Host
	if n.required.has(origin) {
		return n.one.RoundTrip(r)
	}
	resp, err := n.both.RoundTrip(r)
	if err == nil || !demandsHTTP1(err) {
		return resp, err
	}
	n.required.add(origin)
	if r.GetBody != nil {
		again := *r
		if again.Body, err = r.GetBody(); err != nil {
			return nil, err
		}
		r = &again
	} else if r.Body != nil && r.Body != http.NoBody {
		return nil, err
	}
	return n.one.RoundTrip(r)
}

// CloseIdleConnections closes them.
func (n *negotiated) CloseIdleConnections() {
	n.both.CloseIdleConnections()
	n.one.CloseIdleConnections()
}

// demandsHTTP1 recognizes HTTP_1_1_REQUIRED, of a stream or of the connection.
func demandsHTTP1(err error) bool {
	const required = 0xd
	var stream streamError
	if errors.As(err, &stream) {
		return stream.Code == required
	}
	// For a GOAWAY there is no type to ask for.
	return strings.Contains(err.Error(), "GOAWAY") && strings.Contains(err.Error(), "HTTP_1_1_REQUIRED")
}

// streamError has the fields of net/http's own error of that name, which it
// fills in.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (e streamError) Error() string { return "stream error" }

// memoryTime is how long something is remembered of an origin.
const memoryTime = time.Hour

// memory holds origins for an hour, and only so many.
type memory struct {
	known atomic.Bool // anything at all
	mu    sync.Mutex
	until map[string]time.Time
}

func (m *memory) has(origin string) bool {
	if !m.known.Load() {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Now().Before(m.until[origin])
}

func (m *memory) add(origin string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known.Store(true)
	if m.until == nil {
		m.until = map[string]time.Time{}
	}
	if _, known := m.until[origin]; !known && len(m.until) >= limits.NegotiatedOrigins {
		now := time.Now()
		for other, until := range m.until {
			if now.After(until) || len(m.until) >= limits.NegotiatedOrigins {
				delete(m.until, other)
			}
		}
	}
	m.until[origin] = time.Now().Add(memoryTime)
}

// forget is has, and forgets it.
func (m *memory) forget(origin string) bool {
	if !m.known.Load() {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	until, known := m.until[origin]
	if known {
		delete(m.until, origin)
	}
	return known && time.Now().Before(until)
}
