package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/audit"
)

// Somebody changes records, by every way, under another name where he can, and
// tries to leave no trace: each change stands in the audit once, over a killed
// leader too, with who it was as far as it is proved, and without a secret.
func TestAttackAudit(t *testing.T) {
	attack(t)
	bus := guarded(t)
	one := launch(t, append(bus.env("bridge"), apiTokens)...)
	one.leads()
	two := launch(t, append(bus.env("bridge"), apiTokens)...)
	await(t, 30*time.Second, "both have begun", func() bool {
		out, _ := bus.run(t, "auditor", "", "audit", "--action", "started")
		return strings.Count(out, "started") >= 2
	})
	manager, e := bus.jetStream(t, "manager"), receive(t, nil)

	const planted = "PLANTED-SECRET-0001"
	secrets := []string{`"secret":"` + planted + `"`, `"headers":{"X-Key":"` + planted + `"}`}
	put(t, manager, "kv", record(e, secrets...))
	put(t, manager, "kv", record(e, `"secret":"`+planted+`2"`))
	if out, good := bus.run(t, "manager", record(e, secrets...), "subscriptions", "put", "cli", "-"); !good {
		t.Fatalf("put: %s", out)
	}
	api := bearer(t, two, operator) // a replica that does not lead
	api.call("POST", webhooks, fmt.Sprintf(`{"targetURL":%q,"description":"by the API"}`, e.URL), "Content-Type", "application/json", "X-Request-Id", "request-7").is(t, 200)
	forged := nats.Header{"Orderbridge-By": {`{"via":"api","name":"operator"}`}, "Orderbridge-By-Mac": {"AAAA"},
		"Nats-Request-Info": {`{"acc":"ORDERS","user":"somebody else"}`}}
	if _, err := manager.PublishMsg(within(t, 10*time.Second), &nats.Msg{Subject: bus.prefixOf("manager") + ".$KV.subscriptions.forged", Header: forged, Data: []byte(record(e))}); err != nil {
		t.Fatal(err)
	}

	one.kill()
	var last uint64
	for i := range 20 { // while nobody leads
		last = put(t, manager, fmt.Sprintf("gap%d", i), record(e))
	}
	two.leads()
	var all []audit.Entry
	await(t, 60*time.Second, "every change has its entry", func() bool {
		out, good := bus.run(t, "auditor", "", "audit", "-o", "json", "--limit", "1000")
		if !good || json.Unmarshal([]byte(out), &all) != nil {
			t.Fatalf("audit: %s", out)
		}
		for _, x := range all {
			if x.Data.Revision == last {
				return true
			}
		}
		return false
	})
	entries := map[uint64]int{}
	who := map[string]audit.Who{}
	for _, x := range all {
		if x.Data.Revision > 0 && x.Data.Action != "begins" {
			entries[x.Data.Revision]++
			who[x.Data.Subscription] = x.Data.Who
			if x.Data.Who.Request == "request-7" {
				who["api"] = x.Data.Who
			}
		}
		if text, err := json.Marshal(x); err != nil || strings.Contains(string(text), planted) || strings.Contains(string(text), operator) {
			t.Errorf("it shows a secret: %s", text)
		}
	}
	for revision := uint64(1); revision <= last; revision++ {
		if entries[revision] != 1 {
			t.Errorf("revision %d has %d entries", revision, entries[revision])
		}
	}
	for id, want := range map[string]string{"kv": "NATS user manager of MANAGERS", "cli": "NATS user manager of MANAGERS", "forged": "NATS user manager of MANAGERS", "api": "token operator"} {
		if got := who[id].String(); !strings.HasPrefix(got, want) {
			t.Errorf("%s: by %s, want %s", id, got, want)
		}
	}
	if w := who["forged"]; w.Name != "" || w.Vouched == "bridge" {
		t.Errorf("forged: %+v", w)
	}
	noTrace(t, bus)
}

// noTrace tries to write to the audit, and to take from it.
func noTrace(t *testing.T, bus *guardedBus) {
	t.Helper()
	state := func() jetstream.StreamState {
		s, err := bus.jetStream(t, "auditor").Stream(within(t, 10*time.Second), "AUDIT")
		if err != nil {
			t.Fatal(err)
		}
		return s.CachedInfo().State
	}
	before := state()
	for _, user := range []string{"publisher", "manager", "operator", "auditor"} {
		nc := bus.dial(t, user)
		for _, subject := range []string{"audit.record.x.put", bus.prefixOf(user) + ".audit.record.x.put", "$JS.API.STREAM.PURGE.AUDIT", bus.prefixOf(user) + ".STREAM.PURGE.AUDIT",
			bus.prefixOf(user) + ".STREAM.DELETE.AUDIT", bus.prefixOf(user) + ".STREAM.UPDATE.AUDIT"} {
			if _, err := nc.Request(subject, []byte(`{}`), 200*time.Millisecond); err == nil {
				t.Errorf("%s gets an answer on %s", user, subject)
			}
		}
	}
	if err := bus.jetStream(t, "bridge").DeleteStream(within(t, 2*time.Second), "AUDIT"); err == nil {
		t.Error("the bridge deletes it")
	}
	if after := state(); after.FirstSeq != before.FirstSeq || after.Msgs < before.Msgs {
		t.Errorf("the audit was %+v and is %+v", before, after)
	}
}
