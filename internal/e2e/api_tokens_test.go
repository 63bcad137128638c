package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"orderbridge/internal/lab"
)

// TestNoRouteWithoutToken tries every route without, with a wrong, and with the
// other scheme's token, and from a web page.
func TestNoRouteWithoutToken(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	p := serving(t, bus.URL(), apiTokens, "ORDERBRIDGE_API_HOSTS=Bridge.Example.com")
	all := bearer(t, p, operator)
	for _, r := range routes(t, all) {
		wantsItsToken(t, p, r)
	}
	if n := len(kvRecords(t, js)); n != 0 {
		t.Errorf("%d records were stored", n)
	}
	answersItsHosts(t, all)
	slowsWrongTokensDown(t, p)
	logsRequests(t, p)
}

// wantsItsToken asks a route without its token, and from pages of others with it.
func wantsItsToken(t *testing.T, p *program, r route) {
	t.Helper()
	name := r.method + " " + r.path
	right := r.auth(t, p, operator)
	other := bearer(t, p, operator)
	if !r.gateway {
		other = basic(t, p, operator)
	}
	path := r.with("x", 1)
	for auth, c := range map[string]caller{"none": {t, right.base, ""}, "other scheme": other} {
		if got := c.call(r.method, path, r.body()); got.status != http.StatusUnauthorized {
			t.Errorf("%s, %s: %d %s", name, auth, got.status, got.body)
		}
	}
	for _, headers := range [][]string{
		{"Host", "evil.example.com"}, {"Host", "evil.example.com:80"}, {"Host", "127.0.0.1.evil.example.com"},
		{"Origin", "https://evil.example.com"}, {"Origin", "null"}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"},
	} {
		if got := right.call(r.method, path, r.body(), headers...); got.status != http.StatusForbidden {
			t.Errorf("%s, %v: %d %s", name, headers, got.status, got.body)
		}
	}
}

// answersItsHosts holds which host names and pages the listener answers.
func answersItsHosts(t *testing.T, all caller) {
	t.Helper()
	host := strings.TrimPrefix(all.base, "http://")
	for _, headers := range [][]string{{"Origin", all.base}, {"Sec-Fetch-Site", "same-origin"}, {"Sec-Fetch-Site", "none"},
		{"Host", "localhost"}, {"Host", "bridge.example.com:443"}, {"Host", "bridge.example.com", "Origin", "https://bridge.example.com"}, {"Host", host}, {"Host", "[::1]:8080"}} {
		all.call("GET", webhooks, "", headers...).is(t, 200)
	}
	// A proxy that does not hand Host on as the browser sent it is told what to do.
	all.call("GET", webhooks, "", "Host", "bridge.example.com", "Origin", "https://bridge.example.com:8443", "Sec-Fetch-Site", "same-origin").
		problem(t, 403, `"https://bridge.example.com:8443"`, `"bridge.example.com"`, "has to hand Host on")
	for _, path := range []string{"/x", "/api", "/api/", "/index.html", "/console.js", "//api/v1/owed", "/api/v1/owed/"} {
		if got := (caller{t, all.base, ""}).call("GET", path, ""); got.status != 404 && got.status != 401 {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	(caller{t, all.base, ""}).call("GET", "/healthz", "", "Host", "any.example.com").is(t, 200)
	for _, path := range []string{"/readyz", "/metrics"} {
		(caller{t, all.base, ""}).call("GET", path, "", "Host", "any.example.com").is(t, 403)
		for _, name := range []string{"10.1.2.3:8080", "localhost", "bridge.example.com", "orderbridge:8080", "orderbridge.prod.svc:8080"} {
			(caller{t, all.base, ""}).call("GET", path, "", "Host", name).is(t, 200)
		}
	}
	console := caller{t, all.base, ""}.call("GET", "/", "").is(t, 200)
	if policy := console.header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") ||
		strings.Contains(console.body, "//") {
		t.Errorf("the console may load something from outside: %s %s", policy, console.body)
	}
	page := caller{t, all.base, ""}.call("GET", "/docs", "").is(t, 200)
	if policy := page.header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") ||
		strings.Contains(page.body, "//") {
		t.Errorf("the page may load something from outside: %s %s", policy, page.body)
	}
}

// slowsWrongTokensDown and counts them.
func slowsWrongTokensDown(t *testing.T, p *program) {
	t.Helper()
	all := bearer(t, p, operator)
	wrong := bearer(t, p, "wrong-wrong-wrong-wrong")
	slowed := 0
	for range 30 {
		if r := wrong.call("GET", webhooks, ""); r.status == http.StatusTooManyRequests && r.header.Get("Retry-After") != "" {
			slowed++
		} else {
			r.is(t, 401)
		}
	}
	if slowed < 10 {
		t.Errorf("%d of 30 were slowed down", slowed)
	}
	metrics := caller{t, all.base, ""}.call("GET", "/metrics", "").body
	if !strings.Contains(metrics, `orderbridge_api_refused_logins_total{reason="wrong"} 1`) {
		t.Errorf("wrong logins are not counted")
	}
	await(t, 20*time.Second, "the right token works again", func() bool { return all.call("GET", webhooks, "").status == 200 })
}

// logsRequests without secrets and queries.
func logsRequests(t *testing.T, p *program) {
	t.Helper()
	all := bearer(t, p, operator)
	r := all.call("GET", webhooks+"?after=queries-are-not-logged", "", "X-Request-Id", "my-own-id")
	if r.header.Get("X-Request-Id") != "my-own-id" || all.call("GET", webhooks, "", "X-Request-Id", "two words").header.Get("X-Request-Id") == "two words" {
		t.Errorf("the request id is %q", r.header.Get("X-Request-Id"))
	}
	p.said(20*time.Second, `msg="api request" method=GET path=/api/notifications/v1/webhooks status=200 token=operator .* (request_id=my-own-id)`)
	for _, secret := range []string{operator, acmeToken, "wrong-wrong", "queries-are-not-logged"} {
		if strings.Contains(p.Output(), secret) {
			t.Errorf("the log shows %s", secret)
		}
	}
}

// TestOwnToken: without any token set one is made, where the data lies.
func TestOwnToken(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	env := []string{"ORDERBRIDGE_DATA_DIR=" + dir, "ORDERBRIDGE_NATS_LISTEN="}
	p := launch(t, env...)
	p.leads()
	file := p.said(20*time.Second, `file=(\S+api-token)`)
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(string(text))
	if len(token) < 20 || strings.Contains(p.Output(), token) {
		t.Errorf("the token has %d characters, or is in the log", len(token))
	}
	bearer(t, p, token).call("GET", webhooks, "").is(t, 200)
	p.stop()
	p = launch(t, env...)
	p.leads()
	bearer(t, p, token).call("GET", webhooks, "").is(t, 200)
}

// A data directory that cannot be written stops nothing but the API.
func TestOwnTokenCannotBeKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "api-token"), []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bus := lab.ListenBus(t)
	p := serving(t, bus.URL(), "ORDERBRIDGE_DATA_DIR="+dir)
	for _, token := range []string{"short", ""} {
		bearer(t, p, token).call("GET", webhooks, "").problem(t, 503, "ORDERBRIDGE_API_TOKENS")
	}
	p.said(20*time.Second, `(fewer than 16 characters)`)
}

// Without a data directory nobody may call, and the answer says what to do.
func TestNoTokenAtAll(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	p := serving(t, bus.URL())
	bearer(t, p, "anything").call("POST", webhooks, `{}`).problem(t, 503, "ORDERBRIDGE_API_TOKENS")
	p.said(time.Second, `(nobody may call the management API)`)
	if kv, err := jetStream(t, bus.URL()).KeyValue(within(t, 0), "subscriptions"); err != nil || kv == nil {
		t.Error(err)
	}
}
