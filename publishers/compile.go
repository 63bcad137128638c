package publishers

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"orderbridge/bridge/record"
)

// recheck is how long files are taken for unchanged.
const recheck = time.Second

// compiled is what is kept of a revision of a record that was made from files:
// its endpoint, recreated when one of them has changed.
type compiled struct {
	endpoint atomic.Pointer[endpoint]
	mu       sync.Mutex // held while it is recreated
}

// endpoint is the compiled form of a record.
func (w *Webhook) endpoint(s *record.Subscription) (*endpoint, error) {
	kept, err := s.Compiled(func(s *record.Subscription) (any, error) {
		e, err := w.compile(s)
		if err != nil || e.sources == nil {
			return e, err
		}
		c := &compiled{}
		c.endpoint.Store(e)
		return c, nil
	})
	if err != nil {
		return nil, err
	}
	c, ok := kept.(*compiled)
	if !ok {
		return kept.(*endpoint), nil
	}
	e := c.endpoint.Load()
	if e.fresh(w.options.Now()) {
		return e, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e = c.endpoint.Load(); e.fresh(w.options.Now()) {
		return e, nil
	}
	if !e.sources.changed() {
		e.checked.Store(w.options.Now().UnixNano())
		return e, nil
	}
	if e, err = w.compile(s); err != nil {
		return nil, err
	}
	c.endpoint.Store(e)
	return e, nil
}

// fresh reports whether the files need not be looked at.
func (e *endpoint) fresh(now time.Time) bool {
	age := now.UnixNano() - e.checked.Load()
	return age >= 0 && age < int64(recheck)
}

// failed has the files looked at before the next attempt.
func (e *endpoint) failed() { e.checked.Store(0) }

// compile makes an endpoint with its connections and its source of tokens.
func (w *Webhook) compile(s *record.Subscription) (*endpoint, error) {
	from := &sources{secrets: w.options.Secrets, record: s}
	now := w.options.Now()
	e, err := compileEndpoint(s, from)
	if err != nil {
		return nil, err
	}
	e.pool, e.tenant = w.standard, s.Tenant
	if s.More == nil {
		return e, nil
	}
	if t := s.More.TLS; t != nil {
		if t.TrustAll && !w.options.AllowTrustAll {
			return nil, &memberError{"tls.trustAll",
				errors.New("is not allowed: leave it out, or have the operator set ORDERBRIDGE_ALLOW_TRUST_ALL")}
		}
		settings, err := loadTLS(t, from, s.Hosts())
		if err != nil {
			return nil, err
		}
		e.pool = w.pools.get(settings)
	}
	switch grant, needed, err := s.More.Auth.Grant(from.secret); {
	case err != nil:
		return nil, err
	case needed:
		e.hide(grant.Hidden...)
		e.token = newTokenSource(grant, e.pool.transport, w.userAgent)
	}
	e.warnings = from.warnings
	if len(from.files) > 0 {
		e.sources = from
		e.checked.Store(now.UnixNano())
	}
	return e, nil
}
