package e2e

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// What the console says is true: while nobody leads, and in a browser whose clock is
// wrong.
func TestConsoleTellsTheTruth(t *testing.T) {
	t.Parallel()
	browserTools(t)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	p := serving(t, bus.URL(), apiTokens)
	p.leads()
	subscribe(t, js, "acme-shop", recordFor(receive(t, lab.Always(http.StatusOK)), `"tenant":"acme"`, `"subjects":["orders.acme.>"]`))

	// Somebody else leads for a moment and is silent then, again and again: before its
	// lease is over.
	leases, err := js.KeyValue(t.Context(), "lease")
	if err != nil {
		t.Fatal(err)
	}
	steal := func() error {
		e, err := leases.Get(t.Context(), "leader")
		if err != nil {
			return err
		}
		l := protocol.Sight(e.Value(), e.Revision()).Entry
		l.Epoch, l.Holder, l.Term, l.Leading = l.Epoch+1, "elsewhere", strconv.FormatUint(e.Revision(), 36), true
		_, err = leases.Update(t.Context(), "leader", protocol.Encode(l), e.Revision())
		return err
	}
	back := make(chan struct{})
	giveBack := sync.OnceFunc(func() { close(back) })
	var away sync.WaitGroup
	t.Cleanup(away.Wait)
	t.Cleanup(giveBack)
	trouble := http.NewServeMux()
	trouble.HandleFunc("/away", func(http.ResponseWriter, *http.Request) {
		away.Go(func() {
			for {
				for steal() != nil && t.Context().Err() == nil { // it was renewed meanwhile
				}
				select {
				case <-back:
					return
				case <-time.After(8 * time.Second):
				}
			}
		})
	})
	trouble.HandleFunc("/back", func(http.ResponseWriter, *http.Request) { giveBack() })
	control := httptest.NewServer(trouble)
	t.Cleanup(control.Close)
	tell(t, "truth.mjs", map[string]any{"url": "http://" + p.http() + "/", "control": control.URL,
		"tokens": map[string]string{"operator": operator, "acme": acmeToken}})
}
