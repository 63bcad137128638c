package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"orderbridge/internal/lab"
	"orderbridge/internal/limits"
)

// raw opens a connection and writes the text as it is; the connection is closed
// when the test ends.
func raw(t testing.TB, address, text string) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, lab.Patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(lab.Patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		t.Logf("write: %v", err) // it may have been closed
	}
	return conn
}

// alive fails the test if probes, figures or another caller's list do not come; five
// seconds are promised.
func alive(t testing.TB, c caller) {
	t.Helper()
	start := time.Now()
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		(caller{t, c.base, ""}).call("GET", path, "").is(t, 200)
	}
	c.call("GET", webhooks, "").is(t, 200)
	lab.Promise(t, "probes, figures and another caller's list", time.Since(start), 5*time.Second)
}

func figure(t testing.TB, c caller, name string) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch((caller{t, c.base, ""}).call("GET", "/metrics", "").body)
	if m == nil {
		return ""
	}
	return m[1]
}

// 200 bodies of one caller come byte by byte.
func TestAttackSlowBodies(t *testing.T) {
	attack(t)
	bus := lab.ListenBus(t)
	p := serving(t, bus.URL(), apiTokens)
	acme, beta := bearer(t, p, acmeToken), bearer(t, p, betaToken)
	address := p.http()
	over := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(over)
	for i := range 200 {
		head := "POST " + webhooks + " HTTP/1.1\r\nHost: " + address + "\r\nAuthorization: " + acme.auth + "\r\nContent-Type: application/json\r\n"
		body := "Content-Length: 200000\r\n\r\n{"
		if i%2 == 0 {
			body = "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"
		}
		conn := raw(t, address, head+body)
		wg.Go(func() {
			for {
				select {
				case <-over:
					return
				case <-time.After(200 * time.Millisecond):
				}
				drip := " "
				if i%2 == 0 {
					drip = "1\r\n \r\n"
				}
				if _, err := io.WriteString(conn, drip); err != nil {
					return
				}
			}
		})
	}
	for range 10 {
		alive(t, beta)
	}
	beta.call("POST", webhooks, `{"targetURL":"https://h.example.com/"}`).is(t, 200)
	await(t, 20*time.Second, "the slow ones are cut", func() bool { return acme.call("GET", webhooks, "").status == 200 })
	conn := raw(t, address, "POST "+webhooks+" HTTP/1.1\r\nHost: "+address+"\r\nContent-Length: 200000\r\nExpect: 100-continue\r\n\r\n")
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "401") {
		t.Errorf("a body of nobody is asked for: %q, %v", line, err)
	}
}

// Thousands of connections that ask for nothing, or never end their head, take
// neither descriptors from deliveries nor answers from probes.
func TestAttackIdleConnections(t *testing.T) {
	attack(t)
	binary, err := exec.LookPath("orderbridge")
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(t.TempDir(), "orderbridge")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nulimit -n 400\nexec "+binary+" \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	p := launchBinary(t, script, "ORDERBRIDGE_NATS_URL="+bus.URL(), apiTokens)
	p.leads()
	e := receive(t, nil)
	subscribe(t, js, "a", recordFor(e))
	for i := range 800 {
		raw(t, p.http(), []string{"", "GET /healthz HTTP/1.1\r\nHost: ", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"}[i%4])
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.Pid()))
	if err != nil {
		t.Skipf("descriptors cannot be counted here: %v", err)
	}
	if len(open) > 250 {
		t.Errorf("%d of 400 descriptors are open", len(open))
	}
	alive(t, bearer(t, p, acmeToken))
	for n := range 20 {
		publishOne(t, js, fmt.Sprintf("o%d", n), 1)
	}
	await(t, 10*time.Second, "all is delivered", func() bool { return e.Delivered() == 20 })
	if v := figure(t, bearer(t, p, acmeToken), "orderbridge_attempts_failed_total"); v != "0" {
		t.Errorf("%s attempts failed", v)
	}
}

// Connections to the embedded NATS server that say nothing leave descriptors.
func TestAttackIdleNATSConnections(t *testing.T) {
	attack(t)
	p := launch(t, "ORDERBRIDGE_NATS_LISTEN=127.0.0.1:0")
	p.leads()
	address := strings.TrimPrefix(p.said(5*time.Second, `msg="embedded NATS server" url=(\S+)`), "nats://")
	for range 2 * limits.NATSConnections {
		raw(t, address, "")
	}
	await(t, 20*time.Second, "the server has as many connections as it may", func() bool {
		open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.Pid()))
		return err != nil || len(open) < limits.NATSConnections+200
	})
	(caller{t, "http://" + p.http(), ""}).call("GET", "/readyz", "").is(t, 200)
}

// Wrong tokens never keep a good one out, behind a proxy or not.
func TestAttackWrongTokens(t *testing.T) {
	attack(t)
	bus := lab.ListenBus(t)
	p := serving(t, bus.URL(), apiTokens, "ORDERBRIDGE_API_PROXIES=127.0.0.1")
	good, wrong := bearer(t, p, acmeToken), bearer(t, p, "wrong-wrong-wrong-wrong")
	for _, c := range []struct{ by, left string }{{"", ""}, {"198.51.100.7", ""}, {"198.51.100.8", "spoofed"}} {
		slowed := 0
		for i := range 60 {
			var headers []string
			if c.by != "" {
				headers = []string{"X-Forwarded-For", c.by}
			}
			if c.left != "" {
				headers[1] = fmt.Sprintf("10.0.0.%d, %s", i, c.by)
			}
			if wrong.call("GET", webhooks, "", headers...).status == http.StatusTooManyRequests {
				slowed++
			}
			good.call("GET", webhooks, "", headers...).is(t, 200)
		}
		if slowed < 20 {
			t.Errorf("%+v: %d of 60 were slowed", c, slowed)
		}
	}
	wrong.call("GET", webhooks, "", "X-Forwarded-For", "198.51.100.9").is(t, 401) // another client of the proxy
	basic(t, p, gatewayToken).call("GET", "/api/v1/register", "").is(t, 200)
}

// A page of another site has a browser register a listener with the credentials
// that it remembers.
func TestAttackForeignPages(t *testing.T) {
	attack(t)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	p := serving(t, bus.URL(), apiTokens)
	c, e := basic(t, p, gatewayToken), receive(t, nil)
	register := "/api/v1/register?http_client=" + e.URL + "/evil"
	browser := []string{"User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Accept-Language", "en-US,en;q=0.5"}
	for _, headers := range [][]string{
		{"Referer", "https://evil.example.com/page"}, {"Referer", "http://127.0.0.1.evil.example.com/"}, {"Referer", "http://localhost:1/"},
		{"Origin", "https://evil.example.com"}, {"Origin", "null"}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"},
		{"Referer", c.base + "/docs", "Sec-Fetch-Site", "cross-site"}, {"Host", "evil.example.com"}, browser,
	} {
		c.call("GET", register, "", headers...).is(t, 403)
		c.call("HEAD", register, "", headers...)
	}
	if got := c.call("HEAD", register, ""); got.status != http.StatusMethodNotAllowed {
		t.Errorf("HEAD registers: %d", got.status)
	}
	if n := len(kvRecords(t, js)); n != 0 || e.Count() != 0 {
		t.Errorf("%d records were stored, %d requests sent", n, e.Count())
	}
	for _, headers := range [][]string{
		{}, {"User-Agent", "curl/8.5.0"}, {"User-Agent", "Mozilla/5.0 (Windows NT; PowerShell)"},
		append([]string{"Sec-Fetch-Site", "same-origin", "Referer", c.base + "/docs"}, browser...), append([]string{"Sec-Fetch-Site", "none"}, browser...),
	} {
		c.call("GET", register, "", headers...).is(t, 200)
	}
}

// A token that is taken out of the file is good no longer, without a restart.
func TestAttackRevokedToken(t *testing.T) {
	attack(t)
	bus := lab.ListenBus(t)
	file := filepath.Join(t.TempDir(), "tokens")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("thief:" + acmeToken + ":acme\nkeeper:" + operator + "\n")
	p := serving(t, bus.URL(), "ORDERBRIDGE_API_TOKENS_FILE="+file)
	p.said(5*time.Second, `(every user of this machine can read the tokens)`)
	thief, keeper := bearer(t, p, acmeToken), bearer(t, p, operator)
	thief.call("GET", webhooks, "").is(t, 200)
	write("keeper:short\n")
	p.said(10*time.Second, `(cannot be read again; those read before stay in force)`)
	keeper.call("GET", webhooks, "").is(t, 200)
	write("keeper:" + operator + "\n")
	await(t, 10*time.Second, "the token is refused", func() bool { return thief.call("GET", webhooks, "").status == 401 })
	keeper.call("GET", webhooks, "").is(t, 200)
	write("# nobody\n")
	await(t, 10*time.Second, "no token is left", func() bool { return keeper.call("GET", webhooks, "").status == 503 })
	if strings.Contains(p.Output(), acmeToken) || strings.Contains(p.Output(), operator) {
		t.Error("the log shows a token")
	}
}

// Requests that are huge, deep or of another protocol cost nothing and are
// answered well.
func TestAttackHugeRequests(t *testing.T) {
	attack(t)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	p := serving(t, bus.URL(), apiTokens)
	acme, address := bearer(t, p, acmeToken), p.http()
	before := p.resident()
	line := func(text string) string {
		t.Helper()
		answer, _ := bufio.NewReader(raw(t, address, text)).ReadString('\n') // none at all is an answer as well
		return answer
	}
	get := "GET " + webhooks + " HTTP/1.1\r\nHost: localhost\r\n"
	for name, one := range map[string][2]string{
		"header":    {get + "X: " + strings.Repeat("a", 1<<20) + "\r\n\r\n", "431"},
		"headers":   {get + strings.Repeat("X: a\r\n", 1<<17) + "\r\n", "431"},
		"url":       {"GET /" + strings.Repeat("a", 1<<20) + " HTTP/1.1\r\nHost: localhost\r\n\r\n", "431"},
		"length":    {"POST " + webhooks + " HTTP/1.1\r\nHost: localhost\r\nAuthorization: " + acme.auth + "\r\nContent-Length: 99999999999\r\n\r\n", "413"},
		"http2":     {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "40"},
		"two hosts": {"GET " + webhooks + " HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n", "400"},
		"smuggled":  {"POST " + webhooks + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "40"},
	} {
		if got := line(one[0]); got != "" && !strings.Contains(got, " "+one[1]) {
			t.Errorf("%s: %q", name, got)
		}
	}
	deep := strings.Repeat("[", 100_000)
	for name, body := range map[string]string{
		"deep": `{"targetURL":` + deep, "deep in a member": `{"targetURL":"https://h.example.com/","labels":` + deep + strings.Repeat("]", 100_000) + `}`,
		"deep objects": strings.Repeat(`{"a":`, 40_000), "keys": `{` + strings.Repeat(`"a":1,`, 40_000) + `"b":1}`, "null": "null", "nothing": "",
		"number": `{"targetURL":1e999999}`, "not utf8": "{\"targetURL\":\"https://\xff\xfe/\"}",
	} {
		for _, method := range []string{"POST", "PUT"} {
			path := webhooks
			if method == "PUT" {
				path += "/nobody"
			}
			if r := acme.call(method, path, body); r.status != 400 && r.status != 404 {
				t.Errorf("%s %s: %d %.200s", method, name, r.status, r.body)
			}
		}
	}
	acme.call("POST", webhooks, strings.Repeat(" ", limits.APIBodyBytes+1)).is(t, 413)
	acme.call("POST", webhooks, "\x1f\x8b\x08", "Content-Encoding", "gzip").is(t, 400)
	acme.call("GET", webhooks+"?"+strings.Repeat("a=b&", 3000), "").is(t, 200)
	acme.call("GET", webhooks+"?limit=99999999999999999999", "").is(t, 400)
	acme.call("GET", "/api/v1/dead-letters?before=99999999999999999999999", "").is(t, 400)
	if n := len(kvRecords(t, js)); n != 0 {
		t.Errorf("%d records were stored", n)
	}
	if after := p.resident(); after > before+200<<20 {
		t.Errorf("memory grew from %d to %d bytes", before, after)
	}
	alive(t, acme)
}

// Every route, with the wrong tenant's token and an id that is written in another
// way, gives and changes nothing; what is another's answers as what is not there.
func TestAttackForeignIDs(t *testing.T) {
	attack(t)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	p := serving(t, bus.URL(), apiTokens)
	acme := bearer(t, p, acmeToken)
	id := acme.call("POST", webhooks, `{"targetURL":"https://h.example.com/acme-only"}`).is(t, 200).json(t)["id"].(string)
	before := snapshot(t, js, id)
	forms := []string{id, strings.ToUpper(id), id + "%00", id + "%2F", id + "%2f..%2f" + id, "%2e%2e%2f" + id, id + ".", id + ".>", "*", "%3E", id + "%0a", id + "%0d%0aX:%20y",
		"%EF%BC%8F" + id, strings.Repeat("a", 8000), id + ";x=y", id + "%3Ftenant=acme", "%252e%252e%252f" + id, strings.ReplaceAll(id, "-", "%2D")}
	extra := [][]string{nil, {"X-HTTP-Method-Override", "DELETE"}, {"X-Method-Override", "PUT"}, {"X-HTTP-Method", "DELETE"}, {"X-Original-URL", webhooks + "/" + id}, {"X-Tenant", "acme"}}
	for _, r := range routes(t, acme) {
		forms := forms
		if !strings.Contains(r.path, "{") {
			forms = forms[:1] // there is no id to write
		}
		for _, form := range forms {
			for _, method := range []string{r.method, "HEAD", "OPTIONS", "PATCH", "TRACE"} {
				for _, headers := range extra {
					if method != r.method && headers != nil {
						continue
					}
					got := r.auth(t, p, betaToken).call(method, r.with(form, 1), r.body(), headers...)
					told := strings.NewReplacer("?tenant=acme", "", "acme-order", "").Replace(got.body) // the id and the order that were asked for
					if strings.Contains(told, "acme") || got.status >= 500 {
						t.Errorf("%s %s %v: %d %.300s", method, r.with(form, 1), headers, got.status, got.body)
					}
					if strings.Contains(r.path, "{id}") && got.status < 300 && method != "OPTIONS" {
						t.Errorf("%s %s %v: %d %.300s", method, r.with(form, 1), headers, got.status, got.body)
					}
				}
			}
		}
	}
	if now := snapshot(t, js, id); now != before {
		t.Errorf("acme's part changed:\n%s\n%s", before, now)
	}
	other := bearer(t, p, betaToken)
	there, nowhere := other.call("GET", webhooks+"/"+id, ""), other.call("GET", webhooks+"/00000000-0000-4000-8000-000000000000", "")
	if there.status != nowhere.status || there.body != nowhere.body {
		t.Errorf("another's record answers %s, none %s", there.body, nowhere.body)
	}
	// Mass assignment.
	for _, body := range []string{`{"targetURL":"https://h.example.com/","tenant":"acme"}`, `{"targetURL":"https://h.example.com/","tenant":null}`, `{"targetURL":"https://h.example.com/","tenant":["beta","acme"]}`,
		`{"targetURL":"https://h.example.com/","tenant":"beta","tenant":"acme"}`, `{"targetURL":"https://h.example.com/","Tenant":"acme"}`, `{"targetURL":"https://h.example.com/","subjects":["orders.acme.>"]}`,
		`{"targetURL":"https://h.example.com/","id":"` + id + `"}`} {
		if got := other.call("POST", webhooks, body); got.status != 400 {
			t.Errorf("%s: %d %s", body, got.status, got.body)
		}
	}
}

// Whoever is not an insider learns neither addresses nor names from probes and
// figures, and no page reaches them under a name of its own.
func TestAttackStrangersLearnLittle(t *testing.T) {
	attack(t)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	p := serving(t, bus.URL(), apiTokens)
	e := receive(t, lab.Always(500))
	put(t, js, "secretid", recordFor(e, `"tenant":"hiddentenant"`, quickRetries))
	publishMsg(t, js, &nats.Msg{Subject: "orders.hiddentenant.OrderChanged.o1", Data: []byte(`{"orderId":"o1"}`)})
	await(t, 10*time.Second, "an attempt", func() bool { return e.Count() > 0 })
	host := strings.TrimPrefix(e.URL, "https://")
	stranger := caller{t, "http://" + p.http(), ""}
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/", "/debug/pprof/", "/api/v1/owed"} {
		r := stranger.call("GET", path, "", "X-Forwarded-For", "198.51.100.7")
		for _, text := range []string{"secretid", "hiddentenant", host, strings.TrimPrefix(bus.URL(), "nats://")} {
			if strings.Contains(r.body, text) {
				t.Errorf("%s tells %s", path, text)
			}
		}
		if r.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: no nosniff", path)
		}
	}
	bus.Stop()
	p.complains("the bus is not connected")
	told := func(headers ...string) string { return stranger.call("GET", "/readyz", "", headers...).is(t, 503).body }
	if body := told("X-Forwarded-For", "198.51.100.7"); strings.Contains(body, "127.0.0.1") || !strings.Contains(body, "Authorization: Bearer") {
		t.Errorf("a stranger learns %s", body)
	}
	if body := told("X-Forwarded-For", "198.51.100.7", "Authorization", "Bearer "+acmeToken); strings.Contains(body, "not connected") {
		t.Errorf("a tenant learns %s", body)
	}
	if body := told("X-Forwarded-For", "198.51.100.7", "Authorization", "Bearer "+operator); !strings.Contains(body, "not connected") {
		t.Errorf("an operator learns %s", body)
	}
	for _, path := range []string{"/readyz", "/metrics", "/docs", "/openapi.json"} {
		stranger.call("GET", path, "", "Host", "rebound.example.com").is(t, 403)
	}
}
