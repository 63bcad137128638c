package lab

import (
	"io"
	"net"
	"testing"
	"time"
)

func TestProxy(t *testing.T) {
	t.Parallel()
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(c, c); c.Close() }()
		}
	}()
	p, err := NewProxy(echo.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", p.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	comes := func(c net.Conn, want string, within time.Duration) bool {
		t.Helper()
		c.SetReadDeadline(time.Now().Add(within))
		buf := make([]byte, len(want))
		n, err := io.ReadFull(c, buf)
		return err == nil && string(buf[:n]) == want
	}
	c := dial()
	c.Write([]byte("a"))
	if !comes(c, "a", Patience) {
		t.Fatal("nothing passes")
	}

	p.Silence(true)
	c.Write([]byte("b"))
	late := dial() // accepted by the kernel, as by a host that is not reached any more
	late.Write([]byte("c"))
	if comes(c, "b", 100*time.Millisecond) || comes(late, "c", 100*time.Millisecond) {
		t.Error("something passes a silent proxy")
	}
	p.Silence(false)
	if !comes(c, "b", Patience) || !comes(late, "c", Patience) {
		t.Error("what waited in a silent proxy is lost")
	}

	p.Refuse(true)
	for name, c := range map[string]net.Conn{"an old connection": c, "a new one": dial()} {
		c.SetReadDeadline(time.Now().Add(Patience))
		if _, err := c.Read(make([]byte, 1)); err == nil || isTimeout(err) {
			t.Errorf("%s is not cut: %v", name, err)
		}
	}
	p.Refuse(false)
	c = dial()
	c.Write([]byte("d"))
	if !comes(c, "d", Patience) {
		t.Error("the proxy is not mended")
	}
}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}
