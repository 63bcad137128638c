package http1

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"orderbridge/internal/limits"
)

// Client sends requests and keeps connections. Safe for concurrent use.
type Client struct {
	o Options

	mu             sync.Mutex
	origins        map[Key]*origin
	newest, oldest *conn // idle ones, over all origins
	idle           int
	sweeping       bool
	closed         bool

	dialed, reused, repeated atomic.Uint64

	stop     chan struct{} // closed by Close
	sweepers sync.WaitGroup
}

// origin is what is known of a Key.
type origin struct {
	idle       []*conn // the newest last
	limit      time.Duration
	limitUntil time.Time
	distrust   time.Time // no reuse until then
	noticed    time.Time
}

// origin is that of a key; there is a bound to what is remembered.
func (c *Client) origin(key Key) *origin {
	o := c.origins[key]
	if o == nil {
		if len(c.origins) >= limits.PoolOrigins {
			now := c.now()
			c.forget(func(o *origin) bool { return now.After(o.distrust) })
		}
		if len(c.origins) >= limits.PoolOrigins {
			c.forget(func(*origin) bool { return true })
		}
		o = &origin{}
		c.origins[key] = o
	}
	return o
}

// forget drops origins without idle connections.
func (c *Client) forget(which func(*origin) bool) {
	for key, o := range c.origins {
		if len(o.idle) == 0 && which(o) {
			delete(c.origins, key)
		}
	}
}

// checkout takes the newest idle connection that is still good, with the
// deadline of ctx, and tells for how long it was idle; nil: there is none.
func (c *Client) checkout(ctx context.Context, key Key) (cn *conn, idle time.Duration) {
	for {
		c.mu.Lock()
		o := c.origins[key]
		if o == nil || len(o.idle) == 0 {
			c.mu.Unlock()
			return nil, 0
		}
		cn := o.idle[len(o.idle)-1]
		c.unlist(cn)
		now := c.now()
		limit := o.idleLimit(now)
		c.mu.Unlock()

		if !cn.own() {
			continue // the sweeper has closed it
		}
		if cn.old(now, limit) {
			cn.part()
			continue
		}
		setDeadline(ctx, cn)
		alive, unsolicited := cn.probe()
		if alive {
			return cn, cn.idleFor(now)
		}
		cn.abort()
		c.distrust(key, unsolicited)
	}
}

// own takes a connection that was in the list; false: it is closed already.
func (c *conn) own() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	owned := c.idle
	c.idle = false
	return owned
}

// put gives a connection to the list of idle ones, after an answer.
func (c *Client) put(cn *conn, keepFor time.Duration) {
	cn.since, cn.keepFor = c.now(), keepFor
	c.list(cn)
}

// list gives a connection to the list of idle ones.
func (c *Client) list(cn *conn) {
	cn.mu.Lock()
	cn.idle = true
	cn.mu.Unlock()

	c.mu.Lock()
	o := c.origin(cn.key)
	if c.closed || cn.sock == nil || c.now().Before(o.distrust) {
		c.mu.Unlock()
		cn.part()
		return
	}
	var surplus *conn
	if c.idle >= c.o.MaxIdle {
		surplus = c.oldest
		c.unlist(surplus)
	}
	o.idle = append(o.idle, cn)
	cn.older, c.newest = c.newest, cn
	if cn.older != nil {
		cn.older.newer = cn
	} else {
		c.oldest = cn
	}
	c.idle++
	if !c.sweeping {
		c.sweeping = true
		c.sweepers.Add(1)
		go c.sweep()
	}
	c.mu.Unlock()
	if surplus != nil && surplus.own() {
		surplus.part()
	}
}

// unlist takes a connection from the lists, if it is there.
func (c *Client) unlist(cn *conn) {
	o := c.origins[cn.key]
	if o == nil {
		return
	}
	at := len(o.idle) - 1
	for at >= 0 && o.idle[at] != cn {
		at--
	}
	if at < 0 {
		return
	}
	o.idle = slices.Delete(o.idle, at, at+1)
	if cn.newer != nil {
		cn.newer.older = cn.older
	} else {
		c.newest = cn.older
	}
	if cn.older != nil {
		cn.older.newer = cn.newer
	} else {
		c.oldest = cn.newer
	}
	cn.newer, cn.older = nil, nil
	c.idle--
}

// unlistAll takes all connections of an origin from the lists; nil: all of all.
func (c *Client) unlistAll(of *Key) (all []*conn) {
	for cn := c.oldest; cn != nil; {
		next := cn.newer
		if of == nil || cn.key == *of {
			all = append(all, cn)
			c.unlist(cn)
		}
		cn = next
	}
	return all
}

// dropIdle closes the idle connections of an origin.
func (c *Client) dropIdle(key Key) {
	c.mu.Lock()
	all := c.unlistAll(&key)
	c.mu.Unlock()
	for _, cn := range all {
		if cn.own() {
			cn.abort()
		}
	}
}

// learn: the server closes connections that are idle for so long, and says so
// too late.
func (c *Client) learn(key Key, idle time.Duration) {
	if idle < limits.PoolLeastLearned {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.origin(key)
	o.limit, o.limitUntil = idle/2, c.now().Add(limits.PoolLearned)
}

// distrust: bytes came that nobody had asked for; the next ones may come where
// an answer is awaited.
func (c *Client) distrust(key Key, unsolicited bool) {
	if !unsolicited {
		return
	}
	c.mu.Lock()
	o := c.origin(key)
	o.distrust = c.now().Add(limits.PoolDistrusted)
	all := c.unlistAll(&key)
	c.mu.Unlock()
	for _, cn := range all {
		if cn.own() {
			cn.abort()
		}
	}
	c.notice(key, "it sent bytes that no request had asked for")
}

func (c *Client) notice(key Key, why string) {
	if c.o.Notice == nil || why == "" {
		return
	}
	now := c.now()
	c.mu.Lock()
	o := c.origin(key)
	tell := o.noticed.IsZero() || now.Sub(o.noticed) >= limits.PoolNotice
	if tell {
		o.noticed = now
	}
	c.mu.Unlock()
	if tell {
		c.o.Notice(key, why)
	}
}

func (o *origin) idleLimit(now time.Time) time.Duration {
	if o.limit > 0 && now.Before(o.limitUntil) {
		return min(o.limit, limits.PoolIdleTime)
	}
	return limits.PoolIdleTime
}

// idleFor is how long a connection was idle, also while the machine slept.
func (c *conn) idleFor(now time.Time) time.Duration {
	return max(now.Sub(c.since), now.Round(0).Sub(c.since.Round(0)))
}

// old reports whether a connection was kept for long enough. Names get other
// addresses and certificates change: none lives for ever.
func (c *conn) old(now time.Time, limit time.Duration) bool {
	if c.keepFor > 0 {
		limit = min(limit, c.keepFor)
	}
	jitter := time.Duration(c.born.Nanosecond()) % time.Second * 150 // up to 2.5 minutes
	return c.idleFor(now) >= limit || now.Sub(c.born) >= limits.PoolAge-jitter
}

// sweep probes the idle connections as long as there are any: nobody else sees
// that a server has closed one.
func (c *Client) sweep() {
	defer c.sweepers.Done()
	tick := time.NewTicker(limits.PoolSweep + rand.N(limits.PoolSweep/10))
	defer tick.Stop()
	for {
		select {
		case <-c.stop:
			return
		case <-tick.C:
		}
		if c.sweepOnce() {
			return
		}
	}
}

// sweepOnce reports whether nothing is left to sweep.
func (c *Client) sweepOnce() bool {
	type candidate struct {
		cn    *conn
		limit time.Duration
	}
	now := c.now()
	c.mu.Lock()
	all := make([]candidate, 0, c.idle)
	for cn := c.oldest; cn != nil; cn = cn.newer {
		all = append(all, candidate{cn, c.origins[cn.key].idleLimit(now)})
	}
	if len(all) == 0 {
		c.sweeping = false
		c.forget(func(o *origin) bool {
			return now.After(o.limitUntil) && now.After(o.distrust) && now.Sub(o.noticed) >= limits.PoolNotice
		})
	}
	c.mu.Unlock()
	for _, x := range all {
		c.sweepConn(x.cn, x.limit)
	}
	return len(all) == 0
}

func (c *Client) sweepConn(cn *conn, limit time.Duration) {
	cn.mu.Lock()
	if !cn.idle {
		cn.mu.Unlock()
		return
	}
	now := c.now()
	if !cn.old(now, limit) {
		alive, unsolicited := cn.probe()
		if !alive {
			cn.idle = false
			cn.abort()
		}
		cn.mu.Unlock()
		if !alive {
			c.mu.Lock()
			c.unlist(cn)
			c.mu.Unlock()
			c.distrust(cn.key, unsolicited)
		}
		return
	}
	cn.idle = false
	cn.mu.Unlock()
	c.mu.Lock()
	c.unlist(cn)
	c.mu.Unlock()
	cn.part()
}
