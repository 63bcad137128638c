package api

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"orderbridge/internal/limits"
)

// perAddress bounds what strangers do, each address by itself.
type perAddress struct {
	each  rate.Limit
	burst int

	mu sync.Mutex
	of map[netip.Prefix]*rate.Limiter
}

func newPerAddress(each rate.Limit, burst int) perAddress {
	return perAddress{each: each, burst: burst, of: map[netip.Prefix]*rate.Limiter{}}
}

// allow counts one; false if too many came from there.
func (p *perAddress) allow(from netip.Prefix, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.of[from]
	if l == nil {
		if len(p.of) >= limits.APIFailureAddresses {
			p.forget(now)
		}
		l = rate.NewLimiter(p.each, p.burst)
		p.of[from] = l
	}
	return l.AllowN(now, 1)
}

// forget makes room for one address: of some, the one with the fewest. Looking at
// all would make each dear.
func (p *perAddress) forget(now time.Time) {
	const some = 16
	var victim netip.Prefix
	most, seen := -1.0, 0
	for from, l := range p.of {
		if tokens := l.TokensAt(now); tokens > most {
			victim, most = from, tokens
		}
		if seen++; seen == some {
			break
		}
	}
	delete(p.of, victim)
}
