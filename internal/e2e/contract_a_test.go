package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"orderbridge/internal/lab"
)

// listen starts a plain HTTP endpoint as contract A's receivers are.
func listen(t testing.TB, status int) *receiver {
	t.Helper()
	return receivePlain(t, func(h *lab.Hit) int {
		switch {
		case status/100 == 3:
			h.Answer.Set("Location", "/elsewhere")
		case h.Method != http.MethodHead:
			return http.StatusOK
		}
		return status
	})
}

// requests are method and URI of each request.
func (e *receiver) requests() (all []string) {
	for _, h := range e.Journal() {
		all = append(all, h.Method+" "+h.URI)
	}
	return all
}

// posts are the requests that are not probes.
func (e *receiver) posts() (posts []lab.Hit) {
	for _, h := range e.Journal() {
		if h.Method == http.MethodPost {
			posts = append(posts, h)
		}
	}
	return posts
}

func registered(target string) string {
	return `{"status": 200, "message": "Registered client at: ` + target + `"}`
}

func notResponding(target string) string {
	return `{"status": 404, "message": "Client not responding at ` + target + `"}`
}

// TestContractA holds the statements A1-A11 of contract A, each as a row.
func TestContractA(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	p := serving(t, bus.URL(), apiTokens, "ORDERBRIDGE_ALLOW_HTTP=true")
	c := basic(t, p, gatewayToken)
	const v1, v2 = "/api/v1/register", "/api/v2/register"
	jsonBody := []string{"Content-Type", "application/json"}
	v2JSON := func(target string) reply {
		return c.call("POST", v2, fmt.Sprintf(`{"http_client":%q}`, target), jsonBody...)
	}
	first := listen(t, 200)
	payload, err := os.ReadFile("testdata/contracts/a-payload.json")
	if err != nil {
		t.Fatal(err)
	}
	modified := func(n int) *nats.Msg {
		return &nats.Msg{Subject: "orders.acme.ORDER_MODIFIED.147e7ccd", Data: payload, Header: nats.Header{"Nats-Msg-Id": {fmt.Sprintf("a-%d", n)}}}
	}

	t.Run("A1", func(t *testing.T) {
		for name, r := range map[string]reply{
			"json": v2JSON(first.URL + "/a1/json"),
			"json with charset": c.call("POST", v2, `{ "http_client" : "`+first.URL+`/a1/charset", "other": 1 }`,
				"Content-Type", "application/json; charset=utf-8"),
			"form":        c.call("POST", v2, url.Values{"http_client": {first.URL + "/a1/form?x=1&y=2"}}.Encode(), "Content-Type", "application/x-www-form-urlencoded"),
			"form as is":  c.call("POST", v2, "http_client="+first.URL+"/a1/raw", "Content-Type", "application/x-www-form-urlencoded"),
			"no type":     c.call("POST", v2, `{"http_client":"`+first.URL+`/a1/notype"}`),
			"form and on": c.call("POST", v2, "a=b&http_client="+url.QueryEscape(first.URL+"/a1/last")+"&c=d", "Content-Type", "application/x-www-form-urlencoded"),
		} {
			if r.status != 200 || !strings.HasPrefix(r.body, `{"status": 200, "message": "Registered client at: `+first.URL+"/a1/") {
				t.Errorf("%s: %d %s", name, r.status, r.body)
			}
			if ct := r.header.Get("Content-Type"); ct != "application/json" {
				t.Errorf("%s: Content-Type %q", name, ct)
			}
		}
		for _, body := range []string{`{"http_client":7}`, `["http_client"]`, `{"http_client":`} {
			if r := c.call("POST", v2, body, jsonBody...); r.status != 400 || !strings.HasPrefix(r.body, `{"status": 400, "message": "`) {
				t.Errorf("%s: %d %s", body, r.status, r.body)
			}
		}
		if r := c.call("POST", v2, strings.Repeat("x", 300<<10), jsonBody...); r.status != 413 || !strings.HasPrefix(r.body, `{"status": 413, "message": "`) {
			t.Errorf("a body of 300 KiB: %d %s", r.status, r.body)
		}
		c.call("PUT", v2, "", jsonBody...).is(t, 405)
	})

	t.Run("A2", func(t *testing.T) {
		for _, tt := range []struct{ query, target string }{
			{"http_client=" + first.URL + "/v1/notify", first.URL + "/v1/notify"},
			{"http_client=" + url.QueryEscape(first.URL+"/v1/enc?a=1&b=2"), first.URL + "/v1/enc?a=1&b=2"},
			{"http_client=" + first.URL + "/v1/raw?a=1&b=2&c=%20d", first.URL + "/v1/raw?a=1&b=2&c=%20d"},
			{"x=1&http_client=" + first.URL + "/v1/after?http_client=y", first.URL + "/v1/after?http_client=y"},
			{"http_client=" + url.QueryEscape(first.URL+"/v1/between") + "&_=1712", first.URL + "/v1/between"},
		} {
			if r := c.call("GET", v1+"?"+tt.query, ""); r.status != 200 || r.body != registered(tt.target) {
				t.Errorf("%s: %d %s", tt.query, r.status, r.body)
			}
		}
	})

	t.Run("A2 curl of the original", func(t *testing.T) {
		line, err := os.ReadFile("testdata/contracts/a-register.curl")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := exec.LookPath("curl"); err != nil {
			t.Skip("curl is not installed")
		}
		target := first.URL + "/v1/notify"
		text := strings.NewReplacer("[TT LAN IP]:8000", strings.TrimPrefix(c.base, "http://"), "http://10.0.1.18:8989/v1/notify", target).Replace(strings.TrimSpace(string(line)))
		out, err := exec.CommandContext(within(t, 20*time.Second), "sh", "-c", text+" --silent --show-error").Output()
		if err != nil || string(out) != registered(target) {
			t.Errorf("%s\ngot %s, %v", text, out, err)
		}
	})

	t.Run("A3", func(t *testing.T) {
		before := len(kvRecords(t, js))
		target := first.URL + "/a3"
		seen := len(first.requests())
		password, _ := http.NewRequest("GET", "http://x/", nil)
		password.SetBasicAuth(gatewayToken, "x")
		for name, auth := range map[string]string{"none": "", "wrong": basic(t, p, "wrong").auth, "password": password.Header.Get("Authorization"),
			"bearer": "Bearer " + gatewayToken, "garbage": "Basic !!!"} {
			for _, r := range []reply{
				caller{t, c.base, auth}.call("GET", v1+"?http_client="+target, ""),
				caller{t, c.base, auth}.call("POST", v2, `{"http_client":"`+target+`"}`, jsonBody...),
				caller{t, c.base, auth}.call("GET", v1, ""),
			} {
				if r.status != 401 || !strings.HasPrefix(r.body, `{"status": 401, "message": "`) || !strings.HasPrefix(r.header.Get("WWW-Authenticate"), "Basic ") {
					t.Errorf("%s: %d %s", name, r.status, r.body)
				}
			}
		}
		if n := len(kvRecords(t, js)); n != before || len(first.requests()) != seen {
			t.Errorf("something was stored or probed without a token")
		}
	})

	t.Run("A4", func(t *testing.T) {
		for _, status := range []int{200, 404, 500, 302, 401} {
			l := listen(t, status)
			target := l.URL + "/exact/%7Epath?q=a%2Fb&r"
			if r := v2JSON(target); r.status != 200 || r.body != registered(target) {
				t.Errorf("HEAD answered %d: %d %s", status, r.status, r.body)
			}
			if got := strings.Join(l.requests(), "; "); got != "HEAD /exact/%7Epath?q=a%2Fb&r" {
				t.Errorf("the listener saw %s", got)
			}
		}
		good := receive(t, nil)
		if r := v2JSON(good.URL + "/tls"); r.status != 200 {
			t.Errorf("https: %d %s", r.status, r.body)
		}
	})

	t.Run("A5", func(t *testing.T) {
		target := first.URL + "/five?a=<b>"
		target = strings.NewReplacer("<", "%3C", ">", "%3E").Replace(target) + "&é=ü"
		if r := v2JSON(target); r.status != 200 || r.body != registered(target) {
			t.Errorf("got %d %s", r.status, r.body)
		}
	})

	t.Run("A6", func(t *testing.T) {
		before := kvRecords(t, js)
		refused := "http://" + freeAddress(t) + "/x"
		self, err := lab.SelfSigned("127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		settings := lab.TLS()
		settings.Certificates[0] = self
		untrusted := receiveTLS(t, settings, nil)
		silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and never answers
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		c := basic(t, p, operator) // has a bucket of its own
		for name, target := range map[string]string{"refused": refused, "no such host": "http://no-such-host.invalid/x", "tls": untrusted.URL + "/x", "silent": "http://" + silent.Addr().String() + "/x"} {
			r := c.call("POST", v2, fmt.Sprintf(`{"http_client":%q}`, target), jsonBody...)
			if r.status != 404 || r.body != notResponding(target) {
				t.Errorf("%s: %d %s", name, r.status, r.body)
			}
		}
		if after := kvRecords(t, js); len(after) != len(before) {
			t.Errorf("%d records, %d before", len(after), len(before))
		}
	})

	t.Run("A7 A9 A10", func(t *testing.T) {
		c := basic(t, p, acmeToken)
		one, two := listen(t, 200), listen(t, 200)
		before := len(kvRecords(t, js))
		for range 2 {
			for _, target := range []string{one.URL + "/notify", two.URL + "/notify"} {
				if r := c.call("GET", v1+"?http_client="+target, ""); r.body != registered(target) {
					t.Fatalf("%d %s", r.status, r.body)
				}
			}
		}
		records := kvRecords(t, js)
		if len(records) != before+2 {
			t.Errorf("%d records more, want 2", len(records)-before)
		}
		for id, r := range records {
			if strings.Contains(r, one.URL) || strings.Contains(r, two.URL) {
				active(t, js, id)
			}
		}
		for n := range 3 {
			publishMsg(t, js, modified(n))
		}
		publishMsg(t, js, &nats.Msg{Subject: "orders.acme.OrderAccepted.1", Data: []byte(`{"orderId":"1","eventType":"OrderAccepted"}`)})
		last := publishMsg(t, js, modified(3))
		acknowledged(t, js, last)
		for _, l := range []*receiver{one, two} {
			got := l.posts()
			if len(got) != 4 {
				t.Errorf("%d deliveries, want 4", len(got))
			}
			for _, h := range got {
				if string(h.Body) != string(payload) || h.Header.Get("Content-Type") != "application/json" || h.URI != "/notify" {
					t.Errorf("got %s %q %s", h.URI, h.Header.Get("Content-Type"), h.Body)
				}
			}
		}
	})

	t.Run("A8", func(t *testing.T) {
		c := basic(t, p, betaToken)
		target := first.URL + "/beta"
		for _, r := range []reply{c.call("GET", v1, ""), c.call("POST", v2, "{}", jsonBody...), c.call("POST", v2, ""), c.call("GET", v1+"?http_client=", "")} {
			if r.status != 200 || r.body != `{"status": 200, "message": "No registered clients"}` {
				t.Errorf("got %d %s", r.status, r.body)
			}
		}
		c.call("GET", v1+"?http_client="+target, "").is(t, 200)
		if r := c.call("GET", v1, ""); r.status != 200 || r.body != `{"status": 200, "message": "Registered clients: `+target+`"}` {
			t.Errorf("got %d %s", r.status, r.body)
		}
		for _, bad := range []string{"nonsense", "ftp://h/x", "http://", "http://u:hunter2@127.0.0.1/", "http://127.0.0.1:99999/", "http://h/%zz", "/relative", "http://h/{orderId}"} {
			r := c.call("POST", v2, fmt.Sprintf(`{"http_client":%q}`, bad), jsonBody...)
			if r.status != 400 || !strings.HasPrefix(r.body, `{"status": 400, "message": "`) || strings.Contains(r.body, "hunter2") {
				t.Errorf("%s: %d %s", bad, r.status, r.body)
			}
		}
	})

	t.Run("A11", func(t *testing.T) {
		for id, r := range kvRecords(t, js) {
			if !strings.Contains(r, first.URL+"/beta") {
				continue
			}
			for _, want := range []string{`"id":"` + id + `"`, `"method":"POST"`, `"payload":"event"`, `"eventTypes":["ORDER_MODIFIED"]`, `"tenant":"beta"`, `"subjects":["orders.beta.>"]`, `"createdAt":`} {
				if !strings.Contains(r, want) {
					t.Errorf("%s is missing in %s", want, r)
				}
			}
		}
		strict := launch(t, "ORDERBRIDGE_NATS_URL="+bus.URL(), apiTokens, "ORDERBRIDGE_EGRESS_ALLOW=")
		strict.said(30*time.Second, "orderbridge is up")
		before := len(kvRecords(t, js))
		for target, policy := range map[string]string{first.URL + "/x": "ORDERBRIDGE_ALLOW_HTTP", receive(t, nil).URL + "/x": "ORDERBRIDGE_EGRESS_ALLOW"} {
			r := basic(t, strict, gatewayToken).call("POST", v2, fmt.Sprintf(`{"http_client":%q}`, target), jsonBody...)
			if r.status != 403 || !strings.HasPrefix(r.body, `{"status": 403, "message": "`) || !strings.Contains(r.body, policy) {
				t.Errorf("%s: %d %s", target, r.status, r.body)
			}
		}
		if n := len(kvRecords(t, js)); n != before {
			t.Errorf("%d records, %d before", n, before)
		}
	})
}
