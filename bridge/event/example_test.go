package event_test

import (
	"fmt"

	"orderbridge/bridge/event"
)

// What the payload does not tell is told by the subject.
func ExampleDecoder() {
	d := &event.Decoder{SubjectLayout: "orders.{tenant}.{eventType}.{orderId}"}
	e := d.Decode(&event.Message{
		Seq:     7,
		Subject: "orders.acme.OrderAccepted.4711",
		Data:    []byte(`{"total": 12.5}`),
	})
	fmt.Println(e.Tenant, e.Type, e.OrderID)
	// Output:
	// acme OrderAccepted 4711
}

func ExamplePayloadOf() {
	payload, _ := event.PayloadOf("notification")
	body, contentType, err := payload.Render(&event.Event{OrderID: "4711", Type: "OrderAccepted"})
	fmt.Println(string(body), contentType, err)
	// Output:
	// {"orderId":"4711","eventType":"OrderAccepted"} application/json <nil>
}
