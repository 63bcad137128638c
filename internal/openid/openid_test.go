package openid

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"orderbridge/internal/limits"
)

// liar is an OpenID provider that answers whatever a test wants; those that answer as
// they should are tried with a real one (internal/e2e).
type liar struct {
	*httptest.Server
	key    *rsa.PrivateKey
	asked  atomic.Int64   // descriptions
	says   map[string]any // over the description
	claims map[string]any // over the id token
	raw    func(w http.ResponseWriter, r *http.Request) bool
	nonce  string
}

func lie(t *testing.T) (*liar, *Provider, *bytes.Buffer) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	l := &liar{key: key, says: map[string]any{}, claims: map[string]any{}}
	l.Server = httptest.NewServer(l)
	t.Cleanup(l.Close)
	log := &bytes.Buffer{}
	p := New(Options{Issuer: l.URL, ClientID: "bridge", ClientSecret: "client-secret", PublicURL: "https://bridge.example.com/", RoleClaim: "realm.roles",
		TenantClaim: "tenant", Log: slog.New(slog.NewTextHandler(log, nil))})
	return l, p, log
}

func (l *liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if l.raw != nil && l.raw(w, r) {
		return
	}
	answer := func(base, over map[string]any) map[string]any {
		for k, v := range over {
			if base[k] = v; v == nil {
				delete(base, k)
			}
		}
		return base
	}
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		l.asked.Add(1)
		_ = json.NewEncoder(w).Encode(answer(map[string]any{"issuer": l.URL, "authorization_endpoint": l.URL + "/auth", "token_endpoint": l.URL + "/token",
			"jwks_uri": l.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"}}, l.says))
	case "/keys":
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &l.key.PublicKey, KeyID: "1", Algorithm: "RS256", Use: "sig"}}})
	case "/token":
		now := time.Now()
		payload, _ := json.Marshal(answer(map[string]any{"iss": l.URL, "sub": "7", "aud": "bridge", "nonce": l.nonce, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
			"realm": map[string]any{"roles": []string{"operator"}}}, l.claims))
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: l.key, KeyID: "1"}}, nil)
		if err != nil {
			panic(err)
		}
		signed, err := signer.Sign(payload)
		if err != nil {
			panic(err)
		}
		token, _ := signed.CompactSerialize()
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "access", "token_type": "Bearer", "id_token": token})
	}
}

// login goes through one, without the browser's part.
func (l *liar) login(t *testing.T, p *Provider) (Person, error) {
	t.Helper()
	_, a, err := p.Begin(context.Background())
	if err != nil {
		return Person{}, err
	}
	l.nonce = a.Nonce
	return p.End(t.Context(), a, url.Values{"code": {"the-code"}, "state": {a.State}})
}

func TestIDTokens(t *testing.T) {
	t.Parallel()
	now := time.Now()
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	const refused = "refused"
	for name, one := range map[string]struct {
		claims map[string]any
		want   string
	}{
		"good":                     {nil, "{7  { false}}"},
		"a reader, by name":        {map[string]any{"realm": nil, "realm.roles": "tenant:read", "tenant": "acme", "email": "a@b\nc"}, "{7 a@b c {acme true}}"},
		"another issuer":           {map[string]any{"iss": "https://evil.example.com"}, refused},
		"for another client":       {map[string]any{"aud": "other"}, refused},
		"for two, to another":      {map[string]any{"aud": []string{"bridge", "other"}, "azp": "other"}, refused},
		"for two, to nobody":       {map[string]any{"aud": []string{"bridge", "other"}}, refused},
		"for two, to us":           {map[string]any{"aud": []string{"bridge", "other"}, "azp": "bridge"}, "{7  { false}}"},
		"to another":               {map[string]any{"azp": "other"}, refused},
		"another nonce":            {map[string]any{"nonce": "x"}, refused},
		"no nonce":                 {map[string]any{"nonce": nil}, refused},
		"expired, clocks differ":   {map[string]any{"exp": at(-limits.OpenIDSkew / 2)}, "{7  { false}}"},
		"expired":                  {map[string]any{"exp": at(-2 * limits.OpenIDSkew)}, refused},
		"of ever":                  {map[string]any{"exp": nil}, refused},
		"issued in an hour":        {map[string]any{"iat": at(time.Hour)}, refused},
		"not yet good":             {map[string]any{"nbf": at(time.Hour)}, refused},
		"of nobody":                {map[string]any{"sub": ""}, refused},
		"of a long name":           {map[string]any{"sub": strings.Repeat("7", 256)}, refused},
		"of a name that hides":     {map[string]any{"sub": "7\u202e"}, refused},
		"the same role twice":      {map[string]any{"realm": map[string]any{"roles": []any{"operator", "operator"}}}, "{7  { false}}"},
		"a role that is no text":   {map[string]any{"realm": map[string]any{"roles": []any{"operator", 7}}}, refused},
		"a role in another case":   {map[string]any{"realm": map[string]any{"roles": "Operator"}}, refused},
		"a tenant with a wildcard": {map[string]any{"realm": map[string]any{"roles": "tenant"}, "tenant": "a.*"}, refused},
	} {
		l, p, log := lie(t)
		l.claims = one.claims
		got, err := l.login(t, p)
		var r *Refusal
		switch {
		case one.want == refused && !errors.As(err, &r):
			t.Errorf("%s: %+v, %v", name, got, err)
		case one.want != refused && (err != nil || fmt.Sprint(got) != one.want):
			t.Errorf("%s: %+v, %v\n%s", name, got, err, log)
		}
	}
}

func TestKeysOfOthers(t *testing.T) {
	t.Parallel()
	l, p, _ := lie(t)
	good := l.key
	if _, err := l.login(t, p); err != nil {
		t.Fatal(err)
	}
	l.key, _ = rsa.GenerateKey(rand.Reader, 2048)
	l.raw = func(w http.ResponseWriter, r *http.Request) bool { // the keys stay those they were
		if r.URL.Path != "/keys" {
			return false
		}
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &good.PublicKey, KeyID: "1", Algorithm: "RS256", Use: "sig"}}})
		return true
	}
	if got, err := l.login(t, p); err == nil {
		t.Errorf("a token of another key lets %v in", got)
	}
	l.raw = nil // the provider has changed its key
	if _, err := l.login(t, p); err != nil {
		t.Error(err)
	}
}

// Whose token cannot be held against the provider's keys is not refused for it.
func TestKeysThatCannotBeFetched(t *testing.T) {
	t.Parallel()
	l, p, log := lie(t)
	var keys atomic.Pointer[func(http.ResponseWriter)] // nil: as they are
	l.raw = func(w http.ResponseWriter, r *http.Request) bool {
		answer := keys.Load()
		if r.URL.Path != "/keys" || answer == nil {
			return false
		}
		(*answer)(w)
		return true
	}
	for name, answer := range map[string]func(http.ResponseWriter){
		"cut off":   func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
		"an error":  func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) },
		"not JSON":  func(w http.ResponseWriter) { fmt.Fprint(w, "<p>maintenance</p>") },
		"too large": func(w http.ResponseWriter) { fmt.Fprint(w, strings.Repeat(" ", 2*limits.OpenIDBytes)) },
	} {
		keys.Store(&answer)
		var r *Refusal
		if _, err := l.login(t, p); err == nil || errors.As(err, &r) || !strings.Contains(err.Error(), "cannot be asked for its keys at the moment") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if strings.Contains(log.String(), "eyJ") {
		t.Errorf("the log holds a token: %s", log)
	}
	keys.Store(nil)
	if _, err := l.login(t, p); err != nil {
		t.Error(err)
	}
}

func TestProviderThatMisbehaves(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*liar){
		"another name":       func(l *liar) { l.says["issuer"] = "https://evil.example.com" },
		"a script":           func(l *liar) { l.says["authorization_endpoint"] = "javascript:alert(1)" },
		"a file":             func(l *liar) { l.says["token_endpoint"] = "file:///etc/passwd" },
		"no keys":            func(l *liar) { l.says["jwks_uri"] = nil },
		"much":               func(l *liar) { l.says["much"] = strings.Repeat("x", 2*limits.OpenIDBytes) },
		"a user in its URL":  func(l *liar) { l.says["token_endpoint"] = "http://me@127.0.0.1/" },
		"somewhere else":     redirects("/.well-known/openid-configuration"),
		"a token from there": redirects("/token"),
		"its body shown": func(l *liar) {
			l.raw = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/token" {
					http.Error(w, "the-body client-secret", http.StatusBadRequest)
				}
				return r.URL.Path == "/token"
			}
		},
	} {
		l, p, log := lie(t)
		change(l)
		_, err := l.login(t, p)
		if err == nil || strings.Contains(err.Error(), "the-body") || strings.Contains(log.String(), "client-secret") {
			t.Errorf("%s: %v\n%s", name, err, log)
		}
	}
}

// What a provider is sent it may say in its errors: the log holds none of it.
func TestWordsOfAProvider(t *testing.T) {
	t.Parallel()
	for at, answer := range map[string]string{
		"/token": `{"error":"invalid_grant","error_description":"AUTH BODY"}`, "/me": "AUTH BODY",
	} {
		l, p, log := lie(t)
		var sent []string
		l.says["userinfo_endpoint"] = l.URL + "/me"
		l.raw = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != at {
				return false
			}
			body, _ := io.ReadAll(r.Body)
			form, _ := url.ParseQuery(string(body))
			_, basic, _ := strings.Cut(r.Header.Get("Authorization"), " ")
			for _, secret := range []string{basic, form.Get("code"), form.Get("code_verifier")} {
				if secret != "" {
					sent = append(sent, secret)
				}
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, strings.NewReplacer("AUTH", basic, "BODY", string(body)).Replace(answer))
			return true
		}
		_, _ = l.login(t, p)
		if len(sent) == 0 || !strings.Contains(log.String(), "[secret]") {
			t.Errorf("%s: nothing was sent, or told: %s", at, log)
		}
		for _, secret := range sent {
			if strings.Contains(log.String(), secret) {
				t.Errorf("%s: the log holds %q: %s", at, secret, log)
			}
		}
	}
}

func redirects(from string) func(*liar) {
	return func(l *liar) {
		l.raw = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == from {
				http.Redirect(w, r, "http://169.254.169.254/", http.StatusTemporaryRedirect)
			}
			return r.URL.Path == from
		}
	}
}

// Whoever knocks while the provider is away does not have it asked again and again,
// and one that was there goes on being known.
func TestDiscoveryIsBounded(t *testing.T) {
	t.Parallel()
	l, p, _ := lie(t)
	now := time.Now()
	p.o.Now = func() time.Time { return now }
	l.says["issuer"] = "https://evil.example.com"
	for range 20 {
		if _, _, err := p.Begin(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot be asked for its description") {
			t.Fatal(err)
		}
	}
	if n := l.asked.Load(); n != 1 {
		t.Errorf("it was asked %d times", n)
	}
	now = now.Add(2 * limits.OpenIDRetry)
	delete(l.says, "issuer")
	for range 20 {
		if _, _, err := p.Begin(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(2 * limits.OpenIDKeep)
	l.Close()
	if _, _, err := p.Begin(t.Context()); err != nil || l.asked.Load() != 2 {
		t.Errorf("%v after %d descriptions", err, l.asked.Load())
	}
}
