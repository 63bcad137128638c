package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"orderbridge/internal/lab"
)

// People are shown the order id as it was published: in the log, by the
// commands and by the API, whether the order waits or is dead.
func TestOrdersAreShownByTheirPlainID(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e, none := receive(t, lab.Always(http.StatusServiceUnavailable)), receive(t, lab.Always(http.StatusServiceUnavailable))
	p := serving(t, bus.URL(), "ORDERBRIDGE_LOG_LEVEL=debug", apiTokens)
	subscribe(t, js, "s", recordFor(e, `"retry":{"schedule":["PT30M"]}`))
	subscribe(t, js, "free", recordFor(none, `"ordering":"none"`))
	orders := []string{"4711", "PO 1/2"}
	for _, order := range orders {
		m := change(order, 1)
		m.Subject = "orders.acme.OrderChanged.x"
		publishMsg(t, js, m)
	}
	var out string
	await(t, 20*time.Second, "both wait, of both subscriptions", func() bool {
		out, _ = command(t, bus.URL(), "", "owed", "list")
		return strings.Count(out, "503 Service Unavailable") == 4
	})
	asJSON, _ := command(t, bus.URL(), "", "owed", "list", "-o", "json")
	api := bearer(t, p, operator).call(http.MethodGet, "/api/v1/owed", "").is(t, http.StatusOK).body
	for _, order := range orders {
		for _, id := range []string{"s", "free"} {
			if !regexp.MustCompile(`(?m)^` + id + ` +` + order + ` +1 `).MatchString(out) {
				t.Errorf("order %s is not in:\n%s", order, out)
			}
		}
		if strings.Count(asJSON, fmt.Sprintf(`"order": %q`, order)) != 2 || strings.Count(api, fmt.Sprintf(`"order":%q`, order)) != 2 {
			t.Errorf("order %s is not in\n%s\nor\n%s", order, asJSON, api)
		}
		p.said(20*time.Second, `msg=attempt subscription_id=s order_id=`+regexp.QuoteMeta(quoted(order))+` .*outcome=retry status=503`)
	}

	for _, order := range append(orders, "..", ".") { // clients and proxies take some of them for parts of a path
		story := bearer(t, p, operator).call(http.MethodGet, "/api/v1/orders?order="+url.QueryEscape(order), "").is(t, http.StatusOK).json(t)
		if story["order"] != order {
			t.Errorf("asked for %q, the story is that of %q", order, story["order"])
		}
	}
	bearer(t, p, operator).call(http.MethodGet, "/api/v1/orders", "").problem(t, http.StatusBadRequest, "query.order: is required")

	// One order comes through, the other dies.
	e.Reply(func(h *lab.Hit) int {
		if h.Order == "4711" {
			return http.StatusAccepted
		}
		return http.StatusUnprocessableEntity
	})
	if out, status := command(t, bus.URL(), "", "retry-now", "s"); status != 0 {
		t.Fatalf("retry-now: exit %d\n%s", status, out)
	}
	p.said(20*time.Second, `level=INFO msg="first delivery of the subscription since its record was put" subscription_id=s order_id=4711 .*attempt=2 outcome=delivered status=202`)
	p.said(20*time.Second, `msg="dead letter" subscription_id=s .*order_id="PO 1/2"`)
	letters := ""
	await(t, 20*time.Second, "a dead letter", func() bool {
		letters, _ = command(t, bus.URL(), "", "dead-letters", "list", "s")
		return strings.Contains(letters, "422")
	})
	if !regexp.MustCompile(`(?m)^1 +s +PO 1/2 `).MatchString(letters) {
		t.Errorf("dead letters:\n%s", letters)
	}
	if api := bearer(t, p, operator).call(http.MethodGet, "/api/v1/dead-letters?subscription=s", "").is(t, http.StatusOK).body; !strings.Contains(api, `"order":"PO 1/2"`) {
		t.Errorf("API: %s", api)
	}

	// A success that is not the first is there for who looks for it.
	m := change("4712", 1)
	e.Reply(nil)
	publishMsg(t, js, m)
	p.said(20*time.Second, `level=DEBUG msg=attempt subscription_id=s order_id=4712 .*outcome=delivered status=200`)
	if n := strings.Count(p.Output(), "first delivery"); n != 1 {
		t.Errorf("%d first deliveries are told, want 1", n)
	}
}

func quoted(s string) string {
	if strings.Contains(s, " ") {
		return `"` + s + `"`
	}
	return s
}
