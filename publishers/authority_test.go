package publishers

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// authority is an OAuth 2.0 token server for the grant client_credentials
// (RFC 6749, 2.3.1, 4.4 and 5), and an endpoint that takes its tokens (RFC 6750).
type authority struct {
	options  authorityOptions
	server   *httptest.Server
	endpoint *httptest.Server
	asked    atomic.Int32 // for a token
	attempts atomic.Int32
	refuse   atomic.Int32 // answers of 401 that are left

	mu     sync.Mutex
	tokens map[string]time.Time // that were given, and until when they are good
}

type authorityOptions struct {
	inBody  bool          // credentials in the body only
	expires time.Duration // of a token, whole seconds; 0: 1 h
	scope   string        // that must be asked for
}

func newAuthority(t *testing.T, o authorityOptions) *authority {
	t.Helper()
	if o.expires == 0 {
		o.expires = time.Hour
	}
	a := &authority{options: o, tokens: map[string]time.Time{}}
	a.server = receiver(t, func(w http.ResponseWriter, r *http.Request) { a.giveToken(t, w, r) })
	a.endpoint = receiver(t, func(w http.ResponseWriter, r *http.Request) {
		a.attempts.Add(1)
		if !a.good(r) || a.refuse.Add(-1) >= 0 {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, "refused %s", r.Header.Get("Authorization"))
		}
	})
	return a
}

// giveToken answers a request to the token endpoint.
func (a *authority) giveToken(t *testing.T, w http.ResponseWriter, r *http.Request) {
	a.asked.Add(1)
	if err := r.ParseForm(); err != nil || r.PostForm.Get("grant_type") != "client_credentials" || r.Method != http.MethodPost {
		t.Errorf("asked with %s %v", r.Method, r.PostForm)
	}
	if r.PostForm.Get("scope") != a.options.scope || r.Header.Get("User-Agent") != "orderbridge/test" {
		t.Errorf("scope %q, user agent %q", r.PostForm.Get("scope"), r.Header.Get("User-Agent"))
	}
	id, secret := r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	if !a.options.inBody {
		name, password, _ := r.BasicAuth() // both form encoded
		id, secret = unescape(t, name), unescape(t, password)
	}
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.Header().Set("Cache-Control", "no-store")
	if id != "bridge:1" || secret != "s3cret&/ü" {
		w.WriteHeader(http.StatusUnauthorized)
		_ = json.NewEncoder(w).Encode(map[string]any{"error": "invalid_client", "error_description": "Client authentication failed"})
		return
	}
	token := rand.Text()
	a.mu.Lock()
	a.tokens[token] = time.Now().Add(a.options.expires)
	a.mu.Unlock()
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": int(a.options.expires.Seconds()), "scope": a.options.scope})
}

// good tells whether a request carries a token that is good.
func (a *authority) good(r *http.Request) bool {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Now().Before(a.tokens[token])
}

// forget makes all tokens worthless that were given.
func (a *authority) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.tokens)
}

func unescape(t *testing.T, text string) string {
	t.Helper()
	plain, err := url.QueryUnescape(text)
	if err != nil {
		t.Errorf("%q is not form encoded: %v", text, err)
	}
	return plain
}
