package http1

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"orderbridge/internal/lab"
	"orderbridge/internal/limits"
)

// chaos answers a request with its id, in one of the ways in which servers of
// all kinds do, or breaks in some way.
func chaos(p *peer, id string) (again bool) {
	text := "HTTP/1.1 400 X\r\nContent-Length: " + strconv.Itoa(len(id)) + "\r\n"
	say := func(s string) bool { _, err := io.WriteString(p, s); return err == nil }
	switch rand.N(17) {
	case 0: // answers in pieces
		whole := text + "\r\n" + id
		cut := rand.N(len(whole))
		return say(whole[:cut]) && say(whole[cut:])
	case 1:
		return say(fmt.Sprintf("HTTP/1.1 400 X\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(id), id))
	case 2:
		return say("HTTP/1.1 100 Continue\r\n\r\n" + text + "\r\n" + id)
	case 3: // and more, at once
		return say(text + "\r\n" + id + injected)
	case 4:
		say(text + "Connection: close\r\n\r\n" + id)
		return false
	case 5: // closes without a word
		say(text + "\r\n" + id)
		return false
	case 6:
		say(text + "\r\n" + id)
		p.reset()
		return false
	case 7: // never asked
		return false
	case 8:
		p.reset()
		return false
	case 9:
		say("HTTP/1.1 400 X\r\n\r\n" + id)
		return false
	case 10:
		say("HTTP/1.1 400 X\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + id)
		return false
	case 11:
		say("HTTP/1.1 408 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		return false
	case 12:
		say("HTTP/1.")
		return false
	case 13: // a body where none may be
		return say("HTTP/1.1 204 X\r\n\r\n" + injected)
	}
	return say(text + "\r\n" + id)
}

// checkPool holds the lists of idle connections against each other.
func checkPool(t *testing.T, c *Client) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	listed := map[*conn]bool{}
	var last *conn
	for cn := c.oldest; cn != nil; cn = cn.newer {
		if listed[cn] || cn.older != last {
			t.Error("the list of all is no list")
			return
		}
		listed[cn], last = true, cn
	}
	if c.newest != last || len(listed) != c.idle || c.idle > c.o.MaxIdle {
		t.Errorf("%d in the list of all, counted %d", len(listed), c.idle)
	}
	ofOrigins := 0
	for key, o := range c.origins {
		for _, cn := range o.idle {
			if ofOrigins++; !listed[cn] || cn.key != key {
				t.Error("an idle connection that is in one list only, or another's")
			}
		}
	}
	if ofOrigins != c.idle {
		t.Errorf("%d idle of all origins, %d in all", ofOrigins, c.idle)
	}
}

// TestEachGetsItsOwnAnswer is the oracle of desynchronisation: many requests at
// once to a server that breaks in every way, some of them cut; an answer that
// comes is that of the request, and in the end nothing is left open.
func TestEachGetsItsOwnAnswer(t *testing.T) {
	t.Parallel()
	for _, l := range layers {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			sent := map[string]int{}
			s := listen(t, l, func(p *peer, r *http.Request, _ []byte) bool {
				id := r.Header.Get("Webhook-Id")
				mu.Lock()
				sent[id]++
				mu.Unlock()
				return chaos(p, id)
			})
			c := newClient(t)
			c.o.Now = func() time.Time { return time.Now().Add(time.Duration(rand.N(20)) * time.Minute) } // so that distrust ends
			over := make(chan struct{})
			var group, watch sync.WaitGroup
			watch.Go(func() {
				for {
					select {
					case <-over:
						return
					case <-time.After(time.Millisecond):
						checkPool(t, c)
						c.sweepOnce()
					}
				}
			})
			for worker := range 8 {
				group.Go(func() {
					for i := range 80 {
						id := fmt.Sprintf("%d-%d-%s", worker, i, strings.Repeat("x", rand.N(200)))
						ctx, cancel := context.WithTimeout(context.Background(), lab.Patience)
						if i%10 == 0 {
							time.AfterFunc(rand.N(2*time.Millisecond), cancel)
						}
						r := s.post("/", id)
						r.Tenant = strconv.Itoa(worker % 3)
						a, err := c.Do(ctx, r)
						cancel()
						if err == nil && a.Status == 400 && len(a.Text) > 0 && !strings.HasPrefix(id, string(a.Text)) || a.Status == 277 {
							t.Errorf("%s got %d %q", id, a.Status, a.Text)
						}
					}
				})
			}
			group.Wait()
			close(over)
			watch.Wait()
			c.Close()
			if n := c.idleNow(); n != 0 {
				t.Errorf("%d idle connections after Close", n)
			}
			await(t, "all connections are closed", func() bool { return s.open.Load() == 0 })
			mu.Lock()
			defer mu.Unlock()
			for id, n := range sent {
				if n > 2 {
					t.Errorf("%s was sent %d times", id, n)
				}
			}
		})
	}
}

// An origin that is not trusted is remembered, however many others come.
func TestDistrustIsNotForgotten(t *testing.T) {
	c := New(Options{})
	defer c.Close()
	key := Key{Scheme: "https", Addr: "bad.example:443"}
	c.distrust(key, true)
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range 2 * limits.PoolOrigins {
		c.origin(Key{Scheme: "https", Addr: strconv.Itoa(i)})
	}
	if o := c.origins[key]; o == nil || !c.now().Before(o.distrust) {
		t.Error("it is trusted again")
	}
	if len(c.origins) > limits.PoolOrigins {
		t.Errorf("%d origins are remembered", len(c.origins))
	}
}
