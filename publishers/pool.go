package publishers

import (
	"crypto/sha256"
	"runtime"
	"sync"
	"weak"
)

// pool is the connections of one TLS setting. Endpoints hold it; when the last
// of them is gone it goes, and its idle connections with it.
type pool struct{ *connections }

// pools finds the pool of a TLS setting.
type pools struct {
	make func(*tlsSettings) *connections

	mu  sync.Mutex
	all map[[sha256.Size]byte]pooled
}

type pooled struct {
	pool        weak.Pointer[pool]
	connections *connections
}

func (p *pools) get(s *tlsSettings) *pool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.all[s.digest].pool.Value(); known != nil {
		return known
	}
	fresh := &pool{p.make(s)}
	if p.all == nil {
		p.all = map[[sha256.Size]byte]pooled{}
	}
	p.all[s.digest] = pooled{weak.Make(fresh), fresh.connections}
	digest := s.digest
	runtime.AddCleanup(fresh, func(c *connections) {
		c.closeIdle()
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.all[digest].connections == c {
			delete(p.all, digest)
		}
	}, fresh.connections)
	return fresh
}

func (p *pools) closeIdle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, known := range p.all {
		known.connections.closeIdle()
	}
}
