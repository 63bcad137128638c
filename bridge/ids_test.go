package bridge

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
		return (&Delivery{Subscription: &Subscription{ID: subscription}, Event: e, Generation: generation}).ID()
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
		"shifted boundaries": deliveryID(base.ID+"e", "rp", 3),
	} {
		if other, ok := seen[id]; ok {
			t.Errorf("%s has the id of %s", name, other)
		}
		seen[id] = name
		if len(id) != deliveryIDLength || !isDeliveryID(id) || strings.Contains(id, ".") {
			t.Errorf("%s: id %q", name, id)
		}
	}
}

// Ids of the build before R11 stay with the deliveries that began under it,
// unless a publisher could have made them look like another.
func TestFormerIDs(t *testing.T) {
	t.Parallel()
	s := &Subscription{ID: "erp"}
	at := time.Unix(1772366400, 0)
	d := &Decoder{Stream: "ORDERS", Created: time.Unix(1700000000, 5)}
	for _, tt := range []struct{ msgID, want string }{
		{"", "ORDERS-1700000000-7.erp.3"},
		{"e-1", "e-1.erp.3"},
		{"e 1", "e 1.erp.3"}, // encoded in the header, as before
		{strings.Repeat("x", 513), publisherID(strings.Repeat("x", 513)) + ".erp.3"},
		{"evil.1772366400.{}", ""},
	} {
		m := &Message{Seq: 7, Time: at, Subject: "x"}
		if tt.msgID != "" {
			m.Header = header("Nats-Msg-Id", tt.msgID)
		}
		e := d.Decode(m)
		now := deliveryID(e.ID, "erp", 3)
		want := tt.want
		if want == "" {
			want = now
		}
		if got := (&Delivery{Subscription: s, Event: e, Generation: 3, Former: true}).ID(); got != want {
			t.Errorf("%q: former id %q, want %q", tt.msgID, got, want)
		}
		letter := DeadLetter{Subscription: "erp", Generation: 3, Event: e, former: true}
		if got := letter.idOf(e); got != want {
			t.Errorf("%q: the letter says %q, want %q", tt.msgID, got, want)
		}
		if got := (&Delivery{Subscription: s, Event: e, Generation: 3}).ID(); got != now {
			t.Errorf("%q: id %q, want %q", tt.msgID, got, now)
		}
	}
	for id, want := range map[string]bool{
		"e-1.erp.3": true, "ORDERS-1-7.erp.3": true, "a.b.erp.3": false, "e-1.erp.4": false, "e-1.other.3": false, ".erp.3": false, "": false,
		deliveryID("e", "erp", 3): true, strings.Repeat("A", 32): false,
	} {
		got := (&DeadLetter{Subscription: "erp", Generation: 3, DeliveryID: id}).knownID()
		if (got == id && id != "") != want || got != "" && got != id {
			t.Errorf("dead letter with id %q: known as %q", id, got)
		}
	}
}

// A dead letter of the former build names its event anew, but is sent under the
// id that the receiver knows.
func TestRedrivenLettersOfAFormerBuild(t *testing.T) {
	t.Parallel()
	at := time.Unix(1772366400, 77)
	d := &Decoder{Stream: "ORDERS"}
	e := d.redriven(&DeadLetter{Event: &Event{Message: Message{Seq: 7, Time: at, Header: header("Nats-Msg-Id", "e-1")}, ID: "e-1", OrderID: "as it was"}})
	if e.ID != eventID("ORDERS", 7, at) || e.PublisherID != "e-1" || e.OrderID != "as it was" {
		t.Errorf("%+v", e)
	}
}
