package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"orderbridge/internal/lab"
)

// c8IsManaged holds C8: each operation does what its name says.
func (s contractC) c8IsManaged(t *testing.T) {
	acme := bearer(t, s.p, acmeToken)
	e := receive(t, nil)
	id, _ := acme.register(fmt.Sprintf(`{"targetURL":%q,"description":"one"}`, e.URL+"/c8"))
	other, _ := acme.register(fmt.Sprintf(`{"targetURL":%q}`, e.URL+"/other"))
	s.c8Deactivates(t, acme, e, id)
	s.c8Lists(t, acme, id, other)
	s.c8RotatesSecrets(t, acme, id)
	s.c8Tests(t, acme, e, id)
	s.c8Deletes(t, acme, id)
}

func (s contractC) c8Deactivates(t *testing.T, acme caller, e *receiver, id string) {
	active(t, s.js, id)
	publishOne(t, s.js, "c8", 1)
	e.came(t, 2) // both
	acme.call("POST", webhooks+"/"+id+"/deactivate", "").is(t, 200)
	await(t, 20*time.Second, "deactivated", func() bool {
		return acme.call("GET", "/api/v1/statuses/"+id, "").json(t)["state"] == "deactivated"
	})
	publishOne(t, s.js, "c8", 2)
	if h := e.came(t, 3); h.URI != "/other" {
		t.Errorf("a deactivated webhook got %s", h.URI)
	}
	if r := acme.call("GET", webhooks+"/"+id, "").is(t, 200).json(t); r["status"] != "deactivated" || r["description"] != "one" {
		t.Errorf("got %v", r)
	}
	if r := acme.call("PUT", webhooks+"/"+id, fmt.Sprintf(`{"targetURL":%q,"description":"two"}`, e.URL+"/c8")).is(t, 200).json(t); r["status"] != "deactivated" || r["description"] != "two" {
		t.Errorf("got %v", r)
	}
	acme.call("POST", webhooks+"/"+id+"/activate", "").is(t, 200)
	active(t, s.js, id)
	publishOne(t, s.js, "c8", 3)
	await(t, 20*time.Second, "delivered again", func() bool {
		return slices.ContainsFunc(e.Journal(), func(h lab.Hit) bool { return h.URI == "/c8" && h.N == 3 })
	})
	await(t, 20*time.Second, "the other one is served too", func() bool {
		return slices.ContainsFunc(e.Journal(), func(h lab.Hit) bool { return h.URI == "/other" && h.N == 3 })
	})
}

// c8Lists reads the list in pages and by filters.
func (s contractC) c8Lists(t *testing.T, acme caller, id, other string) {
	var ids []string
	for after, n := "", 0; n < 10; n++ {
		r := acme.call("GET", webhooks+"?limit=1&after="+after, "").is(t, 200).json(t)
		for _, item := range r["items"].([]any) {
			ids = append(ids, item.(map[string]any)["id"].(string))
		}
		if after, _ = r["next"].(string); after == "" {
			break
		}
	}
	if len(ids) != 2 || ids[0] >= ids[1] || !strings.Contains(ids[0]+ids[1], id) {
		t.Errorf("pages give %v, want %s and %s", ids, id, other)
	}
	acme.call("POST", webhooks+"/"+other+"/deactivate", "").is(t, 200)
	for query, want := range map[string]int{"status=active": 1, "status=deactivated": 1, "host=127.0.0.1": 2, "host=h": 0, "tenant=acme": 2, "tenant=beta": 0} {
		if r := acme.call("GET", webhooks+"?"+query, "").is(t, 200).json(t); len(r["items"].([]any)) != want {
			t.Errorf("%s: %v", query, r)
		}
	}
	acme.call("GET", webhooks+"?limit=0", "").problem(t, 400, "limit")
	acme.call("GET", webhooks+"?status=x", "").problem(t, 400, "status")
}

func (s contractC) c8RotatesSecrets(t *testing.T, acme caller, id string) {
	r := acme.call("POST", webhooks+"/"+id+"/rotate-secret", "").is(t, 200).json(t)
	first, _ := r["secret"].(string)
	if !strings.HasPrefix(first, "whsec_") || r["member"] != "signing" {
		t.Errorf("got %v", r)
	}
	r = acme.call("POST", webhooks+"/"+id+"/rotate-secret", `{"secret":"whsec_c2Vjb25kLXNlY29uZC1zZWNvbmQtc2Vjb25k"}`).is(t, 200).json(t)
	if _, shown := r["secret"]; shown || !strings.Contains(kvRecords(t, s.js)[id], `"signing":{"secrets":["whsec_c2Vjb25kLXNlY29uZC1zZWNvbmQtc2Vjb25k","`+first+`"]}`) {
		t.Errorf("got %v, stored %s", r, kvRecords(t, s.js)[id])
	}
	acme.call("POST", webhooks+"/"+id+"/rotate-secret", `{"revokeOld":true,"secret":"whsec_dGhpcmQtdGhpcmQtdGhpcmQtdGhpcmQt"}`).is(t, 200)
	if !strings.Contains(kvRecords(t, s.js)[id], `"signing":{"secrets":["whsec_dGhpcmQtdGhpcmQtdGhpcmQtdGhpcmQt"]}`) {
		t.Errorf("stored %s", kvRecords(t, s.js)[id])
	}
	r = acme.call("POST", webhooks+"/"+id+"/rotate-secret", `{"keepOld":"PT24H"}`).is(t, 200).json(t)
	until, _ := r["formerUntil"].(string)
	if shown := acme.call("GET", webhooks+"/"+id, "").is(t, 200).body; until == "" || !strings.Contains(shown, `"signing":{"formerUntil":"`+until+`"}`) {
		t.Errorf("got %v, shown %s", r, shown)
	}
	// What an update leaves out stays, and ends when it was to end.
	acme.call("PUT", webhooks+"/"+id, `{"targetURL":"`+acme.call("GET", webhooks+"/"+id, "").json(t)["targetURL"].(string)+`"}`).is(t, 200)
	if !strings.Contains(kvRecords(t, s.js)[id], `"whsec_dGhpcmQtdGhpcmQtdGhpcmQtdGhpcmQt"],"formerUntil":"`+until+`"}`) {
		t.Errorf("stored %s", kvRecords(t, s.js)[id])
	}
	acme.call("POST", webhooks+"/"+id+"/rotate-secret", `{"keepOld":"24"}`).problem(t, 400, "keepOld")
	acme.call("POST", webhooks+"/"+id+"/rotate-secret", `{"revokeOld":true}`).is(t, 200)
	if shown := acme.call("GET", webhooks+"/"+id, "").is(t, 200).body; strings.Contains(shown, "signing") {
		t.Errorf("shown %s", shown)
	}
	acme.call("POST", webhooks+"/"+id+"/rotate-secret", `{"secret":"short"}`).problem(t, 400, "signing")
}

func (s contractC) c8Tests(t *testing.T, acme caller, e *receiver, id string) {
	n := e.Count()
	r := acme.call("POST", webhooks+"/"+id+"/test", "").is(t, 200).json(t)
	h := e.came(t, n+1)
	if r["success"] != true || h.Header.Get("X-Test") != "true" || h.Header.Get("Webhook-Id") != r["deliveryId"] ||
		!strings.HasPrefix(h.Header.Get("Webhook-Id"), "test-") || !strings.Contains(string(h.Body), `"test":true`) || h.Header.Get("Webhook-Signature") == "" {
		t.Errorf("got %v, the endpoint %v %s", r, h.Header, h.Body)
	}
	e.Reply(lab.Always(503))
	if r := acme.call("POST", webhooks+"/"+id+"/test", "").is(t, 200).json(t); r["success"] != false || r["status"] != 503.0 || !strings.Contains(r["reason"].(string), "503") {
		t.Errorf("got %v", r)
	}
	for _, k := range owedKeys(t, s.js) {
		if strings.HasPrefix(k, id+".") {
			t.Errorf("a test is owed: %s", k)
		}
	}
}

func (s contractC) c8Deletes(t *testing.T, acme caller, id string) {
	etag := acme.call("GET", webhooks+"/"+id, "").header.Get("ETag")
	acme.call("DELETE", webhooks+"/"+id, "", "If-Match", `"1"`).problem(t, 412)
	acme.call("DELETE", webhooks+"/"+id, "", "If-Match", etag).is(t, 204)
	acme.call("GET", webhooks+"/"+id, "").problem(t, 404)
	const own, body = "/api/v1/records/acme-own", `{"targetURL":"https://c8.example.com/x"}`
	etag = acme.call("PUT", own, body, "If-None-Match", "*").is(t, 200).header.Get("ETag")
	acme.call("PUT", own, body, "If-None-Match", "*").problem(t, 409, "there is a record acme-own already")
	acme.call("PUT", own, body, "If-Match", `"1"`).problem(t, 409, "changed by somebody else")
	acme.call("DELETE", own, "").is(t, 204)
	acme.call("PUT", own, body, "If-Match", etag).problem(t, 409, "there is no record acme-own any more")
	if _, there := kvRecords(t, s.js)[id]; there {
		t.Error("the record is still in the bucket")
	}
}
