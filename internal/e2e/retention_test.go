package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/lab"
)

// TestRetentionGuard: what the stream is about to drop is copied to the dead
// letters first; what it dropped all the same is said loudly, and for good.
func TestRetentionGuard(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	_, err := js.CreateStream(within(t, 10*time.Second), jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders", "orders.>"}, MaxMsgs: 1000})
	if err != nil {
		t.Fatal(err)
	}
	e := receive(t, lab.Always(http.StatusInternalServerError))
	p := serving(t, bus.URL())
	subscribe(t, js, "down", recordFor(e))

	publishNumbers(t, js, 0, 990)
	// 980 may come after an event that is not yet copied: the first ten are.
	await(t, 40*time.Second, "ten expiring events among the dead letters", func() bool { return expiring(t, bus) == 10 })
	var st protocol.Status
	read := func() protocol.Status {
		st = protocol.Status{}
		if err := json.Unmarshal(entry(t, js, "subscription_status", "down"), &st); err != nil {
			t.Fatal(err)
		}
		return st
	}
	await(t, 20*time.Second, "a warning in the status that tells how far it has come", func() bool {
		return slices.ContainsFunc(read().Warnings, func(p record.Problem) bool { return strings.Contains(p.Message, "95 %") })
	})
	if st.Expired != 0 {
		t.Errorf("%d events are said to have expired", st.Expired)
	}

	publishNumbers(t, js, 990, 1700) // faster than the guard looks
	await(t, 40*time.Second, "the loss in the status", func() bool { return read().Expired > 0 })
	if st.Expired > 690 {
		t.Errorf("%d events are said to have expired, the stream dropped 700 and 10 were saved", st.Expired)
	}

	alertsOfRetention(t, js)
	p.stop()

	before := st.Expired
	publishNumbers(t, js, 1700, 3000) // while nobody leads
	p = serving(t, bus.URL())
	await(t, 20*time.Second, "the loss before the take-over in the status", func() bool { return read().Expired > before+900 })
	p.stop()
}

// publishNumbers publishes the events from up to to, each of an order of its own.
func publishNumbers(t *testing.T, js jetstream.JetStream, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		data := fmt.Sprintf(`{"orderId":"o%d","n":%d}`, i, i)
		if _, err := js.Publish(within(t, 10*time.Second), "orders", []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
}

// expiring counts the dead letters that were saved from the stream's limit.
func expiring(t *testing.T, bus *lab.Bus) (expiring int) {
	t.Helper()
	out, _ := command(t, bus.URL(), "", "dead-letters", "list", "-o", "json")
	var list []struct {
		Reason string `json:"reason"`
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	for _, l := range list {
		if strings.HasPrefix(l.Reason, "expiring") {
			expiring++
		}
	}
	return expiring
}

// alertsOfRetention checks that there is one of each kind.
func alertsOfRetention(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	stream, err := js.Stream(within(t, 10*time.Second), "ALERTS")
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(within(t, 10*time.Second), jetstream.WithSubjectFilter("alerts.>"))
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{protocol.AlertSuspended, protocol.AlertRetention, protocol.AlertExpired, protocol.AlertDeadLettered} {
		if info.State.Subjects["alerts."+kind+".down"] == 0 {
			t.Errorf("no alert of kind %q; there are %v", kind, info.State.Subjects)
		}
	}
}
