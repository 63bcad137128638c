package e2e

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/audit"
	"orderbridge/internal/lab"
)

// Somebody changes records, by every way, under another name where possible, and
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

	secrets := []string{`"secret":"` + plantedInAudit + `"`, `"headers":{"X-Key":"` + plantedInAudit + `"}`}
	put(t, manager, "kv", recordFor(e, secrets...))
	put(t, manager, "kv", recordFor(e, `"secret":"`+plantedInAudit+`2"`))
	if out, good := bus.run(t, "manager", recordFor(e, secrets...), "subscriptions", "put", "cli", "-"); !good {
		t.Fatalf("put: %s", out)
	}
	api := bearer(t, two, operator) // a replica that does not lead
	api.call("POST", webhooks, fmt.Sprintf(`{"targetURL":%q,"description":"by the API"}`, e.URL), "Content-Type", "application/json", "X-Request-Id", "request-7").is(t, 200)
	forged := nats.Header{"Orderbridge-By": {`{"via":"api","name":"operator"}`}, "Orderbridge-By-Mac": {"AAAA"},
		"Nats-Request-Info": {`{"acc":"ORDERS","user":"somebody else"}`}}
	if _, err := manager.PublishMsg(within(t, 10*time.Second), &nats.Msg{Subject: bus.prefixOf("manager") + ".$KV.subscriptions.forged", Header: forged, Data: []byte(recordFor(e))}); err != nil {
		t.Fatal(err)
	}

	one.kill()
	var last uint64
	for i := range 20 { // while nobody leads
		last = put(t, manager, fmt.Sprintf("gap%d", i), recordFor(e))
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
	everyChangeOnce(t, all, last)
	noTrace(t, bus)
}

const plantedInAudit = "PLANTED-SECRET-0001"

// everyChangeOnce: each revision has one entry, which tells who made it, and no
// secret.
func everyChangeOnce(t *testing.T, all []audit.Entry, last uint64) {
	t.Helper()
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
		if text, err := json.Marshal(x); err != nil || strings.Contains(string(text), plantedInAudit) || strings.Contains(string(text), operator) {
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
	if err := bus.jetStream(t, "bridge").DeleteStream(briefly(t, 2*time.Second), "AUDIT"); err == nil {
		t.Error("the bridge deletes it")
	}
	if after := state(); after.FirstSeq != before.FirstSeq || after.Msgs < before.Msgs {
		t.Errorf("the audit was %+v and is %+v", before, after)
	}
}

// rawPut puts a record with a header block as it is given, which no library sends.
func rawPut(t *testing.T, bus *guardedBus, user, name, id, header, data string) {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(bus.file(user+".crt"), bus.file(user+".key"))
	if err != nil {
		t.Fatal(err)
	}
	ca := lab.CA()
	plain, err := net.DialTimeout("tcp", bus.server.Addr().String(), lab.Patience)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	_ = plain.SetDeadline(time.Now().Add(lab.Patience))
	for b := make([]byte, 1); b[0] != '\n'; { // INFO
		if _, err := plain.Read(b); err != nil {
			t.Fatal(err)
		}
	}
	c := tls.Client(plain, &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: ca.Pool(), ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12})
	inbox := "_INBOX_" + user + ".raw"
	fmt.Fprintf(c, "CONNECT {\"headers\":true,\"no_responders\":true,\"verbose\":false,\"protocol\":1,\"name\":%q}\r\nSUB %s 1\r\n", name, inbox)
	fmt.Fprintf(c, "HPUB %s.$KV.subscriptions.%s %s %d %d\r\n%s%s\r\n", bus.prefixOf(user), id, inbox, len(header), len(header)+len(data), header, data)
	for r := bufio.NewReader(c); ; {
		line, err := r.ReadString('\n')
		if err != nil && err != io.EOF || strings.HasPrefix(line, "-ERR") {
			t.Fatalf("%s: %q, %v", id, line, err)
		}
		if strings.HasPrefix(line, `{"stream"`) {
			return
		}
	}
}

// Headers that a server reads in one way and a client in another: the user is
// told rightly or not at all, and neither the audit nor lists stand still.
func TestAttackAuditByHeaders(t *testing.T) {
	attack(t)
	bus := guarded(t)
	launch(t, append(bus.env("bridge"), apiTokens)...).leads()
	await(t, 30*time.Second, "the audit begins", func() bool {
		out, _ := bus.run(t, "auditor", "", "audit", "--action", "begins")
		return strings.Contains(out, "begins")
	})
	e := receive(t, nil)
	forged := "Nats-Request-Info: {\"acc\":\"ORDERS\",\"user\":\"boss\"}"
	for id, header := range map[string]string{
		"line":     "NATS/1.0\r\nA: b\n" + forged + "\r\n\r\n",
		"swallow":  "NATS/1.0\r\nA: b\n" + forged + "\r\nX: yy",
		"key":      "NATS/1.0\r\nA: b\n" + forged + "\r\nXyy",
		"end":      "NATS/1.0\r\nA: b\n" + forged + "\n\nB: c\r\n\r\n",
		"saved":    "NATS/1.0\r\nA: b\n" + forged + "\n" + strings.Repeat("k:v\n", 200) + "\nB: c\r\n\r\n",
		"status":   "NATS/1.0 100 " + strings.Repeat("x", 300) + "\n" + forged + "\n\nB: c\r\n\r\n",
		"noheader": "NATS/1.0\r\nno header\r\n\r\n",
	} {
		rawPut(t, bus, "manager", "", id, header, recordFor(e))
	}
	rawPut(t, bus, "manager", strings.Repeat("<", 3500), "name", "NATS/1.0\r\n\r\n", recordFor(e))
	manager := bus.jetStream(t, "manager")
	put(t, manager, "roll", recordFor(e))
	for i := range 30 { // two in one breath: the first may be gone before anybody reads it
		_, _ = manager.PublishMsgAsync(&nats.Msg{Subject: bus.prefixOf("manager") + ".$KV.subscriptions.roll", Data: []byte(recordFor(e, fmt.Sprintf(`"description":"%d"`, i)))})
		_, _ = manager.PublishMsgAsync(&nats.Msg{Subject: bus.prefixOf("manager") + ".$KV.subscriptions.roll", Header: nats.Header{"Nats-Rollup": {"sub"}}, Data: []byte(recordFor(e))})
	}
	<-manager.PublishAsyncComplete()
	last := put(t, manager, "after", recordFor(e))

	var all []audit.Entry
	await(t, 30*time.Second, "the audit goes on", func() bool {
		out, good := bus.run(t, "auditor", "", "audit", "-o", "json", "--limit", "1000")
		return good && json.Unmarshal([]byte(out), &all) == nil && all[len(all)-1].Data.Revision == last
	})
	tellsWhoAndWhatIsMissing(t, all)
	if out, good := bus.run(t, "manager", "", "subscriptions", "delete", "noheader"); !good {
		t.Errorf("delete: %s", out)
	}
	rawPut(t, bus, "manager", "", "word", "NATS/1.0\r\nKV-Operation: del\r\n\r\n", recordFor(e)) // no word of KV: a record like others
	out, good := bus.run(t, "manager", "", "subscriptions", "list")
	if !good || strings.Contains(out, "noheader") || !strings.Contains(out, "word") {
		t.Errorf("list: %s", out)
	}
}

// tellsWhoAndWhatIsMissing: no header makes an entry of somebody else, and gaps
// are told.
func tellsWhoAndWhatIsMissing(t *testing.T, all []audit.Entry) {
	t.Helper()
	next := uint64(1)
	for _, x := range all {
		d := x.Data
		if d.Revision == 0 {
			continue
		}
		if d.Who.Account != "" && d.Who.Account != "MANAGERS" {
			t.Errorf("%s: by %s", d.Subscription, d.Who)
		}
		if d.Subscription == "name" && d.Who.User != "manager" {
			t.Errorf("a long name hides the user: %+v", d.Who)
		}
		if d.Who.Account == "" && !strings.Contains(d.Who.Says, "hide") && d.Subscription != "name" {
			t.Errorf("%s: by %s, with no word why", d.Subscription, d.Who)
		}
		if d.Revision != next {
			want := fmt.Sprintf("%d to %d", next, d.Revision-1)
			if next == d.Revision-1 {
				want = fmt.Sprint(next)
			}
			if !strings.HasSuffix(d.Details["missing"], " "+want) {
				t.Errorf("nothing tells that %s are missing before %d: %+v", want, d.Revision, d)
			}
		}
		next = d.Revision + 1
	}
}
