package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"orderbridge/internal/lab"
)

const acmeReader = "acme-reader-0123456789"

// consoleOf is a visitor of a program's console.
func consoleOf(t testing.TB, p *program) *visitor { return visit(t, "http://"+p.http()+"/") }

// A page of another site, of another port of this host, or of a name that leads here,
// has a browser that is logged in send what changes something.
func TestAttackConsoleForgedRequests(t *testing.T) {
	attack(t)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, nil)
	p := serving(t, bus.URL(), apiTokens)
	subscribe(t, js, "shop", recordFor(e))
	v := consoleOf(t, p)
	v.withToken(operator).is(t, 200)
	before := kvRecords(t, js)
	own := "http://" + p.http()
	writes := []struct{ method, path, body string }{
		{"DELETE", "api/v1/records/shop", ""}, {"PUT", "api/v1/records/evil", `{"targetURL":"https://127.0.0.1:1/"}`},
		{"POST", "api/notifications/v1/webhooks", `{"targetURL":"https://127.0.0.1:1/"}`}, {"POST", "api/v1/retry-now", `{"all":true}`},
		{"POST", "api/v1/shards", `{"shards":2}`}, {"POST", "api/v1/dead-letters/purge", `{"all":true}`}, {"DELETE", "api/session?everywhere=true", ""},
		{"GET", "services/v1/webhooks?http_client=https://127.0.0.1:1/", ""},
	}
	forged := map[string][]string{
		"another site":         {"Origin", "https://evil.example.com", "Sec-Fetch-Site", "cross-site"},
		"an old browser there": {"Origin", "https://evil.example.com"},
		"a hidden page":        {"Origin", "null"},
		"a port of this host":  {"Origin", "http://127.0.0.1:1", "Sec-Fetch-Site", "same-site"},
		"a Referer of theirs":  {"Referer", "https://evil.example.com/" + own},
		"no page at all":       {},
		"a form":               {"Origin", "https://evil.example.com", "Content-Type", "application/x-www-form-urlencoded"},
		"a form as text":       {"Content-Type", "text/plain", "Sec-Fetch-Site", "cross-site"},
		"two origins":          {"Origin", own + " https://evil.example.com"},
		"its own page key":     {"X-Orderbridge-Session", "AAAAAAAAAAAAAAAAAAAAAA", "X-Orderbridge-Console", "act", "Origin", own, "Sec-Fetch-Site", "same-origin"},
		"all but the header":   {"X-Orderbridge-Session", v.page, "Origin", own, "Sec-Fetch-Site", "same-origin"},
		"a rebound name":       {"Host", "evil.example.com:" + portOf(p.http()), "X-Orderbridge-Session", v.page, "X-Orderbridge-Console", "act", "Cookie", v.cookies()},
		"an overridden method": {"X-HTTP-Method-Override", "DELETE", "X-Method-Override", "DELETE", "Origin", "https://evil.example.com"},
	}
	for how, headers := range forged {
		for _, w := range writes {
			for _, method := range []string{w.method, "POST", "GET"} {
				path := w.path
				if how == "an overridden method" {
					path += "?_method=" + w.method
				}
				r := v.send(method, v.console+path, w.body, headers...)
				if r.status < 400 && !(method == "GET" && w.method != "GET" && how == "all but the header") {
					t.Errorf("%s: %s %s: %d %s", how, method, path, r.status, r.body)
				}
			}
		}
	}
	if after := kvRecords(t, js); len(after) != len(before) || after["shop"] != before["shop"] {
		t.Errorf("the records have changed: %v", after)
	}
	v.ask("GET", "api/session", "").is(t, 200)
}

// Somebody gets hold of the cookie alone, as whatever listens on another port of this
// host does, or of all that the page has, and goes on after its owner has logged out;
// sets a cookie of their own; keeps one of a token that was taken out.
func TestAttackConsoleStolenCookie(t *testing.T) {
	attack(t)
	bus := lab.ListenBus(t)
	file := filepath.Join(t.TempDir(), "tokens")
	write := func(lines ...string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("acme:"+acmeToken+":acme", "beta:"+betaToken+":beta")
	p := serving(t, bus.URL(), "ORDERBRIDGE_API_TOKENS_FILE="+file)
	second := replica(t, bus.URL(), "ORDERBRIDGE_API_TOKENS_FILE="+file)
	v := consoleOf(t, p)
	in := v.withToken(acmeToken).is(t, 200)
	flags := in.header.Get("Set-Cookie")
	for _, want := range []string{"HttpOnly", "SameSite=Strict", "Max-Age=1800", "orderbridge_session_" + portOf(p.http()) + "="} {
		if !strings.Contains(flags, want) {
			t.Errorf("the cookie is %s", flags)
		}
	}
	if strings.Contains(flags, "Domain") || strings.Contains(flags, "Path") || strings.Contains(flags, v.page) || strings.Contains(flags, acmeToken) {
		t.Errorf("the cookie is %s", flags)
	}
	over := v.ask("POST", "api/session", "", "Authorization", "Bearer "+acmeToken, "Origin", "https://"+p.http())
	if flags := over.header.Get("Set-Cookie"); !strings.HasPrefix(flags, "__Host-orderbridge_session=") || !strings.Contains(flags, "; Secure") || !strings.Contains(flags, "Path=/;") {
		t.Errorf("over TLS the cookie is %s", flags)
	}

	// The cookie alone.
	for _, path := range []string{"api/session", "api/v1/statuses", "api/v1/live", "api/v1/events"} {
		v.send("GET", v.console+path, "").is(t, 401)
		v.send("GET", v.console+path+"?session=AAAA", "").is(t, 401)
	}
	// A cookie of the thief's in the victim's browser, and an old one after a login.
	thief := consoleOf(t, p)
	thief.withToken(betaToken).is(t, 200)
	visit(t, "").send("GET", v.console+"api/session", "", "Cookie", thief.cookies(), "X-Orderbridge-Session", v.page).is(t, 401)
	fixed := consoleOf(t, p)
	r := fixed.enter(fixed.ask("POST", "api/session", "", "Authorization", "Bearer "+acmeToken, "Cookie", thief.cookies()))
	if strings.Contains(r.header.Get("Set-Cookie"), strings.SplitN(thief.cookies(), "=", 2)[1]) || fixed.page == thief.page {
		t.Error("a login goes on with the session that was there")
	}

	// All that the page has: until its owner logs out, at each replica, streams too.
	copied, page := v.cookies(), v.page
	stolen := func(at *program, path string) int {
		r := visit(t, "").send("GET", "http://"+at.http()+"/"+path, "", "Host", p.http(), "Cookie", copied, "X-Orderbridge-Session", page)
		return r.status
	}
	if stolen(p, "api/session") != 200 || stolen(second, "api/session") != 200 {
		t.Fatal("the session is not known at both replicas")
	}
	here, there := follow(t, p, p.http(), copied, page), follow(t, second, p.http(), copied, page)
	v.ask("DELETE", "api/session", "").is(t, 200)
	if s := stolen(p, "api/session"); s != 401 {
		t.Errorf("after logging out: %d", s)
	}
	await(t, 10*time.Second, "the other replica knows", func() bool { return stolen(second, "api/session") == 401 })
	here.ends("log in again")
	there.ends("log in again")
	fixed.ask("GET", "api/session", "").is(t, 200) // another session of the same token goes on

	// All sessions of a token, and none of others.
	another := consoleOf(t, p)
	another.withToken(acmeToken).is(t, 200)
	bearer(t, second, acmeToken).call("DELETE", "/api/session?everywhere=true", "").is(t, 200)
	for name, v := range map[string]*visitor{"one": fixed, "two": another} {
		await(t, 10*time.Second, "session "+name+" has ended", func() bool { return v.ask("GET", "api/session", "").status == 401 })
	}
	thief.ask("GET", "api/session", "").is(t, 200)
	another.withToken(acmeToken).is(t, 200) // and a new one begins
	another.ask("GET", "api/session", "").is(t, 200)

	// A token that is taken out, or gets another role.
	last := follow(t, p, p.http(), another.cookies(), another.page)
	write("acme:" + acmeToken + ":acme:read")
	await(t, time.Minute, "the token is gone", func() bool { return thief.ask("GET", "api/session", "").status == 401 })
	last.ends("log in again")
	another.ask("DELETE", "api/v1/records/acme-x", "").problem(t, 403, "may read only")
}

// tail is a live stream, as a thief follows it.
type tail struct {
	t    testing.TB
	said chan string
}

func follow(t testing.TB, p *program, host, cookies, page string) tail {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*lab.Patience)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.http()+"/api/v1/live?session="+url.QueryEscape(page), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	r.Header.Set("Cookie", cookies)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("the stream is %s", resp.Status)
	}
	s := tail{t, make(chan string, 1)}
	go func() {
		var all strings.Builder
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			all.WriteString(lines.Text() + "\n")
		}
		s.said <- all.String()
	}()
	return s
}

// ends waits until it has, with words.
func (s tail) ends(words string) {
	s.t.Helper()
	select {
	case text := <-s.said:
		if !strings.Contains(text, "event: end\ndata: "+words) {
			s.t.Errorf("the stream said %q", text)
		}
	case <-time.After(lab.Patience):
		s.t.Error("the stream does not end")
	}
}

// Somebody guesses tokens, floods logins at the provider, ends a login that is not
// theirs, or twice, lies about who answers, and has the page show markup or lead away.
func TestAttackConsoleLogin(t *testing.T) {
	attack(t)
	bus := lab.ListenBus(t)
	address := freeAddress(t)
	console := "http://" + address + "/"
	issuer, _ := openIDProvider(t, console, true, "")
	p := serving(t, bus.URL(), append(atIssuer(issuer, console, "bridge", oidcSecret), "ORDERBRIDGE_HTTP_LISTEN="+address)...)

	v := visit(t, console)
	answer := v.begin("anna")
	other := visit(t, console)
	other.end(answer).problem(t, 403, "no login is under way here")
	other.ask("POST", "api/login", "").is(t, 200)
	other.end(answer).problem(t, 403, "belongs to another login")
	for name, change := range map[string]func(url.Values){
		"another state": func(q url.Values) { q.Set("state", "x") }, "two states": func(q url.Values) { q.Add("state", "x") },
		"another issuer": func(q url.Values) { q.Set("iss", "https://evil.example.com") }, "no issuer": func(q url.Values) { q.Del("iss") },
		"no code": func(q url.Values) { q.Del("code") }, "another code": func(q url.Values) { q.Set("code", "x") },
	} {
		q, _ := url.ParseQuery(answer.Encode())
		change(q)
		if r := v.end(q); r.status != 403 && !(name == "another code" && r.status == 503) {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	lie := url.Values{"state": answer["state"], "error": {"access_denied"}, "error_description": {"<script>alert(1)</script>\r\nSet-Cookie: x=y"}}
	r := v.end(lie)
	r.problem(t, 403, "did not let you in: <script>")
	if r.header.Get("X-Content-Type-Options") != "nosniff" || r.header.Get("Set-Cookie") != "" {
		t.Errorf("%v", r.header)
	}
	v.end(answer).is(t, 200)
	cookies := v.cookies()
	if r := v.end(answer); r.status == 200 {
		t.Error("an answer is good twice")
	}
	if strings.Contains(cookies, "anna") || strings.Contains(cookies, "acme") || strings.Contains(cookies, "login") {
		t.Errorf("the cookies tell who it is, or stay: %s", cookies)
	}
	for _, tail := range []string{"?next=https://evil.example.com", "?redirect_uri=https://evil.example.com", "?post_logout_redirect_uri=https://evil.example.com"} {
		for _, what := range []string{"POST api/login", "DELETE api/session"} {
			method, path, _ := strings.Cut(what, " ")
			if r := v.ask(method, path+tail, ""); strings.Contains(r.body, "evil") || r.header.Get("Location") != "" {
				t.Errorf("%s%s: %s", what, tail, r.body)
			}
		}
	}
	codes := map[int]int{}
	for range 60 {
		codes[v.ask("POST", "api/login", "").status]++
	}
	if codes[429] == 0 || codes[200]+codes[429] != 60 {
		t.Errorf("a flood of logins is answered with %v", codes)
	}
	for range 30 {
		codes[v.withToken("guess-0123456789abcdef").status]++
	}
	if codes[401] == 0 || codes[401] > 25 || v.withToken(acmeToken).status != 200 {
		t.Errorf("guessed tokens are answered with %v", codes)
	}
	if log := p.Output(); strings.Contains(log, answer.Get("code")) || strings.Contains(log, answer.Get("state")) || strings.Contains(log, oidcSecret) {
		t.Error("the log holds a secret")
	}
}

// What is answered says that no page of others may hold it, keep it or run it.
func TestAttackConsoleHeaders(t *testing.T) {
	attack(t)
	bus := lab.ListenBus(t)
	p := serving(t, bus.URL(), apiTokens)
	v := consoleOf(t, p)
	v.withToken(operator).is(t, 200)
	for _, what := range []string{"GET ", "POST ", "GET docs", "POST docs", "GET openapi.json", "GET api/session", "GET api/login", "PUT api/login", "GET api/v1/statuses", "GET api/v1/live?session=" + v.page,
		"GET api/v1/none", "PATCH api/v1/statuses", "GET none", "POST api/v1/judge", "GET icon.svg", "GET ../etc/passwd", "GET services/v1/webhooks"} {
		method, path, _ := strings.Cut(what, " ")
		r := v.ask(method, path, "", "Evil", "a\tb")
		policy := r.header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: %d has the policy %q", what, r.status, policy)
		}
		if r.header.Get("X-Content-Type-Options") != "nosniff" || r.header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %d %v", what, r.status, r.header)
		}
		if strings.HasPrefix(path, "api/") && r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s may be kept: %v", what, r.header)
		}
		if r.header.Get("Access-Control-Allow-Origin") != "" || r.header.Get("Server") != "" {
			t.Errorf("%s: %v", what, r.header)
		}
	}
	for _, host := range []string{"evil.example.com", "127.0.0.1.evil.example.com", "evil.example.com:" + portOf(p.http())} {
		for _, path := range []string{"api/session", "api/login", "docs"} {
			v.ask("GET", path, "", "Host", host).is(t, 403)
		}
	}
}

// A tenant's session asks for all that is another tenant's, by each way that reads; and
// takes all streams there are.
func TestAttackConsoleOtherTenant(t *testing.T) {
	attack(t)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, nil)
	p := serving(t, bus.URL(), apiTokens+",acme-reader:"+acmeReader+":acme:read")
	subscribe(t, js, "beta-shop", recordFor(e, `"tenant":"beta"`, `"subjects":["orders.beta.>"]`))
	subscribe(t, js, "acme-shop", recordFor(e, `"tenant":"acme"`, `"subjects":["orders.acme.>"]`))
	for _, tenant := range []string{"beta", "acme"} {
		if _, err := js.Publish(t.Context(), "orders."+tenant+".OrderCreated.secret-"+tenant, fmt.Appendf(nil, `{"orderId":"secret-%s","eventType":"OrderCreated"}`, tenant)); err != nil {
			t.Fatal(err)
		}
	}
	e.came(t, 2)
	for _, token := range []string{acmeToken, acmeReader} {
		v := consoleOf(t, p)
		v.withToken(token).is(t, 200)
		await(t, time.Minute, "its own attempt is there", func() bool {
			return strings.Contains(v.ask("GET", "api/v1/attempts", "").body, "secret-acme")
		})
		for _, path := range []string{"attempts", "attempts?subscription=beta-shop", "orders/secret-beta", "events", "events?order=secret-beta", "alerts", "statuses", "statuses/beta-shop", "statuses?prefix=beta",
			"owed", "owed?subscription=beta-shop", "records", "records/beta-shop", "dead-letters", "dead-letters?subscription=beta-shop", "figures", "figures?subscription=beta-shop", "replays", "audit", "overview"} {
			r := v.ask("GET", "api/v1/"+path, "")
			if strings.Contains(r.body, "beta-shop") && !strings.Contains(path, "beta-shop") || strings.Contains(strings.ReplaceAll(r.body, path[strings.LastIndex(path, "/")+1:], ""), "secret-beta") {
				t.Errorf("%s: %d %s", path, r.status, r.body)
			}
			if strings.Contains(path, "/beta-shop") && r.status != 404 || r.status >= 500 {
				t.Errorf("%s: %d %s", path, r.status, r.body)
			}
		}
	}
	held := 0
	v := consoleOf(t, p)
	v.withToken(acmeToken).is(t, 200)
	for range 60 {
		ctx, cancel := context.WithTimeout(context.Background(), 2*lab.Patience)
		t.Cleanup(cancel)
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, v.console+"api/v1/live?session="+v.page, nil)
		r.Header.Set("Cookie", v.cookies())
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		if resp.StatusCode == http.StatusOK {
			held++
		}
	}
	beta := consoleOf(t, p)
	beta.withToken(betaToken).is(t, 200)
	if r := beta.ask("GET", "api/v1/live", ""); r.status != 200 || held == 60 {
		t.Errorf("a tenant holds %d streams, another gets %d", held, r.status)
	}
}

// A reader's session tries each writing operation that the API describes.
func TestAttackConsoleReader(t *testing.T) {
	attack(t)
	bus := lab.ListenBus(t)
	p := serving(t, bus.URL(), apiTokens+",reader:reader-0123456789abcdef::read,acme-reader:"+acmeReader+":acme:read")
	var spec struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal([]byte(consoleOf(t, p).ask("GET", "openapi.json", "").body), &spec); err != nil {
		t.Fatal(err)
	}
	reads := map[string]bool{"/api/session": true, "/api/login": true, "/api/v1/explain": true, "/api/v1/judge": true}
	tried := 0
	for _, token := range []string{"reader-0123456789abcdef", acmeReader} {
		v := consoleOf(t, p)
		v.withToken(token).is(t, 200)
		for path, item := range spec.Paths {
			for method := range item {
				if method == "get" || reads[path] || path == "/api/v2/register" || !strings.HasPrefix(path, "/api/") {
					continue
				}
				at := strings.NewReplacer("{id}", "acme-x", "{sequence}", "1", "{order}", "1").Replace(path)
				if r := v.ask(strings.ToUpper(method), at[1:], "{}"); r.status != 403 {
					t.Errorf("%s %s: %d %s", method, at, r.status, r.body)
				}
				tried++
			}
		}
	}
	if tried < 40 {
		t.Errorf("only %d operations were tried", tried)
	}
}
