package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"orderbridge/bridge"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

// Token lets somebody call the API.
type Token struct {
	Name   string // for the log
	Secret bridge.Secret
	Tenant string // "": all tenants
}

// caller is who calls, once he is known.
type caller struct {
	name   string
	scope  store.Scope
	client string        // the address that calls
	outgo  *rate.Limiter // of the requests that he has us make
}

type access struct {
	tokens []knownToken
	remedy string
	hosts  []string
	any    bool // host names are not looked at
	now    func() time.Time
	failed *prometheus.CounterVec

	mu       sync.Mutex
	failures map[netip.Prefix]*rate.Limiter
}

type knownToken struct {
	hash   [sha256.Size]byte
	caller caller
}

func newAccess(o Options) *access {
	a := &access{
		remedy: o.Remedy, now: o.Now, failures: map[netip.Prefix]*rate.Limiter{},
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "orderbridge_api_refused_logins_total",
			Help: "Requests without a token, with a wrong one, or from an address that sent too many wrong ones.",
		}, []string{"reason"}),
	}
	o.Metrics.MustRegister(a.failed)
	for _, reason := range []string{"missing", "wrong", "slowed"} {
		a.failed.WithLabelValues(reason)
	}
	for _, host := range o.Hosts {
		a.any = a.any || host == "*"
		a.hosts = append(a.hosts, strings.ToLower(host))
	}
	for _, t := range o.Tokens {
		scope := store.Everything()
		if t.Tenant != "" {
			scope = store.OfTenant(t.Tenant)
		}
		a.tokens = append(a.tokens, knownToken{
			sha256.Sum256([]byte(t.Secret.Reveal())),
			caller{name: t.Name, scope: scope, outgo: rate.NewLimiter(rate.Every(time.Second), outgoAtOnce)},
		})
	}
	return a
}

// admit finds out who calls, or answers.
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
	if len(a.tokens) == 0 {
		return deny(http.StatusServiceUnavailable, "missing", "nobody may call the API: "+a.remedy)
	}
	from := address(r.RemoteAddr)
	if a.slowed(from) {
		w.Header().Set("Retry-After", "1")
		return deny(http.StatusTooManyRequests, "slowed", "too many wrong tokens came from this address; wait a second")
	}
	given, ok := "", false
	if scheme == "Basic" {
		var password string
		given, password, ok = r.BasicAuth()
		ok = ok && password == ""
	} else {
		var kind string
		kind, given, ok = strings.Cut(r.Header.Get("Authorization"), " ")
		ok = ok && strings.EqualFold(kind, "Bearer")
	}
	if !ok {
		detail := "give a token: Authorization: Bearer TOKEN"
		if scheme == "Basic" {
			detail = `give a token: Authorization: Basic base64("TOKEN:")`
		}
		return deny(http.StatusUnauthorized, "missing", detail)
	}
	known := a.find(given)
	if known == nil {
		a.count(from)
		return deny(http.StatusUnauthorized, "wrong", "the token is not known")
	}
	*c = *known
	return true
}

// find compares with each token, and always with all of them.
func (a *access) find(given string) (found *caller) {
	hash := sha256.Sum256([]byte(given))
	for i := range a.tokens {
		if subtle.ConstantTimeCompare(hash[:], a.tokens[i].hash[:]) == 1 {
			found = &a.tokens[i].caller
		}
	}
	return found
}

// address is what failures are counted by: an IPv4 address, or the /64 of an
// IPv6 one, since whoever has one of these has all.
func address(remote string) netip.Prefix {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	ip := ap.Addr().Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits) // of a valid address
	return p
}

func (a *access) slowed(from netip.Prefix) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.failures[from]
	return l != nil && l.TokensAt(a.now()) < 1
}

func (a *access) count(from netip.Prefix) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	l := a.failures[from]
	if l == nil {
		a.forget(now)
		l = rate.NewLimiter(limits.APIFailuresPerSecond, limits.APIFailures)
		a.failures[from] = l
	}
	l.AllowN(now, 1)
}

// forget makes room: addresses that have been good again for long first, else
// the ones with the fewest failures.
func (a *access) forget(now time.Time) {
	for best := float64(limits.APIFailures); len(a.failures) >= limits.APIFailureAddresses; best-- {
		for from, l := range a.failures {
			if l.TokensAt(now) >= best {
				delete(a.failures, from)
			}
		}
	}
}

// knowsHost keeps a web page from reaching us under a name of its own that it
// had resolved to our address.
func (a *access) knowsHost(hostPort string) bool {
	host := hostOf(hostPort)
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return host != "" && (a.any || host == "localhost" || strings.HasSuffix(host, ".localhost") || slices.Contains(a.hosts, host))
}

func hostOf(hostPort string) string {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		host = hostPort
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}

// fromHere is false for what a browser sends for a page of another site.
func (a *access) fromHere(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
	default:
		return false
	}
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return true
	}
	u, err := url.Parse(origins[0])
	return err == nil && len(origins) == 1 && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}
