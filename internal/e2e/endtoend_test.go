package e2e

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// Promise 1 and DESIGN 9: each of the three methods, with what stands on the
// wire, and acknowledged only then.
func TestDeliversByGetPostAndPut(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	get, post, put := receive(t, nil), receive(t, nil), receive(t, nil)
	began := time.Now().Truncate(time.Second)
	serving(t, bus.URL())
	subscribe(t, js, "get", `{"targetURL":"`+get.URL+`/orders/{orderId}?from=x","method":"GET"}`)
	subscribe(t, js, "post", recordFor(post))
	subscribe(t, js, "put", recordFor(put, `"method":"PUT"`, `"headers":{"X-Shop":"7"}`, `"auth":{"type":"basic","username":"u","password":"p"}`))

	body := "{ \"orderId\":\"4711\",\n \"eventType\":\"OrderAccepted\", \"n\":\"22\" }\n"
	seq := publishMsg(t, js, &nats.Msg{Subject: "orders.acme.OrderAccepted.4711", Data: []byte(body),
		Header: nats.Header{"Nats-Msg-Id": {"e 1"}, "traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, "Nats-Expected-Stream": {"ORDERS"}}})
	ids := map[string]bool{}
	for _, tt := range []struct {
		e           *receiver
		method, uri string
		body        string
		header      map[string]string
	}{
		{get, "GET", "/orders/4711?from=x", "", map[string]string{"Content-Type": ""}},
		{post, "POST", "/hook", body, map[string]string{"Content-Type": "application/json"}},
		{put, "PUT", "/hook", body, map[string]string{"Content-Type": "application/json", "X-Shop": "7", "Authorization": "Basic dTpw"}},
	} {
		h := tt.e.came(t, 1)
		if h.Method != tt.method || h.URI != tt.uri || string(h.Body) != tt.body {
			t.Errorf("%s %s %q, want %s %s %q", h.Method, h.URI, h.Body, tt.method, tt.uri, tt.body)
		}
		id := h.Header.Get("Webhook-Id")
		if ids[id] || len(id) != 32 || strings.Contains(id, ".") || h.Header.Get("X-Event-Id") != "e%201" || h.Header.Get("Idempotency-Key") != id {
			t.Errorf("id is %q, Idempotency-Key %q", id, h.Header.Get("Idempotency-Key"))
		}
		ids[id] = true
		want := map[string]string{"X-Order-Id": "4711", "X-Event-Type": "OrderAccepted", "X-Attempt": "1", "X-Redrive": "",
			"Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
		for k, v := range tt.header {
			want[k] = v
		}
		for k, v := range want {
			if h.Header.Get(k) != v {
				t.Errorf("%s: %s is %q, want %q", tt.method, k, h.Header.Get(k), v)
			}
		}
		if sent, err := strconv.ParseInt(h.Header.Get("Webhook-Timestamp"), 10, 64); err != nil || time.Unix(sent, 0).After(h.At) || time.Unix(sent, 0).Before(began) {
			t.Errorf("Webhook-Timestamp is %q", h.Header.Get("Webhook-Timestamp"))
		}
		if !strings.HasPrefix(h.Header.Get("User-Agent"), "orderbridge/") {
			t.Errorf("User-Agent is %q", h.Header.Get("User-Agent"))
		}
		for k := range h.Header {
			if strings.HasPrefix(k, "Nats-") {
				t.Errorf("%s went out", k)
			}
		}
	}
	acknowledged(t, js, seq)
	if keys := owedKeys(t, js); len(keys) > 0 {
		t.Errorf("a healthy delivery wrote %v", keys)
	}
}

// Promises 1 and 3: a failing order is tried under one id and holds back only
// itself; it is acknowledged once it stands in the ledger, not before.
func TestRetriesHoldOnlyTheirOrder(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	answer := make(chan int)
	e := receive(t, nil)
	stuck := 0
	e.Reply(func(h *lab.Hit) int {
		if h.Order != "stuck" || h.N != 1 {
			return http.StatusOK
		}
		if stuck++; stuck > 1 {
			return map[bool]int{true: http.StatusInternalServerError, false: http.StatusNoContent}[stuck < 4]
		}
		select {
		case s := <-answer:
			return s
		case <-h.Gone:
			return lab.Hang
		}
	})
	serving(t, bus.URL())
	subscribe(t, js, "s", recordFor(e, quickRetries))

	first := publishOne(t, js, "stuck", 1)
	publishOne(t, js, "stuck", 2)
	publishOne(t, js, "other", 1)
	last := publishOne(t, js, "other", 2)
	await(t, 20*time.Second, "the other order goes on", func() bool { return e.Delivered() == 2 })
	if got := floor(t, js); got >= first {
		t.Errorf("acknowledged up to %d while event %d has no answer", got, first)
	}
	if keys := owedKeys(t, js); len(keys) > 0 {
		t.Errorf("in the ledger before it failed: %v", keys)
	}
	answer <- http.StatusServiceUnavailable
	acknowledged(t, js, last) // the ledger has it now
	await(t, 20*time.Second, "both changes of the stuck order", func() bool { return e.Delivered() == 4 })

	var got []string
	id := ""
	for _, h := range e.Journal() {
		if h.Order != "stuck" {
			continue
		}
		got = append(got, strconv.Itoa(h.N)+"/"+h.Header.Get("X-Attempt"))
		if h.N == 1 {
			if id == "" {
				id = h.Header.Get("Webhook-Id")
			}
			if h.Header.Get("Webhook-Id") != id {
				t.Errorf("attempt %s has id %s, the first had %s", h.Header.Get("X-Attempt"), h.Header.Get("Webhook-Id"), id)
			}
		}
	}
	if want := "1/1 1/2 1/3 1/4 2/1"; strings.Join(got, " ") != want {
		t.Errorf("attempts of the stuck order: %v, want %s", got, want)
	}
	await(t, 20*time.Second, "the ledger is empty", func() bool { return len(owedKeys(t, js)) == 0 })
	verdict(t, js, "s", 0, protocol.StateActive)
}
