package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// word is what a product was told of an alert: the key by which it knows it again,
// and whether it is over.
type word struct {
	key, text string
	over      bool
}

// products are receivers that take what their documentation describes, and nothing
// else: unknown members, missing ones and wrong values are answered with 400.
var products = map[string]func(h *lab.Hit) (word, error){
	"slack": func(h *lab.Hit) (word, error) {
		var m struct {
			Text        string
			Attachments []struct {
				Color, Text string
				TS          int64
				Fields      []struct {
					Title, Value string
					Short        bool
				}
			}
		}
		err := exactly(h.Body, &m)
		if err == nil && (m.Text == "" || len(m.Attachments) != 1 || m.Attachments[0].TS == 0 || !contains(m.Attachments[0].Color, "good", "warning", "danger")) {
			err = errors.New("no message of an incoming webhook")
		}
		return word{"", m.Text, strings.HasPrefix(m.Text, "resolved: ")}, err
	},
	"teams": func(h *lab.Hit) (word, error) {
		var m struct {
			Type        string
			Attachments []struct {
				ContentType string
				ContentURL  *string `json:"contentUrl"`
				Content     struct {
					Schema        string `json:"$schema"`
					Type, Version string
					Body          []struct {
						Type, Text, Size, Weight, Color string
						Wrap                            bool
						Facts                           []struct{ Title, Value string }
						Inlines                         []struct{ Type, Text string }
					}
				}
			}
		}
		err := exactly(h.Body, &m)
		if err == nil && (m.Type != "message" || len(m.Attachments) != 1 || m.Attachments[0].ContentType != "application/vnd.microsoft.card.adaptive" ||
			m.Attachments[0].Content.Type != "AdaptiveCard" || len(m.Attachments[0].Content.Body) != 3 || len(m.Attachments[0].Content.Body[1].Inlines) != 1) {
			return word{}, errors.New("no message with an Adaptive Card")
		}
		if err != nil {
			return word{}, err
		}
		title := m.Attachments[0].Content.Body[0].Text
		return word{"", title, strings.HasPrefix(title, "resolved: ")}, nil
	},
	"pagerduty": func(h *lab.Hit) (word, error) {
		var m struct {
			RoutingKey  string `json:"routing_key"`
			EventAction string `json:"event_action"`
			DedupKey    string `json:"dedup_key"`
			Client      string
			Payload     struct {
				Summary, Source, Severity, Component, Class string
				Timestamp                                   time.Time
				CustomDetails                               map[string]string `json:"custom_details"`
			}
		}
		err := exactly(h.Body, &m)
		switch p := m.Payload; {
		case err != nil:
		case m.RoutingKey != "routing-key-of-the-service" || strings.Contains(h.URI, "routing-key"):
			err = errors.New("the routing key is not in the body, or not only there")
		case !contains(m.EventAction, "trigger", "resolve") || m.DedupKey == "" || p.Summary == "" || p.Source == "" || p.Timestamp.IsZero() ||
			!contains(p.Severity, "critical", "error", "warning", "info"):
			err = errors.New("no event of the Events API v2")
		}
		return word{m.DedupKey, m.Payload.Summary, m.EventAction == "resolve"}, err
	},
	"alertmanager": func(h *lab.Hit) (word, error) {
		var list []struct {
			Labels, Annotations map[string]string
			StartsAt, EndsAt    time.Time
		}
		err := exactly(h.Body, &list)
		if err == nil && (len(list) != 1 || list[0].Labels["alertname"] == "" || list[0].StartsAt.IsZero() || list[0].EndsAt.Before(list[0].StartsAt)) {
			err = errors.New("no list of alerts of API v2")
		}
		if err != nil {
			return word{}, err
		}
		labels, _ := json.Marshal(list[0].Labels) // what ends must have the very same
		return word{string(labels), list[0].Annotations["summary"], !list[0].EndsAt.After(time.Now())}, err
	},
	"event": func(h *lab.Hit) (word, error) {
		var m struct {
			SpecVersion, ID, Source, Type, Subject, DataContentType string
			Time                                                    time.Time
			Data                                                    struct {
				Kind, Subscription, Tenant, Text, Key string
				Generation, Count                     uint64
				Time, Since                           time.Time
				Over                                  bool
			}
		}
		err := exactly(h.Body, &m)
		if err == nil && (m.SpecVersion != "1.0" || h.Header.Get("Content-Type") != "application/cloudevents+json") {
			err = errors.New("no CloudEvent")
		}
		return word{m.Data.Key, "orderbridge: " + m.Data.Subscription + " " + m.Data.Kind, m.Data.Over}, err
	},
}

func exactly(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

func contains(s string, any ...string) bool {
	for _, x := range any {
		if s == x {
			return true
		}
	}
	return false
}

// failingOnce answers 503 to the first request.
func failingOnce() lab.Reply {
	var asked atomic.Bool
	return func(*lab.Hit) int {
		if asked.Swap(true) {
			return http.StatusOK
		}
		return http.StatusServiceUnavailable
	}
}

// TestAlertsArrive: a record hears the alerts in the form of each product, begun and
// ended under one key, in order; a tenant's record hears those about its own
// subscriptions only, nobody those about itself; an outage of the one who is told, and
// of the bridge, loses none.
func TestAlertsArrive(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	p := serving(t, bus.URL())
	receivers := map[string]*receiver{}
	for name, check := range products {
		receivers[name] = receive(t, func(h *lab.Hit) int {
			if _, err := check(h); err != nil {
				t.Errorf("%s: %v: %s", name, err, h.Body)
				return http.StatusBadRequest
			}
			return http.StatusOK
		})
		more := []string{`"source":"alerts"`, fmt.Sprintf(`"payload":%q`, name)}
		if name == "pagerduty" {
			more = append(more, `"key":"routing-key-of-the-service"`)
		}
		subscribe(t, js, "to-"+name, recordFor(receivers[name], more...))
	}
	theirs, own, late := receive(t, nil), receive(t, nil), receive(t, failingOnce())
	subscribe(t, js, "globex-alerts", recordFor(theirs, `"source":"alerts"`, `"tenant":"globex"`))
	subscribe(t, js, "acme-alerts", recordFor(own, `"source":"alerts"`, `"tenant":"acme"`, `"eventTypes":["orderbridge.alert.suspended","orderbridge.alert.resumed"]`))
	subscribe(t, js, "late", recordFor(late, `"source":"alerts"`, quickRetries, `"filter":"event.data.kind == 'suspended'"`))
	broken := receive(t, lab.Always(http.StatusServiceUnavailable))
	subscribe(t, js, "nobody", recordFor(receive(t, lab.Always(http.StatusServiceUnavailable)), `"source":"alerts"`))
	subscribe(t, js, "erp", recordFor(broken, `"tenant":"acme"`))
	await(t, 5*time.Minute, "the alerts are heard", func() bool {
		stream, err := js.Stream(within(t, 10*time.Second), "ALERTS")
		return err == nil && stream.CachedInfo().State.Consumers == len(products)+4
	})
	for i := range 8 {
		publishOne(t, js, fmt.Sprint("o", i), 1)
	}
	of := func(name string) (list []word) {
		for _, h := range receivers[name].Journal() {
			x, err := products[name](&h)
			if err == nil && h.Good() {
				list = append(list, x)
			}
		}
		return list
	}
	all := func(over bool) {
		t.Helper()
		for name := range products {
			await(t, 5*time.Minute, fmt.Sprintf("%s knows: over %v", name, over), func() bool {
				list := of(name)
				return len(list) > 0 && list[len(list)-1].over == over
			})
		}
	}
	all(false)
	await(t, 5*time.Minute, "who does not take alerts is said to", func() bool {
		st := said(t, js, "nobody")
		return st.State == protocol.StateRetrying && strings.Contains(st.Reason, "an alert waits to be tried again: 503")
	})
	p.kill()
	p = serving(t, bus.URL())
	broken.Reply(nil)
	all(true)
	await(t, 5*time.Minute, "the one who is late has it", func() bool { return late.Delivered() > 0 })
	await(t, 5*time.Minute, "the tenant has the end", func() bool {
		list := own.Journal()
		return len(list) > 1 && list[len(list)-1].Header.Get("X-Event-Type") == "orderbridge.alert.resumed"
	})
	for name := range products {
		list := of(name)
		first, last := list[0], list[len(list)-1]
		if first.over || !last.over || first.key != last.key || !strings.Contains(first.text, "erp suspended") {
			t.Errorf("%s was told %+v", name, list)
		}
	}
	if n := theirs.Count(); n > 0 {
		t.Errorf("another tenant heard %d alerts", n)
	}
	await(t, 5*time.Minute, "the metrics tell of it", func() bool {
		metrics, _ := families(t, p, plainText)
		return value(metrics, "orderbridge_alerts_delivered_total") >= float64(len(products)) &&
			value(metrics, "orderbridge_subscriptions_in_state", "state", "active") == float64(len(products)+4)
	})
}
