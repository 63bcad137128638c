package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/audit"
	"orderbridge/internal/callers"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
	"orderbridge/internal/openid"
	"orderbridge/internal/share"
	"orderbridge/internal/store"
)

// Options of an API. All are required, except where it is said.
type Options struct {
	Catalog *store.Catalog
	// Parse reads a record under the operator's policy.
	Parse func(id string, data []byte) (*record.Subscription, record.Problems)
	// Probe asks whether a URL answers (contract A4); the error is a
	// *bridge.AttemptError, FaultConfig where the operator's policy forbids it.
	Probe func(ctx context.Context, tenant, url string) error
	// Tester sends events for tests, by the way that all deliveries go.
	Tester *store.Tester
	// Audit reads the newest entries that a query wants.
	Audit func(ctx context.Context, q audit.Query) (audit.Found, error)
	// Tokens of those who may call; without any nobody may, and Remedy says
	// what to do about it.
	Tokens []Token
	Remedy string
	// Quota bounds what a token of a tenant may store. Zero members bound nothing.
	Quota Quota
	// Proxies are those whose word about the caller's address counts. May be empty.
	Proxies callers.Proxies
	// Denials has what the bus refuses to read answered at once. May be nil.
	Denials msgget.Without
	// Busy keeps the connection of a request open until done is called. May be nil.
	Busy func(context.Context) (done func())
	// Hosts are the names under which the API may be called, beside addresses
	// and localhost; "*" is any. May be empty.
	Hosts []string
	// TenantSubjects are the subject filters that a tenant's records are confined
	// to, with {tenant} for its name. Default: orders.{tenant}.>
	TenantSubjects []string
	// Seal seals the secrets of a complete record on its way into the bucket.
	// May be nil.
	Seal func(ctx context.Context, id string, record []byte) ([]byte, error)
	// Wrote is told of each confirmed write of a record. May be nil.
	Wrote func(ctx context.Context, w Written)
	// Provider is where people may log in beside tokens. May be nil.
	Provider *openid.Provider
	// Derive makes a key for a purpose, the same one in each replica; nil for the
	// moment. Required where there is a provider.
	Derive func(purpose string) []byte
	// NoTenants is true where subjects tell no tenant, so that nobody can be one's.
	NoTenants bool
	// Docs answers GET /docs, the page that shows the description. May be nil.
	Docs    http.HandlerFunc
	Version string // of the program
	Metrics prometheus.Registerer
	Log     *slog.Logger
	Now     func() time.Time // default time.Now
}

// API answers HTTP requests. Safe for concurrent use.
type API struct {
	o       Options
	access  *access
	mux     *http.ServeMux
	spec    []byte // openapi.json
	packed  []byte // the same by gzip
	pools   pools
	writers writers
	quiet   *rate.Limiter // of the log's lines about strangers

	looks         shared[liveKey, liveFound]
	figures       shared[figuresKey, store.Figures]
	figuresOfSome shared[figuresKey, []store.SubscriptionFigures]
	leaders       shared[struct{}, store.Leaders]

	streamsEnd chan struct{} // closed: all that is live ends
	endStreams func()
}

// pools are the places that callers share.
type pools struct{ bodies, requests, lists, probes, public, live, logins *share.Pool[string] }

// New checks the options.
func New(o Options) (*API, error) {
	for name, missing := range map[string]bool{
		"Catalog": o.Catalog == nil, "Parse": o.Parse == nil, "Probe": o.Probe == nil, "Tester": o.Tester == nil,
		"Audit": o.Audit == nil, "Metrics": o.Metrics == nil, "Log": o.Log == nil, "Derive": o.Provider != nil && o.Derive == nil,
	} {
		if missing {
			return nil, fmt.Errorf("api: option %s is missing", name)
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Busy == nil {
		o.Busy = func(context.Context) func() { return func() {} }
	}
	if len(o.TenantSubjects) == 0 {
		o.TenantSubjects = []string{"orders.{tenant}.>"}
	}
	a := &API{
		o: o, access: newAccess(o), mux: http.NewServeMux(),
		pools: pools{
			bodies: share.New[string](limits.APIBodies), requests: share.New[string](limits.APIRequests),
			lists:  share.New[string](limits.APILists),
			probes: share.New[string](limits.APIProbes), public: share.New[string](limits.APIPublic),
			live: share.New[string](limits.LiveStreams), logins: share.New[string](limits.OpenIDLogins),
		},
		looks:         shared[liveKey, liveFound]{fresh: limits.LiveLook / 2, most: limits.LiveStreams},
		figures:       shared[figuresKey, store.Figures]{fresh: limits.FiguresFresh, most: limits.FiguresKept},
		figuresOfSome: shared[figuresKey, []store.SubscriptionFigures]{fresh: limits.FiguresFresh, most: limits.FiguresKept},
		leaders:       shared[struct{}, store.Leaders]{fresh: limits.LeadersFresh, most: 1},
		streamsEnd:    make(chan struct{}),
		quiet:         rate.NewLimiter(limits.APIStrangerLines, 2*limits.APIStrangerLines),
	}
	a.endStreams = sync.OnceFunc(func() { close(a.streamsEnd) })
	for _, route := range a.routes() {
		a.mux.HandleFunc(route.method+" "+route.path, func(w http.ResponseWriter, r *http.Request) {
			out, err := route.handle(r)
			a.respond(w, r, out, err)
		})
	}
	a.mux.HandleFunc("GET "+livePath, a.live)
	if err := a.describe(); err != nil {
		return nil, fmt.Errorf("api: describe: %w", err)
	}
	return a, nil
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := requestID(r)
	rec := &recorder{ResponseWriter: w}
	header := rec.Header()
	header.Set("X-Request-Id", id)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'") // /docs has its own
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	start := a.o.Now()
	caller := &caller{}
	defer func() {
		if p := recover(); p != nil {
			// What a panic says may hold anything; the stack holds no texts.
			a.o.Log.Error("api: a request made the program panic", "request_id", id, "kind", fmt.Sprintf("%T", p),
				"path", shortPath(r), "stack", string(debug.Stack()))
			if rec.status == 0 {
				refuse(rec, r, http.StatusInternalServerError,
					"the request could not be answered; the log says more under the request id "+id)
			}
		}
		level := slog.LevelInfo
		if caller.name == "" && !a.quiet.Allow() {
			level = slog.LevelDebug
		}
		a.o.Log.Log(r.Context(), level, "api request", "method", shortMethod(r), "path", shortPath(r), "status",
			rec.status, "token", caller.name,
			"remote", a.access.remote(r), "duration_ms", a.o.Now().Sub(start).Milliseconds(), "request_id", id)
	}()
	ctx := r.Context()
	if r.URL.Path != livePath {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limits.APIRequestTime)
		defer cancel()
	}
	r = r.WithContext(context.WithValue(ctx, requestKey{}, id))
	a.route(rec, r, caller)
}

func (a *API) route(w http.ResponseWriter, r *http.Request, c *caller) {
	public := map[string]func(http.ResponseWriter, *http.Request){"/openapi.json": a.writeSpec, "/docs": a.o.Docs}[r.URL.Path]
	switch {
	case !a.access.hosts.Know(r.Host):
		refuse(w, r, http.StatusForbidden,
			"the API is not called "+quoteShort(r.Host)+
				"; use its address, or let the operator add the name to ORDERBRIDGE_API_HOSTS")
	case public != nil && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		give, ok := a.pools.public.Take(callers.Network(a.access.proxies.Client(r)).String())
		if !ok {
			a.tooMany(w, r, "too many answers to this address are under way")
			return
		}
		defer give()
		public(w, r)
	case public != nil:
		w.Header().Set("Allow", "GET, HEAD")
		refuse(w, r, http.StatusMethodNotAllowed, shortMethod(r)+" is not possible here")
	case !strings.HasPrefix(r.URL.Path, "/api/"):
		refuse(w, r, http.StatusNotFound, "there is nothing here; /docs shows what there is")
	case !callers.OwnPage(r):
		refuse(w, r, http.StatusForbidden, notOurPage(r))
	case r.URL.Path == loginPath:
		a.login(w, r)
	case a.access.admit(w, r, c):
		ctx := context.WithValue(msgget.WithDenials(r.Context(), a.o.Denials), callerKey{}, c)
		a.serve(w, r.WithContext(store.WithActor(ctx, c.actor(ctx, a.access.proxies.Client(r).String()))), c)
	}
}

// serve answers a caller that is known: first its body is read, then it takes
// its turn.
func (a *API) serve(w http.ResponseWriter, r *http.Request, c *caller) {
	if allowed := a.methods(r); allowed != nil {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		refuse(w, r, http.StatusMethodNotAllowed, shortMethod(r)+" is not possible here")
		return
	}
	if _, pattern := a.mux.Handler(r); pattern == "" {
		refuse(w, r, http.StatusNotFound, "there is nothing here; /docs shows what there is")
		return
	}
	if r.URL.Path == gatewayV1 && changesByGet(r) {
		refuse(w, r, http.StatusForbidden,
			"a browser sent this request and does not say for which page; register by POST to "+gatewayV2+
				", or with a program")
		return
	}
	if c.reads && changes(r) {
		refuse(w, r, http.StatusForbidden, "the token "+c.name+" may read only; use another one")
		return
	}
	if r.URL.Path == livePath {
		a.mux.ServeHTTP(w, r)
		return
	}
	give, ok := a.wait(r.Context(), a.pools.bodies, c.share)
	if !ok {
		a.tooMany(w, r, "too many requests of this caller at once")
		return
	}
	defer give()
	defer a.o.Busy(r.Context())()
	if !a.takeBody(w, r) {
		return
	}
	turn, ok := a.wait(r.Context(), a.pools.requests, c.share)
	give()
	if !ok {
		a.tooMany(w, r, "too many requests of this caller at once")
		return
	}
	defer turn()
	a.mux.ServeHTTP(w, r)
}

func (a *API) tooMany(w http.ResponseWriter, r *http.Request, detail string) {
	w.Header().Set("Retry-After", "1")
	refuse(w, r, http.StatusTooManyRequests, detail+"; try again in a second")
}

// Operator is true if the request carries a token that is confined to no tenant.
func (a *API) Operator(r *http.Request) bool { return a.access.operator(r) }

// SetTokens replaces the tokens; remedy says what to do where there is none.
func (a *API) SetTokens(tokens []Token, remedy string) { a.access.set(tokens, remedy) }

// methods are those that the path knows, if that of the request is none of them.
func (a *API) methods(r *http.Request) (allowed []string) {
	if r.URL.Path == gatewayV1 && r.Method == http.MethodHead {
		return []string{"GET"} // it would register
	}
	if _, pattern := a.mux.Handler(r); pattern != "" {
		return nil
	}
	for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := a.mux.Handler(other); pattern != "" {
			allowed = append(allowed, method)
		}
	}
	return allowed
}

type (
	requestKey struct{}
	callerKey  struct{}
)

// actor is who the audit is told to have done what the request does.
func (c *caller) actor(ctx context.Context, address string) store.Actor {
	tenant, _ := c.scope.Tenant()
	id, _ := ctx.Value(requestKey{}).(string)
	return store.Actor{Via: "api", Name: c.name, Tenant: tenant, Address: address, Request: id}
}

func callerOf(ctx context.Context) *caller { return ctx.Value(callerKey{}).(*caller) }

// requestID is the caller's own, if it can stand in a log line, else a new one.
func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	fits := id != "" && len(id) <= 64 && strings.IndexFunc(id, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._-", c))
	}) < 0
	if fits {
		return id
	}
	return uuid.NewString()
}

func shortPath(r *http.Request) string { return r.URL.Path[:min(len(r.URL.Path), 256)] }

func shortMethod(r *http.Request) string { return r.Method[:min(len(r.Method), 16)] }

// recorder remembers the status for the log.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController set deadlines.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// notOurPage says why a request is not of our own page. Where the browser says that it is,
// something between has changed Host.
func notOurPage(r *http.Request) string {
	if origin := r.Header.Get("Origin"); r.Header.Get("Sec-Fetch-Site") == "same-origin" && origin != "" {
		return fmt.Sprintf("this page is at %q, but Host says %q: the proxy in front of the bridge has to hand Host on as the browser sent it, with its port", origin, r.Host)
	}
	return "a page of another site sent this request"
}

// failure is the one place where an error becomes an answer of the API.
func (a *API) failure(ctx context.Context, err error) *problem {
	var p *problem
	var refused *store.RefusedError
	var problems record.Problems
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &problems):
		return badRecord(problems)
	case errors.Is(err, protocol.ErrNotFound):
		return coded(http.StatusNotFound, CodeNotFound, cmp.Or(store.NotFound(err), "there is no such thing here"))
	case errors.Is(err, store.ErrChanged):
		return coded(http.StatusConflict, CodeChanged, "the record was changed by somebody else meanwhile; read it again")
	case errors.As(err, &refused):
		return coded(cmp.Or(refused.Code, http.StatusConflict), CodeRefused, refused.Reason)
	case errors.Is(err, store.ErrBehind):
		return say(http.StatusServiceUnavailable, err.Error())
	case errors.Is(err, store.ErrNoJudge):
		return coded(http.StatusServiceUnavailable, CodeNoJudge, "no bridge has answered; try again")
	case errors.Is(err, store.ErrNoLeader):
		return coded(http.StatusServiceUnavailable, CodeNoLeader, "no bridge leads at the moment; try again")
	case errors.Is(err, nats.ErrPermissionViolation):
		return say(http.StatusServiceUnavailable, err.Error()+": the operator has to give its user this permission (deploy/nats/accounts.conf)")
	}
	a.o.Log.Warn("api: the bus did not do what was asked", "error", err, "request_id", ctx.Value(requestKey{}))
	if errors.Is(err, context.DeadlineExceeded) {
		return say(http.StatusGatewayTimeout, "the bus gave no answer in time; try again")
	}
	return say(http.StatusServiceUnavailable, "the bus cannot be asked at the moment; try again")
}
