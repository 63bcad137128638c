package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"orderbridge/bridge/record"
	"orderbridge/internal/callers"
	"orderbridge/internal/limits"
	"orderbridge/internal/openid"
	"orderbridge/internal/store"
)

// Token lets somebody call the API.
type Token struct {
	Name   string // for the log
	Secret record.Secret
	Tenant string // "": all tenants
	Reads  bool   // it changes nothing
}

// caller is who calls, once it is known.
type caller struct {
	name   string
	scope  store.Scope
	reads  bool          // it changes nothing
	share  string        // whose share its requests take: its tenant's, else its own
	client netip.Addr    // the address that calls
	outgo  *rate.Limiter // of the requests that it has us make
}

type access struct {
	hosts    callers.Hosts
	proxies  callers.Proxies
	now      func() time.Time
	failed   *prometheus.CounterVec
	tokens   atomic.Pointer[tokenSet]
	failures perAddress // wrong tokens
	logins   perAddress // steps of logins at the provider

	provider *openid.Provider // nil: none is set
	ended    func(context.Context, store.Session) (bool, error)
	derive   func(purpose string) []byte       // of the key that replicas share
	outgo    [limits.OpenIDOutgo]*rate.Limiter // of people who have logged in there
}

// tokenSet is what is good at present.
type tokenSet struct {
	known  []knownToken
	remedy string // where there is none
}

type knownToken struct {
	hash    [sha256.Size]byte
	key     []byte  // signs its sessions
	session [8]byte // how these name it
	caller  caller
}

func newAccess(o Options) *access {
	a := &access{
		hosts: callers.NewHosts(o.Hosts), proxies: o.Proxies, now: o.Now,
		failures: newPerAddress(limits.APIFailuresPerSecond, limits.APIFailures),
		logins:   newPerAddress(limits.OpenIDPerSecond, limits.OpenIDAtOnce),
		provider: o.Provider, derive: o.Derive, ended: o.Catalog.SessionEnded,
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "orderbridge_api_refused_logins_total",
			Help: "Requests without a token, with a wrong one, with a wrong one from an address that sent too many, or by somebody whom the OpenID provider gives no role.",
		}, []string{"reason"}),
	}
	o.Metrics.MustRegister(a.failed)
	for i := range a.outgo {
		a.outgo[i] = rate.NewLimiter(rate.Every(time.Second), limits.APIOutgoAtOnce)
	}
	for _, reason := range []string{"missing", "wrong", "slowed", "provider"} {
		a.failed.WithLabelValues(reason)
	}
	a.set(o.Tokens, o.Remedy)
	return a
}

// set replaces the tokens: those that are not among them are good no longer.
func (a *access) set(tokens []Token, remedy string) {
	former := map[[2]string]*rate.Limiter{}
	if was := a.tokens.Load(); was != nil {
		for _, t := range was.known {
			tenant, _ := t.caller.scope.Tenant()
			former[[2]string{t.caller.name, tenant}] = t.caller.outgo
		}
	}
	now := &tokenSet{remedy: remedy}
	for _, t := range tokens {
		scope, share := store.Everything(), "token "+t.Name
		if t.Tenant != "" {
			scope, share = store.OfTenant(t.Tenant), "tenant "+t.Tenant
		}
		outgo := former[[2]string{t.Name, t.Tenant}]
		if outgo == nil {
			outgo = rate.NewLimiter(rate.Every(time.Second), limits.APIOutgoAtOnce)
		}
		now.known = append(now.known, knownToken{
			sha256.Sum256([]byte(t.Secret.Reveal())), sessionKey(t.Secret.Reveal()), sessionName(t.Name, t.Tenant),
			caller{name: t.Name, scope: scope, reads: t.Reads, share: share, outgo: outgo},
		})
	}
	a.tokens.Store(now)
}

// admit finds out who calls, or answers. A token that is known passes, whatever
// else came from its address.
func (a *access) admit(w http.ResponseWriter, r *http.Request, c *caller) bool {
	scheme := "Bearer"
	if isGateway(r.URL.Path) {
		scheme = "Basic"
	}
	deny := func(status int, reason, detail string) bool {
		a.failed.WithLabelValues(reason).Inc()
		if status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", scheme+` realm="orderbridge"`)
		}
		refuse(w, r, status, detail)
		return false
	}
	tokens := a.tokens.Load()
	if len(tokens.known) == 0 && a.provider == nil {
		return deny(http.StatusServiceUnavailable, "missing", "nobody may call the API: "+tokens.remedy)
	}
	client := a.proxies.Client(r)
	given, ok := givenToken(r, scheme)
	if !ok {
		if found, told := a.bySession(w, r); found != nil {
			*c = *found
			c.client = client
			return true
		} else if told || r.Header.Get(consoleHeader) != "" { // a person reads it
			return deny(http.StatusUnauthorized, "missing", "the session has ended; log in again")
		}
		detail := "give a token: Authorization: Bearer TOKEN"
		if scheme == "Basic" {
			detail = `give a token: Authorization: Basic base64("TOKEN:")`
		}
		return deny(http.StatusUnauthorized, "missing", detail)
	}
	if known := tokens.find(given); known != nil {
		*c = known.caller
		c.client = client
		return true
	}
	if !a.failures.allow(callers.Network(client), a.now()) {
		w.Header().Set("Retry-After", "1")
		return deny(http.StatusTooManyRequests, "slowed",
			"the token is not known, and too many wrong ones came from this address; wait a second")
	}
	return deny(http.StatusUnauthorized, "wrong", "the token is not known")
}

func givenToken(r *http.Request, scheme string) (given string, ok bool) {
	if scheme == "Basic" {
		given, password, ok := r.BasicAuth()
		return given, ok && password == ""
	}
	kind, given, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return given, ok && strings.EqualFold(kind, "Bearer")
}

// operator is true if the request carries a token that is confined to no tenant.
func (a *access) operator(r *http.Request) bool {
	given, ok := givenToken(r, "Bearer")
	if !ok {
		return false
	}
	known := a.tokens.Load().find(given)
	if known == nil {
		return false
	}
	_, confined := known.caller.scope.Tenant()
	return !confined
}

// find compares with each token, and always with all of them.
func (s *tokenSet) find(given string) (found *knownToken) {
	hash := sha256.Sum256([]byte(given))
	for i := range s.known {
		if subtle.ConstantTimeCompare(hash[:], s.known[i].hash[:]) == 1 {
			found = &s.known[i]
		}
	}
	return found
}

// remote is the address that calls, for the log; behind a proxy of ours, whom it
// names and the proxy.
func (a *access) remote(r *http.Request) string {
	if client := a.proxies.Client(r); client.IsValid() && client != callers.Remote(r.RemoteAddr) {
		return client.String() + " by " + r.RemoteAddr
	}
	return r.RemoteAddr
}
