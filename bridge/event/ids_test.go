package event

import (
	"strings"
	"testing"
	"time"
)

// R11: what the server stored names an event, nothing that a publisher says.
func TestIdentity(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	decode := func(stream string, seq uint64, at time.Time, header map[string][]string, data string) *Event {
		return (&Decoder{Stream: stream, Created: at.Add(-time.Hour)}).Decode(&Message{Seq: seq, Time: at, Subject: "orders.acme.T.1", Header: header, Data: []byte(data)})
	}
	idOf := func(e *Event, subscription string, generation uint64) string {
		return DeliveryID(e.ID, subscription, generation)
	}
	base := decode("ORDERS", 7, at, nil, "")
	if base.ID != "ORDERS-7-1772366400123456789" {
		t.Errorf("event id %q", base.ID)
	}
	want := idOf(base, "erp", 3)
	if want != "2dennlutdpz4n4bv3wx3yq5sqi4f6w6l" {
		t.Errorf("delivery id %q: it must be the same for ever", want)
	}

	// The same message, whatever its publisher says, wherever its clock stands,
	// and also in a stream that was restored from a backup.
	evil := header("Nats-Msg-Id", "evil.1772366400.{\"orderId\":\"1\"}", "ce-id", "x")
	restored := (&Decoder{Stream: "ORDERS", Created: at.Add(time.Hour)}).Decode(&Message{Seq: 7, Time: at.In(time.FixedZone("", 7200)), Subject: "x"})
	for name, e := range map[string]*Event{"another publisher's id": decode("ORDERS", 7, at, evil, `{"specversion":"1.0","id":"y"}`), "restored": restored} {
		if got := idOf(e, "erp", 3); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}

	seen := map[string]string{want: "base"}
	for name, id := range map[string]string{
		"sequence":           idOf(decode("ORDERS", 8, at, evil, ""), "erp", 3),
		"same publisher id":  idOf(decode("ORDERS", 9, at, evil, ""), "erp", 3),
		"time":               idOf(decode("ORDERS", 7, at.Add(1), nil, ""), "erp", 3),
		"stream":             idOf(decode("ORDER", 7, at, nil, ""), "erp", 3),
		"subscription":       idOf(base, "erp2", 3),
		"generation":         idOf(base, "erp", 4),
		"numeric names":      idOf(base, "3", 3),
		"shifted boundaries": DeliveryID(base.ID+"e", "rp", 3),
	} {
		if other, ok := seen[id]; ok {
			t.Errorf("%s has the id of %s", name, other)
		}
		seen[id] = name
		if len(id) != deliveryIDLength || !IsDeliveryID(id) || strings.Contains(id, ".") {
			t.Errorf("%s: id %q", name, id)
		}
	}
}

// A dead letter of the former build names its event again, but is sent under the
// id that the receiver knows.
func TestRedrivenLettersOfAFormerBuild(t *testing.T) {
	t.Parallel()
	at := time.Unix(1772366400, 77)
	d := &Decoder{Stream: "ORDERS"}
	e := d.Redriven(&Event{Message: Message{Seq: 7, Time: at, Header: header("Nats-Msg-Id", "e-1")}, ID: "e-1", OrderID: "as it was"}, "")
	if e.ID != EventID("ORDERS", 7, at) || e.PublisherID != "e-1" || e.OrderID != "as it was" {
		t.Errorf("%+v", e)
	}
}
