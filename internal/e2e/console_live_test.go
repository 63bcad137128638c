package e2e

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"orderbridge/internal/lab"
)

// What changes is seen without a hand on the page, and a page that is hidden lets go of
// its streams.
func TestConsoleLive(t *testing.T) {
	t.Parallel()
	browserTools(t)
	bus := lab.ListenBus(t)
	p := serving(t, bus.URL(), apiTokens)
	p.leads()
	js := jetStream(t, bus.URL())
	subscribe(t, js, "shop", recordFor(receive(t, lab.Always(http.StatusOK))))
	control := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { put(t, js, "wrong", `{"targetURL":"not a url"}`) }))
	t.Cleanup(control.Close)
	tell(t, "live.mjs", map[string]any{"url": "http://" + p.http() + "/", "control": control.URL,
		"tokens": map[string]string{"operator": operator}})
}
