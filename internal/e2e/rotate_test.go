package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"orderbridge/internal/lab"
	"orderbridge/internal/store"
)

// A former secret signs until the time that the record tells, and not a request
// longer, whichever bridge sends it, and nobody does anything for it.
func TestFormerSecretEndsByItself(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, lab.Always(http.StatusOK))
	p := serving(t, bus.URL())
	subscribe(t, js, "s", recordFor(e, `"signing":{"secrets":["whsec_Zm9ybWVyLWZvcm1lci1mb3JtZXItZm9ybWVy"]}`))
	out, code := command(t, bus.URL(), "", "subscriptions", "rotate-secret", "s", "--keep-old", "4s", "-o", "json")
	var done store.RotateAnswer
	if err := json.Unmarshal([]byte(out), &done); err != nil || code != 0 || done.FormerUntil == nil || !strings.HasPrefix(done.Secret, "whsec_") {
		t.Fatalf("%v, exit code %d: %s", err, code, out)
	}
	seen := map[int]bool{}
	for n := 1; !seen[1]; n++ {
		publishOne(t, js, fmt.Sprint("o", n), n)
		await(t, lab.Patience, "the event", func() bool { return e.Count() >= n })
		h := e.Journal()[n-1]
		seconds, err := strconv.ParseInt(h.Header.Get("Webhook-Timestamp"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		want := 2
		if !time.Unix(seconds, 0).Before(*done.FormerUntil) {
			want = 1
		}
		got := strings.Count(h.Header.Get("Webhook-Signature"), "v1,")
		applied := seen[2] || got == 2 // before that, the bridge may not have read the record yet
		if applied && got != want {
			t.Errorf("a request of %s has %d signatures, want %d: the former secret ends at %s", time.Unix(seconds, 0).UTC(), got, want, done.FormerUntil)
		}
		if applied || want == 1 {
			seen[got] = true
		}
		if n == 3 { // whoever takes over goes by the same record
			p.stop()
			serving(t, bus.URL())
		}
	}
}
