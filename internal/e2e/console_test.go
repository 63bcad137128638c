package e2e

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

var pictures = flag.Bool("pictures", false, "make the pictures of docs/console again")

const consoleDir = "../console/ui"

// manyRetries keep what an endpoint refuses from becoming a dead letter by itself, since
// probes are attempts, however long a story takes.
var manyRetries = `"retry":{"schedule":["` + strings.Repeat(`PT1H","`, 19) + `PT1H"]}`

// What a person sees and does in the console, in a real browser, while events flow.
func TestConsole(t *testing.T) {
	t.Parallel()
	browserTools(t)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	good, bad := receive(t, lab.Always(http.StatusOK)), receive(t, lab.Always(http.StatusServiceUnavailable))
	p := serving(t, bus.URL(), apiTokens)
	subscribe(t, js, "shop", recordFor(good, `"labels":{"team":"blue"}`, `"signing":{"secrets":["whsec_ZGVtby1zZWNyZXQtb2Ytb3JkZXJicmlkZ2UtMQ=="]}`))
	subscribe(t, js, "crm", recordFor(bad, `"subjects":["orders.acme.OrderChanged.>"]`, manyRetries))
	subscribe(t, js, "acme-shop", recordFor(good, `"tenant":"acme"`, `"subjects":["orders.acme.>"]`))
	verdict(t, js, "broken", put(t, js, "broken", `{"targetURL":"not a url"}`), protocol.StateInvalid)
	for _, order := range []string{"4711", "4712", "4713"} {
		publishOne(t, js, order, 1)
	}
	publishMsg(t, js, &nats.Msg{Subject: "orders.acme.OrderAccepted.acme-1", Data: []byte(`{"orderId":"acme-1","eventType":"OrderAccepted"}`)})
	await(t, lab.Patience, "the orders wait", func() bool { return bad.Count() > 2 })
	stop := make(chan struct{})
	flowing := make(chan struct{})
	go func() { // something is live
		defer close(flowing)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(500 * time.Millisecond):
				for n := range many(i) {
					_, _ = js.Publish(t.Context(), "orders.live", fmt.Appendf(nil, `{"orderId":"live-%d","eventType":"OrderCreated"}`, i*10+n))
				}
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-flowing
	})

	base := "http://" + p.http()
	tell(t, "story.mjs", map[string]any{"url": base + "/", "prefixed": prefixed(t, base), "order": "4711",
		"tokens": map[string]string{"operator": operator, "acme": acmeToken}})
}

// many is how many events flow at a time: more and less where a picture of the plots is made.
func many(i int) int {
	if !*pictures {
		return 1
	}
	return 4 + int(3*math.Sin(float64(i)/120)) + i%3
}

// The page of the API, read and tried by a stranger, a tenant and an operator.
func TestConsoleDocs(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	good := receive(t, lab.Always(http.StatusOK))
	p := serving(t, bus.URL(), apiTokens)
	subscribe(t, js, "acme-shop", recordFor(good, `"tenant":"acme"`, `"subjects":["orders.acme.>"]`))
	base := "http://" + p.http()
	tell(t, "docs.mjs", map[string]any{"url": base + "/", "prefixed": prefixed(t, base),
		"tokens": map[string]string{"operator": operator, "acme": acmeToken}})
}

// prefixed puts a proxy before a program, and returns what the program is called then.
func prefixed(t *testing.T, base string) string {
	t.Helper()
	target, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
	}}
	front := httptest.NewServer(http.StripPrefix("/partners/orders", proxy))
	t.Cleanup(front.Close)
	return front.URL + "/partners/orders/"
}

// tell plays a story in a real browser and returns what it says; it fails where the
// story does.
func tell(t *testing.T, story string, given map[string]any) []byte {
	t.Helper()
	node, chromium := browserTools(t)
	given["chromium"], given["pictures"] = chromium, ""
	if *pictures {
		dir, err := filepath.Abs("../../docs/console")
		if err != nil {
			t.Fatal(err)
		}
		given["pictures"] = dir
	}
	text, err := json.Marshal(given)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := patiently(25 * time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, node, filepath.Join(consoleDir, "story", story), string(text)).CombinedOutput()
	if err != nil {
		t.Fatalf("%s ends with %v:\n%s", story, err, out)
	}
	t.Logf("%s", out)
	return out
}

// browserTools are node, with the packages of the console, and a browser.
func browserTools(t *testing.T) (node, chromium string) {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		lab.Missing(t, "there is no chromium; .ci/run installs it")
	}
	return lab.NodeWith(t, consoleDir, "playwright-core"), chromium
}
