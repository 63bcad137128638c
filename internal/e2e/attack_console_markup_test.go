package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/nats-io/nats.go"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// Whatever partners and publishers write is markup, or hides: in orders, events, their
// headers and subjects, records that are good and that are not, and answers.
func TestAttackConsoleMarkup(t *testing.T) {
	attack(t)
	browserTools(t)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	const markup, turned = `"'><img src=x onerror=alert(1)><script>alert(2)</script>`, "\u202e4711\u2066\u200b\u0085"
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Evil", markup)
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Location", "javascript:alert(3)")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, markup+turned)
	}))
	t.Cleanup(endpoint.Close)
	port := portOf(endpoint.Listener.Addr().String())
	p := serving(t, bus.URL(), apiTokens, "ORDERBRIDGE_DEV=true", "ORDERBRIDGE_API_HOSTS=bridge.example.com")
	text := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	order := markup + turned
	subscribe(t, js, "evil", fmt.Sprintf(`{"targetURL":"http://127.0.0.1:%s/%%3Cscript%%3E?q=javascript:alert(4)","retry":{"schedule":["PT0.1S"]},"labels":{"team":%s},"description":%[2]s}`, port, text("\u202e"+markup)))
	broken := fmt.Sprintf(`{"targetURL":%s,%s:%s,"tenant":%[1]s,"labels":{%[1]s:%[1]s}}`, text("javascript:alert(5)//"+markup), text(markup+turned), text(markup))
	verdict(t, js, "broken", put(t, js, "broken", broken), protocol.StateInvalid)
	for i, subject := range []string{"orders.<svg/onload=alert(6)>", "orders.javascript:alert(7)", "orders.acme." + turned} {
		publishMsg(t, js, &nats.Msg{Subject: subject, Header: nats.Header{"Nats-Msg-Id": {fmt.Sprint(i, markup)}, "Evil": {markup}, "X-Correlation-ID": {markup}},
			Data: fmt.Appendf(nil, `{"orderId":%s,"eventType":%s,%s:%s}`, text(order), text(markup+turned), text(turned), text(markup))})
	}
	operatorOf := bearer(t, p, operator)
	await(t, lab.Patience, "it is given up", func() bool { return len(operatorOf.call("GET", "/api/v1/dead-letters", "").body) > 100 })
	base := "http://" + p.http() + "/"
	tell(t, "attack.mjs", map[string]any{"url": base, "order": order,
		"tokens": map[string]string{"operator": operator, "acme": acmeToken}})
}
