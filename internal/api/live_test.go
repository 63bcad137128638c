package api

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

// listen opens a stream and tells its lines until the test ends.
func listen(t *testing.T, url, token string) (lines <-chan string, status int) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	out := make(chan string, 10_000)
	go func() {
		defer close(out)
		for s := bufio.NewScanner(resp.Body); s.Scan(); {
			out <- s.Text()
		}
	}()
	return out, resp.StatusCode
}

// await is the first line with a part, and those before it.
func await(t *testing.T, lines <-chan string, part string) (before []string) {
	t.Helper()
	for line := range lines {
		if before = append(before, line); strings.Contains(line, part) {
			return before
		}
	}
	t.Fatalf("the stream ended without %q: %q", part, before)
	return nil
}

func logAttempts(t *testing.T, js jetstream.JetStream, names store.Names, attempts ...bridge.Attempt) {
	t.Helper()
	for _, a := range attempts {
		data, err := json.Marshal(a)
		if err == nil {
			_, err = js.Publish(t.Context(), names.AttemptSubject+"."+a.Subscription+"."+event.OrderToken(a.Order), data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestLive(t *testing.T) {
	t.Parallel()
	const acme = "0123456789abcdef-acme"
	a, _, js, names := startOn(t, func(o *Options) {
		o.Tokens = append(o.Tokens, Token{Name: "acme", Secret: acme, Tenant: "acme"})
	})
	s := httptest.NewServer(a)
	t.Cleanup(s.Close)
	t.Cleanup(a.EndStreams)
	one := bridge.Attempt{Subscription: "a", Order: "1", Tenant: "bolt", Outcome: bridge.OutcomeDelivered}
	logAttempts(t, js, names, one)
	all, status := listen(t, s.URL+livePath, token)
	if status != 200 {
		t.Fatal(status)
	}
	await(t, all, "retry:")
	for range limits.LiveStreams + 1 { // each ends at once, and keeps no place
		r, err := http.NewRequestWithContext(t.Context(), "HEAD", s.URL+livePath, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(r)
		if err != nil || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatal(resp, err)
		}
		resp.Body.Close()
	}
	tenant, _ := listen(t, s.URL+livePath, acme)
	await(t, tenant, "retry:")
	behind, _ := listen(t, s.URL+livePath+"?above=1&subscription=b", token)
	two := one
	two.Subscription, two.Order = "b", "2"
	logAttempts(t, js, names, one, two)
	if before := await(t, all, `"order":"2"`); !strings.Contains(strings.Join(before, "\n"), "id: 2\nevent: attempt\n") {
		t.Errorf("%q", before)
	}
	if before := await(t, behind, `"order":"2"`); strings.Contains(strings.Join(before, "\n"), `"order":"1"`) {
		t.Errorf("another subscription's is told: %q", before)
	}
	a.SetTokens([]Token{{Name: "operator", Secret: token}}, "") // the tenant's is taken out
	if before := await(t, tenant, "log in again"); strings.Contains(strings.Join(before, "\n"), "bolt") {
		t.Errorf("the tenant is told of others: %q", before)
	}
	a.EndStreams()
	await(t, all, "the program stops")
}

func TestLiveIsBounded(t *testing.T) {
	t.Parallel()
	a, _, js, names := startOn(t, nil)
	s := httptest.NewServer(a)
	t.Cleanup(s.Close)
	t.Cleanup(a.EndStreams)
	for i := range limits.LiveEntries + 20 {
		data := fmt.Appendf(nil, `{"subscription":"a","order":"%d","outcome":"delivered","shard":0}`, i)
		if _, err := js.PublishAsync(names.AttemptSubject+".a.o", data); err != nil {
			t.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	first, _ := listen(t, s.URL+livePath+"?above=1", token)
	told := 0
	for _, line := range await(t, first, fmt.Sprintf(`"order":"%d"`, limits.LiveEntries+19)) {
		if strings.HasPrefix(line, "data: {\"entry") {
			told++
		}
	}
	if told != limits.LiveEntries {
		t.Errorf("%d entries at once", told)
	}
	streams := 1
	for ; ; streams++ {
		if _, status := listen(t, s.URL+livePath, token); status != 200 {
			if status != http.StatusTooManyRequests {
				t.Errorf("it is answered %d", status)
			}
			break
		}
	}
	if streams != limits.LiveStreams/2 {
		t.Errorf("one caller has %d streams", streams)
	}
	if _, status := listen(t, s.URL+livePath, other); status != 200 {
		t.Errorf("another caller is answered %d", status)
	}
}

// Alerts, and what the bridge says of subscriptions, as they come; to a tenant its own.
func TestLiveOfTheBridge(t *testing.T) {
	t.Parallel()
	const acme = "0123456789abcdef-acme"
	a, _, js, names := startOn(t, func(o *Options) {
		o.Tokens = append(o.Tokens, Token{Name: "acme", Secret: acme, Tenant: "acme"})
	})
	s := httptest.NewServer(a)
	t.Cleanup(s.Close)
	t.Cleanup(a.EndStreams)
	put := func(subject string, value any) {
		t.Helper()
		data, err := json.Marshal(value)
		if err == nil {
			_, err = js.Publish(t.Context(), subject, data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	say := func(id string, state protocol.State) {
		t.Helper()
		put("$KV."+names.Status+"."+id, protocol.Status{State: state, Generation: 1})
	}
	for id, tenant := range map[string]string{"a": "acme", "b": "bolt"} {
		put("$KV."+names.Subscriptions+"."+id, map[string]string{"targetURL": "https://h/", "tenant": tenant})
		say(id, protocol.StateActive)
	}
	streams := map[string]<-chan string{}
	for _, of := range []string{"alerts", "statuses"} {
		for _, who := range []string{token, acme} {
			streams[of+who], _ = listen(t, s.URL+livePath+"?of="+of, who)
			await(t, streams[of+who], "retry:")
		}
	}
	for _, id := range []string{"b", "a"} {
		put(names.AlertSubject+".suspended", map[string]protocol.Alert{"data": {Kind: "suspended", Subscription: id, Generation: 1, Text: "down"}})
		say(id, protocol.StateSuspended)
	}
	for of, name := range map[string]string{"alerts": "alert", "statuses": "status"} {
		all := strings.Join(await(t, streams[of+token], `"a"`), "\n")
		if !strings.Contains(all, `"b"`) || strings.Count(all, "event: "+name+"\n") != 2 || !strings.Contains(all, "suspended") {
			t.Errorf("of %s an operator is told %q", of, all)
		}
		if own := strings.Join(await(t, streams[of+acme], `"a"`), "\n"); strings.Contains(own, `"b"`) || strings.Count(own, "event: "+name+"\n") != 1 {
			t.Errorf("of %s a tenant is told %q", of, own)
		}
	}
	for i := range limits.LiveEntries + 5 {
		say(fmt.Sprintf("m%d", i), protocol.StateSuspended)
	}
	behind, _ := listen(t, s.URL+livePath+"?of=statuses&above=1", token)
	if told := strings.Join(await(t, behind, fmt.Sprintf(`"m%d"`, limits.LiveEntries+4)), "\n"); !strings.Contains(told, "event: gap\n") || strings.Count(told, "event: status\n") != limits.LiveEntries {
		t.Errorf("of many: %d", strings.Count(told, "event: status\n"))
	}
}
