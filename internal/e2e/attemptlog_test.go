package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge"
	"orderbridge/internal/lab"
	"orderbridge/publishers"
)

// attemptsOf reads the delivery log of a subscription.
func attemptsOf(t *testing.T, js jetstream.JetStream, subscription string) (all []bridge.Attempt) {
	t.Helper()
	ctx := within(t, lab.Patience)
	stream, err := js.Stream(ctx, "ATTEMPTS")
	if err != nil {
		return nil // being made again
	}
	state := stream.CachedInfo().State
	for seq := state.FirstSeq; seq > 0 && seq <= state.LastSeq; seq++ {
		m, err := stream.GetMsg(ctx, seq)
		if err != nil || !strings.HasPrefix(m.Subject, "attempts."+subscription+".") {
			continue
		}
		a, err := publishers.ParseAttempt(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	return all
}

func outcomes(all []bridge.Attempt) string {
	var b strings.Builder
	for _, a := range all {
		fmt.Fprintf(&b, "%s/%s ", a.Kind, a.Outcome)
	}
	return strings.TrimSpace(b.String())
}

// TestDeliveryLog: the log tells each attempt, what was filtered and what died; when
// its stream is deleted, deliveries go on, it is made again, and it tells what comes.
func TestDeliveryLog(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	url := handle(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/bad") {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprint(w, "thank you")
	}))
	p := serving(t, bus.URL())
	subscribe(t, js, "good", `{"targetURL":"`+url+`/good"}`)
	subscribe(t, js, "bad", `{"targetURL":"`+url+`/bad","retry":{"schedule":["PT0.2S"]}}`)
	subscribe(t, js, "none", `{"targetURL":"`+url+`/none","filter":"event.orderId == 'another'"}`)
	publishOne(t, js, "4711", 1)
	for id, want := range map[string]string{"good": "live/delivered", "bad": "live/failed retry/failed /dead", "none": "live/filtered"} {
		await(t, lab.Patience, "the log of "+id+" is "+want, func() bool { return outcomes(attemptsOf(t, js, id)) == want })
	}
	good, bad := attemptsOf(t, js, "good")[0], attemptsOf(t, js, "bad")
	if good.Order != "4711" || good.Status != 200 || good.Sequence != 1 || good.Request == nil || good.Request.URL != url+"/good" ||
		good.Response == nil || good.Response.Excerpt != "thank you" || good.Timings == nil || good.Timings.TLS == 0 {
		t.Errorf("%+v", good)
	}
	if first, last := bad[0], bad[2]; first.Next.Before(first.Time) || first.Status != 503 || last.Request != nil || last.Attempt != 2 ||
		!strings.Contains(last.Reason, "503") || last.DeliveryID != first.DeliveryID {
		t.Errorf("%+v\n%+v", first, last)
	}

	if err := js.DeleteStream(within(t, lab.Patience), "ATTEMPTS"); err != nil {
		t.Fatal(err)
	}
	n := 1
	await(t, lab.Patience, "the log is made again and told of", func() bool {
		n++
		publishOne(t, js, "4712", n)
		return len(attemptsOf(t, js, "good")) > 0
	})
	await(t, lab.Patience, "nothing is wrong any more", func() bool { return !strings.Contains(p.get("/readyz"), "the delivery log is not written") })
	if text := p.get("/metrics"); !strings.Contains(text, `orderbridge_attempt_log_dropped_total{reason="queue_full"} 0`) {
		t.Error("something did not fit the queue, or is not counted")
	}
}
