package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"orderbridge/internal/lab"
)

// X4 and X5 from the API's side: what `nats kv` writes shows in the API and the
// other way round, and a bad record harms no other.
func TestContractX(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	s := contractC{jetStream(t, bus.URL()), serving(t, bus.URL(), apiTokens)}
	t.Run("X4", s.x4WhatIsPutShows)
	t.Run("X5", s.x5ABadRecordHarmsNoOther)
}

// reaches waits until the API says that a subscription is in a state.
func (s contractC) reaches(t *testing.T, c caller, id, state string) time.Duration {
	t.Helper()
	return await(t, 20*time.Second, id+" is "+state, func() bool {
		r := c.call("GET", "/api/v1/statuses/"+id, "")
		return r.status == 200 && r.json(t)["state"] == state
	})
}

func (s contractC) x4WhatIsPutShows(t *testing.T) {
	c, e := bearer(t, s.p, operator), receive(t, nil)
	put(t, s.js, "x4", recordFor(e))
	lab.Promise(t, "until what is put is active", s.reaches(t, c, "x4", "active"), time.Second)
	r := c.call("GET", webhooks+"/x4", "").is(t, 200)
	if got := r.json(t); got["id"] != "x4" || got["targetURL"] != e.URL+"/hook" || got["createdAt"] == "" {
		t.Errorf("got %s", r.body)
	}
	publishOne(t, s.js, "x4", 1)
	e.came(t, 1)
	kv, err := s.js.KeyValue(within(t, 10*time.Second), "subscriptions")
	if err != nil {
		t.Fatal(err)
	}
	if err := kv.Delete(within(t, 10*time.Second), "x4"); err != nil {
		t.Fatal(err)
	}
	c.call("GET", webhooks+"/x4", "").problem(t, 404)
	took := await(t, 20*time.Second, "deleted", func() bool {
		list, _ := c.call("GET", "/api/v1/statuses?state=deleted", "").json(t)["items"].([]any)
		return len(list) == 1
	})
	lab.Promise(t, "until it is deleted", took, time.Second)
	if r := c.call("GET", "/api/v1/statuses/x4", ""); r.status != 404 {
		t.Errorf("got %d %s", r.status, r.body)
	}
}

func (s contractC) x5ABadRecordHarmsNoOther(t *testing.T) {
	c, e := bearer(t, s.p, operator), receive(t, nil)
	put(t, s.js, "good", recordFor(e))
	revision := put(t, s.js, "bad", recordFor(e))
	verdict(t, s.js, "bad", revision, "active")
	put(t, s.js, "bad", `{"targetURL":"https://h/","method":"PATCH","maxInFlight":0}`)
	lab.Promise(t, "until it is invalid", s.reaches(t, c, "bad", "invalid"), time.Second)
	text := c.call("GET", "/api/v1/statuses/bad", "").body
	for _, member := range []string{`"field":"method"`, `"field":"maxInFlight"`} {
		if !strings.Contains(text, member) {
			t.Errorf("%s is missing in %s", member, text)
		}
	}
	n := e.Count()
	publishOne(t, s.js, "x5", 1)
	e.came(t, n+1) // the good one
	c.call("PUT", webhooks+"/bad", fmt.Sprintf(`{"targetURL":%q}`, e.URL+"/mended")).is(t, 200)
	s.reaches(t, c, "bad", "active")
	if h := e.came(t, n+2); h.URI != "/mended" || h.Order != "x5" {
		t.Errorf("got %s of order %s", h.URI, h.Order)
	}
}
