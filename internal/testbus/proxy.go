package testbus

import (
	"net"
	"sync"
	"testing"
)

// Proxy passes TCP connections on to a bus, and can be told to fail.
type Proxy struct {
	ln     net.Listener
	target string

	mu     sync.Mutex
	thaw   *sync.Cond
	frozen bool
	down   bool
	conns  map[net.Conn]struct{}
	wg     sync.WaitGroup
}

// NewProxy listens on a free port in front of addr until the test ends.
func NewProxy(t testing.TB, addr string) *Proxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{ln: ln, target: addr, conns: map[net.Conn]struct{}{}}
	p.thaw = sync.NewCond(&p.mu)
	p.wg.Add(1)
	go p.accept()
	t.Cleanup(func() {
		ln.Close()
		p.mu.Lock()
		p.down, p.frozen = true, false
		p.mu.Unlock()
		p.Cut()
		p.wg.Wait()
	})
	return p
}

// URL for clients.
func (p *Proxy) URL() string { return "nats://" + p.ln.Addr().String() }

// Freeze stops all bytes in both directions; what was sent stays on its way.
func (p *Proxy) Freeze() {
	p.mu.Lock()
	p.frozen = true
	p.mu.Unlock()
}

// Resume lets the bytes flow again, those held back first.
func (p *Proxy) Resume() {
	p.mu.Lock()
	p.frozen = false
	p.mu.Unlock()
	p.thaw.Broadcast()
}

// Cut closes all connections; what is on its way is lost. New ones are accepted.
func (p *Proxy) Cut() {
	p.mu.Lock()
	for c := range p.conns {
		c.Close()
	}
	clear(p.conns)
	p.mu.Unlock()
	p.thaw.Broadcast()
}

// Refuse cuts all connections and, while on, every new one.
func (p *Proxy) Refuse(on bool) {
	p.mu.Lock()
	p.down = on
	p.mu.Unlock()
	if on {
		p.Cut()
	}
}

func (p *Proxy) accept() {
	defer p.wg.Done()
	for {
		c, err := p.ln.Accept()
		if err != nil {
			return
		}
		up, err := net.Dial("tcp", p.target)
		if err != nil {
			c.Close()
			continue
		}
		p.mu.Lock()
		if p.down {
			p.mu.Unlock()
			c.Close()
			up.Close()
			continue
		}
		p.conns[c], p.conns[up] = struct{}{}, struct{}{}
		p.wg.Add(2)
		p.mu.Unlock()
		go p.pipe(c, up)
		go p.pipe(up, c)
	}
}

func (p *Proxy) pipe(dst, src net.Conn) {
	defer p.wg.Done()
	defer dst.Close()
	defer src.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		if n > 0 && p.alive(src) {
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// alive waits out a freeze; false if the connection was cut meanwhile.
func (p *Proxy) alive(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if _, ok := p.conns[c]; !ok {
			return false
		}
		if !p.frozen {
			return true
		}
		p.thaw.Wait()
	}
}
