package publishers_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/publishers"
)

// A delivery travels in the context of its message; what came back of the attempt is the error.
func ExampleWebhook_Publish() {
	status := http.StatusNoContent
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Println(r.Method, r.URL.Path, r.Header.Get("X-Order-Id"), string(body))
		w.WriteHeader(status)
	}))
	defer endpoint.Close()

	webhook, err := publishers.NewWebhook(publishers.Options{Version: "1.0", Dev: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer webhook.Close()

	s, problems := record.Parse("erp", []byte(`{"targetURL":"`+endpoint.URL+`/orders/{orderId}","payload":"notification"}`),
		record.Policy{AllowHTTPLoopback: true})
	if s == nil {
		fmt.Println(problems)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, status = range []int{http.StatusNoContent, http.StatusServiceUnavailable} {
		d := &protocol.Delivery{Subscription: s, Event: &event.Event{ID: "e1", OrderID: "4711", Type: "OrderAccepted"}, Generation: 1, Attempt: 1}
		m := message.NewMessage(d.ID(), nil)
		m.SetContext(bridge.WithDelivery(ctx, d))
		err := webhook.Publish(s.ID, m)
		var attempt *bridge.AttemptError
		fmt.Println("failed:", errors.As(err, &attempt))
	}
	// Output:
	// POST /orders/4711 4711 {"orderId":"4711","eventType":"OrderAccepted"}
	// failed: false
	// POST /orders/4711 4711 {"orderId":"4711","eventType":"OrderAccepted"}
	// failed: true
}
