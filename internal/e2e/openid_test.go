package e2e

import (
	"encoding/json"
	"html"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"orderbridge/internal/lab"
)

const (
	oidcDir    = "testdata/oidc"
	oidcSecret = "client-secret-0123456789"
)

// accounts are those of the provider, with what it says of them.
var accounts = map[string]any{
	"olga":   map[string]any{"orderbridge_role": "operator"},
	"otto":   map[string]any{"orderbridge_role": []string{"staff", "operator:read"}},
	"anna":   map[string]any{"orderbridge_role": "tenant", "orderbridge_tenant": "acme"},
	"bert":   map[string]any{"orderbridge_role": "tenant:read", "orderbridge_tenant": []string{"beta"}},
	"nobody": map[string]any{},
	"both":   map[string]any{"orderbridge_role": []string{"operator", "tenant"}},
	"homeless": map[string]any{
		"orderbridge_role": "tenant"},
	"astray": map[string]any{"orderbridge_role": "tenant", "orderbridge_tenant": "*"},
}

// openIDProvider starts a provider of others; again stops it and starts it with
// another key. As long as the file keysGone is there its keys cannot be had.
func openIDProvider(t *testing.T, console string, inToken bool, keysGone string) (issuer string, again func()) {
	t.Helper()
	node := lab.NodeWith(t, oidcDir, "oidc-provider")
	address := freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	given, err := json.Marshal(map[string]any{"port": json.Number(port), "console": console, "secret": oidcSecret, "accounts": accounts, "inToken": inToken, "keysGone": keysGone})
	if err != nil {
		t.Fatal(err)
	}
	var p *lab.Process
	stop := func() {
		_ = syscall.Kill(-p.Pid(), syscall.SIGKILL)
		<-p.Ended()
	}
	begin := func() {
		if p, err = lab.Start(lab.Command{Path: node, Args: []string{filepath.Join(oidcDir, "provider.mjs"), string(given)},
			SysProc: &syscall.SysProcAttr{Setpgid: true}}); err != nil {
			t.Fatal(err)
		}
		await(t, time.Minute, "the provider listens", func() bool { return strings.Contains(p.Output(), "it listens") })
	}
	begin()
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("the provider said:\n%s", p.Output())
		}
	})
	return "http://" + address, func() { stop(); begin() }
}

// visitor is a browser: it keeps cookies, and what the console's page keeps.
type visitor struct {
	t       testing.TB
	console string // the page's address
	client  *http.Client
	page    string // key of the session
}

func visit(t testing.TB, console string) *visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t: t, console: console, client: &http.Client{Jar: jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// ask asks the API as the page does; headers are name, value, …
func (v *visitor) ask(method, path, body string, headers ...string) reply {
	v.t.Helper()
	u, err := url.Parse(v.console)
	if err != nil {
		v.t.Fatal(err)
	}
	all := []string{"X-Orderbridge-Console", "act", "Sec-Fetch-Site", "same-origin", "X-Orderbridge-Session", v.page}
	if method != http.MethodGet {
		all = append(all, "Origin", u.Scheme+"://"+u.Host)
	}
	return v.send(method, v.console+path, body, append(all, headers...)...)
}

// send makes one request with the cookies of the jar; "" leaves a header out.
func (v *visitor) send(method, address, body string, headers ...string) reply {
	v.t.Helper()
	ctx, cancel := patiently(0)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
		} else if r.Header.Set(headers[i], headers[i+1]); headers[i] == "Host" {
			r.Host = headers[i+1]
		}
	}
	return exchange(v.t, v.client, r)
}

// enter remembers the session of an answer to a login.
func (v *visitor) enter(r reply) reply {
	v.t.Helper()
	if r.status == http.StatusOK {
		v.page, _ = r.json(v.t)["pageKey"].(string)
	}
	return r
}

// withToken logs in with a token.
func (v *visitor) withToken(token string) reply {
	v.t.Helper()
	return v.enter(v.ask("POST", "api/session", "", "Authorization", "Bearer "+token))
}

var (
	formAction = regexp.MustCompile(`<form[^>]* action="([^"]+)"`)
	hidden     = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)"`)
)

// atProvider goes where the console sends it and fills in the provider's pages, until
// it is sent back: with what.
func (v *visitor) atProvider(address, account string) (answer url.Values) {
	v.t.Helper()
	r := v.send("GET", address, "")
	for range 20 {
		at, _ := url.Parse(address)
		if to := r.header.Get("Location"); to != "" {
			next, err := at.Parse(to)
			if err != nil {
				v.t.Fatal(err)
			}
			if address = next.String(); strings.HasPrefix(address, v.console) {
				return next.Query()
			}
			r = v.send("GET", address, "")
			continue
		}
		form := formAction.FindStringSubmatch(r.body)
		if form == nil {
			v.t.Fatalf("%s: %d %s", address, r.status, r.body)
		}
		next, err := at.Parse(html.UnescapeString(form[1]))
		if err != nil {
			v.t.Fatal(err)
		}
		fields := url.Values{}
		for _, f := range hidden.FindAllStringSubmatch(r.body, -1) {
			fields.Set(f[1], html.UnescapeString(f[2]))
		}
		if strings.Contains(r.body, `name="login"`) {
			fields.Set("login", account)
			fields.Set("password", "any")
		}
		address = next.String()
		r = v.send("POST", address, fields.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	}
	v.t.Fatal("the provider sends nobody back")
	return nil
}

// begin begins a login and goes to the provider.
func (v *visitor) begin(account string) url.Values {
	v.t.Helper()
	begun := v.ask("POST", "api/login", "").is(v.t, 200).json(v.t)
	answer := v.atProvider(begun["url"].(string), account)
	if answer.Get("state") != begun["state"] {
		v.t.Fatalf("the provider answers %v, the login is %v", answer, begun)
	}
	return answer
}

func (v *visitor) end(answer url.Values) reply {
	v.t.Helper()
	text, err := json.Marshal(map[string]string{"answer": answer.Encode()})
	if err != nil {
		v.t.Fatal(err)
	}
	return v.enter(v.ask("PUT", "api/login", string(text)))
}

// atIssuer is the environment of a program whose console is at an address.
func atIssuer(issuer, console, client, secret string) []string {
	return []string{"ORDERBRIDGE_DEV=true", "ORDERBRIDGE_OIDC_ISSUER=" + issuer, "ORDERBRIDGE_OIDC_CLIENT_ID=" + client,
		"ORDERBRIDGE_OIDC_CLIENT_SECRET=" + secret, "ORDERBRIDGE_OIDC_PUBLIC_URL=" + console, apiTokens}
}

// People log in at a real provider, and may do what their role says; with a secret and
// without, whether the role stands in the id token or in the user info, after the
// provider has changed its keys, at another replica.
func TestLoginAtProvider(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	address := freeAddress(t)
	console := "http://" + address + "/"
	issuer, again := openIDProvider(t, console, false, "")
	p := serving(t, bus.URL(), append(atIssuer(issuer, console, "bridge", oidcSecret), "ORDERBRIDGE_HTTP_LISTEN="+address)...)
	bearer(t, p, acmeToken).call("PUT", "/api/v1/records/acme-shop", `{"targetURL":"https://127.0.0.1:1/"}`)

	v := visit(t, console)
	if r := v.ask("GET", "api/login", ""); !strings.Contains(r.body, `{"provider":"127.0.0.1:`) {
		t.Errorf("%d %s", r.status, r.body)
	}
	for _, one := range []struct {
		account, shown string
		statuses       map[string]int // of what is asked
	}{
		{"olga", `"name":"openid olga@example.com (olga)","role":"operator"`, map[string]int{"GET api/v1/overview": 200, "GET api/v1/records/acme-shop": 200, "POST api/v1/judge": 400}},
		{"otto", `"role":"operator","reads":true`, map[string]int{"GET api/v1/overview": 200, "DELETE api/v1/records/acme-shop": 403}},
		{"anna", `"tenant":"acme","role":"tenant"`, map[string]int{"GET api/v1/overview": 403, "GET api/v1/records/acme-shop": 200, "DELETE api/v1/records/beta-shop": 404}},
		{"bert", `"tenant":"beta","role":"tenant","reads":true`, map[string]int{"GET api/v1/overview": 403, "GET api/v1/records/acme-shop": 404, "DELETE api/v1/records/beta-shop": 403}},
	} {
		v := visit(t, console)
		r := v.end(v.begin(one.account)).is(t, 200)
		if !strings.Contains(r.body, one.shown) {
			t.Errorf("%s: %s lacks %s", one.account, r.body, one.shown)
		}
		for what, want := range one.statuses {
			method, path, _ := strings.Cut(what, " ")
			if r := v.ask(method, path, ""); r.status != want {
				t.Errorf("%s: %s: %d %s", one.account, what, r.status, r.body)
			}
		}
		out := v.ask("DELETE", "api/session", "").is(t, 200)
		if to, _ := out.json(t)["url"].(string); !strings.HasPrefix(to, issuer+"/session/end?client_id=bridge&post_logout_redirect_uri=") {
			t.Errorf("logging out leads to %q", to)
		}
		v.ask("GET", "api/session", "").is(t, 401)
	}
	for account, says := range map[string]string{
		"nobody":   "knows you as nobody@example.com, but you have no role here: the claim orderbridge_role (ORDERBRIDGE_OIDC_ROLE_CLAIM) holds none; let the operator set it",
		"both":     "holds several, operator and tenant; let the operator leave one",
		"homeless": "the claim orderbridge_tenant (ORDERBRIDGE_OIDC_TENANT_CLAIM) does not name one tenant",
		"astray":   "the claim orderbridge_tenant (ORDERBRIDGE_OIDC_TENANT_CLAIM) does not name one tenant",
	} {
		v := visit(t, console)
		v.end(v.begin(account)).problem(t, 403, says)
		v.ask("GET", "api/session", "").is(t, 401)
	}

	again() // with another key
	anna := visit(t, console)
	anna.end(anna.begin("anna")).is(t, 200)

	// Another replica, with a public client: it knows no session of the other client, and keeps its own.
	second := freeAddress(t)
	other := replica(t, bus.URL(), append(atIssuer(issuer, console, "bridge-public", ""), "ORDERBRIDGE_HTTP_LISTEN="+second)...)
	_ = other
	third := freeAddress(t)
	replica(t, bus.URL(), append(atIssuer(issuer, console, "bridge", oidcSecret), "ORDERBRIDGE_HTTP_LISTEN="+third)...)
	host := "127.0.0.1:" + portOf(address) // a balancer hands it on
	anna.send("GET", "http://"+third+"/api/session", "", "Host", host, "Cookie", anna.cookies(), "X-Orderbridge-Session", anna.page).is(t, 200)
	anna.send("GET", "http://"+second+"/api/session", "", "Host", host, "Cookie", anna.cookies(), "X-Orderbridge-Session", anna.page).is(t, 401)
	public := visit(t, console)
	begun := public.send("POST", "http://"+second+"/api/login", "", "Host", host, "X-Orderbridge-Console", "act").is(t, 200)
	answer := public.atProvider(begun.json(t)["url"].(string), "bert")
	text, _ := json.Marshal(map[string]string{"answer": answer.Encode()})
	public.send("PUT", "http://"+second+"/api/login", string(text), "Host", host, "X-Orderbridge-Console", "act").is(t, 200)
	if log := p.Output(); strings.Contains(log, oidcSecret) || strings.Contains(log, answer.Get("code")) {
		t.Error("the log holds a secret")
	}
}

// replica is a replica that stands by.
func replica(t *testing.T, bus string, env ...string) *program {
	t.Helper()
	p := launch(t, append([]string{"ORDERBRIDGE_NATS_URL=" + bus}, env...)...)
	await(t, time.Minute, "the replica answers", func() bool {
		r, err := http.Get("http://" + p.http() + "/api/login")
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
	return p
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// cookies are those of the console, as a header has them.
func (v *visitor) cookies() string {
	u, _ := url.Parse(v.console + "api/x")
	var all []string
	for _, c := range v.client.Jar.Cookies(u) {
		all = append(all, c.Name+"="+c.Value)
	}
	return strings.Join(all, "; ")
}

// A person logs in at the provider, in a real browser.
func TestConsoleAtProvider(t *testing.T) {
	t.Parallel()
	browserTools(t)
	bus := lab.ListenBus(t)
	address := freeAddress(t)
	console := "http://" + address + "/"
	keysGone := filepath.Join(t.TempDir(), "keys-gone")
	issuer, _ := openIDProvider(t, console, true, keysGone)
	serving(t, bus.URL(), append(atIssuer(issuer, console, "bridge-public", ""), "ORDERBRIDGE_HTTP_LISTEN="+address)...)
	tell(t, "provider.mjs", map[string]any{"url": console, "keysGone": keysGone})
}
