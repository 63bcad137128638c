package health

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"orderbridge/internal/limits"
)

// Readiness is the body of /readyz.
type Readiness struct {
	Ready   bool     `json:"ready"`
	Role    string   `json:"role"`              // RoleLeader or RoleStandby
	Reasons []string `json:"reasons,omitempty"` // why it is not ready, one line each
}

// Roles of a replica.
const (
	RoleLeader  = "leader"
	RoleStandby = "standby"
)

// Options of a Server. All are required but Else.
type Options struct {
	Listen    string           // host:port; port 0 takes a free one
	Readiness func() Readiness // asked for each request; must not block
	Metrics   prometheus.Gatherer
	Log       *slog.Logger
	// Else answers what is none of the three; nil: 404.
	Else http.Handler
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
		listener: listener,
		http: http.Server{
			Handler:           handler(o),
			ReadHeaderTimeout: limits.HTTPReadTime,
			ReadTimeout:       limits.HTTPReadTime,
			WriteTimeout:      limits.HTTPWriteTime,
			IdleTimeout:       limits.HTTPIdleTime,
			MaxHeaderBytes:    limits.HTTPHeaderBytes,
			ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
		},
	}, nil
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
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		r := o.Readiness()
		status := http.StatusOK
		if !r.Ready {
			status = http.StatusServiceUnavailable
		}
		answer(w, status, r)
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{
		MaxRequestsInFlight: limits.HTTPScrapes,
		Timeout:             limits.HTTPWriteTime / 2,
		ErrorLog:            slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn),
	}))
	if o.Else != nil {
		return others(mux, o.Else)
	}
	return mux
}

// others gives what mux does not know to h as it came: no path is cleaned, no
// request redirected.
func others(mux *http.ServeMux, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/healthz", "/readyz", "/metrics":
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
	_ = json.NewEncoder(w).Encode(body)
}
