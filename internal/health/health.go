package health

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"orderbridge/internal/callers"
	"orderbridge/internal/limits"
	"orderbridge/internal/safetext"
)

// Readiness is the body of /readyz.
type Readiness struct {
	Ready   bool     `json:"ready"`
	Role    string   `json:"role"`              // RoleLeader or RoleStandby
	Reasons []string `json:"reasons,omitempty"` // why it is not ready, one line each
	Shards  *Shards  `json:"shards,omitempty"`  // where there are several
}

// Shards are those of the bridge, and which of them the replica leads.
type Shards struct {
	Of    int   `json:"of"`
	Leads []int `json:"leads"`
}

// Roles of a replica.
const (
	RoleLeader  = "leader"
	RoleStandby = "standby"
)

// Options of a Server. All are required but those for which it is said.
type Options struct {
	Listen    string           // host:port; port 0 takes a free one
	Readiness func() Readiness // asked for each request; must not block
	Metrics   prometheus.Gatherer
	// Named are metrics that name subscriptions and tenants: for callers who are
	// told the reasons as well. nil: there are none.
	Named prometheus.Gatherer
	Log   *slog.Logger
	// Else answers what is none of the three; nil: 404.
	Else http.Handler
	// Hosts are the names under which /readyz and /metrics may be asked.
	Hosts callers.Hosts
	// Insider says who is told the reasons in full beside callers on this
	// machine: they may name addresses and subscriptions. nil: nobody.
	Insider func(*http.Request) bool
}

// Server answers from Listen on until Run returns.
type Server struct {
	listener net.Listener
	http     http.Server
}

// Listen takes the address; requests are answered once Run is called.
func Listen(o Options) (*Server, error) {
	if o.Readiness == nil || o.Metrics == nil || o.Log == nil {
		return nil, errors.New("health: Readiness, Metrics and Log are required")
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(context.Background(), "tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w; set ORDERBRIDGE_HTTP_LISTEN to a free address", o.Listen, err)
	}
	return &Server{
		listener: newCrowd(listener, connections()),
		http: http.Server{
			Handler:           handler(o),
			ReadHeaderTimeout: limits.HTTPReadTime,
			ReadTimeout:       limits.HTTPReadTime, // whoever reads a body changes it
			WriteTimeout:      limits.HTTPWriteTime,
			IdleTimeout:       limits.HTTPIdleTime,
			MaxHeaderBytes:    limits.HTTPHeaderBytes,
			ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
			ConnContext:       func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, guestKey{}, c) },
		},
	}, nil
}

// connections is how many there may be: callers must leave descriptors for
// deliveries.
func connections() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return limits.HTTPConnections
	}
	return int(min(limits.HTTPConnections, max(limit.Cur/limits.HTTPDescriptorsShare, 8)))
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Run answers until ctx ends, lets running requests finish for a bounded time
// and returns nil; any other end is an error.
func (s *Server) Run(ctx context.Context) error {
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), limits.HTTPCloseTime)
		defer cancel()
		err := s.http.Shutdown(bound)
		if err != nil {
			err = s.http.Close()
		}
		stopped <- err
	})
	err := s.http.Serve(s.listener)
	if stop() || !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve http on %s: %w", s.Addr(), err)
	}
	return <-stopped
}

func handler(o Options) http.Handler {
	mux := http.NewServeMux()
	// Whoever asks under whatever name: a program that runs must not be restarted.
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", o.known(func(w http.ResponseWriter, req *http.Request) {
		r := o.Readiness()
		status := http.StatusOK
		if !r.Ready {
			status = http.StatusServiceUnavailable
		}
		if len(r.Reasons) > 0 && !o.inside(req) {
			r.Reasons = []string{outside}
		}
		answer(w, status, r)
	}))
	mux.HandleFunc("GET /metrics", o.known(scrapes(o)))
	if o.Else != nil {
		return others(mux, o.Else)
	}
	return mux
}

// outside is what others learn instead of the reasons.
const outside = "the reasons are told on this machine (`orderbridge healthcheck`), in the log, and to whoever sends a token that is confined to no tenant: Authorization: Bearer TOKEN"

// inside is true for callers who may know the reasons. A proxy on this machine
// asks for others.
func (o Options) inside(r *http.Request) bool {
	local := callers.Remote(r.RemoteAddr).IsLoopback()
	for _, name := range []string{"X-Forwarded-For", "Forwarded", "X-Real-Ip", "Via"} {
		local = local && r.Header.Get(name) == ""
	}
	return local && callers.OwnPage(r) || o.Insider != nil && o.Insider(r)
}

// known refuses a page that has found us under a name of its own.
func (o Options) known(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !o.Hosts.KnowHere(r.Host) {
			answer(w, http.StatusForbidden, map[string]string{"error": "this program is not called " +
				strings.ToValidUTF8(r.Host[:min(len(r.Host), 100)],
					"?") + "; use its address, or let the operator add the name to ORDERBRIDGE_API_HOSTS"})
			return
		}
		next(w, r)
	}
}

// others gives what mux does not know to h as it came: no path is cleaned, no
// request redirected.
func others(mux *http.ServeMux, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/healthz", "/readyz", "/metrics":
			w.Header().Set("X-Content-Type-Options", "nosniff")
			w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
			mux.ServeHTTP(w, r)
		default:
			h.ServeHTTP(w, r)
		}
	})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	// A caller that has gone away is nobody's failure.
	_ = json.NewEncoder(safetext.Writer{Under: w}).Encode(body)
}
