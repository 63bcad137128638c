package publishers

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"orderbridge/bridge"
	"orderbridge/internal/egress"
)

// connectProxy is a real HTTP proxy that does CONNECT only.
func connectProxy(t *testing.T, tunnels *atomic.Int32, status int) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || status != http.StatusOK {
			w.WriteHeader(status)
			return
		}
		tunnels.Add(1)
		out, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		in, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(in, "HTTP/1.1 200 OK\r\n\r\n")
		go func() {
			_, _ = io.Copy(out, in)
			_ = out.Close()
		}()
		_, _ = io.Copy(in, out)
		_ = in.Close()
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// TestDeliversThroughAProxy: TLS goes end to end, and the guard judges the
// address in the URL, not that of the proxy.
func TestDeliversThroughAProxy(t *testing.T) {
	t.Parallel()
	var tunnels, hits atomic.Int32
	server := receiver(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	proxy := connectProxy(t, &tunnels, http.StatusOK)
	w := newWebhook(t, func(o *Options) { o.Proxy = proxy })
	for range 3 {
		if err := publish(shortly(t), w, delivery(server.URL)); err != nil {
			t.Fatal(err)
		}
	}
	if hits.Load() != 3 || tunnels.Load() != 1 {
		t.Errorf("%d requests by %d tunnels, want 3 by 1", hits.Load(), tunnels.Load())
	}

	guarded := newWebhook(t, func(o *Options) { o.Proxy, o.DialControl = proxy, egress.Policy{}.Control })
	err := publish(shortly(t), guarded, delivery(server.URL))
	if err == nil || !strings.Contains(err.Error(), egress.Setting) || tunnels.Load() != 1 {
		t.Errorf("a private address in the URL: %v, %d tunnels", err, tunnels.Load())
	}
}

func TestProxyThatRefuses(t *testing.T) {
	t.Parallel()
	var tunnels atomic.Int32
	server := receiver(t, func(http.ResponseWriter, *http.Request) {})
	w := newWebhook(t, func(o *Options) { o.Proxy = connectProxy(t, &tunnels, http.StatusForbidden) })
	err := publish(shortly(t), w, delivery(server.URL))
	var a *bridge.AttemptError
	if !errors.As(err, &a) || a.Fault != bridge.FaultTransport || !strings.Contains(a.Reason, "403") {
		t.Errorf("got %v", err)
	}
}
