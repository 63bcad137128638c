package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/lab"
)

var uuidText = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// contractC is a program whose API is held against the statements of contract C.
type contractC struct {
	js jetstream.JetStream
	p  *program
}

// register registers a webhook and returns its id.
func (c caller) register(body string) (id string, r reply) {
	c.t.Helper()
	r = c.call("POST", webhooks, body, "Content-Type", "application/json", "Accept", "application/json, application/problem+json").is(c.t, 200)
	return r.json(c.t)["id"].(string), r
}

// TestContractC holds the statements C1-C13 of contract C.
func TestContractC(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	s := contractC{jetStream(t, bus.URL()), serving(t, bus.URL(), apiTokens)}
	t.Run("C1", s.c1RegistersByPost)
	t.Run("C1 curl of the original", s.c1CurlOfTheOriginal)
	t.Run("C2", s.c2WantsAToken)
	t.Run("C3", s.c3WantsATarget)
	t.Run("C4", s.c4ChecksAuth)
	t.Run("C5", s.c5AnswersWithWhatIsStored)
	t.Run("C6", s.c6ShowsNoSecret)
	t.Run("C6 what is left out", s.c6KeepsSecretsForTheSameHost)
	t.Run("C7", s.c7TellsTheStatus)
	t.Run("C8", s.c8IsManaged)
	t.Run("C9", s.c9WantsHTTPS)
	t.Run("C10", s.c10AsksNoEndpoint)
	t.Run("C11", s.c11SendsBasicAtOnce)
	t.Run("C12", s.c12FetchesATokenOnce)
	t.Run("C13", s.c13IsOfATenant)
}

func (s contractC) c1RegistersByPost(t *testing.T) {
	c := bearer(t, s.p, operator)
	_, r := c.register(`{"targetURL":"https://c1.example.com/notify"}`)
	if ct := r.header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("Content-Type %q", ct)
	}
	for _, bad := range []string{``, `{`, `[]`, `"x"`, `{"targetURL":7}`, `{}`} {
		c.call("POST", webhooks, bad).problem(t, 400)
	}
	c.call("GET", "/api/notifications/v1/nothing", "").problem(t, 404)
	c.call("PATCH", webhooks, "").problem(t, 405)
	c.call("POST", webhooks, strings.Repeat(" ", 300<<10)).problem(t, 413)
}

func (s contractC) c1CurlOfTheOriginal(t *testing.T) {
	c := bearer(t, s.p, operator)
	line, err := os.ReadFile("testdata/contracts/c-register.curl")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	cmd := exec.CommandContext(within(t, 20*time.Second), "sh", "-c", strings.TrimSpace(string(line))+" --silent --show-error")
	cmd.Env = append(os.Environ(), "API_BASE_URL="+c.base, "API_ACCESS_TOKEN="+operator)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	auth := got["auth"].(map[string]any)
	if !uuidText.MatchString(got["id"].(string)) || got["status"] != "active" || got["targetURL"] != "https://example.com" ||
		len(auth) != 2 || auth["type"] != "basic" || auth["username"] != "USERNAME" {
		t.Errorf("got %s", out)
	}
	// The members of the original's answer, in its order.
	if !regexp.MustCompile(`^\{"id":"[^"]+","createdAt":"[^"]+","updatedAt":"[^"]+","targetURL":"https://example.com","auth":\{"type":"basic","username":"USERNAME"\},"status":"active"\}\s*$`).Match(out) {
		t.Errorf("got %s", out)
	}
}

func (s contractC) c2WantsAToken(t *testing.T) {
	c := bearer(t, s.p, operator)
	before := len(kvRecords(t, s.js))
	for name, auth := range map[string]string{"none": "", "wrong": "Bearer wrong", "basic": basic(t, s.p, operator).auth, "empty": "Bearer ", "no scheme": operator} {
		r := caller{t, c.base, auth}.call("POST", webhooks, `{"targetURL":"https://c2.example.com"}`)
		r.problem(t, 401)
		if !strings.HasPrefix(r.header.Get("WWW-Authenticate"), "Bearer ") {
			t.Errorf("%s: WWW-Authenticate %q", name, r.header.Get("WWW-Authenticate"))
		}
	}
	if n := len(kvRecords(t, s.js)); n != before {
		t.Errorf("%d records, %d before", n, before)
	}
}

func (s contractC) c3WantsATarget(t *testing.T) {
	c := bearer(t, s.p, operator)
	c.call("POST", webhooks, `{"auth":{"type":"noauth"}}`).problem(t, 400, "targetURL")
	for _, body := range []string{`{"targetURL":"https://c3.example.com"}`, `{"targetURL":"https://c3.example.com","auth":{"type":"noauth"}}`} {
		_, r := c.register(body)
		if auth := r.json(t)["auth"].(map[string]any); len(auth) != 1 || auth["type"] != "noauth" {
			t.Errorf("auth is %v", auth)
		}
	}
}

func (s contractC) c4ChecksAuth(t *testing.T) {
	c := bearer(t, s.p, operator)
	for body, members := range map[string][]string{
		`{"type":"digest"}`:                     {"auth.type"},
		`{}`:                                    {"auth.type"},
		`{"type":"basic"}`:                      {"auth.username", "auth.password"},
		`{"type":"basic","username":"u"}`:       {"auth.password"},
		`{"type":"basic","password":"hunter2"}`: {"auth.username"},
		`{"type":"client_credential","clientID":"i","clientSecret":"hunter2"}`:                     {"auth.tokenURL"},
		`{"type":"client_credential","clientID":"i","tokenURL":"https://t.example.com"}`:           {"auth.clientSecret"},
		`{"type":"client_credential","clientSecret":"hunter2","tokenURL":"https://t.example.com"}`: {"auth.clientID"},
		`{"type":"noauth","password":"hunter2"}`:                                                   {"auth.password"},
	} {
		r := c.call("POST", webhooks, `{"targetURL":"https://c4.example.com","auth":`+body+`}`)
		r.problem(t, 400, members...)
		if strings.Contains(r.body, "hunter2") {
			t.Errorf("shows a secret: %s", r.body)
		}
		fields := ""
		for _, e := range r.json(t)["errors"].([]any) {
			fields += e.(map[string]any)["field"].(string) + " "
		}
		for _, m := range members {
			if !strings.Contains(fields, m) {
				t.Errorf("%s: errors name %s", m, fields)
			}
		}
	}
	for _, good := range []string{`{"type":"basic","username":"u","password":"p"}`,
		`{"type":"client_credential","clientID":"i","clientSecret":"s","tokenURL":"https://t.example.com/token"}`, `{"type":"noauth"}`} {
		c.register(`{"targetURL":"https://c4.example.com","auth":` + good + `}`)
	}
}

func (s contractC) c5AnswersWithWhatIsStored(t *testing.T) {
	c := bearer(t, s.p, operator)
	const target = "https://C5.example.com:443/a%2Fb/?x=1&y=<orderId>"
	before := time.Now().Add(-2 * time.Second)
	id, r := c.register(fmt.Sprintf(`{"auth":{"type":"basic","username":"u","password":"p"},"targetURL":%q}`, target))
	got := r.json(t)
	if !uuidText.MatchString(id) || got["targetURL"] != target || got["status"] != "active" {
		t.Errorf("got %s", r.body)
	}
	for _, name := range []string{"createdAt", "updatedAt"} {
		at, err := time.Parse(time.RFC3339, got[name].(string))
		if err != nil || at.Before(before) || at.After(time.Now().Add(time.Second)) {
			t.Errorf("%s is %v", name, got[name])
		}
	}
	if again := c.call("GET", webhooks+"/"+id, "").is(t, 200); again.body != r.body || again.header.Get("ETag") != r.header.Get("ETag") || r.header.Get("ETag") == "" {
		t.Errorf("get gives %s with %s, register gave %s with %s", again.body, again.header.Get("ETag"), r.body, r.header.Get("ETag"))
	}
}

// Records with secrets of each kind.
const (
	c6Secrets = `{"targetURL":"https://c6.example.com/x","key":"hunter2-key","secret":"hunter2-secret","signing":{"secrets":["whsec_aHVudGVyMi1odW50ZXIyLWh1bnRlcjItaHVudGVyMg=="]},` +
		`"headers":{"X-Api-Key":"hunter2-header"},"auth":{"type":"basic","username":"u","password":"hunter2-password"}}`
	c6Client = `{"targetURL":"https://c6.example.com/x","auth":{"type":"client_credential","clientID":"i","clientSecret":"hunter2","tokenURL":"https://t.example.com/token"}}`
)

func (s contractC) c6ShowsNoSecret(t *testing.T) {
	c := bearer(t, s.p, operator)
	for _, target := range []string{"https://u:hunter2@c6.example.com/", "https://hunter2@c6.example.com/"} {
		r := c.call("POST", webhooks, fmt.Sprintf(`{"targetURL":%q}`, target))
		r.problem(t, 400, "targetURL")
		if strings.Contains(r.body, "hunter2") {
			t.Errorf("shows the user info: %s", r.body)
		}
	}
	id, r := c.register(c6Secrets)
	put(t, s.js, "c6-kv", c6Secrets)
	put(t, s.js, "c6-broken", `{"targetURL":"https://u:hunter2@h/","passwrod":"hunter2","auth":{"type":"basic","Password":"hunter2"}}`)
	put(t, s.js, "c6-text", `hunter2`)
	client, _ := c.register(c6Client)
	if auth := c.call("GET", webhooks+"/"+client, "").json(t)["auth"].(map[string]any); len(auth) != 3 || auth["clientID"] != "i" || auth["tokenURL"] != "https://t.example.com/token" {
		t.Errorf("auth is %v", auth)
	}
	answers := r.body
	for _, path := range []string{webhooks + "/" + id, webhooks + "/c6-kv", webhooks + "/c6-broken", webhooks + "/c6-text", webhooks + "?limit=500", "/api/v1/statuses?limit=500", "/metrics"} {
		answers += c.call("GET", path, "").is(t, 200).body
	}
	answers += c.call("POST", webhooks+"/"+id+"/deactivate", "").is(t, 200).body
	answers += c.call("POST", webhooks+"/"+id+"/test", "").is(t, 200).body
	for _, secret := range []string{"hunter2", "aHVudGVyMi1"} {
		if strings.Contains(answers, secret) || strings.Contains(s.p.Output(), secret) {
			t.Errorf("an answer or the log shows %s", secret)
		}
	}
}

// What is left out stays, as long as it goes to the same host.
func (s contractC) c6KeepsSecretsForTheSameHost(t *testing.T) {
	c := bearer(t, s.p, operator)
	id, _ := c.register(c6Secrets)
	client, _ := c.register(c6Client)
	c.call("POST", webhooks+"/"+id+"/deactivate", "").is(t, 200)
	stored := func() string { return kvRecords(t, s.js)[id] }
	etag := c.call("GET", webhooks+"/"+id, "").header.Get("ETag")
	same := `{"targetURL":"https://c6.example.com:443/y","description":"changed","headers":{"x-api-key":"[redacted]","X-Plain":"1"},"auth":{"type":"basic","username":"u2"}}`
	c.call("PUT", webhooks+"/"+id, same, "If-Match", etag).is(t, 200)
	for _, kept := range []string{"hunter2-key", "hunter2-secret", "whsec_aHVudGVyMi1", "hunter2-header", "hunter2-password", `"username":"u2"`, `"description":"changed"`, `"status":"deactivated"`} {
		if !strings.Contains(stored(), kept) {
			t.Errorf("%s is not kept in %s", kept, stored())
		}
	}
	c.call("PUT", webhooks+"/"+id, same, "If-Match", etag).problem(t, 412)
	before := stored()
	for _, elsewhere := range []string{"https://evil.example.com/y", "https://c6.example.com:8443/y", "http://c6.example.com/y"} {
		r := c.call("PUT", webhooks+"/"+id, strings.Replace(same, "https://c6.example.com:443/y", elsewhere, 1))
		r.problem(t, 400, "auth.password", "headers.X-Api-Key", "key", "secret", "signing")
		if strings.Contains(r.body, "hunter2") || stored() != before {
			t.Errorf("%s: got %s", elsewhere, r.body)
		}
	}
	c.call("PUT", webhooks+"/"+id, `{"targetURL":"https://other.example.com/","key":null,"secret":null,"signing":null,"auth":{"type":"basic","username":"u","password":"new"}}`).is(t, 200)
	if strings.Contains(stored(), "hunter2") || !strings.Contains(stored(), `"password":"new"`) {
		t.Errorf("stored %s", stored())
	}
	token := `{"targetURL":"https://c6.example.com/x","auth":{"type":"client_credential","clientID":"i","tokenURL":"https://evil.example.com/token"}}`
	c.call("PUT", webhooks+"/"+client, token).problem(t, 400, "auth.clientSecret")
	c.call("PUT", webhooks+"/"+client, strings.Replace(token, "evil", "t", 1)).is(t, 200)
	if !strings.Contains(kvRecords(t, s.js)[client], `"clientSecret":"hunter2"`) {
		t.Error("clientSecret is not kept")
	}
	c.call("POST", webhooks, `{"targetURL":"https://c6.example.com","secret":"[redacted]"}`).problem(t, 400, "secret")
}

func (s contractC) c7TellsTheStatus(t *testing.T) {
	c := bearer(t, s.p, operator)
	id, r := c.register(`{"targetURL":"https://c7.example.com"}`)
	if r.json(t)["status"] != "active" {
		t.Errorf("got %s", r.body)
	}
	if r := c.call("POST", webhooks+"/"+id+"/deactivate", ""); r.json(t)["status"] != "deactivated" {
		t.Errorf("got %s", r.body)
	}
	c.call("POST", webhooks, `{"targetURL":"https://c7.example.com","status":"paused"}`).problem(t, 400, "status")
}

func (s contractC) c9WantsHTTPS(t *testing.T) {
	c := bearer(t, s.p, operator)
	c.call("POST", webhooks, `{"targetURL":"http://c9.example.com/notify"}`).problem(t, 400, "targetURL", "https")
	c.call("POST", webhooks, `{"targetURL":"ftp://c9.example.com/notify"}`).problem(t, 400, "targetURL")
}

func (s contractC) c10AsksNoEndpoint(t *testing.T) {
	e := receive(t, nil)
	for _, target := range []string{e.URL + "/c10", "https://no-such-host.invalid/", "https://127.0.0.1:1/"} {
		bearer(t, s.p, betaToken).register(fmt.Sprintf(`{"targetURL":%q}`, target))
	}
	if e.Count() != 0 {
		t.Error("the endpoint was asked")
	}
}

func (s contractC) c11SendsBasicAtOnce(t *testing.T) {
	c := bearer(t, s.p, operator)
	e := receive(t, nil)
	id, _ := c.register(fmt.Sprintf(`{"targetURL":%q,"subjects":["orders.c11.>"],"auth":{"type":"basic","username":"USERNAME","password":"PASSWORD"}}`, e.URL))
	active(t, s.js, id)
	publishMsg(t, s.js, &nats.Msg{Subject: "orders.c11.OrderAccepted.1", Data: []byte(`{"orderId":"1"}`)})
	if h := e.came(t, 1); h.Header.Get("Authorization") != "Basic VVNFUk5BTUU6UEFTU1dPUkQ=" {
		t.Errorf("the first request had Authorization %q", h.Header.Get("Authorization"))
	}
}

func (s contractC) c12FetchesATokenOnce(t *testing.T) {
	c := bearer(t, s.p, operator)
	e := receive(t, nil)
	var fetched atomic.Int32
	tokens := handle(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fetched.Add(1)
		if r.PostFormValue("grant_type") != "client_credentials" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"t-1","token_type":"Bearer","expires_in":3600}`)
	}))
	id, _ := c.register(fmt.Sprintf(`{"targetURL":%q,"subjects":["orders.c12.>"],"auth":{"type":"client_credential","clientID":"i","clientSecret":"s","tokenURL":%q}}`, e.URL, tokens+"/token"))
	active(t, s.js, id)
	for n := range 5 {
		publishMsg(t, s.js, &nats.Msg{Subject: "orders.c12.OrderAccepted.1", Data: fmt.Appendf(nil, `{"orderId":"%d"}`, n)})
	}
	for n := range 5 {
		if h := e.came(t, n+1); h.Header.Get("Authorization") != "Bearer t-1" {
			t.Errorf("Authorization %q", h.Header.Get("Authorization"))
		}
	}
	if n := fetched.Load(); n != 1 {
		t.Errorf("the token was fetched %d times", n)
	}
}

func (s contractC) c13IsOfATenant(t *testing.T) {
	acme := bearer(t, s.p, acmeToken)
	e := receive(t, nil)
	_, r := acme.register(fmt.Sprintf(`{"targetURL":%q,"description":"mine","maxInFlight":1,"labels":{"a":"b"},"retry":{"schedule":["PT1S"]}}`, e.URL+"/c13"))
	got := r.json(t)
	if got["tenant"] != "acme" || fmt.Sprint(got["subjects"]) != "[orders.acme.>]" || got["description"] != "mine" || got["maxInFlight"] != 1.0 {
		t.Errorf("got %s", r.body)
	}
	active(t, s.js, got["id"].(string))
	body := "{ \"orderId\" : \"1\",\n\"n\":\"22\" }"
	publishMsg(t, s.js, &nats.Msg{Subject: "orders.beta.OrderAccepted.1", Data: []byte(body)})
	publishMsg(t, s.js, &nats.Msg{Subject: "orders.acme.Anything.1", Data: []byte(body)})
	await(t, 20*time.Second, "the tenant's event", func() bool {
		return slices.ContainsFunc(e.Journal(), func(h lab.Hit) bool {
			return h.Method == "POST" && string(h.Body) == body && h.Header.Get("X-Event-Type") == "Anything"
		})
	})
	for _, h := range e.Journal() {
		if h.Header.Get("X-Event-Type") == "OrderAccepted" {
			t.Errorf("got the event of another tenant: %v", h.Header)
		}
	}
	for body, member := range map[string]string{
		`"tenant":"beta"`:                  "tenant",
		`"subjects":["orders.>"]`:          "subjects",
		`"subjects":["orders.*.x"]`:        "subjects",
		`"subjects":["orders.acme.>","x"]`: "subjects",
		`"id":"mine"`:                      "id",
		`"unknown":1`:                      "unknown",
	} {
		acme.call("POST", webhooks, `{"targetURL":"https://c13.example.com",`+body+`}`).problem(t, 400, member)
	}
	acme.register(`{"targetURL":"https://c13.example.com","subjects":["orders.acme.OrderAccepted.*"],"tenant":"acme","eventTypes":["OrderAccepted"]}`)
}
