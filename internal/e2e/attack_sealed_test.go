package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// The API seals what it stores, also what it makes; what it shows stays as it was.
func TestAttackSecretsInTheBucket(t *testing.T) {
	attack(t)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e, idp := receive(t, nil), receive(t, nil)
	dir := t.TempDir()
	keyFile, err := makeSecretFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "automation.json")
	writeFiles(t, filepath.Dir(file), map[string]string{"automation.json": `{"webHook":{"enabled":true,"endpoint":"` + e.URL + `/file","key":"planted-file-key","secret":"planted-file-secret","useSslTrustAll":false}}`})
	p := serving(t, bus.URL(), apiTokens, "ORDERBRIDGE_SEALING_KEY_FILE="+keyFile, "ORDERBRIDGE_WEBHOOK_FILE="+file)
	acme := bearer(t, p, acmeToken)
	stored := func(id string) string { return string(entry(t, js, "subscriptions", id)) }
	id := acme.call("POST", webhooks, `{"targetURL":"`+e.URL+`/x","key":"planted-key","secret":"planted-secret","auth":{"type":"basic","username":"u","password":"planted-password"},`+
		`"headers":{"X-Api":"planted-header"},"signing":{"secrets":["whsec_cGxhbnRlZC1zaWduaW5nLXNlY3JldC1rZXk="]},"tls":{"minVersion":"1.2"}}`).is(t, 200).json(t)["id"].(string)
	check := func(when string) {
		t.Helper()
		if text := stored(id); strings.Contains(text, "planted") || strings.Contains(text, "whsec_") || strings.Count(text, "sealed:") < 4 {
			t.Errorf("%s: %s", when, text)
		}
		if got := acme.call("GET", webhooks+"/"+id, "").is(t, 200).body; strings.Contains(got, "sealed:") || strings.Contains(got, "planted") {
			t.Errorf("%s: shown %s", when, got)
		}
	}
	check("registered")
	acme.call("PUT", webhooks+"/"+id, `{"targetURL":"`+e.URL+`/y","auth":{"type":"basic","username":"u"},"headers":{"X-Api":"[redacted]","X-More":"planted-more"}}`).is(t, 200)
	check("updated")
	rotated := acme.call("POST", webhooks+"/"+id+"/rotate-secret", "").is(t, 200).json(t)
	made := rotated["secret"].(string)
	check("rotated")
	judged, err := json.Marshal(map[string]any{"id": "acme-judged", "record": []byte(`{"targetURL":"` + e.URL + `/x","secret":"planted-secret","headers":{"X-Api":"planted-header"}}`)})
	if err != nil {
		t.Fatal(err)
	}
	if said := acme.call("POST", "/api/v1/judge", string(judged)).is(t, 200).body; rotated["plain"] != nil || strings.Contains(said, "plain text") || !strings.Contains(said, `"hears"`) {
		t.Errorf("told of plain text: %v, %s", rotated["plain"], said)
	}
	if strings.Contains(stored(id), made) {
		t.Error("the secret that was made stands there as it is")
	}
	other := acme.call("POST", webhooks, `{"targetURL":"`+e.URL+`/z","auth":{"type":"client_credential","clientID":"i","clientSecret":"planted-client","tokenURL":"`+idp.URL+`/token"}}`).is(t, 200).json(t)["id"].(string)
	if strings.Contains(stored(other), "planted") {
		t.Errorf("client secret: %s", stored(other))
	}
	thief := receive(t, nil)
	copiesAreWorthNothing(t, js, thief, id, other)

	if text := stored("automation"); strings.Contains(text, "planted") || strings.Count(text, "sealed:") != 2 {
		t.Errorf("automation: %s", text)
	}
	publishOne(t, js, "o1", 1)
	msg := change("o2", 1)
	msg.Data = []byte(`{"orderId":"o2","eventType":"OrderAccepted"}`)
	msg.Subject = "orders.acme.OrderAccepted.o2"
	publishMsg(t, js, msg)
	await(t, 20*time.Second, "the file's endpoint has it", func() bool { return strings.Contains(e.sent(), "key=planted-file-key") })
	if thief.sent() != "" || idp.sent() != "" {
		t.Errorf("the thief was sent: %s%s", thief.sent(), idp.sent())
	}
	p.Signal(syscall.SIGTERM)
	p.exit(30 * time.Second)
	startsStoreNothingAgain(t, bus, js, keyFile, file)
	out, code := commandWith(t, []string{"ORDERBRIDGE_NATS_URL=" + bus.URL(), "ORDERBRIDGE_SEALING_KEY_FILE=" + keyFile}, `{"targetURL":"`+e.URL+`/cli","key":"planted-cli"}`, "subscriptions", "put", "cli", "-")
	if code != 0 || strings.Contains(stored("cli"), "planted") {
		t.Errorf("put: %d %s %s", code, out, stored("cli"))
	}
}

// copiesAreWorthNothing: of sealed secrets in a record of the thief's own, or in
// the same one with another place.
func copiesAreWorthNothing(t *testing.T, js jetstream.JetStream, thief *receiver, id, other string) {
	t.Helper()
	stored := func(id string) string { return string(entry(t, js, "subscriptions", id)) }
	var parts struct {
		Auth json.RawMessage `json:"auth"`
		Key  string          `json:"key"`
	}
	if err := json.Unmarshal([]byte(stored(id)), &parts); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{"copy", id} {
		rev := put(t, js, at, fmt.Sprintf(`{"targetURL":"%s/x","tenant":"acme","key":%q,"auth":%s}`, thief.URL, parts.Key, parts.Auth))
		verdict(t, js, at, rev, protocol.StateInvalid)
	}
	var client struct {
		Auth map[string]string `json:"auth"`
	}
	if err := json.Unmarshal([]byte(stored(other)), &client); err != nil {
		t.Fatal(err)
	}
	auth, _ := json.Marshal(client.Auth) // strings only
	verdict(t, js, other, put(t, js, other, fmt.Sprintf(`{"targetURL":"%s/x","tenant":"acme","auth":%s}`, thief.URL, auth)), protocol.StateInvalid)
}

// startsStoreNothingAgain of what the webhook file tells.
func startsStoreNothingAgain(t *testing.T, bus *lab.Bus, js jetstream.JetStream, keyFile, file string) {
	t.Helper()
	first := entryRevision(t, js, "subscriptions", "automation")
	serving(t, bus.URL(), "ORDERBRIDGE_SEALING_KEY_FILE="+keyFile, "ORDERBRIDGE_WEBHOOK_FILE="+file)
	if again := entryRevision(t, js, "subscriptions", "automation"); again != first {
		t.Errorf("the file's record was stored again: %d, %d", first, again)
	}
}
