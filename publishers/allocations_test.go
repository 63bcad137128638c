package publishers

import (
	"bytes"
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"orderbridge/bridge"
)

// attemptContext is a context of an attempt as the bridge makes it: it has a
// deadline, carries the delivery and tells of a cut by OnCut.
type attemptContext struct {
	context.Context
	deadline time.Time

	mu  sync.Mutex
	cut func()
}

func (c *attemptContext) Deadline() (time.Time, bool) { return c.deadline, true }

func (c *attemptContext) OnCut(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = f
	return true
}

// frugalServer answers each request, of which it knows the end, and allocates
// nothing for it.
func frugalServer(t *testing.T, end []byte) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	t.Cleanup(func() { ln.Close() })
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		answer, b, n := []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), make([]byte, 64<<10), 0
		for {
			more, err := conn.Read(b[n:])
			if err != nil {
				return
			}
			if n += more; !bytes.HasSuffix(b[:n], end) {
				continue
			}
			n = 0
			if _, err := conn.Write(answer); err != nil {
				return
			}
		}
	}()
	return "http://" + ln.Addr().String()
}

// TestAllocationsOfAnAttempt holds what an attempt costs in objects: the list of
// its fields and its time are two; TLS adds one for each of its reads.
func TestAllocationsOfAnAttempt(t *testing.T) { //nolint:paralleltest // it counts the allocations of the process
	const most = 6 // with the race detector pools lose what they hold
	end := []byte(`"end":true}`)
	target := frugalServer(t, end)
	w := newWebhook(t, func(o *Options) { o.AllowHTTP = true })
	d := delivery(target)
	d.Event.Data = []byte(`{"filler":"` + strings.Repeat("x", 480) + `",` + string(end))
	d.KeepID()
	ctx := &attemptContext{Context: bridge.WithDelivery(context.Background(), d), deadline: time.Now()}
	m := message.NewMessage("id", d.Event.Data)
	m.SetContext(ctx)
	attempt := func() {
		ctx.deadline = time.Now().Add(10 * time.Second)
		ok(t, w.Publish("erp", m))
	}
	for range 10 {
		attempt()
	}
	if n := testing.AllocsPerRun(300, attempt); n > most {
		t.Errorf("%v objects for an attempt, want %d at most", n, most)
	} else {
		t.Logf("%v objects for an attempt", n)
	}
}
