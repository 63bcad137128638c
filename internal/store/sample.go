package store

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/google/uuid"

	"orderbridge/bridge/event"
	"orderbridge/bridge/record"
)

// gatewayType is the type of the events that listeners of contract A hear.
const gatewayType = "ORDER_MODIFIED"

// sampleAlert is the type of the sample for a record that hears alerts.
const sampleAlert = "orderbridge.alert.test"

// sample is an event that the subscription might hear, marked as a test in its
// ids and its body.
func sample(s *record.Subscription, now time.Time) *event.Event {
	id := "test-" + uuid.NewString()
	typ := "OrderTest"
	for _, t := range s.Types {
		if !strings.Contains(t, "*") {
			typ = t
			break
		}
	}
	ev := &event.Event{ID: id, Type: typ, OrderID: id, LegacyOrderID: id, Tenant: s.Tenant}
	ev.Time, ev.Subject = now, "orders.test"
	var body any = struct {
		OrderID       string `json:"orderId"`
		LegacyOrderID string `json:"legacyOrderId"`
		EventType     string `json:"eventType"`
		Test          bool   `json:"test"`
	}{id, id, typ, true}
	if typ == gatewayType { // contract A10
		at := now.UTC().Format("2006-01-02T15:04:05")
		body = struct {
			ElapsedTime  int    `json:"elapsedTime"`
			UUID         string `json:"uuid"`
			Seq          int    `json:"seq"`
			Created      string `json:"created"`
			OrderType    string `json:"orderType"`
			LocationName string `json:"locationName"`
			State        string `json:"state"`
			StateStarted string `json:"stateStarted"`
			Type         string `json:"type"`
			Name         string `json:"name"`
			Test         bool   `json:"test"`
		}{0, id, 0, at, "TEST", "test", "test", at, typ, "test", true}
	}
	if s.Alerts {
		ev.Type, ev.OrderID, ev.LegacyOrderID, ev.Subject = sampleAlert, "", "", "alerts.test"
		ev.Header = map[string][]string{"Content-Type": {"application/cloudevents+json"}}
		at := now.UTC().Format(time.RFC3339)
		body = map[string]any{"specversion": "1.0", "id": id, "source": "/orderbridge", "type": sampleAlert, "subject": s.ID,
			"time": at, "datacontenttype": "application/json", "data": map[string]string{"kind": "test", "subscription": s.ID,
				"key": id, "time": at, "text": "this is a test: somebody wants to know whether alerts arrive"}}
	}
	ev.Data, _ = json.Marshal(body) // it holds texts and numbers only
	return ev
}
