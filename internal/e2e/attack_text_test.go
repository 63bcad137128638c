package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/lab"
)

// unseen finds what steers a terminal, turns the direction of writing or cannot
// be seen; "" if there is nothing.
func unseen(text string) string {
	for i, r := range text {
		if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r <= 0x9f || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) || r == utf8.RuneError && !strings.HasPrefix(text[i:], "\ufffd") {
			return fmt.Sprintf("%U in %q", r, text[max(0, i-30):min(len(text), i+30)])
		}
	}
	return ""
}

// Texts that hide in a terminal, or steer it, stand in every field that others
// write: records, events, answers of endpoints, arguments. No output holds them raw,
// and what is JSON stays JSON that means the same.
func TestAttackHiddenText(t *testing.T) {
	attack(t)
	const hostile = "\u202e\u2066x\u200b\u0085\u009b31m\x7f\u2028\u00ad\U000e0041\x1b[2J\x1b]0;owned\x07"
	quoted, err := json.Marshal(hostile)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Trim(string(quoted), `"`)
	raw := strings.NewReplacer("\x1b", "", "\x07", "", `\u001b`, "", `\u0007`, "").Replace(hostile) // what JSON may hold as it is
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	plainLog := serving(t, bus.URL(), apiTokens, "ORDERBRIDGE_LOG_LEVEL=debug")
	e := receive(t, func(h *lab.Hit) int {
		h.Text = "no: " + hostile
		return http.StatusTeapot
	})
	put(t, js, "s", recordFor(e, "\"description\":\"d\u202e\u200b\u2066\"", `"retry":{"schedule":["PT1S"]}`))
	active(t, js, "s")
	put(t, js, "bad", recordFor(e, `"method":"`+raw+`"`, `"`+raw+`":1`, `"eventTypes":["`+text+`"]`, `"targetURI":"`+raw+`"`))
	body := []byte(`{"orderId":"o` + text + `","eventType":"T` + text + `","note":"` + raw + `"}`)
	for i := range 2 {
		publishMsg(t, js, &nats.Msg{Subject: "orders.acme.x", Data: body, Header: nats.Header{"Nats-Msg-Id": {fmt.Sprint(i)}, "X-Odd": {raw}}})
	}
	var out string
	await(t, 30*time.Second, "dead letters", func() bool {
		out, _ = command(t, bus.URL(), "", "dead-letters", "list", "-o", "json")
		return strings.Count(out, `"sequence"`) >= 2
	})
	if !json.Valid([]byte(out)) {
		t.Errorf("no JSON: %s", out)
	}
	api := bearer(t, plainLog, operator)
	outputs := map[string]string{"log": plainLog.Output(), "listed letters": out}
	for _, args := range [][]string{
		{"dead-letters", "list"}, {"dead-letters", "show", "1"}, {"owed", "list"}, {"owed", "list", "-o", "json"},
		{"subscriptions", "list"}, {"subscriptions", "list", "-o", "json"}, {"subscriptions", "get", "s"}, {"subscriptions", "get", "s", "--show-secrets"}, {"subscriptions", "get", "bad", "--show-secrets"},
		{"subscriptions", "get", hostile[:1] + "\u202e"}, {"subscriptions", "put", "\u202e\x1b[2J", "-"}, {"subscriptions", "validate", "/no\u202e\x1b/such"}, {"\u202e\x1b[2J"}, {"--\u202e\x1b"},
		{"audit", "list"}, {"audit", "list", "-o", "json"},
	} {
		out, _ := command(t, bus.URL(), recordFor(e, `"method":"`+raw+`"`), args...)
		outputs[strings.Join(args, " ")] = out
		if (args[len(args)-1] == "json" && args[0] != "audit" || args[0] == "dead-letters" && args[1] == "show") && out != "" && !json.Valid([]byte(out)) {
			t.Errorf("%q prints no JSON: %s", args, out)
		}
	}
	for _, path := range []string{"/api/notifications/v1/webhooks", "/api/notifications/v1/webhooks/s", "/api/v1/dead-letters", "/api/v1/owed", "/api/v1/no%E2%80%AEsuch"} {
		outputs["GET "+path] = api.call(http.MethodGet, path, "").body
	}
	outputs["POST"] = api.call(http.MethodPost, "/api/notifications/v1/webhooks", `{"targetURL":"`+raw+`","auth":{"type":"`+raw+`"}}`).body
	for _, bucket := range []string{"subscription_status"} {
		for _, key := range []string{"s", "bad"} {
			outputs[bucket+" "+key] = string(entry(t, js, bucket, key))
		}
	}
	for _, stream := range []string{"DEAD_LETTERS", "ALERTS"} {
		for seq := uint64(1); seq <= 2; seq++ {
			if text, err := storedText(t, js, stream, seq); err == nil {
				outputs[fmt.Sprint(stream, " ", seq)] = text
			}
		}
	}
	for what, text := range outputs {
		if found := unseen(text); found != "" {
			t.Errorf("%q: %s", what, found)
		}
	}
}

func storedText(t *testing.T, js jetstream.JetStream, stream string, seq uint64) (string, error) {
	t.Helper()
	s, err := js.Stream(within(t, 5*time.Second), stream)
	if err != nil {
		return "", err
	}
	m, err := s.GetMsg(within(t, 5*time.Second), seq)
	if err != nil {
		return "", err
	}
	return string(m.Data), nil
}
