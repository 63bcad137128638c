package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// alertsTold are the alerts of a kind for a subscription, in order.
func alertsTold(t testing.TB, js jetstream.JetStream, kind, subscription string) (alerts []protocol.Alert) {
	t.Helper()
	stream, err := js.Stream(within(t, 10*time.Second), "ALERTS")
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(within(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	for seq := info.State.FirstSeq; seq > 0 && seq <= info.State.LastSeq; seq++ {
		m, err := stream.GetMsg(within(t, 10*time.Second), seq)
		if err != nil {
			t.Fatal(err)
		}
		var e struct{ Data protocol.Alert }
		if err := json.Unmarshal(m.Data, &e); err != nil {
			t.Fatal(err)
		}
		if e.Data.Kind == kind && e.Data.Subscription == subscription {
			alerts = append(alerts, e.Data)
		}
	}
	return alerts
}

// A filter that cannot be told for what comes: every event is a dead letter,
// but there is one alert, and the status says it, with the count, until the
// filter is mended.
func TestDeadLettersAreToldOnceWithTheirCount(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e, other := receive(t, nil), receive(t, nil)
	p := serving(t, bus.URL())
	subscribe(t, js, "s", recordFor(e, `"filter":"event.total > 100"`))
	subscribe(t, js, "other", recordFor(other))
	const events = 2000
	for i := range events {
		if _, err := js.PublishAsync("orders.acme.OrderChanged.x", fmt.Appendf(nil, `{"orderId":"o%d","n":1}`, i%50), jetstream.WithStallWait(lab.Patience)); err != nil {
			t.Fatal(err)
		}
	}
	letters, err := js.Stream(within(t, 10*time.Second), "DEAD_LETTERS")
	if err != nil {
		t.Fatal(err)
	}
	await(t, 60*time.Second, "all are dead letters", func() bool {
		info, err := letters.Info(briefly(t, 10*time.Second))
		return err == nil && info.State.Msgs == events
	})
	want := fmt.Sprintf("the filter cannot be told for %d events, which became dead letters: no such key: total", events)
	var status protocol.Status
	await(t, 60*time.Second, "the status says how many", func() bool {
		status = protocol.Status{}
		_ = json.Unmarshal(entry(t, js, "subscription_status", "s"), &status) // absent: the next time
		return status.Reason == want
	})
	if len(status.Warnings) != 1 || status.State != protocol.StateActive || status.Warnings[0].Field != "filter" || !strings.HasPrefix(status.Warnings[0].Message, want) ||
		!strings.Contains(status.Warnings[0].Message, "has(event.total) && …") {
		t.Errorf("status is %+v", status)
	}
	if out, _ := command(t, bus.URL(), "", "subscriptions", "list"); !strings.Contains(out, want) {
		t.Errorf("subscriptions list:\n%s", out)
	}
	alerts := alertsTold(t, js, protocol.AlertDeadLettered, "s")
	if len(alerts) == 0 || len(alerts) > 2 || alerts[0].Count != 1 || alerts[0].Text != "the filter cannot be told for 1 event, which became a dead letter: no such key: total" {
		t.Errorf("%d alerts for %d dead letters: %+v", len(alerts), events, alerts)
	}
	if n := strings.Count(p.Output(), `msg="dead letter"`); n != 10 {
		t.Errorf("%d lines in the log, want 10", n)
	}
	if status := entry(t, js, "subscription_status", "other"); strings.Contains(string(status), "dead") {
		t.Errorf("the other subscription says %s", status)
	}

	revision := put(t, js, "s", recordFor(e, `"filter":"has(event.total) && event.total > 100"`))
	status, _ = verdict(t, js, "s", revision, protocol.StateActive)
	if status.Reason != "" || len(status.Warnings) != 0 {
		t.Errorf("after the filter was mended: %+v", status)
	}
	await(t, 20*time.Second, "the end is told, with the count", func() bool {
		alerts = alertsTold(t, js, protocol.AlertDeadLettered, "s")
		last := alerts[len(alerts)-1]
		return last.Over && last.Count == events && last.Text == "no more: "+want
	})
	if len(alerts) > 3 {
		t.Errorf("%d alerts: %+v", len(alerts), alerts)
	}
}

// A filter that gives answers again is not complained of any more, without a
// new record.
func TestFilterTroubleEndsByItself(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, nil)
	serving(t, bus.URL())
	revision := subscribe(t, js, "s", recordFor(e, `"filter":"event.total > 100"`))
	publishOne(t, js, "o", 1)
	await(t, 20*time.Second, "the status says it", func() bool {
		return strings.Contains(string(entry(t, js, "subscription_status", "s")), "for 1 event")
	})
	publishMsg(t, js, priced("o", 2, "700"))
	e.came(t, 1)
	await(t, 40*time.Second, "the status is clear", func() bool {
		return !strings.Contains(string(entry(t, js, "subscription_status", "s")), "dead letter")
	})
	if s, _ := verdict(t, js, "s", revision, protocol.StateActive); s.Reason != "" {
		t.Errorf("status is %+v", s)
	}
}
