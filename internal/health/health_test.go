package health

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"orderbridge/internal/lab"
	"orderbridge/internal/limits"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a server on a free port until the test ends.
func start(t *testing.T, readiness func() Readiness) (url string) {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "test_total"}))
	s, err := Listen(Options{Listen: "127.0.0.1:0", Readiness: readiness, Metrics: registry, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("stop: %v", err)
			}
		case <-time.After(lab.Patience):
			t.Error("does not stop")
		}
	})
	return "http://" + s.Addr().String()
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), lab.Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestReadyzTellsRoleAndReasons(t *testing.T) {
	t.Parallel()
	var now atomic.Pointer[Readiness]
	now.Store(&Readiness{Role: RoleStandby, Reasons: []string{"the bus is not connected", "records are not read yet"}})
	url := start(t, func() Readiness { return *now.Load() })

	status, body := get(t, url+"/readyz")
	var got Readiness
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatalf("%q: %v", body, err)
	}
	if status != http.StatusServiceUnavailable || got.Ready || got.Role != RoleStandby || !slices.Equal(got.Reasons, now.Load().Reasons) {
		t.Errorf("got %d %+v", status, got)
	}

	now.Store(&Readiness{Ready: true, Role: RoleLeader})
	if status, body := get(t, url+"/readyz"); status != http.StatusOK || strings.TrimSpace(body) != `{"ready":true,"role":"leader"}` {
		t.Errorf("got %d %s", status, body)
	}
}

func TestHealthzAndMetricsAnswerWhenNotReady(t *testing.T) {
	t.Parallel()
	url := start(t, func() Readiness { return Readiness{} })
	if status, _ := get(t, url+"/healthz"); status != http.StatusOK {
		t.Errorf("/healthz: %d", status)
	}
	if status, body := get(t, url+"/metrics"); status != http.StatusOK || !strings.Contains(body, "test_total 0") {
		t.Errorf("/metrics: %d %q", status, body)
	}
	if status, _ := get(t, url+"/"); status != http.StatusNotFound {
		t.Errorf("/: %d", status)
	}
}

func TestListenNamesTheAddressThatIsTaken(t *testing.T) {
	t.Parallel()
	taken, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, err = Listen(Options{
		Listen: taken.Addr().String(), Readiness: func() Readiness { return Readiness{} },
		Metrics: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler),
	})
	if err == nil || !strings.Contains(err.Error(), taken.Addr().String()) || !strings.Contains(err.Error(), "ORDERBRIDGE_HTTP_LISTEN") {
		t.Errorf("got %v", err)
	}
}

func TestListenWantsItsOptions(t *testing.T) {
	t.Parallel()
	if _, err := Listen(Options{Listen: "127.0.0.1:0"}); err == nil {
		t.Error("got no error")
	}
}

func TestSlowHeadersAreCutOff(t *testing.T) {
	t.Parallel()
	url := start(t, func() Readiness { return Readiness{} })
	conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow:"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := conn.SetReadDeadline(began.Add(lab.Patience)); err != nil {
		t.Fatal(err)
	}
	// The server ends the connection, with or without an answer, before our own deadline.
	if _, err := io.Copy(io.Discard, conn); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the connection stayed open: %v", err)
	}
	lab.Promise(t, "until a slow head is cut off", time.Since(began), limits.HTTPReadTime+5*time.Second)
}
