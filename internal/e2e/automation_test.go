package e2e

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/lab"
)

// automationFile writes a configuration file; section is what stands in webHook,
// "" leaves the section out. The file is replaced as editors and Kubernetes do it.
func automationFile(t testing.TB, path, section string) {
	t.Helper()
	text := `{"server":{"port":8080,"webHook":{"not":"this"}}}`
	if section != "" {
		text = `{"server":{"port":8080},"webHook":` + section + `,"other":[1,2]}`
	}
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// automated serves with an automation file.
func automated(t testing.TB, bus, section string, env ...string) (p *program, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "automation.json")
	automationFile(t, path, section)
	return serving(t, bus, append(env, "ORDERBRIDGE_WEBHOOK_FILE="+path)...), path
}

// happened publishes an event of a type.
func happened(t testing.TB, js jetstream.JetStream, kind, order string) uint64 {
	t.Helper()
	return publishMsg(t, js, &nats.Msg{Subject: "orders.acme." + kind + "." + order, Data: []byte(fmt.Sprintf(`{"lines":[1,2],"eventType":%q,"orderId":%q}`, kind, order))})
}

// A file that is wrong when the bridge starts ends the start, with or without a
// bus, and the error says what is wrong.
func TestContractBBadFileEndsTheStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	password := "hunter2"
	writeClient(t, dir, password)
	const https = `"endpoint":"https://127.0.0.1:9/x"`
	for _, c := range []struct {
		name, section string
		id            string
		want          []string
	}{
		{"B1 unknown key", `{"enabled":true,` + https + `,"keey":"a"}`, "", []string{"webHook.keey", "is unknown", "connectionTimeout"}},
		{"B1 unknown key though it is off", `{"enabled":false,"keey":"a"}`, "", []string{"webHook.keey"}},
		{"B1 wrong type", `{"enabled":"true",` + https + `}`, "", []string{"webHook.enabled", "must be a boolean, is a string"}},
		{"B1 given twice", `{"enabled":true,` + https + `,"key":"a","key":"b"}`, "", []string{"webHook.key", "more than once"}},
		{"B1 no object", `true`, "", []string{"webHook", "must be an object"}},
		{"B3 no endpoint", `{"enabled":true}`, "", []string{"webHook.endpoint", "is required"}},
		{"B3 no URL", `{"enabled":true,"endpoint":"www.example.org/x"}`, "", []string{"webHook.endpoint", "absolute URL"}},
		{"B6 60", `{"enabled":true,` + https + `,"connectionTimeout":"60"}`, "", []string{"webHook.connectionTimeout", `"60"`}},
		{"B6 P", `{"enabled":true,` + https + `,"connectionTimeout":"P"}`, "", []string{"webHook.connectionTimeout", `"P"`}},
		{"B6 empty", `{"enabled":true,` + https + `,"connectionTimeout":""}`, "", []string{"webHook.connectionTimeout", `""`}},
		{"B6 negative", `{"enabled":true,` + https + `,"connectionTimeout":"-PT3S"}`, "", []string{"webHook.connectionTimeout", `"-PT3S"`}},
		{"B6 negative inside", `{"enabled":true,` + https + `,"connectionTimeout":"PT-3S"}`, "", []string{"webHook.connectionTimeout", `"PT-3S"`}},
		{"B6 not ISO-8601", `{"enabled":true,` + https + `,"connectionTimeout":"30s"}`, "", []string{"webHook.connectionTimeout", `"30s"`, "ISO-8601"}},
		{"B6 nothing", `{"enabled":true,` + https + `,"connectionTimeout":"PT0S"}`, "", []string{"webHook.connectionTimeout", `"PT0S"`}},
		{"B6 a day", `{"enabled":true,"useSslTrustAll":false,` + https + `,"connectionTimeout":"P1D"}`, "", []string{"webHook.connectionTimeout", `"P1D"`}},
		{"B8 not permitted", `{"enabled":true,` + https + `}`, "", []string{"webHook.useSslTrustAll: is not given, nor is any other ssl key", "set it to false", "ORDERBRIDGE_ALLOW_TRUST_ALL"}},
		{"B8 asked for, not permitted", `{"enabled":true,"useSslTrustAll":true,` + https + `}`, "", []string{"webHook.useSslTrustAll: is true; set it to false", "ORDERBRIDGE_ALLOW_TRUST_ALL"}},
		{"B10 no key file", `{"enabled":true,"useSslClientCert":true,` + https + `}`, "", []string{"webHook.sslKeyFile", "is required"}},
		{"B10 missing key file", `{"enabled":true,"useSslClientCert":true,"sslKeyFile":"nope.p12","sslKeyPassword":"hunter2",` + https + `}`, "", []string{"webHook.sslKeyFile", "nope.p12", "does not exist"}},
		{"B10 missing trust file", `{"enabled":true,"useSslClientCert":true,"sslKeyFile":"client.p12","sslTrustFile":"nope.pem","sslKeyPassword":"hunter2",` + https + `}`, "", []string{"webHook.sslTrustFile", "nope.pem"}},
		{"B10 wrong password of PKCS#12", `{"enabled":true,"useSslClientCert":true,"sslKeyFile":"client.p12","sslKeyPassword":"correcthorse",` + https + `}`, "", []string{"webHook.sslKeyFile", "client.p12", "sslKeyPassword is wrong"}},
		{"B10 wrong password of PEM", `{"enabled":true,"useSslClientCert":true,"sslKeyFile":"client.pem","sslKeyPassword":"correcthorse",` + https + `}`, "", []string{"webHook.sslKeyFile", "client.pem", "sslKeyPassword is wrong"}},
		{"B10 no password", `{"enabled":true,"useSslClientCert":true,"sslKeyFile":"client.pem",` + https + `}`, "", []string{"webHook.sslKeyFile", "client.pem", "encrypted"}},
		{"B10 file elsewhere", `{"enabled":true,"useSslClientCert":true,"sslKeyFile":"/etc/passwd",` + https + `}`, "", []string{"webHook.sslKeyFile", "/etc/passwd", "ORDERBRIDGE_SECRETS_DIR"}},
		{"B11 missing file", `{"enabled":true,"useSslClientCert":false,"sslKeyFile":"nope.pem",` + https + `}`, "", []string{"webHook.sslKeyFile", "nope.pem"}},
		{"B13 http", `{"enabled":true,"endpoint":"http://127.0.0.1:9/x"}`, "", []string{"webHook.endpoint", "ORDERBRIDGE_ALLOW_HTTP"}},
		{"B13 private address", `{"enabled":true,"useSslTrustAll":false,"endpoint":"https://10.1.2.3/x"}`, "", []string{"webHook.endpoint", "ORDERBRIDGE_EGRESS_ALLOW"}},
		{"B13 not JSON", `{"enabled":true,,}`, "", []string{"is not JSON", "line 1, column"}},
		{"B13 password in the URL", `{"enabled":true,"endpoint":"https://bob:correcthorse@h/x"}`, "", []string{"webHook.endpoint", "user info"}},
		{"B13 a bad id", `{}`, "a.b", []string{"ORDERBRIDGE_WEBHOOK_ID"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "automation.json")
			automationFile(t, path, c.section)
			p := launch(t, "ORDERBRIDGE_NATS_URL=nats://127.0.0.1:1", "ORDERBRIDGE_SECRETS_DIR="+dir, "ORDERBRIDGE_WEBHOOK_FILE="+path, "ORDERBRIDGE_WEBHOOK_ID="+cmp.Or(c.id, "automation"))
			if code := p.exit(20 * time.Second); code == exitGood {
				t.Error("the start was good")
			}
			said := p.Output()
			for _, want := range c.want {
				if !strings.Contains(strings.ReplaceAll(said, `\"`, `"`), want) {
					t.Errorf("said %q, want %q in it", said, want)
				}
			}
			if strings.Contains(said, "correcthorse") || strings.Contains(said, password) {
				t.Errorf("a secret is in %q", said)
			}
		})
	}
	missing := launch(t, "ORDERBRIDGE_NATS_URL=nats://127.0.0.1:1", "ORDERBRIDGE_WEBHOOK_FILE="+filepath.Join(dir, "none.json"))
	if missing.exit(20*time.Second) == exitGood || !strings.Contains(missing.Output(), "none.json cannot be read") {
		t.Errorf("B13 a missing file: %s", missing.Output())
	}
}

// B2, and B1: other sections are ignored.
func TestContractB2NothingIsSentUnlessEnabled(t *testing.T) {
	t.Parallel()
	for name, section := range map[string]func(url string) string{
		"no section":     func(string) string { return "" },
		"enabled absent": func(url string) string { return `{"endpoint":"` + url + `","useSslTrustAll":false}` },
		"enabled false":  func(url string) string { return `{"enabled":false,"endpoint":"` + url + `","useSslTrustAll":false}` },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bus := lab.ListenBus(t)
			js := jetStream(t, bus.URL())
			e := receive(t, nil)
			p, path := automated(t, bus.URL(), section(e.URL))
			seq := happened(t, js, "OrderAccepted", "1")
			acknowledged(t, js, seq)
			if entry(t, js, "subscriptions", "automation") != nil || e.Count() != 0 {
				t.Fatalf("there is a record, or %d requests", e.Count())
			}
			// What an earlier version of the file has made is deactivated, while it
			// runs and before anything is sent at a start.
			automationFile(t, path, `{"enabled":true,"endpoint":"`+e.URL+`","useSslTrustAll":false}`)
			verdict(t, js, "automation", 0, protocol.StateActive)
			happened(t, js, "OrderAccepted", "2")
			await(t, 20*time.Second, "order 2", func() bool { return sent(e, "2") })
			automationFile(t, path, section(e.URL))
			verdict(t, js, "automation", 0, protocol.StateDeactivated)
			p.said(20*time.Second, `(made from an earlier version of the file)`)
			acknowledged(t, js, happened(t, js, "OrderAccepted", "3"))
			if sent(e, "3") {
				t.Error("an event was sent while the file was off")
			}
			automationFile(t, path, `{"enabled":true,"endpoint":"`+e.URL+`","useSslTrustAll":false}`)
			verdict(t, js, "automation", 0, protocol.StateActive)
			p.stop()
			seq = happened(t, js, "OrderAccepted", "4")
			automationFile(t, path, section(e.URL))
			serving(t, bus.URL(), "ORDERBRIDGE_WEBHOOK_FILE="+path)
			verdict(t, js, "automation", 0, protocol.StateDeactivated)
			acknowledged(t, js, seq)
			if sent(e, "4") {
				t.Error("an event was sent after a start with a file that is off")
			}
		})
	}
}

func sent(e *receiver, order string) bool {
	return slices.ContainsFunc(e.Journal(), func(h lab.Hit) bool { return h.Order == order })
}

// B3, B4, B5, B7, B12: what is sent.
func TestContractB4B5B7B12WhatIsSent(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, nil)
	first := true
	e.Reply(func(*lab.Hit) int {
		if first {
			first = false
			return http.StatusServiceUnavailable // B7: the signature holds on the retry
		}
		return http.StatusOK
	})
	automated(t, bus.URL(), `{"enabled":true,"endpoint":"`+e.URL+`/automation","key":"a&b ü","secret":"HeaderSecret","useSslTrustAll":false}`)
	seven := []string{"OrderCreated", "OrderAccepted", "OrderSigned", "OrderRejected", "OrderCanceled", "OrderExpired", "OrderDueDateUpdated"}
	for _, kind := range append([]string{"OrderModified", "orderaccepted", "OrderAcceptedX", "OrderLinesChanged"}, seven...) {
		happened(t, js, kind, "07c6ad8c-d1ba-4e73-9bbf-c70a085a449c-"+kind)
	}
	await(t, 30*time.Second, "seven deliveries", func() bool { return e.Delivered() == len(seven) })
	got := map[string]bool{}
	for _, h := range e.Journal() {
		var body struct{ OrderID, EventType string }
		if err := json.Unmarshal(h.Body, &body); err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf(`{"orderId":"07c6ad8c-d1ba-4e73-9bbf-c70a085a449c-%s","eventType":"%[1]s"}`, body.EventType); string(h.Body) != want {
			t.Errorf("B4 body is %s, want %s", h.Body, want)
		}
		if h.Method != "POST" || h.Header.Get("Content-Type") != "application/json" {
			t.Errorf("B4 %s, Content-Type %q", h.Method, h.Header.Get("Content-Type"))
		}
		if h.URI != "/automation/?key=a%26b%20%C3%BC" && h.URI != "/automation/?key=a%26b+%C3%BC" {
			t.Errorf("B5 went to %s", h.URI)
		}
		mac := hmac.New(sha256.New, []byte("HeaderSecret"))
		mac.Write(h.Body)
		if want := hex.EncodeToString(mac.Sum(nil)); h.Header.Get("X-Signature") != want {
			t.Errorf("B7 X-Signature of attempt %s is %q, want %q", h.Header.Get("X-Attempt"), h.Header.Get("X-Signature"), want)
		}
		got[body.EventType] = true
	}
	if len(got) != len(seven) {
		t.Errorf("B12 sent are %v, want %v", got, seven)
	}
	for _, kind := range seven {
		if !got[kind] {
			t.Errorf("B12 %s was not sent", kind)
		}
	}
}

// B5 without key, B7 without secret, B6 default.
func TestContractB3B5B7EnabledWithEndpointIsComplete(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, nil)
	p, _ := automated(t, bus.URL(), `{"enabled":true,"endpoint":"`+e.URL+`/automation"}`, "ORDERBRIDGE_ALLOW_TRUST_ALL=true")
	happened(t, js, "OrderAccepted", "1")
	h := e.came(t, 1)
	if h.URI != "/automation" || h.Header.Values("X-Signature") != nil {
		t.Errorf("B5, B7: went to %s, X-Signature %q", h.URI, h.Header.Values("X-Signature"))
	}
	var record struct {
		ConnectionTimeout, Timeout string
	}
	if err := json.Unmarshal(entry(t, js, "subscriptions", "automation"), &record); err != nil || record.ConnectionTimeout != "PT30S" || record.Timeout != "PT30S" {
		t.Errorf("B6 timeouts are %+v, %v", record, err)
	}
	p.said(time.Second, `(webHook.useSslTrustAll: is true: every certificate is accepted)`)
}

// B13: a file that turns bad while it runs leaves the old one in force.
func TestContractB13BadFileLeavesTheOldInForce(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, nil)
	good := `{"enabled":true,"endpoint":"` + e.URL + `","useSslTrustAll":false}`
	p, path := automated(t, bus.URL(), good)
	_, before := statusOf(t, js, "automation")
	for i, bad := range []string{`{"enabled":true,"endpoint":"http://example.com/x"}`, `{"enabled":true`, `{"enabled":true,"nope":1}`} {
		automationFile(t, path, bad)
		want := []string{"ORDERBRIDGE_ALLOW_HTTP", "is not JSON", "webHook.nope"}[i]
		p.said(15*time.Second, `level=ERROR [^\n]*(`+want+`)[^\n]*last good version stays in force`)
		await(t, 20*time.Second, "/readyz and the status say it", func() bool {
			r, status := p.readyz()
			s, _ := statusOf(t, js, "automation")
			return status == http.StatusOK && r.Ready && strings.Contains(strings.Join(r.Reasons, "\n"), want) &&
				strings.Contains(record.Problems(s.Warnings).Error(), want) && s.State == protocol.StateActive
		})
		happened(t, js, "OrderAccepted", fmt.Sprint(i))
		e.came(t, i+1)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	p.said(15*time.Second, `level=ERROR [^\n]*(cannot be read)`)
	automationFile(t, path, good)
	await(t, 20*time.Second, "all is good again", func() bool {
		r, _ := p.readyz()
		s, _ := statusOf(t, js, "automation")
		return len(r.Reasons) == 0 && len(s.Warnings) == 0
	})
	if _, after := statusOf(t, js, "automation"); after != before {
		t.Errorf("the record was written again: revision %d, was %d", after, before)
	}
}

func statusOf(t testing.TB, js jetstream.JetStream, id string) (s protocol.Status, revision uint64) {
	t.Helper()
	if value := entry(t, js, "subscription_status", id); value != nil {
		if err := json.Unmarshal(value, &s); err != nil {
			t.Fatal(err)
		}
	}
	return s, s.Revision
}

// Two replicas with the same file write its record once, and leave alone what
// people change in it.
func TestAutomationFileOfTwoReplicas(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, nil)
	section := `{"enabled":true,"endpoint":"` + e.URL + `","useSslTrustAll":false,"key":"%s"}`
	_, path := automated(t, bus.URL(), fmt.Sprintf(section, "one"))
	second := launch(t, "ORDERBRIDGE_NATS_URL="+bus.URL(), "ORDERBRIDGE_WEBHOOK_FILE="+path)
	await(t, 30*time.Second, "the second stands by", func() bool { r, status := second.readyz(); return status == http.StatusOK && r.Role == "standby" })
	revision := func() uint64 {
		kv, err := js.KeyValue(within(t, 10*time.Second), "subscriptions")
		if err != nil {
			t.Fatal(err)
		}
		e, err := kv.Get(within(t, 10*time.Second), "automation")
		if err != nil {
			t.Fatal(err)
		}
		return e.Revision()
	}
	if r := revision(); r != 1 {
		t.Errorf("revision %d after the start of both", r)
	}
	automationFile(t, path, fmt.Sprintf(section, "two"))
	await(t, 20*time.Second, "the change is stored", func() bool { return revision() >= 2 })
	if out, code := command(t, bus.URL(), "", "subscriptions", "deactivate", "automation"); code != exitGood {
		t.Fatal(out)
	}
	second.stop()
	second = launch(t, "ORDERBRIDGE_NATS_URL="+bus.URL(), "ORDERBRIDGE_WEBHOOK_FILE="+path)
	await(t, 30*time.Second, "the second stands by again", func() bool { _, status := second.readyz(); return status == http.StatusOK })
	<-time.After(2500 * time.Millisecond) // two looks of both at the file
	if r := revision(); r != 3 {
		t.Errorf("revision %d, want 3: start, change, deactivation", r)
	}
	verdict(t, js, "automation", 3, protocol.StateDeactivated)
}

func TestSubscriptionsImport(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, nil)
	serving(t, bus.URL())
	path := filepath.Join(t.TempDir(), "automation.json")
	run := func(want string, wantCode int, args ...string) {
		t.Helper()
		if out, code := command(t, bus.URL(), "", append([]string{"subscriptions", "import", path}, args...)...); code != wantCode || !strings.Contains(out, want) {
			t.Errorf("import %v ends with %d: %s; want %d and %q", args, code, out, wantCode, want)
		}
	}
	automationFile(t, path, "")
	run("enables no webhook", exitGood)
	automationFile(t, path, `{"enabled":true,"endpoint":"`+e.URL+`/in/","useSslTrustAll":false,"key":"k"}`)
	run("warehouse: stored, revision", exitGood, "--id", "warehouse")
	happened(t, js, "OrderSigned", "1")
	if h := e.came(t, 1); h.URI != "/in/?key=k" {
		t.Errorf("B5 went to %s", h.URI)
	}
	automationFile(t, path, `{"enabled":true,"endpoint":"http://example.com"}`)
	run("ORDERBRIDGE_ALLOW_HTTP", exitFailed, "--id", "warehouse")
	automationFile(t, path, `{"enabled":false}`)
	run("warehouse: deactivated", exitGood, "--id", "warehouse")
	put(t, js, "mine", recordFor(e))
	run("enables no webhook", exitGood, "--id", "mine")
	automationFile(t, path, `{"enabled":true,"endpoint":"`+e.URL+`","useSslTrustAll":false}`)
	run("no automation file has made", exitFailed, "--id", "mine")
	run("is not a valid subscription id", exitUsage, "--id", "a.b")
}
