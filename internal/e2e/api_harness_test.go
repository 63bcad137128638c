package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Tokens of these tests. That of contract A is the one of its original.
const (
	gatewayToken = "0a9aeb44-654c-44dc-aa26-609ad318654d"
	operator     = "operator-0123456789abcdef"
	acmeToken    = "acme-0123456789abcdef"
	betaToken    = "beta-0123456789abcdef"

	apiTokens = "ORDERBRIDGE_API_TOKENS=gateway:" + gatewayToken + ",operator:" + operator + ",acme:" + acmeToken + ":acme,beta:" + betaToken + ":beta"
	webhooks  = "/api/notifications/v1/webhooks"
)

// caller calls the API of a program.
type caller struct {
	t    testing.TB
	base string
	auth string // Authorization, "" for none
}

func bearer(t testing.TB, p *program, token string) caller {
	return caller{t, "http://" + p.http(), "Bearer " + token}
}

func basic(t testing.TB, p *program, token string) caller {
	r, _ := http.NewRequest(http.MethodGet, "http://x/", nil)
	r.SetBasicAuth(token, "")
	return caller{t, "http://" + p.http(), r.Header.Get("Authorization")}
}

// reply is an answer of the API.
type reply struct {
	status int
	header http.Header
	body   string
}

// call makes one request; headers are name, value, …
func (c caller) call(method, path, body string, headers ...string) reply {
	c.t.Helper()
	ctx, cancel := patiently(0)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if c.auth != "" {
		req.Header.Set("Authorization", c.auth)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return exchange(c.t, &client, req)
}

// exchange sends a request and reads the answer; of a stream of events its begin.
func exchange(t testing.TB, client *http.Client, req *http.Request) reply {
	t.Helper()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var all io.Reader = io.LimitReader(resp.Body, 8<<20)
	if resp.Header.Get("Content-Type") == "text/event-stream" {
		all = io.LimitReader(resp.Body, 1) // it has no end
	}
	text, err := io.ReadAll(all)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(text)}
}

// json reads the body.
func (r reply) json(t testing.TB) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(r.body), &m); err != nil {
		t.Fatalf("%d %s: %v", r.status, r.body, err)
	}
	return m
}

// is fails the test if the status is another one.
func (r reply) is(t testing.TB, status int) reply {
	t.Helper()
	if r.status != status {
		t.Fatalf("got %d %s, want %d", r.status, r.body, status)
	}
	return r
}

// problem fails the test if the answer is not problem+json of that status which
// holds the texts.
func (r reply) problem(t testing.TB, status int, texts ...string) {
	t.Helper()
	r.is(t, status)
	p := r.json(t)
	if ct := r.header.Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("Content-Type is %q", ct)
	}
	for _, member := range []string{"type", "title", "detail"} {
		if s, _ := p[member].(string); s == "" {
			t.Errorf("%s is missing: %s", member, r.body)
		}
	}
	if p["status"] != float64(status) {
		t.Errorf("status is %v: %s", p["status"], r.body)
	}
	for _, text := range texts {
		if !strings.Contains(p["detail"].(string), text) {
			t.Errorf("detail does not say %q: %s", text, r.body)
		}
	}
}

// kvRecords are the records as they stand in the bucket.
func kvRecords(t testing.TB, js jetstream.JetStream) map[string]string {
	t.Helper()
	ctx := within(t, 10*time.Second)
	kv, err := js.KeyValue(ctx, "subscriptions")
	if err != nil {
		t.Fatal(err)
	}
	w, err := kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	all := map[string]string{}
	for e := range w.Updates() {
		if e == nil {
			break
		}
		all[e.Key()] = string(e.Value())
	}
	return all
}

// active waits until the bridge has applied a record that was put by the API.
func active(t testing.TB, js jetstream.JetStream, id string) {
	t.Helper()
	kv, err := js.KeyValue(within(t, 10*time.Second), "subscriptions")
	if err != nil {
		t.Fatal(err)
	}
	e, err := kv.Get(within(t, 10*time.Second), id)
	if err != nil {
		t.Fatal(err)
	}
	verdict(t, js, id, e.Revision(), "active")
}
