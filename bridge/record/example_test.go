package record_test

import (
	"fmt"

	"orderbridge/bridge/event"
	"orderbridge/bridge/record"
)

// All problems of a record are told at once, each with its remedy.
func ExampleParse() {
	_, problems := record.Parse("erp", []byte(`{
		"targetURL": "https://erp.example.com/orders",
		"method": "post",
		"timeOut": "PT10S",
		"key": "hunter2"
	}`), record.Policy{})
	for _, p := range problems.Errors() {
		fmt.Println(p)
	}
	fmt.Println("warning:", problems.Warnings())
	// Output:
	// method: is "post"; it must be one of POST, PUT, GET: write "POST"
	// timeOut: is unknown; the nearest known member is "timeout"
	// warning: key: is a secret in plain text: whoever can read the bucket can read it; use env:, file: or sealed:
}

func ExampleSubscription_MatchesEvent() {
	s, problems := record.Parse("erp", []byte(`{
		"targetURL": "https://erp.example.com/orders",
		"subjects": ["orders.acme.>"],
		"eventTypes": ["OrderLines*"]
	}`), record.Policy{})
	if s == nil {
		fmt.Println(problems)
		return
	}
	for _, subject := range []string{"orders.acme.OrderLinesChanged.4711", "orders.acme.OrderAccepted.4711", "orders.globex.OrderLinesChanged.4711"} {
		e := new(event.Decoder).Decode(&event.Message{Seq: 1, Subject: subject, Data: []byte("{}")})
		fmt.Println(subject, s.MatchesEvent(e))
	}
	// Output:
	// orders.acme.OrderLinesChanged.4711 true
	// orders.acme.OrderAccepted.4711 false
	// orders.globex.OrderLinesChanged.4711 false
}

func ExampleRedactRecord() {
	shown, err := record.RedactRecord([]byte(`{"targetURL":"https://h/","key":"hunter2","auth":{"type":"bearer","token":"env:ORDERBRIDGE_SECRET_T"}}`),
		record.Redaction{References: true})
	fmt.Println(string(shown), err)
	// Output:
	// {"targetURL":"https://h/","key":"[redacted]","auth":{"type":"bearer","token":"env:ORDERBRIDGE_SECRET_T"}} <nil>
}
