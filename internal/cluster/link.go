package cluster

import (
	"net"
	"sync"
	"time"
)

// A link passes TCP connections on to one address, as a wire does that can be
// pulled out.
type link struct {
	ln     net.Listener
	target string

	mu    sync.Mutex
	state wire
	moved chan struct{} // closed when the state changes
	conns map[net.Conn]struct{}
	wg    sync.WaitGroup
}

// wire is the state of a link.
type wire uint8

const (
	passing wire = iota
	silent       // nothing comes through, nobody is told: what is sent waits
	cut          // connections are closed, new ones too
	closed       // for good
)

func newLink(target string) (*link, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it only binds
	if err != nil {
		return nil, err
	}
	l := &link{ln: ln, target: target, moved: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	l.wg.Go(l.accept)
	return l, nil
}

func (l *link) addr() string { return l.ln.Addr().String() }

func (l *link) set(w wire) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == w || l.state == closed {
		return
	}
	l.state = w
	close(l.moved)
	l.moved = make(chan struct{})
	if w == cut || w == closed {
		for c := range l.conns {
			c.Close()
		}
	}
}

func (l *link) close() {
	l.ln.Close()
	l.set(closed)
	l.wg.Wait()
}

// pass waits until bytes may pass; false: the connection is cut.
func (l *link) pass() bool {
	for {
		l.mu.Lock()
		state, moved := l.state, l.moved
		l.mu.Unlock()
		switch state {
		case passing:
			return true
		case cut, closed:
			return false
		}
		<-moved
	}
}

// hold remembers a connection, so that it can be cut; false: it is cut already.
func (l *link) hold(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == cut || l.state == closed {
		c.Close()
		return false
	}
	l.conns[c] = struct{}{}
	return true
}

func (l *link) drop(c net.Conn) {
	c.Close()
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
}

func (l *link) accept() {
	for {
		c, err := l.ln.Accept()
		if err != nil {
			return
		}
		l.wg.Go(func() { l.serve(c) })
	}
}

func (l *link) serve(near net.Conn) {
	if !l.hold(near) {
		return
	}
	defer l.drop(near)
	if !l.pass() {
		return
	}
	far, err := net.DialTimeout("tcp", l.target, 5*time.Second) //nolint:noctx // bounded
	if err != nil || !l.hold(far) {
		return
	}
	defer l.drop(far)
	var both sync.WaitGroup
	both.Go(func() { l.pump(far, near) })
	l.pump(near, far)
	both.Wait()
}

func (l *link) pump(dst, src net.Conn) {
	defer dst.Close()
	defer src.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		if !l.pass() {
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
