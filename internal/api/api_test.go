package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/prometheus/client_golang/prometheus"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/audit"
	"orderbridge/internal/callers"
	"orderbridge/internal/lab"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

const (
	token = "0123456789abcdef-operator"
	other = "0123456789abcdef-other"
)

// start makes an API on a real bus that no bridge serves.
func start(t *testing.T, change func(*Options)) (*API, *store.Catalog) {
	t.Helper()
	a, catalog, _, _ := startOn(t, change)
	return a, catalog
}

func startOn(t *testing.T, change func(*Options)) (*API, *store.Catalog, jetstream.JetStream, store.Names) {
	t.Helper()
	js := lab.StartBus(t).JetStream()
	names, found, err := store.Ensure(t.Context(), js, store.Options{Subjects: []string{"orders.>"}})
	if err != nil {
		t.Fatal(err, found)
	}
	catalog := store.NewCatalog(js, names, func(data []byte) (d protocol.DeadLetter, err error) { return d, json.Unmarshal(data, &d) })
	o := Options{
		Audit:   func(ctx context.Context, q audit.Query) (audit.Found, error) { return audit.Read(ctx, js, names, q) },
		Catalog: catalog,
		Parse: func(id string, data []byte) (*record.Subscription, record.Problems) {
			return record.Parse(id, data, record.Policy{})
		},
		Probe:   func(context.Context, string, string) error { return nil },
		Tokens:  []Token{{Name: "operator", Secret: token}, {Name: "other", Secret: other}},
		Version: "test", Metrics: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler),
	}
	o.Tester = &store.Tester{Explainer: &store.Explainer{Catalog: catalog, Parse: o.Parse}, Now: time.Now,
		Attempt: func(context.Context, *protocol.Delivery) error { return nil }}
	if change != nil {
		change(&o)
	}
	a, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return a, catalog, js, names
}

// ask makes a request and holds it and the answer against the description.
func ask(t *testing.T, a *API, v validator.Validator, method, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	make := func() *http.Request {
		r := httptest.NewRequestWithContext(t.Context(), method, "http://127.0.0.1"+path, strings.NewReader(body))
		if isGateway(r.URL.Path) {
			r.SetBasicAuth(token, "")
		} else {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		return r
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(w, make())
	if v != nil {
		resp := w.Result()
		if w.Body.Len() == 0 {
			resp.Body = http.NoBody
		}
		if ok, errs := v.ValidateHttpResponse(make(), resp); !ok {
			for _, e := range errs {
				t.Errorf("%s %s answers %d %s: %s: %s", method, path, w.Code, w.Body, e.Message, e.Reason)
				for _, s := range e.SchemaValidationErrors {
					t.Errorf("  %s at %s", s.Reason, s.Location)
				}
			}
		}
	}
	return w
}

// TestDescription is the linter of openapi.json: it is valid OpenAPI 3.1, says
// of each operation what a client needs, and the answers are as it says.
func TestDescription(t *testing.T) {
	t.Parallel()
	a, _ := start(t, nil)
	doc, err := libopenapi.NewDocument(a.spec)
	if err != nil {
		t.Fatal(err)
	}
	v, errs := validator.NewValidator(doc)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if ok, errs := v.ValidateDocument(); !ok {
		for _, e := range errs {
			t.Errorf("%s: %s", e.Message, e.Reason)
			for _, s := range e.SchemaValidationErrors {
				t.Errorf("  %s at %s", s.Reason, s.Location)
			}
		}
	}

	var spec struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			OperationID, Summary, Description string
			Tags                              []string
			Security                          []map[string][]string
			Parameters                        []struct{ Name, In, Description string }
			RequestBody                       *struct{ Content map[string]any }
			Responses                         map[string]struct {
				Description string
				Content     map[string]struct{ Schema map[string]any }
			}
		}
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal(a.spec, &spec); err != nil {
		t.Fatal(err)
	}
	if spec.OpenAPI != "3.1.0" {
		t.Errorf("it is OpenAPI %s", spec.OpenAPI)
	}
	ids := map[string]bool{}
	for path, item := range spec.Paths {
		for method, op := range item {
			where := method + " " + path
			open := path == loginPath // to those who have no token
			if op.OperationID == "" || ids[op.OperationID] || op.Summary == "" || op.Description == "" || len(op.Tags) != 1 || (len(op.Security) == 1) == open {
				t.Errorf("%s lacks something: %+v", where, op)
			}
			ids[op.OperationID] = true
			for _, p := range op.Parameters {
				if p.Description == "" {
					t.Errorf("%s: parameter %s has no description", where, p.Name)
				}
			}
			for _, placeholder := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(path, -1) {
				if !slices.ContainsFunc(op.Parameters, func(p struct{ Name, In, Description string }) bool { return p.In == "path" && p.Name == placeholder[1] }) {
					t.Errorf("%s: %s is not described", where, placeholder[0])
				}
			}
			if _, ok := op.Responses["401"]; ok == open {
				t.Errorf("%s has a 401, or lacks it", where)
			}
			for status, r := range op.Responses {
				if r.Description == "" || status != "204" && len(r.Content) == 0 {
					t.Errorf("%s: response %s lacks something", where, status)
				}
			}
			if op.RequestBody != nil && op.RequestBody.Content["application/json"] == nil {
				t.Errorf("%s: the body is not JSON: %v", where, op.RequestBody)
			}
		}
	}
	// Every reference leads somewhere.
	for _, ref := range regexp.MustCompile(`"\$ref": "([^"]+)"`).FindAllStringSubmatch(string(a.spec), -1) {
		name, ok := strings.CutPrefix(ref[1], "#/components/schemas/")
		name, _, _ = strings.Cut(name, "/")
		if _, there := spec.Components.Schemas[name]; !ok || !there {
			t.Errorf("%s leads nowhere", ref[1])
		}
	}

	// The answers are as they are described.
	made := ask(t, a, v, "POST", webhooksPath, `{"targetURL":"https://h.example.com/","auth":{"type":"basic","username":"u","password":"p"}}`)
	var record struct{ ID string }
	if err := json.Unmarshal(made.Body.Bytes(), &record); err != nil || record.ID == "" {
		t.Fatalf("%d %s", made.Code, made.Body)
	}
	at := webhooksPath + "/" + record.ID
	for _, one := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", webhooksPath, "", 200},
		{"GET", webhooksPath + "?limit=x", "", 400},
		{"GET", at, "", 200},
		{"GET", webhooksPath + "/none", "", 404},
		{"POST", webhooksPath, `{"targetURL":"nonsense"}`, 400},
		{"POST", webhooksPath, "", 400},
		{"PUT", at, "", 400},
		{"PUT", at, `{"targetURL":"https://h.example.com/x","auth":{"type":"basic","username":"u"}}`, 200},
		{"POST", at + "/pause", "", 200},
		{"GET", webhooksPath + "?status=paused", "", 200},
		{"POST", at + "/resume", "", 200},
		{"POST", at + "/retry-now", "", 503}, // nobody leads
		{"POST", at + "/retry-now", `{"orders":"x"}`, 400},
		{"POST", "/api/v1/retry-now", `{"host":"h.example.com","order":"4711"}`, 503},
		{"POST", "/api/v1/retry-now", `{}`, 400},
		{"POST", at + "/skip", `{"order":"4711","sequence":7,"reason":"poison"}`, 503},
		{"POST", at + "/skip", `{"sequence":7}`, 400},
		{"POST", at + "/deactivate", "", 200},
		{"POST", at + "/pause", "", 409},
		{"POST", at + "/resume", "", 409},
		{"POST", at + "/activate", "", 200},
		{"POST", at + "/rotate-secret", "", 200},
		{"POST", at + "/rotate-secret", `{"secret":"whsec_c2Vjb25kLXNlY29uZC1zZWNvbmQtc2Vjb25k"}`, 200},
		{"POST", at + "/test", "", 200},
		{"GET", "/api/v1/statuses", "", 200},
		{"GET", "/api/v1/statuses/" + record.ID, "", 404},
		{"GET", "/api/v1/owed", "", 200},
		{"GET", "/api/v1/dead-letters", "", 200},
		{"GET", "/api/v1/dead-letters/7", "", 404},
		{"POST", "/api/v1/dead-letters/7/redrive", "", 404},
		{"POST", gatewayV2, `{"http_client":"https://h.example.com/a"}`, 200},
		{"POST", gatewayV2, `{"http_client":"http://h.example.com/a"}`, 403},
		{"POST", gatewayV2, `{"http_client":"nonsense"}`, 400},
		{"GET", gatewayV1 + "?http_client=https://h.example.com/b", "", 200},
		{"GET", gatewayV1, "", 200},
		{"DELETE", at, "", 204},
	} {
		if w := ask(t, a, v, one.method, one.path, one.body); w.Code != one.status {
			t.Errorf("%s %s: %d %s, want %d", one.method, one.path, w.Code, w.Body, one.status)
		}
	}
}

// Bodies say what they mean, or are refused in the words in which requests over the
// bus are.
func TestBodiesAreReadStrictly(t *testing.T) {
	t.Parallel()
	a, _ := start(t, nil)
	for _, tt := range []struct{ path, body, field, message string }{
		{"/api/v1/explain", `{"sequence":1,"subscriptions":"a"}`, "subscriptions", `is unknown; the nearest known member is "subscription"`},
		{"/api/v1/explain", `{"sequence":"1"}`, "sequence", `must be a whole number of at least 0, is a string ("1")`},
		{"/api/v1/test", `{"targetURL":"https://h/hunter2"}`, "targetURL", "is unknown; known are data, event, headers, record, sequence, subject, subscription, tenant"},
		{"/api/v1/judge", `{"id":"a","id":"b","record":"e30="}`, "id", "is given more than once; keep one"},
		{"/api/v1/shards", `{"set":2}{"set":3}`, "", "the request is not JSON: line 1, column 10: invalid character '{' after top-level value"},
		{"/api/v1/stream", `{"begin":{},"adopt":"yes"}`, "adopt", `must be a boolean, is a string ("yes")`},
		{"/api/v1/retry-now", `{"order":"1","host":["h"]}`, "host", "must be a string, is an array"},
		{webhooksPath + "/a/retry-now", `{"order":4711}`, "order", "must be a string, is a number (4711)"},
		{webhooksPath + "/a/skip", `{"order":"1"} x`, "", "the request is not JSON: line 1, column 15: invalid character 'x' after top-level value"},
		{webhooksPath + "/a/rewind", `{"toSeq":1,"dryrun":true}`, "dryrun", `is unknown; the nearest known member is "dryRun"`},
		{"/api/v1/replays", `{"subscription":"a","fromSeq":1,"DryRun":true}`, "DryRun", `is unknown; the nearest known member is "dryRun"`},
		{"/api/v1/dead-letters/redrive", ``, "", "the request is empty; it is a JSON object, known are after, limit, order, reason, since, subscription, through, until"},
	} {
		w := ask(t, a, nil, "POST", tt.path, tt.body)
		var p problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 400 || len(p.Errors) != 1 || p.Errors[0] != (record.Problem{Field: tt.field, Message: tt.message}) {
			t.Errorf("%s %s: %d %s", tt.path, tt.body, w.Code, w.Body)
		}
	}
}

// On the bus "*" is all of them.
func TestASubscriptionIsNamedByItsID(t *testing.T) {
	t.Parallel()
	a, _ := start(t, nil)
	for _, one := range []string{
		"GET /api/v1/owed", "GET /api/v1/attempts", "GET /api/v1/orders/4711", "GET /api/v1/audit", "GET /api/v1/dead-letters",
		"DELETE /api/v1/dead-letters", "GET /api/v1/replays", "GET /api/v1/figures", "GET /api/v1/live",
	} {
		method, path, _ := strings.Cut(one, " ")
		for _, id := range []string{"*", "%3E", "a.b", "a%20b"} {
			w := ask(t, a, nil, method, path+"?subscription="+id, "")
			if w.Code != 400 || strings.Count(w.Body.String(), "query.subscription: ") != 1 {
				t.Errorf("%s %s: %d %s", one, id, w.Code, w.Body)
			}
		}
	}
}

func TestFromForm(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"":                                     "",
		"http_client=":                         "",
		"http_client=http://h:1/p":             "http://h:1/p",
		"http_client=http://h/p?a=1&b=2&c":     "http://h/p?a=1&b=2&c",
		"a=1&http_client=http://h/p?a=1&b=%20": "http://h/p?a=1&b=%20",
		"http_client=http%3A%2F%2Fh%2Fp%3Fa%3D1%26b%3D2":     "http://h/p?a=1&b=2",
		"http_client=http%3A%2F%2Fh%2Fp&_=1":                 "http://h/p",
		"http_client=http%3a//h/p+q":                         "http://h/p q",
		"xhttp_client=http://h/p":                            "",
		"http_clients=http://h/p":                            "",
		"x=http_client=http://evil/&http_client=http://h/p&": "http://h/p&",
	} {
		if got, err := fromForm(query); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", query, got, err, want)
		}
	}
	if _, err := fromForm("http_client=%zz"); err == nil {
		t.Error("got no error")
	}
}

func TestPlainIsByteForByte(t *testing.T) {
	t.Parallel()
	p := &plain{200, `Registered client at: http://h/p?a=<1>&b="2"` + "\u2028é"}
	if got := string(p.body()); got != `{"status": 200, "message": "Registered client at: http://h/p?a=<1>&b=\"2\"\u2028é"}` {
		t.Errorf("got %s", got)
	}
}

// The memory for failed logins is bounded, and neighbours in an IPv6 network
// count as one.
func TestFailedLoginsAreBounded(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a := newAccess(Options{Metrics: prometheus.NewRegistry(), Now: func() time.Time { return now }})
	from := func(text string) netip.Prefix { return callers.Network(netip.MustParseAddr(text)) }
	for i := range 3 * limits.APIFailureAddresses {
		a.failures.allow(from(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)), now)
	}
	if n := len(a.failures.of); n > limits.APIFailureAddresses {
		t.Errorf("%d addresses are remembered", n)
	}
	for i := range limits.APIFailures {
		a.failures.allow(from(fmt.Sprintf("2001:db8::%x", i)), now)
	}
	if a.failures.allow(from("2001:db8::ffff"), now) || !a.failures.allow(from("2001:db8:0:1::1"), now) {
		t.Error("an IPv6 network is not counted as one")
	}
	now = now.Add(2 * time.Second)
	if !a.failures.allow(from("2001:db8::1"), now) {
		t.Error("it stays slow for ever")
	}
}

// A caller can have us make only so many requests.
func TestProbesAreSlow(t *testing.T) {
	t.Parallel()
	var probes int
	a, _ := start(t, func(o *Options) {
		o.Probe = func(context.Context, string, string) error {
			probes++
			return &bridge.AttemptError{Fault: bridge.FaultTransport, Reason: "connection refused by 10.0.0.1:1"}
		}
	})
	began := time.Now()
	deadline := began.Add(3 * time.Second)
	codes := map[int]int{}
	for i := 0; time.Now().Before(deadline); i++ {
		w := ask(t, a, nil, "POST", gatewayV2, fmt.Sprintf(`{"http_client":"https://10.0.0.1:%d/"}`, i+1))
		codes[w.Code]++
		if strings.Contains(w.Body.String(), "refused") {
			t.Fatalf("the answer tells why: %s", w.Body)
		}
	}
	if took := time.Since(began); float64(probes) > 10*took.Seconds()/3 || codes[404] != probes {
		t.Errorf("%d probes in %s, answers %v", probes, took, codes)
	}
}

func TestPanicsAndTooMuchAtOnce(t *testing.T) {
	t.Parallel()
	gate, entered := make(chan struct{}), make(chan struct{}, limits.APIBodies)
	var log strings.Builder
	a, catalog := start(t, func(o *Options) {
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
		o.Tester.Attempt = func(context.Context, *protocol.Delivery) error { panic("hunter2") }
	})
	if _, err := catalog.Put(t.Context(), store.Everything(), "a", []byte(`{"targetURL":"https://h/"}`), 0); err != nil {
		t.Fatal(err)
	}
	w := ask(t, a, nil, "POST", webhooksPath+"/a/test", "")
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String()+log.String(), "hunter2") || !strings.Contains(log.String(), "panic") {
		t.Errorf("got %d %s; the log says %s", w.Code, w.Body, log.String())
	}

	for range limits.APIBodies / 2 {
		go func() {
			r := httptest.NewRequestWithContext(context.Background(), "POST", "http://127.0.0.1"+webhooksPath, waiting{entered, gate})
			r.Header.Set("Authorization", "Bearer "+token)
			a.ServeHTTP(httptest.NewRecorder(), r)
		}()
	}
	for range limits.APIBodies / 2 {
		<-entered
	}
	if w := ask(t, a, nil, "GET", webhooksPath, ""); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	r := httptest.NewRequestWithContext(t.Context(), "GET", "http://127.0.0.1"+webhooksPath, http.NoBody)
	r.Header.Set("Authorization", "Bearer "+other)
	if w := httptest.NewRecorder(); true {
		if a.ServeHTTP(w, r); w.Code != http.StatusOK {
			t.Errorf("another caller gets %d %s", w.Code, w.Body)
		}
	}
	close(gate)
	lab.Eventually(t, "there is room again", func() bool { return ask(t, a, nil, "GET", webhooksPath, "").Code == http.StatusOK })
}

// waiting is a body that comes when the gate opens.
type waiting struct{ entered, gate chan struct{} }

func (w waiting) Read([]byte) (int, error) {
	w.entered <- struct{}{}
	<-w.gate
	return 0, io.EOF
}
