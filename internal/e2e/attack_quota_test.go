package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/lab"
)

// A tenant floods the bucket, by two replicas at once.
func TestAttackRecordsBeyondQuota(t *testing.T) {
	attack(t)
	const most = 30
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	env := []string{apiTokens, "ORDERBRIDGE_TENANT_RECORDS=30", "ORDERBRIDGE_TENANT_BYTES=20000", "ORDERBRIDGE_TENANT_WRITES=20"}
	p := serving(t, bus.URL(), env...)
	second := launch(t, append([]string{"ORDERBRIDGE_NATS_URL=" + bus.URL()}, env...)...)
	await(t, 20*time.Second, "the stand-by answers", func() bool { return bearer(t, second, acmeToken).call("GET", webhooks, "").status == 200 })
	answers := floodWebhooks(t, `{"targetURL":"https://h.example.com/"}`, 40, p, second)
	stored := len(kvRecords(t, js))
	t.Logf("%d records, answers %v", stored, answers)
	if stored < most || stored > most+1 || answers[200] != stored || answers[403] == 0 || answers[429] == 0 {
		t.Errorf("%d records are stored, answers %v", stored, answers)
	}
	alive(t, bearer(t, p, betaToken))
	bytesAreBounded(t, p)
	someIsStillPossible(t, p, second, stored)
	kvPutsCount(t, js, p)
}

// floodWebhooks posts the body times often from many sides, and counts the answers.
func floodWebhooks(t *testing.T, body string, times int, programs ...*program) map[int]int {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	answers := map[int]int{}
	for _, at := range programs {
		for range 8 {
			wg.Go(func() {
				for range times {
					r := bearer(t, at, acmeToken).call("POST", webhooks, body)
					mu.Lock()
					answers[r.status]++
					if r.status == 429 && r.header.Get("Retry-After") == "" || r.status == 403 && !strings.Contains(r.body, "ORDERBRIDGE_TENANT_") {
						t.Errorf("%d %v %s", r.status, r.header, r.body)
					}
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	return answers
}

func bytesAreBounded(t *testing.T, p *program) {
	t.Helper()
	beta := bearer(t, p, betaToken)
	big := fmt.Sprintf(`{"targetURL":"https://h.example.com/","description":%q}`, strings.Repeat("x", 1000))
	for range 10 {
		beta.call("POST", webhooks, big).is(t, 200)
	}
	await(t, 10*time.Second, "the bytes are used up", func() bool {
		r := beta.call("POST", webhooks, big)
		return r.status == 403 && strings.Contains(r.body, "ORDERBRIDGE_TENANT_BYTES")
	})
}

// someIsStillPossible: contract A's shape of the refusal, reading and deleting,
// and then there is room again.
func someIsStillPossible(t *testing.T, p, second *program, stored int) {
	t.Helper()
	await(t, 10*time.Second, "the rate allows writes again", func() bool {
		return strings.HasPrefix(basic(t, p, acmeToken).call("POST", "/api/v2/register", `{"http_client":"`+receive(t, nil).URL+`/x"}`).body, `{"status": 403, "message": "tenant acme has `)
	})
	var list struct{ Items []struct{ ID string } }
	if err := json.Unmarshal([]byte(bearer(t, second, acmeToken).call("GET", webhooks, "").is(t, 200).body), &list); err != nil || len(list.Items) != stored {
		t.Fatalf("%d of %d are listed: %v", len(list.Items), stored, err)
	}
	for _, item := range list.Items[:2] {
		await(t, 10*time.Second, "it is deleted", func() bool { return bearer(t, p, acmeToken).call("DELETE", webhooks+"/"+item.ID, "").status == 204 })
	}
	await(t, 10*time.Second, "there is room again", func() bool {
		return bearer(t, second, acmeToken).call("POST", webhooks, `{"targetURL":"https://h.example.com/"}`).status == 200
	})
}

// kvPutsCount: what nats kv put stores is told, and counts.
func kvPutsCount(t *testing.T, js jetstream.JetStream, p *program) {
	t.Helper()
	beta := bearer(t, p, betaToken)
	for i := range 40 {
		put(t, js, fmt.Sprintf("kv%d", i), `{"targetURL":"https://h.example.com/","tenant":"gamma"}`)
	}
	await(t, 10*time.Second, "a metric tells", func() bool { return figure(t, beta, "orderbridge_tenants_beyond_quota") == "1" })
	p.said(5*time.Second, `(tenant gamma has 40 records)`)
	st, _ := verdict(t, js, "kv39", 1, "active")
	if text := fmt.Sprintf("%+v", st); !strings.Contains(text, "ORDERBRIDGE_TENANT_RECORDS") {
		t.Errorf("its status says nothing: %+v", st)
	}
}

// A tenant with very many records lists them in pages that read no more than
// they show.
func TestAttackManyRecords(t *testing.T) {
	attack(t)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	p := serving(t, bus.URL(), apiTokens)
	const n = 10_000
	for i := range n {
		if _, err := js.PublishAsync("$KV.subscriptions."+fmt.Sprintf("00000000-0000-5000-8000-%012d", i), []byte(`{"targetURL":"https://h.example.com/","tenant":"beta","status":"deactivated"}`), jetstream.WithStallWait(lab.Patience)); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-time.After(lab.Patience):
		t.Fatal("the records cannot be put")
	}
	acme, beta := bearer(t, p, acmeToken), bearer(t, p, betaToken)
	acme.call("POST", webhooks, `{"targetURL":"https://h.example.com/"}`).is(t, 200)
	start, seen, last := time.Now(), 0, time.Duration(0)
	for next := ""; ; {
		at := time.Now()
		var page struct {
			Items []struct{ ID string }
			Next  string
		}
		if err := json.Unmarshal([]byte(beta.call("GET", webhooks+"?limit=500&after="+next, "").is(t, 200).body), &page); err != nil {
			t.Fatal(err)
		}
		seen += len(page.Items)
		last = max(last, time.Since(at))
		if next = page.Next; next == "" {
			break
		}
	}
	one := time.Now()
	if r := acme.call("GET", webhooks, "").is(t, 200); strings.Count(r.body, `"createdAt"`) != 1 {
		t.Errorf("acme lists %s", r.body)
	}
	t.Logf("%d records in %s, the slowest page took %s; the neighbour's list took %s", seen, time.Since(start), last, time.Since(one))
	if seen != n {
		t.Errorf("%d of %d are listed", seen, n)
	}
	lab.Promise(t, "the slowest page", last, 5*time.Second)
	// The ids of beta's records look like those of listeners, and come first.
	all, target := basic(t, p, gatewayToken), receive(t, nil).URL+"/notify"
	all.call("POST", "/api/v2/register", fmt.Sprintf(`{"http_client":%q}`, target), "Content-Type", "application/json").is(t, 200)
	await(t, 10*time.Second, "a listener without tenant is named", func() bool {
		return all.call("GET", "/api/v1/register", "").is(t, 200).body == `{"status": 200, "message": "Registered clients: `+target+`"}`
	})
}
