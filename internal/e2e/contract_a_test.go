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
	"github.com/nats-io/nats.go/jetstream"

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

// The paths of contract A.
const (
	v1 = "/api/v1/register"
	v2 = "/api/v2/register"
)

var jsonBody = []string{"Content-Type", "application/json"}

// contractA is a program whose API is held against the statements of contract A.
type contractA struct {
	bus     *lab.Bus
	js      jetstream.JetStream
	p       *program
	first   *receiver
	payload []byte // of the original
}

// register2 registers a target by v2 with a JSON body.
func (c caller) register2(target string) reply {
	c.t.Helper()
	return c.call("POST", v2, fmt.Sprintf(`{"http_client":%q}`, target), jsonBody...)
}

// modified is the nth event that the targets hear.
func (s contractA) modified(n int) *nats.Msg {
	return &nats.Msg{Subject: "orders.acme.ORDER_MODIFIED.147e7ccd", Data: s.payload, Header: nats.Header{"Nats-Msg-Id": {fmt.Sprintf("a-%d", n)}}}
}

// TestContractA holds the statements A1-A11 of contract A.
func TestContractA(t *testing.T) {
	t.Parallel()
	payload, err := os.ReadFile("testdata/contracts/a-payload.json")
	if err != nil {
		t.Fatal(err)
	}
	bus := lab.ListenBus(t)
	s := contractA{bus, jetStream(t, bus.URL()), serving(t, bus.URL(), apiTokens, "ORDERBRIDGE_ALLOW_HTTP=true"), listen(t, 200), payload}
	t.Run("A1", s.a1RegistersByPost)
	t.Run("A2", s.a2RegistersByGet)
	t.Run("A2 curl of the original", s.a2CurlOfTheOriginal)
	t.Run("A3", s.a3WantsAToken)
	t.Run("A4", s.a4ProbesTheTarget)
	t.Run("A5", s.a5AnswersWithTheTargetAsItIs)
	t.Run("A6", s.a6StoresNothingThatDoesNotRespond)
	t.Run("A7 A9 A10", s.a7DeliversToAll)
	t.Run("A8", s.a8TellsWhatIsRegistered)
	t.Run("A11", s.a11StoresARecord)
}

func (s contractA) a1RegistersByPost(t *testing.T) {
	c := basic(t, s.p, gatewayToken)
	for name, r := range map[string]reply{
		"json": c.register2(s.first.URL + "/a1/json"),
		"json with charset": c.call("POST", v2, `{ "http_client" : "`+s.first.URL+`/a1/charset", "other": 1 }`,
			"Content-Type", "application/json; charset=utf-8"),
		"form":        c.call("POST", v2, url.Values{"http_client": {s.first.URL + "/a1/form?x=1&y=2"}}.Encode(), "Content-Type", "application/x-www-form-urlencoded"),
		"form as is":  c.call("POST", v2, "http_client="+s.first.URL+"/a1/raw", "Content-Type", "application/x-www-form-urlencoded"),
		"no type":     c.call("POST", v2, `{"http_client":"`+s.first.URL+`/a1/notype"}`),
		"form and on": c.call("POST", v2, "a=b&http_client="+url.QueryEscape(s.first.URL+"/a1/last")+"&c=d", "Content-Type", "application/x-www-form-urlencoded"),
	} {
		if r.status != 200 || !strings.HasPrefix(r.body, `{"status": 200, "message": "Registered client at: `+s.first.URL+"/a1/") {
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
}

func (s contractA) a2RegistersByGet(t *testing.T) {
	c := basic(t, s.p, gatewayToken)
	for _, tt := range []struct{ query, target string }{
		{"http_client=" + s.first.URL + "/v1/notify", s.first.URL + "/v1/notify"},
		{"http_client=" + url.QueryEscape(s.first.URL+"/v1/enc?a=1&b=2"), s.first.URL + "/v1/enc?a=1&b=2"},
		{"http_client=" + s.first.URL + "/v1/raw?a=1&b=2&c=%20d", s.first.URL + "/v1/raw?a=1&b=2&c=%20d"},
		{"x=1&http_client=" + s.first.URL + "/v1/after?http_client=y", s.first.URL + "/v1/after?http_client=y"},
		{"http_client=" + url.QueryEscape(s.first.URL+"/v1/between") + "&_=1712", s.first.URL + "/v1/between"},
	} {
		if r := c.call("GET", v1+"?"+tt.query, ""); r.status != 200 || r.body != registered(tt.target) {
			t.Errorf("%s: %d %s", tt.query, r.status, r.body)
		}
	}
}

func (s contractA) a2CurlOfTheOriginal(t *testing.T) {
	c := basic(t, s.p, gatewayToken)
	line, err := os.ReadFile("testdata/contracts/a-register.curl")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	target := s.first.URL + "/v1/notify"
	text := strings.NewReplacer("[TT LAN IP]:8000", strings.TrimPrefix(c.base, "http://"), "http://10.0.1.18:8989/v1/notify", target).Replace(strings.TrimSpace(string(line)))
	out, err := exec.CommandContext(within(t, 20*time.Second), "sh", "-c", text+" --silent --show-error").Output()
	if err != nil || string(out) != registered(target) {
		t.Errorf("%s\ngot %s, %v", text, out, err)
	}
}

func (s contractA) a3WantsAToken(t *testing.T) {
	c := basic(t, s.p, gatewayToken)
	before := len(kvRecords(t, s.js))
	target := s.first.URL + "/a3"
	seen := len(s.first.requests())
	password, _ := http.NewRequest("GET", "http://x/", nil)
	password.SetBasicAuth(gatewayToken, "x")
	for name, auth := range map[string]string{"none": "", "wrong": basic(t, s.p, "wrong").auth, "password": password.Header.Get("Authorization"),
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
	if n := len(kvRecords(t, s.js)); n != before || len(s.first.requests()) != seen {
		t.Errorf("something was stored or probed without a token")
	}
}

func (s contractA) a4ProbesTheTarget(t *testing.T) {
	c := basic(t, s.p, gatewayToken)
	for _, status := range []int{200, 404, 500, 302, 401} {
		l := listen(t, status)
		target := l.URL + "/exact/%7Epath?q=a%2Fb&r"
		if r := c.register2(target); r.status != 200 || r.body != registered(target) {
			t.Errorf("HEAD answered %d: %d %s", status, r.status, r.body)
		}
		if got := strings.Join(l.requests(), "; "); got != "HEAD /exact/%7Epath?q=a%2Fb&r" {
			t.Errorf("the listener saw %s", got)
		}
	}
	good := receive(t, nil)
	if r := c.register2(good.URL + "/tls"); r.status != 200 {
		t.Errorf("https: %d %s", r.status, r.body)
	}
}

func (s contractA) a5AnswersWithTheTargetAsItIs(t *testing.T) {
	c := basic(t, s.p, gatewayToken)
	target := s.first.URL + "/five?a=<b>"
	target = strings.NewReplacer("<", "%3C", ">", "%3E").Replace(target) + "&é=ü"
	if r := c.register2(target); r.status != 200 || r.body != registered(target) {
		t.Errorf("got %d %s", r.status, r.body)
	}
}

func (s contractA) a6StoresNothingThatDoesNotRespond(t *testing.T) {
	before := kvRecords(t, s.js)
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
	c := basic(t, s.p, operator) // has a bucket of its own
	for name, target := range map[string]string{"refused": refused, "no such host": "http://no-such-host.invalid/x", "tls": untrusted.URL + "/x", "silent": "http://" + silent.Addr().String() + "/x"} {
		r := c.call("POST", v2, fmt.Sprintf(`{"http_client":%q}`, target), jsonBody...)
		if r.status != 404 || r.body != notResponding(target) {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	if after := kvRecords(t, s.js); len(after) != len(before) {
		t.Errorf("%d records, %d before", len(after), len(before))
	}
}

func (s contractA) a7DeliversToAll(t *testing.T) {
	c := basic(t, s.p, acmeToken)
	one, two := listen(t, 200), listen(t, 200)
	before := len(kvRecords(t, s.js))
	for range 2 {
		for _, target := range []string{one.URL + "/notify", two.URL + "/notify"} {
			if r := c.call("GET", v1+"?http_client="+target, ""); r.body != registered(target) {
				t.Fatalf("%d %s", r.status, r.body)
			}
		}
	}
	records := kvRecords(t, s.js)
	if len(records) != before+2 {
		t.Errorf("%d records more, want 2", len(records)-before)
	}
	for id, r := range records {
		if strings.Contains(r, one.URL) || strings.Contains(r, two.URL) {
			active(t, s.js, id)
		}
	}
	for n := range 3 {
		publishMsg(t, s.js, s.modified(n))
	}
	publishMsg(t, s.js, &nats.Msg{Subject: "orders.acme.OrderAccepted.1", Data: []byte(`{"orderId":"1","eventType":"OrderAccepted"}`)})
	last := publishMsg(t, s.js, s.modified(3))
	acknowledged(t, s.js, last)
	for _, l := range []*receiver{one, two} {
		got := l.posts()
		if len(got) != 4 {
			t.Errorf("%d deliveries, want 4", len(got))
		}
		for _, h := range got {
			if string(h.Body) != string(s.payload) || h.Header.Get("Content-Type") != "application/json" || h.URI != "/notify" {
				t.Errorf("got %s %q %s", h.URI, h.Header.Get("Content-Type"), h.Body)
			}
		}
	}
}

func (s contractA) a8TellsWhatIsRegistered(t *testing.T) {
	c := basic(t, s.p, betaToken)
	target := s.first.URL + "/beta"
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
}

func (s contractA) a11StoresARecord(t *testing.T) {
	for id, r := range kvRecords(t, s.js) {
		if !strings.Contains(r, s.first.URL+"/beta") {
			continue
		}
		for _, want := range []string{`"id":"` + id + `"`, `"method":"POST"`, `"payload":"event"`, `"eventTypes":["ORDER_MODIFIED"]`, `"tenant":"beta"`, `"subjects":["orders.beta.>"]`, `"createdAt":`} {
			if !strings.Contains(r, want) {
				t.Errorf("%s is missing in %s", want, r)
			}
		}
	}
	strict := launch(t, "ORDERBRIDGE_NATS_URL="+s.bus.URL(), apiTokens, "ORDERBRIDGE_EGRESS_ALLOW=")
	strict.said(30*time.Second, "orderbridge is up")
	before := len(kvRecords(t, s.js))
	for target, policy := range map[string]string{s.first.URL + "/x": "ORDERBRIDGE_ALLOW_HTTP", receive(t, nil).URL + "/x": "ORDERBRIDGE_EGRESS_ALLOW"} {
		r := basic(t, strict, gatewayToken).call("POST", v2, fmt.Sprintf(`{"http_client":%q}`, target), jsonBody...)
		if r.status != 403 || !strings.HasPrefix(r.body, `{"status": 403, "message": "`) || !strings.Contains(r.body, policy) {
			t.Errorf("%s: %d %s", target, r.status, r.body)
		}
	}
	if n := len(kvRecords(t, s.js)); n != before {
		t.Errorf("%d records, %d before", n, before)
	}
}
