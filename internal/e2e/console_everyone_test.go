package e2e

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// The console for everyone: by the keyboard alone, large, narrow, without colours and
// motion, in other languages; and while the bus is away, the program is killed, and a
// session ends under the hands of whoever types.
func TestConsoleForEveryone(t *testing.T) {
	t.Parallel()
	browserTools(t)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	good, bad := receive(t, lab.Always(http.StatusOK)), receive(t, lab.Always(http.StatusServiceUnavailable))
	listen := "ORDERBRIDGE_HTTP_LISTEN=" + freeAddress(t)
	p := serving(t, bus.URL(), apiTokens, listen)
	subscribe(t, js, "shop", recordFor(good))
	subscribe(t, js, "crm", recordFor(bad, manyRetries))
	verdict(t, js, "broken", put(t, js, "broken", `{"targetURL":"not a url"}`), protocol.StateInvalid)
	publishOne(t, js, "4711", 1)
	await(t, lab.Patience, "order 4711 waits", func() bool { return bad.Count() > 0 })

	trouble := http.NewServeMux() // what the story asks for, one after another
	for name, do := range map[string]func(){
		"kill": func() { p.kill() }, "start": func() { p = serving(t, bus.URL(), apiTokens, listen) },
		"bus-stops": bus.Stop, "bus-starts": bus.Restart,
	} {
		trouble.HandleFunc("/"+name, func(http.ResponseWriter, *http.Request) { do() })
	}
	control := httptest.NewServer(trouble)
	t.Cleanup(control.Close)
	tell(t, "everyone.mjs", map[string]any{"url": "http://" + p.http() + "/", "order": "4711", "control": control.URL,
		"tokens": map[string]string{"operator": operator}})
}
