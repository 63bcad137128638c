package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
	"orderbridge/internal/store"
)

// Explain says of each record what the delivery then does, whichever replica
// answers; a test sends what it says. A tenant sees and sends its own only.
func TestExplainAndTest(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	first := serving(t, bus.URL(), apiTokens)
	standby := launch(t, "ORDERBRIDGE_NATS_URL="+bus.URL(), apiTokens)
	e := receive(t, nil)
	to := func(path string, more ...string) string {
		return "{" + strings.Join(append([]string{fmt.Sprintf(`"targetURL":%q`, e.URL+path)}, more...), ",") + "}"
	}
	subscribe(t, js, "all", to("/all"))
	subscribe(t, js, "acme", to("/acme/{orderId}", `"tenant":"acme"`, `"secret":"planted-explain-secret"`, `"filter":"event.total > 100 && headers['Region'] == 'eu'"`))
	subscribe(t, js, "cheap", to("/cheap", `"tenant":"acme"`, `"filter":"event.total < 100"`))
	subscribe(t, js, "typed", to("/typed", `"eventTypes":["Other*"]`))
	subscribe(t, js, "elsewhere", to("/elsewhere", `"subjects":["orders.beta.>"]`))
	subscribe(t, js, "beta", to("/beta", `"tenant":"beta"`))
	subscribe(t, js, "legacy", to("/legacy/{legacyOrderId}"))
	subscribeState(t, js, "off", to("/off", `"status":"deactivated"`), protocol.StateDeactivated)
	verdict(t, js, "bad", put(t, js, "bad", `{"targetURL":"nowhere"}`), protocol.StateInvalid)
	want := map[string]string{"all": "", "acme": "", "cheap": "filter", "typed": "type", "elsewhere": "subject", "beta": "tenant",
		"legacy": "request", "off": "status", "bad": "status"}

	event := `{"orderId":"4711","eventType":"OrderAccepted","total":150}`
	m := &nats.Msg{Subject: "orders.acme.OrderAccepted.4711", Header: nats.Header{"Region": {"eu"}}, Data: []byte(event)}
	if _, err := js.PublishMsg(within(t, 30*time.Second), m); err != nil {
		t.Fatal(err)
	}
	explain := func(p *program, token, body string) (a store.ExplainAnswer) {
		t.Helper()
		r := bearer(t, p, token).call("POST", "/api/v1/explain", body)
		await(t, time.Minute, "the records are read", func() bool {
			r = bearer(t, p, token).call("POST", "/api/v1/explain", body)
			return r.status != 503
		})
		if err := json.Unmarshal([]byte(r.is(t, 200).body), &a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	given := `{"subject":"orders.acme.OrderAccepted.4711","headers":{"Region":"eu"},"event":` + event + `,"others":20}`
	for n, p := range []*program{first, standby, first, standby, first, standby} { // any of both answers
		a := explain(p, operator, []string{`{"sequence":1,"others":20}`, given}[n%2])
		got := map[string]string{}
		for _, x := range append(a.Hearing, a.Others...) {
			got[x.Subscription] = string(x.Decided)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("decided: %v\nwant     %v", got, want)
		}
	}
	hearing := []string{}
	for _, x := range explain(first, operator, `{"sequence":1}`).Hearing {
		if x.Hears {
			hearing = append(hearing, x.Subscription)
		}
	}
	e.came(t, len(hearing))
	for _, h := range e.Journal() {
		if id, _, _ := strings.Cut(strings.Trim(h.URI, "/"), "/"); !slices.Contains(hearing, id) {
			t.Errorf("%s got the event, though it does not hear it: %v", id, hearing)
		}
	}

	acme := explain(first, operator, `{"sequence":1,"subscription":"acme"}`).Hearing[0]
	shown, _ := json.Marshal(acme)
	if r := acme.Request; r == nil || !strings.HasSuffix(r.URL, "/acme/4711") || r.Body != event ||
		r.Headers.Get("X-Signature") != "[signature]" || strings.Contains(string(shown), "planted") {
		t.Errorf("the request is shown as %s", shown)
	}
	sent := e.Journal()[slices.IndexFunc(e.Journal(), func(h lab.Hit) bool { return h.URI == "/acme/4711" })]
	for _, h := range acme.Request.Headers {
		if got := sent.Header.Get(h.Name); got != h.Value && h.Name != "X-Signature" && h.Name != "Webhook-Timestamp" {
			t.Errorf("header %s: %q was sent, %q is shown", h.Name, got, h.Value)
		}
	}
	ofTenants(t, first, explain)
	tests(t, first, bus.URL(), event, e)
}

// ofTenants: what is another's is not there.
func ofTenants(t *testing.T, p *program, explain func(*program, string, string) store.ExplainAnswer) {
	t.Helper()
	beta := bearer(t, p, betaToken)
	for _, body := range []string{`{"sequence":1}`, `{"sequence":99}`, `{"sequence":1,"tenant":"acme"}`, `{"event":{},"subscription":"acme"}`,
		`{"event":{},"subscription":"all"}`, `{"event":{},"record":{"targetURL":"https://h/","tenant":"acme"}}`} {
		beta.call("POST", "/api/v1/explain", body).is(t, 404)
	}
	beta.call("POST", "/api/v1/explain", `{}`).is(t, 400)
	beta.call("POST", webhooks+"/beta/test", `{"sequence":1}`).is(t, 404)
	beta.call("POST", webhooks+"/acme/test", `{"event":{}}`).is(t, 404)
	beta.call("POST", "/api/v1/test", `{"subscription":"acme","record":{"targetURL":"https://h/"}}`).is(t, 404)
	a := explain(p, betaToken, `{"event":{"orderId":"1"},"others":20}`)
	if a.Event.Subject != "orders.beta.unknown.1" || len(a.Hearing) != 1 || a.Hearing[0].Subscription != "beta" || len(a.Others) > 0 {
		t.Errorf("a tenant is told of %+v", a)
	}
}

// tests: the event that is given is sent, marked, and what came back is told.
func tests(t *testing.T, p *program, url, event string, e *receiver) {
	t.Helper()
	acme := bearer(t, p, acmeToken)
	for _, r := range []reply{
		acme.call("POST", webhooks+"/acme/test", `{"sequence":1}`),
		acme.call("POST", webhooks+"/acme/test", `{"subject":"orders.acme.OrderAccepted.4711","event":`+event+`}`),
		acme.call("POST", "/api/v1/test", fmt.Sprintf(`{"record":{"targetURL":%q,"tenant":"acme"},"event":%s}`, e.URL+"/unstored/{orderId}", event)),
	} {
		var a store.TestAnswer
		if err := json.Unmarshal([]byte(r.is(t, 200).body), &a); err != nil || !a.Success || a.Status != 200 || a.Response == nil || a.Timings == nil {
			t.Fatalf("%v: %s", err, r.body)
		}
		at := slices.IndexFunc(e.Journal(), func(h lab.Hit) bool { return h.Header.Get("Webhook-Id") == a.DeliveryID })
		if at < 0 {
			t.Fatalf("no such delivery: %s", r.body)
		}
		h := e.Journal()[at]
		if h.Header.Get("X-Test") != "true" || string(h.Body) != event || !strings.HasSuffix(h.URI, "/4711") ||
			a.Request.Body != event || a.Request.Headers.Get("Webhook-Id") != a.DeliveryID || strings.Contains(r.body, "planted") {
			t.Errorf("sent %s %v %s, told %s", h.URI, h.Header, h.Body, r.body)
		}
	}
	out, code := command(t, url, event, "subscriptions", "test", "acme", "--event", "-", "--subject", "orders.acme.OrderAccepted.4711")
	if code != 0 || !strings.Contains(out, "X-Test: true") || !strings.Contains(out, "answer: 200") || strings.Contains(out, "planted") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	out, code = command(t, url, "", "explain", "--seq", "1", "--subscription", "cheap")
	if code != 0 || !strings.Contains(out, "event.total = 150") || !strings.Contains(out, "NO   filter") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}
