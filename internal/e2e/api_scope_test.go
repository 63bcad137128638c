package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/lab"
	"orderbridge/internal/store"
)

// route is one operation of openapi.json.
type route struct {
	method, path string // of the description: /x/{id}
	gateway      bool   // contract A's: Basic
}

// routes are all operations of the API that take a token, as it describes itself: a
// new one cannot be forgotten.
func routes(t testing.TB, c caller) []route {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]struct {
			Security []map[string][]string
		}
	}
	if err := json.Unmarshal([]byte(c.call("GET", "/openapi.json", "").is(t, 200).body), &doc); err != nil {
		t.Fatal(err)
	}
	var all []route
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(doc.Paths[path])) {
			security := doc.Paths[path][method].Security
			if len(security) == 0 {
				continue // who logs in has no token yet
			}
			_, gateway := security[0]["basic"]
			all = append(all, route{strings.ToUpper(method), path, gateway})
		}
	}
	if len(all) < 17 {
		t.Fatalf("only %d routes: %v", len(all), all)
	}
	return all
}

// with fills in the parameters of the path.
func (r route) with(id string, sequence uint64) string {
	return strings.NewReplacer("{id}", id, "{sequence}", fmt.Sprint(sequence), "{order}", "acme-order").Replace(r.path)
}

func (r route) auth(t testing.TB, p *program, token string) caller {
	if r.gateway {
		return basic(t, p, token)
	}
	return bearer(t, p, token)
}

// body is one that the route takes.
func (r route) body() string {
	switch {
	case r.gateway, r.method == http.MethodGet, r.method == http.MethodDelete, strings.HasSuffix(r.path, "rotate-secret"):
		return ""
	case strings.HasSuffix(r.path, "/retry-now"), strings.HasSuffix(r.path, "/skip"):
		return `{"order":"acme-order"}`
	case strings.HasSuffix(r.path, "/rewind"):
		return `{"toSeq":1}`
	case strings.HasSuffix(r.path, "/test"):
		return `{"record":{"targetURL":"https://overwritten.example.com/"}}`
	}
	return `{"targetURL":"https://overwritten.example.com/"}`
}

// snapshot is what belongs to a subscription: its record, its debts and its dead
// letters.
func snapshot(t testing.TB, js jetstream.JetStream, id string) string {
	t.Helper()
	text := kvRecords(t, js)[id]
	for _, k := range owedKeys(t, js) {
		if strings.HasPrefix(k, id) {
			text += k + string(entry(t, js, "owed", k))
		}
	}
	s, err := js.Stream(within(t, 5*time.Second), "DEAD_LETTERS")
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.Info(within(t, 5*time.Second), jetstream.WithSubjectFilter("dead-letters."+id+".>"))
	if err != nil {
		t.Fatal(err)
	}
	return text + fmt.Sprint(info.State.Subjects)
}

// scoped is what two tenants have: acme a record, a dead letter and a debt, beta
// a record.
type scoped struct {
	js              jetstream.JetStream
	p               *program
	e               *receiver
	acme, beta, all caller
	id              string // of acme's record
	sequence        uint64 // of acme's dead letter
}

// TestScope tries every route with the wrong tenant's token.
func TestScope(t *testing.T) {
	t.Parallel()
	s := newScoped(t)
	before, records := snapshot(t, s.js, s.id), len(kvRecords(t, s.js))
	hits := s.e.Count()
	s.listsShowTheirOwn(t)
	for _, r := range routes(t, s.all) {
		s.tellsNothing(t, r)
		if after := snapshot(t, s.js, s.id); after != before {
			t.Errorf("%s %s changed what is acme's:\n%s\nwas\n%s", r.method, r.path, after, before)
		}
	}
	if s.e.Count() != hits {
		t.Errorf("%d requests went to the endpoints", s.e.Count()-hits)
	}
	// Only what beta registered itself is new.
	if n := len(kvRecords(t, s.js)); n > records+2 {
		t.Errorf("%d records, %d before", n, records)
	}
	s.idBecomesAnothers(t)
}

func newScoped(t *testing.T) *scoped {
	t.Helper()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	p := serving(t, bus.URL(), apiTokens)
	e := receive(t, lab.Always(500))
	acme, beta, all := bearer(t, p, acmeToken), bearer(t, p, betaToken), bearer(t, p, operator)
	var sequence uint64

	// acme has a record, a dead letter and a debt; beta has its own record.
	id := acme.call("POST", webhooks, fmt.Sprintf(`{"targetURL":%q,"description":"acme-only","retry":{"schedule":[]}}`, e.URL+"/acme-only")).is(t, 200).json(t)["id"].(string)
	own := beta.call("POST", webhooks, fmt.Sprintf(`{"targetURL":%q}`, e.URL+"/beta-only")).is(t, 200).json(t)["id"].(string)
	active(t, js, id)
	active(t, js, own)
	publishMsg(t, js, &nats.Msg{Subject: "orders.acme.OrderAccepted.acme-order", Data: []byte(`{"orderId":"acme-order"}`)})
	letters := func(n int) {
		t.Helper()
		await(t, 20*time.Second, "a dead letter", func() bool {
			list, _ := acme.call("GET", "/api/v1/dead-letters", "").is(t, 200).json(t)["items"].([]any)
			if len(list) < n {
				return false
			}
			sequence = uint64(list[0].(map[string]any)["deadLetter"].(float64))
			return true
		})
	}
	letters(1)
	// This one does not tell whose it is.
	publishMsg(t, js, &nats.Msg{Subject: "orders.acme.untold", Data: []byte(`{"orderId":"acme-order"}`)})
	letters(2)
	acme.call("PUT", webhooks+"/"+id, fmt.Sprintf(`{"targetURL":%q,"description":"acme-only","retry":{"schedule":["PT1H"]}}`, e.URL+"/acme-only")).is(t, 200)
	active(t, js, id)
	publishMsg(t, js, &nats.Msg{Subject: "orders.acme.OrderAccepted.acme-order", Data: []byte(`{"orderId":"acme-order","n":2}`)})
	await(t, 20*time.Second, "a debt", func() bool {
		list, _ := acme.call("GET", "/api/v1/owed", "").is(t, 200).json(t)["items"].([]any)
		return len(list) == 1
	})
	return &scoped{js, p, e, acme, beta, all, id, sequence}
}

// listsShowTheirOwn: what is acme's to acme and to operators.
func (s *scoped) listsShowTheirOwn(t *testing.T) {
	t.Helper()
	for _, c := range []caller{s.acme, s.all} {
		for _, path := range []string{webhooks, "/api/v1/statuses", "/api/v1/owed", "/api/v1/dead-letters", "/api/v1/dead-letters?subscription=" + s.id, "/api/v1/owed?subscription=" + s.id} {
			if r := c.call("GET", path, "").is(t, 200); !strings.Contains(r.body, s.id) {
				t.Errorf("%s: %s is missing in %s", path, s.id, r.body)
			}
		}
		if r := c.call("GET", fmt.Sprintf("/api/v1/dead-letters/%d", s.sequence), "").is(t, 200); !strings.Contains(r.body, `{\"orderId\":\"acme-order\"}`) {
			t.Errorf("the dead letter is %s", r.body)
		}
	}
}

// tellsNothing asks a route for what is acme's as beta.
func (s *scoped) tellsNothing(t *testing.T, r route) {
	t.Helper()
	const absent, none = "00000000-0000-4000-8000-000000000000", 999999
	name := r.method + " " + r.path
	c := r.auth(t, s.p, betaToken)
	if strings.HasSuffix(r.path, "/live") {
		s.streamTellsNothing(t, r, c)
		return
	}
	foreign := c.call(r.method, r.with(s.id, s.sequence), r.body())
	nowhere := c.call(r.method, r.with(absent, none), r.body())
	if strings.Contains(r.path, "{order}") { // an order is nobody's: what is told of it is
		var story store.OrderStory
		if err := json.Unmarshal([]byte(foreign.is(t, 200).body), &story); err != nil {
			t.Fatal(err)
		}
		if len(story.Events)+len(story.Attempts)+len(story.Owed)+len(story.DeadLetters)+len(story.Standings) > 0 {
			t.Errorf("%s tells what is acme's: %s", name, foreign.body)
		}
	} else if strings.Contains(r.path, "{") {
		if foreign.status != http.StatusNotFound {
			t.Errorf("%s of another tenant: %d %s", name, foreign.status, foreign.body)
		}
		if foreign.status != nowhere.status || foreign.body != nowhere.body {
			t.Errorf("%s tells what is there: %d %s, but of nothing %d %s", name, foreign.status, foreign.body, nowhere.status, nowhere.body)
		}
	}
	for _, query := range []string{"", "?subscription=" + s.id, "?tenant=acme", "?after=" + s.id[:1], "?host=127.0.0.1"} {
		if r.method != http.MethodGet {
			break
		}
		got := c.call(r.method, r.with(s.id, s.sequence)+query, "")
		if strings.Contains(r.path, "{order}") { // the answer names what was asked for
			got.body = strings.ReplaceAll(got.body, "acme-order", "")
		}
		if strings.Contains(got.body, s.id) || strings.Contains(got.body, "acme-") {
			t.Errorf("%s%s shows what is acme's: %s", name, query, got.body)
		}
	}
}

// streamTellsNothing listens from the beginning of the log until the stream says that
// it lives: by then it has looked several times.
func (s *scoped) streamTellsNothing(t *testing.T, r route, c caller) {
	t.Helper()
	ctx, cancel := patiently(0)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.method, c.base+r.path+"?above=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", c.auth)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var all strings.Builder
	for lines := bufio.NewScanner(resp.Body); lines.Scan() && !strings.HasPrefix(lines.Text(), ":"); {
		fmt.Fprintln(&all, lines.Text())
	}
	if resp.StatusCode != http.StatusOK || strings.Contains(all.String(), s.id) || strings.Contains(all.String(), "acme-") || ctx.Err() != nil {
		t.Errorf("%s: %d, %v: %s", r.path, resp.StatusCode, ctx.Err(), all.String())
	}
}

// idBecomesAnothers: the id of a deleted record that becomes another tenant's
// gives nothing away.
func (s *scoped) idBecomesAnothers(t *testing.T) {
	t.Helper()
	s.acme.call("DELETE", webhooks+"/"+s.id, "").is(t, 204)
	revision := put(t, s.js, s.id, fmt.Sprintf(`{"targetURL":%q,"tenant":"beta","subjects":["orders.beta.>"]}`, s.e.URL+"/beta-now"))
	verdict(t, s.js, s.id, revision, "active", "retrying", "reading")
	for _, path := range []string{"/api/v1/owed", "/api/v1/dead-letters", fmt.Sprintf("/api/v1/dead-letters/%d", s.sequence)} {
		if r := s.beta.call("GET", path, ""); strings.Contains(r.body, "acme-") {
			t.Errorf("%s shows what was acme's: %s", path, r.body)
		}
	}
	s.beta.call("POST", fmt.Sprintf("/api/v1/dead-letters/%d/redrive", s.sequence), "").problem(t, 404)
}

// TestRedriveOverTheAPI puts a dead letter back.
func TestRedriveOverTheAPI(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	p := serving(t, bus.URL(), apiTokens)
	e := receive(t, lab.Always(500))
	acme := bearer(t, p, acmeToken)
	id := acme.call("POST", webhooks, fmt.Sprintf(`{"targetURL":%q,"retry":{"schedule":[]}}`, e.URL)).is(t, 200).json(t)["id"].(string)
	active(t, js, id)
	for n := range 5 {
		publishOne(t, js, fmt.Sprintf("o%d", n), 1)
	}
	var sequences []float64
	page := func(before string) (next string) {
		r := acme.call("GET", "/api/v1/dead-letters?limit=2&before="+before, "").is(t, 200).json(t)
		for _, l := range r["items"].([]any) {
			sequences = append(sequences, l.(map[string]any)["deadLetter"].(float64))
		}
		next, _ = r["next"].(string)
		return next
	}
	await(t, 20*time.Second, "five dead letters", func() bool {
		list, _ := acme.call("GET", "/api/v1/dead-letters", "").json(t)["items"].([]any)
		return len(list) == 5
	})
	pages := 0
	for next := page("0"); ; next = page(next) {
		if pages++; next == "" || pages > 5 {
			break
		}
	}
	if fmt.Sprint(sequences) != "[5 4 3 2 1]" || pages != 3 {
		t.Errorf("%d pages give %v", pages, sequences)
	}
	for _, do := range []string{"purge", "redrive"} { // no id, so none of its letters
		if r := acme.call("POST", "/api/v1/dead-letters/"+do, `{"subscription":"*"}`).is(t, 200).json(t); r["done"] != 0.0 {
			t.Errorf("%s: %v", do, r)
		}
	}
	e.Reply(nil)
	n := e.Count()
	acme.call("POST", "/api/v1/dead-letters/3/redrive", "").is(t, 200)
	if h := e.came(t, n+1); h.Header.Get("X-Redrive") != "true" {
		t.Errorf("got %v", h.Header)
	}
	await(t, 20*time.Second, "the dead letter is gone", func() bool {
		return acme.call("GET", "/api/v1/dead-letters/3", "").status == 404
	})
}
