package health

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"orderbridge/internal/callers"
)

// crowd is a listener whose connections stay within bounds. A new connection is
// always taken as long as another one runs no request: that one makes room. So
// whoever opens many keeps nobody out, neither others nor a probe that comes
// from the same address.
type crowd struct {
	net.Listener
	most int
	now  func() time.Time

	mu    sync.Mutex
	here  map[*guest]struct{}
	count map[netip.Prefix]int
}

// guest is one connection.
type guest struct {
	net.Conn
	crowd *crowd
	from  netip.Prefix
	once  sync.Once

	// Under crowd.mu.
	since time.Time // when it came, or ended its last request
	busy  int       // requests that run
}

func newCrowd(l net.Listener, most int) *crowd {
	return &crowd{Listener: l, most: most, now: time.Now, here: map[*guest]struct{}{}, count: map[netip.Prefix]int{}}
}

// Accept implements net.Listener.
func (c *crowd) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		g := &guest{Conn: conn, crowd: c, from: callers.Network(callers.Remote(conn.RemoteAddr().String()))}
		gone, ok := c.admit(g)
		if gone != nil {
			abort(gone.Conn)
			gone.leave()
		}
		if ok {
			return g, nil
		}
		abort(conn)
	}
}

// abort closes a connection without waiting for what it still has to say.
func abort(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // else it lingers; no harm
	}
	conn.Close()
}

// admit takes the connection in and says which one has to make room for it.
func (c *crowd) admit(g *guest) (gone *guest, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch free := c.most - len(c.here); {
	case free <= 0:
		gone = c.oldest(func(o *guest) int { return c.count[o.from] })
	case c.count[g.from] >= free:
		gone = c.oldest(func(o *guest) int {
			if o.from == g.from {
				return 1
			}
			return 0
		})
	default:
		ok = true
	}
	if ok = ok || gone != nil; ok {
		g.since = c.now()
		c.here[g] = struct{}{}
		c.count[g.from]++
	}
	return gone, ok
}

// oldest is the connection without a running request that came first among
// those of the highest rank above 0.
func (c *crowd) oldest(rank func(*guest) int) (first *guest) {
	highest := 0
	for g := range c.here {
		if g.busy > 0 {
			continue
		}
		if r := rank(g); r > highest || r == highest && first != nil && g.since.Before(first.since) {
			first, highest = g, r
		}
	}
	return first
}

// Close implements net.Conn.
func (g *guest) Close() error {
	g.leave()
	return g.Conn.Close()
}

// CloseWrite lets the server say its last word before it closes.
func (g *guest) CloseWrite() error {
	if tcp, ok := g.Conn.(*net.TCPConn); ok {
		return tcp.CloseWrite()
	}
	return nil
}

func (g *guest) leave() {
	g.once.Do(func() {
		c := g.crowd
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.here, g)
		if c.count[g.from]--; c.count[g.from] == 0 {
			delete(c.count, g.from)
		}
	})
}

type guestKey struct{}

// Busy keeps the connection of a request from making room for others until done
// is called.
func Busy(ctx context.Context) (done func()) {
	g, ok := ctx.Value(guestKey{}).(*guest)
	if !ok {
		return func() {}
	}
	add := func(n int) {
		g.crowd.mu.Lock()
		defer g.crowd.mu.Unlock()
		g.busy += n
		g.since = g.crowd.now()
	}
	add(1)
	return func() { add(-1) }
}
