package lab

import (
	"net"
	"sync"
	"time"
)

// Proxy passes TCP connections on to one address, as a wire does that can be
// pulled out.
type Proxy struct {
	ln     net.Listener
	target string

	mu      sync.Mutex
	changed *sync.Cond // the state, or which connections there are
	silent  bool       // nothing comes through, nobody is told: what is sent waits
	refuses bool       // new connections are closed
	closed  bool
	conns   map[net.Conn]struct{}
	wg      sync.WaitGroup
}

// NewProxy listens on a free port of 127.0.0.1 in front of target (host:port).
func NewProxy(target string) (*Proxy, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{ln: ln, target: target, conns: map[net.Conn]struct{}{}}
	p.changed = sync.NewCond(&p.mu)
	p.wg.Go(p.accept)
	return p, nil
}

// Addr is host:port of the proxy.
func (p *Proxy) Addr() string { return p.ln.Addr().String() }

// URL is that of a bus behind the proxy.
func (p *Proxy) URL() string { return "nats://" + p.Addr() }

// Silence stops all bytes in both directions, or lets them flow again, those
// held back first.
func (p *Proxy) Silence(on bool) {
	p.set(func() { p.silent = on })
}

// Cut closes all connections; what is on its way is lost. New ones are accepted.
func (p *Proxy) Cut() {
	p.set(p.drop)
}

// Refuse cuts all connections and, while on, every new one.
func (p *Proxy) Refuse(on bool) {
	p.set(func() {
		if p.refuses = on; on {
			p.drop()
		}
	})
}

// Close ends the proxy and all its connections.
func (p *Proxy) Close() {
	p.ln.Close()
	p.set(func() {
		p.closed = true
		p.drop()
	})
	p.wg.Wait()
}

func (p *Proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	p.changed.Broadcast()
}

// drop closes all connections; mu is held.
func (p *Proxy) drop() {
	for c := range p.conns {
		c.Close()
	}
	clear(p.conns)
}

// hold remembers a connection, so that it can be cut; false: it is cut already.
func (p *Proxy) hold(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuses || p.closed {
		c.Close()
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *Proxy) release(c net.Conn) {
	c.Close()
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
}

// pass waits until bytes of a connection may pass; false: it was cut.
func (p *Proxy) pass(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if _, held := p.conns[c]; !held {
			return false
		}
		if !p.silent {
			return true
		}
		p.changed.Wait()
	}
}

func (p *Proxy) accept() {
	for {
		c, err := p.ln.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.serve(c) })
	}
}

func (p *Proxy) serve(near net.Conn) {
	if !p.hold(near) {
		return
	}
	defer p.release(near)
	if !p.pass(near) {
		return
	}
	far, err := net.DialTimeout("tcp", p.target, 5*time.Second)
	if err != nil || !p.hold(far) {
		return
	}
	defer p.release(far)
	var both sync.WaitGroup
	both.Go(func() { p.pump(far, near) })
	p.pump(near, far)
	both.Wait()
}

func (p *Proxy) pump(dst, src net.Conn) {
	defer dst.Close()
	defer src.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		if !p.pass(src) {
			return
		}
		if n > 0 {
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
