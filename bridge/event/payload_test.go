package event

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"
)

func TestPayloads(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	order := &Event{Message: Message{Time: at, Data: []byte(`{"orderId":"4711"}`)}, ID: "e1", Type: "OrderAccepted", OrderID: "4711"}
	text := &Event{Message: Message{Data: []byte("a\xff"), Header: map[string][]string{"content-type": {"text/plain"}}}, ID: "e2"}
	binary := &Event{Message: Message{Data: []byte(`7`), Header: map[string][]string{"ce-specversion": {"1.0"}, "ce-id": {"x"}, "ce-source": {"/s"}, "ce-type": {"t"}, "ce-plant": {"%37"}}}}
	structured := &Event{Message: Message{Data: []byte(`{"specversion":"1.0","id":"x","source":"/s","type":"t"}`)}}
	for _, tt := range []struct {
		payload           string
		event             *Event
		body, contentType string
		err               string
	}{
		{payload: "", event: order, body: `{"orderId":"4711"}`, contentType: "application/json"},
		{payload: "event", event: text, body: "a\xff", contentType: "text/plain"},
		{payload: "event", event: &Event{Message: Message{Data: []byte{1}}}, body: "\x01", contentType: "application/octet-stream"},
		{payload: "event", event: &Event{}, body: "", contentType: "application/octet-stream"},
		{payload: "notification", event: order, body: `{"orderId":"4711","eventType":"OrderAccepted"}`, contentType: "application/json"},
		{payload: "notification", event: &Event{Type: "t"}, err: "the event has no orderId, which payload notification needs"},
		{payload: "notification", event: &Event{OrderID: "o"}, err: "the event has no event type, which payload notification needs"},
		{payload: "cloudevent", event: order, contentType: "application/cloudevents+json",
			body: `{"specversion":"1.0","id":"e1","source":"/orderbridge","type":"OrderAccepted","subject":"4711","time":"2026-01-02T15:04:05Z",` +
				`"datacontenttype":"application/json","data":{"orderId":"4711"}}`},
		{payload: "cloudevent", event: text, contentType: "application/cloudevents+json",
			body: `{"specversion":"1.0","id":"e2","source":"/orderbridge","type":"order.changed","datacontenttype":"text/plain","data_base64":"Yf8="}`},
		{payload: "cloudevent", event: binary, contentType: "application/cloudevents+json",
			body: `{"specversion":"1.0","id":"x","source":"/s","type":"t","plant":"7","data":7}`},
		{payload: "cloudevent", event: structured, contentType: "application/cloudevents+json",
			body: `{"specversion":"1.0","id":"x","source":"/s","type":"t"}`},
		{payload: "cloudevent", event: &Event{Message: Message{Header: map[string][]string{"Content-Type": {"application/cloudevents-batch+json"}}}},
			err: "is a batch of CloudEvents"},
	} {
		form, known := PayloadOf(tt.payload)
		if !known {
			t.Fatalf("%s is not known", tt.payload)
		}
		body, contentType, err := form.Render(tt.event)
		switch {
		case tt.err != "":
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: error %v, want %s", tt.payload, err, tt.err)
			}
		case err != nil:
			t.Errorf("%s: %v", tt.payload, err)
		case body == nil || string(body) != tt.body || contentType != tt.contentType:
			t.Errorf("%s of %s:\n got %q, %s\nwant %q, %s", tt.payload, tt.event.ID, body, contentType, tt.body, tt.contentType)
		}
	}
	if _, known := PayloadOf("xml"); known {
		t.Error("xml is known")
	}
}

// Of the forms that tell an order's state only, the newest event is enough.
func TestPayloadsThatReplaceOlderOnes(t *testing.T) {
	t.Parallel()
	for _, form := range Payloads() {
		if (form.Replaces != nil) != (form.Name == "notification") {
			t.Errorf("%s: a newer event replaces an older one: %v", form.Name, form.Replaces != nil)
		}
		if form.Verbatim != (form.Name == "event") {
			t.Errorf("%s: verbatim %v", form.Name, form.Verbatim)
		}
	}
	notification, _ := PayloadOf("notification")
	if !notification.Replaces(&Event{Type: "a"}, &Event{Type: "a"}) || notification.Replaces(&Event{Type: "a"}, &Event{Type: "b"}) {
		t.Error("a notification replaces one of the same type, and no other")
	}
}

// Alertmanager knows an alert again by its labels: those that begin and end a state
// must be the same, whatever else is told of it by then.
func TestAlertmanagerLabels(t *testing.T) {
	t.Parallel()
	form, _ := PayloadOf("alertmanager")
	for _, tt := range []struct{ begins, ends, name string }{
		{`"kind":"suspended","key":"suspended.erp.7","subscription":"erp","tenant":"acme"`,
			`"kind":"resumed","key":"suspended.erp.7","subscription":"erp","tenant":"acme","over":true`, "OrderbridgeSuspended"},
		{`"kind":"invalid","key":"invalid.erp.7","subscription":"erp"`,
			`"kind":"invalid","key":"invalid.erp.7","subscription":"erp","tenant":"acme","over":true`, "OrderbridgeInvalid"},
		{`"kind":"dead-lettered","key":"dead-lettered.erp.7.404","subscription":"erp","count":1`,
			`"kind":"dead-lettered","key":"dead-lettered.erp.7.404","subscription":"erp","count":9,"over":true`, "OrderbridgeDeadLettered"},
	} {
		var labels []map[string]string
		for _, data := range []string{tt.begins, tt.ends} {
			body, _, err := form.Render(&Event{Message: Message{Data: []byte(`{"id":"i","type":"orderbridge.alert.x","time":"2026-01-02T15:04:05Z","data":{` + data + `}}`)}})
			var list []struct{ Labels map[string]string }
			if err != nil || json.Unmarshal(body, &list) != nil || len(list) != 1 {
				t.Fatalf("%s: %v, %s", data, err, body)
			}
			labels = append(labels, list[0].Labels)
		}
		if !maps.Equal(labels[0], labels[1]) || labels[0]["alertname"] != tt.name {
			t.Errorf("%v begins, %v ends; want %s", labels[0], labels[1], tt.name)
		}
	}
}

// What an endpoint says stands in an alert, and must not become a link there.
func TestAlertsHaveNoMarkupOfOthers(t *testing.T) {
	t.Parallel()
	e := &Event{Message: Message{Data: []byte(`{"specversion":"1.0","id":"1","source":"/orderbridge","type":"orderbridge.alert.suspended","time":"2026-11-26T20:44:38Z",` +
		`"data":{"kind":"suspended","subscription":"erp","text":"503: [log in](https://evil.example) <https://evil.example|here>","key":"suspended.erp.1"}}`)}}
	for name, want := range map[string]string{
		"slack": `\u0026lt;https://evil.example|here\u0026gt;`,
		"teams": `{"inlines":[{"text":"503: [log in](https://evil.example) \u003chttps://evil.example|here\u003e","type":"TextRun"}],"type":"RichTextBlock"}`,
	} {
		p, _ := PayloadOf(name)
		body, _, err := p.Render(e)
		if err != nil || !strings.Contains(string(body), want) {
			t.Errorf("%s: %v %s", name, err, body)
		}
	}
}
