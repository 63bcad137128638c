package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"orderbridge/internal/limits"
)

// browser asks as a page does: with its cookies, from its own origin.
type browser struct {
	t       *testing.T
	api     *API
	cookie  *http.Cookie
	page    string // key of the session's page
	origin  string
	headers map[string]string
}

func (b *browser) ask(method, path, body string) *httptest.ResponseRecorder {
	b.t.Helper()
	r := httptest.NewRequestWithContext(b.t.Context(), method, "http://127.0.0.1:8080"+path, strings.NewReader(body))
	if b.origin != "" {
		r.Header.Set("Origin", b.origin)
	}
	for name, value := range b.headers {
		r.Header.Set(name, value)
	}
	if b.page != "" {
		r.Header.Set(pageHeader, b.page)
	}
	if b.cookie != nil {
		r.AddCookie(&http.Cookie{Name: b.cookie.Name, Value: b.cookie.Value})
	}
	w := httptest.NewRecorder()
	b.api.ServeHTTP(w, r)
	return w
}

// login exchanges a token for a cookie.
func (b *browser) login(token string) *httptest.ResponseRecorder {
	b.t.Helper()
	b.headers = map[string]string{"Authorization": "Bearer " + token, consoleHeader: consoleActs}
	b.cookie, b.page = nil, ""
	w := b.ask("POST", sessionPath, "")
	var shown shownSession
	if json.Unmarshal(w.Body.Bytes(), &shown) == nil {
		b.page = shown.PageKey
	}
	b.headers = map[string]string{consoleHeader: consoleActs}
	if cookies := w.Result().Cookies(); len(cookies) == 1 {
		b.cookie = cookies[0]
	}
	return w
}

func (b *browser) enter(token string) *browser {
	b.login(token)
	return b
}

func TestSession(t *testing.T) {
	t.Parallel()
	const acme = "0123456789abcdef-acme"
	a, _ := start(t, func(o *Options) { o.Tokens = append(o.Tokens, Token{Name: "acme", Secret: acme, Tenant: "acme"}) })
	b := &browser{t: t, api: a, origin: "http://127.0.0.1:8080"}

	if w := b.login("wrong-0123456789abcdef"); w.Code != 401 || b.cookie != nil {
		t.Fatalf("a wrong token: %d, %v", w.Code, b.cookie)
	}
	w := b.login(acme)
	if w.Code != 200 || b.cookie == nil || !strings.Contains(w.Body.String(), `"role":"tenant"`) {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if line := w.Header().Get("Set-Cookie"); !strings.Contains(line, "HttpOnly") || !strings.Contains(line, "SameSite=Strict") ||
		strings.Contains(line, "Secure") || strings.Contains(line, "Path") || strings.Contains(line, acme) {
		t.Errorf("the cookie is %s", line)
	}
	// What a tenant may see is decided by the API.
	for path, want := range map[string]int{"/api/v1/statuses": 200, "/api/v1/leaders": 200, "/api/v1/overview": 403, "/api/v1/audit": 403, sessionPath: 200} {
		if w := b.ask("GET", path, ""); w.Code != want {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	// A write needs the header, and the page must be ours.
	b.headers = nil
	if w := b.ask("POST", "/api/v1/judge", "{}"); w.Code != 401 {
		t.Errorf("a write without the header: %d", w.Code)
	}
	b.headers = map[string]string{consoleHeader: "watch"}
	if w := b.ask("POST", "/api/v1/judge", "{}"); w.Code == 401 || w.Code == 403 {
		t.Errorf("a write with the header: %d %s", w.Code, w.Body)
	}
	b.origin = "https://evil.example.com"
	if w := b.ask("POST", "/api/v1/judge", "{}"); w.Code != 403 {
		t.Errorf("a write from another page: %d", w.Code)
	}
	b.origin = "https://127.0.0.1:8080"
	if b.login(acme); !b.cookie.Secure || b.cookie.Path != "/" || b.cookie.Name != "__Host-orderbridge_session" {
		t.Errorf("the cookie of a page over TLS is %v", b.cookie)
	}
	// The cookie alone is worth nothing, nor with the key of another session.
	for _, page := range []string{"", "x", (&browser{t: t, api: a, origin: b.origin}).enter(acme).page} {
		mine := b.page
		b.page = page
		if w := b.ask("GET", sessionPath, ""); w.Code != 401 {
			t.Errorf("with the page key %q: %d", page, w.Code)
		}
		b.page = mine
	}
	// No cookie for what registers by GET.
	if w := b.ask("GET", gatewayV1+"?http_client=https://h/", ""); w.Code != 401 {
		t.Errorf("a registration by cookie: %d", w.Code)
	}
	if w := b.ask("DELETE", sessionPath, ""); w.Code != 200 || strings.Count(strings.Join(w.Header().Values("Set-Cookie"), "\n"), "Max-Age=0") != 2 {
		t.Errorf("log out: %d %v", w.Code, w.Header())
	}
	// Another replica that knows the token knows the session, and a changed token ends it.
	second, _ := start(t, func(o *Options) { o.Tokens = []Token{{Name: "acme", Secret: acme, Tenant: "acme"}} })
	b.api = second
	if w := b.ask("GET", sessionPath, ""); w.Code != 200 {
		t.Errorf("at another replica: %d %s", w.Code, w.Body)
	}
	for _, now := range []Token{
		{Name: "acme", Secret: "fedcba9876543210-acme", Tenant: "acme"}, {Name: "acme", Secret: acme}, {Name: "acme", Secret: acme, Tenant: "bolt"},
	} {
		second.SetTokens([]Token{now}, "")
		if w := b.ask("GET", sessionPath, ""); w.Code != 401 {
			t.Errorf("after the token was changed: %d %s", w.Code, w.Body)
		}
	}
	good := b.cookie.Value
	b.api = a
	for i := range len(good) {
		bad := []byte(good)
		bad[i]++
		b.cookie.Value = string(bad)
		if w := b.ask("GET", sessionPath, ""); w.Code != 401 {
			t.Errorf("letter %d changed: %d", i, w.Code)
		}
	}
}

func TestSessionEnds(t *testing.T) {
	t.Parallel()
	var passed atomic.Int64
	began := time.Now().Truncate(time.Second) // as sessions tell it
	now := func() time.Time { return began.Add(time.Duration(passed.Load())) }
	a, _ := start(t, func(o *Options) { o.Now = now })
	b := &browser{t: t, api: a}
	b.login(token)
	// What the page does by itself keeps no session.
	b.headers = map[string]string{consoleHeader: "watch"}
	passed.Store(int64(limits.SessionIdle))
	if w := b.ask("GET", sessionPath, ""); w.Code != 200 || w.Header().Get("Set-Cookie") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	passed.Add(int64(2 * time.Second))
	if w := b.ask("GET", sessionPath, ""); w.Code != 401 || !strings.Contains(w.Body.String(), "log in again") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	// What a person does keeps it, but not for ever.
	b.login(token)
	asked := 0
	for ; ; asked++ {
		passed.Add(int64(limits.SessionIdle / 2))
		w := b.ask("GET", sessionPath, "")
		if w.Code == 401 {
			break
		}
		for _, c := range w.Result().Cookies() {
			b.cookie = c
		}
	}
	if want := int(limits.SessionTime / (limits.SessionIdle / 2)); asked != want {
		t.Errorf("it lasted for %d requests, not %d", asked, want)
	}
	// A clock that was set back does not make it last longer.
	b.login(token)
	for back, want := range map[time.Duration]int{limits.SessionIdle - time.Minute: 200, limits.SessionIdle + time.Minute: 401} {
		now := passed.Load()
		passed.Add(-int64(back))
		if w := b.ask("GET", sessionPath, ""); w.Code != want {
			t.Errorf("%s before it began: %d", back, w.Code)
		}
		passed.Store(now)
	}
}

func TestReaderChangesNothing(t *testing.T) {
	t.Parallel()
	const reader = "0123456789abcdef-reader"
	a, _ := start(t, func(o *Options) {
		o.Tokens = append(o.Tokens, Token{Name: "reader", Secret: reader, Tenant: "acme", Reads: true})
	})
	b := &browser{t: t, api: a, origin: "http://127.0.0.1:8080"}
	if w := b.login(reader); w.Code != 200 || !strings.Contains(w.Body.String(), `"reads":true`) {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for _, route := range a.routes() {
		reads := route.method == "GET" || route.path == sessionPath || route.path == loginPath || route.path == "/api/v1/explain" || route.path == "/api/v1/judge"
		path := strings.NewReplacer("{id}", "x", "{sequence}", "1", "{order}", "1").Replace(route.path)
		if isGateway(path) {
			continue // below
		}
		if w := b.ask(route.method, path, "{}"); (w.Code == 403 && strings.Contains(w.Body.String(), "may read only")) == reads {
			t.Errorf("%s %s: %d %s", route.method, path, w.Code, w.Body)
		}
	}
	for path, want := range map[string]int{gatewayV1: 200, gatewayV1 + "?http_client=https://h/": 403} {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "http://127.0.0.1"+path, nil)
		r.SetBasicAuth(reader, "")
		w := httptest.NewRecorder()
		if a.ServeHTTP(w, r); w.Code != want {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}
