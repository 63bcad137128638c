package client

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

func serving(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	c, err := New(Options{URL: server.URL, Token: "secret-token-of-16", Version: "1"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What a server says without end is cut off.
func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	c := serving(t, func(w http.ResponseWriter, _ *http.Request) {
		part := bytes.Repeat([]byte(" "), 1<<20)
		for range limits.ClientAnswerBytes>>20 + 2 {
			if _, err := w.Write(part); err != nil {
				return
			}
		}
	})
	_, err := c.Overview(t.Context())
	if err == nil || !strings.Contains(err.Error(), "more than 16 MiB") {
		t.Errorf("got %v", err)
	}
}

// The token goes to the server alone, and errors show the API's own words.
func TestWhatIsAnswered(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	t.Cleanup(other.Close)
	answers := map[string]func(w http.ResponseWriter){
		"moved": func(w http.ResponseWriter) { w.Header().Set("Location", other.URL); w.WriteHeader(http.StatusFound) },
		"none": func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"detail":"there is no such thing here","code":"not-found"}`))
		},
		"refused": func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusConflict)
			_, _ = w.Write([]byte(`{"detail":"it is paused","code":"refused"}`))
		},
		"html": func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway); _, _ = w.Write([]byte("<html>")) },
	}
	c := serving(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret-token-of-16" {
			t.Error("the token does not come")
		}
		answers[r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]](w)
	})
	read := func(id string) error {
		_, err := c.Record(t.Context(), store.Everything(), id)
		if err == nil || strings.Contains(err.Error(), "secret-token") {
			t.Errorf("%s: got %v", id, err)
		}
		return err
	}
	if err := read("moved"); !strings.Contains(err.Error(), "refers elsewhere") {
		t.Error(err)
	}
	if err := read("none"); !errors.Is(err, protocol.ErrNotFound) || err.Error() != "there is no such thing here" {
		t.Error(err)
	}
	var no *store.RefusedError
	if err := read("refused"); !errors.As(err, &no) || no.Reason != "it is paused" {
		t.Error(err)
	}
	if err := read("html"); !strings.Contains(err.Error(), "502") {
		t.Error(err)
	}
}

// A server is named without secrets, and trusted by the file that is given.
func TestOptions(t *testing.T) {
	t.Parallel()
	bad := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bad, []byte("no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, o := range []Options{{URL: ""}, {URL: "nats://h:4222"}, {URL: "https://u:secret@h/"}, {URL: "https://h/?a=secret"},
		{URL: "https://h", CAFile: bad}, {URL: "https://h", CAFile: bad + "x"}} {
		if _, err := New(o); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v", o.URL, err)
		}
	}
}

// Orders may be called . and .., and hold what proxies decode in a path: none of it is a way to go.
func TestOrdersByQuery(t *testing.T) {
	t.Parallel()
	var came string
	c := serving(t, func(w http.ResponseWriter, r *http.Request) {
		came = r.URL.EscapedPath() + " " + r.URL.Query().Get("order")
		_, _ = w.Write([]byte(`{}`))
	})
	for _, order := range []string{".", "..", "...", "a/b ü?", "100%", "a&b=c#d"} {
		if _, err := c.Order(t.Context(), store.Everything(), store.OrderQuery{Order: order}); err != nil || came != "/api/v1/orders "+order {
			t.Errorf("%q: asked for %s, %v", order, came, err)
		}
	}
}

// A server that is none of ours, or newer, makes no command panic.
func TestAnswersAreWhole(t *testing.T) {
	t.Parallel()
	c := serving(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"items":[{"id":"a"}]}`)) })
	ctx, all := t.Context(), store.Everything()
	for name, ask := range map[string]func() error{
		"owed":    func() error { _, _, err := c.Owed(ctx, all, "", "", 10); return err },
		"explain": func() error { _, err := c.Explain(ctx, all, store.ExplainRequest{}); return err },
		"replay":  func() error { _, err := c.Replay(ctx, all, bridge.ReplayRequest{}); return err },
		"dry run": func() error { _, err := c.Replay(ctx, all, bridge.ReplayRequest{DryRun: true}); return err },
		"rewind":  func() error { _, err := c.Rewind(ctx, all, bridge.RewindRequest{}); return err },
		"adopt":   func() error { _, err := c.AskStream(ctx, store.StreamRequest{Adopt: true}); return err },
	} {
		if err := ask(); err == nil || !strings.Contains(err.Error(), "of the same version?") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whoever gives up earlier than the client does is told when.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	c := serving(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := c.Overview(ctx); err == nil || !strings.Contains(err.Error(), "gave no answer within") || strings.Contains(err.Error(), "within 20s") {
		t.Error(err)
	}
}

// What may pass by itself is told apart from what stays.
func TestAway(t *testing.T) {
	t.Parallel()
	status := http.StatusServiceUnavailable
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	defer s.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	ask := func(url, ca string) error {
		c, err := New(Options{URL: url, Token: "t", CAFile: ca})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, err = c.Overview(t.Context())
		return err
	}
	if err := ask(s.URL, ca); !errors.Is(err, ErrAway) {
		t.Errorf("503: %v", err)
	}
	status = http.StatusUnauthorized
	if err := ask(s.URL, ca); err == nil || errors.Is(err, ErrAway) {
		t.Errorf("401: %v", err)
	}
	if err := ask(s.URL, ""); err == nil || errors.Is(err, ErrAway) {
		t.Errorf("an unknown authority: %v", err)
	}
	s.Close()
	if err := ask(s.URL, ca); !errors.Is(err, ErrAway) {
		t.Errorf("nobody listens: %v", err)
	}
}
