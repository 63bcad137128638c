package protocol

import (
	"strings"
	"testing"
	"time"

	"orderbridge/bridge/event"
	"orderbridge/bridge/record"
)

// Ids of the build before R11 stay with the deliveries that began under it,
// unless a publisher could have made them look like another.
func TestFormerIDs(t *testing.T) {
	t.Parallel()
	s := &record.Subscription{ID: "erp"}
	at := time.Unix(1772366400, 0)
	d := &event.Decoder{Stream: "ORDERS", Created: time.Unix(1700000000, 5)}
	for _, tt := range []struct{ msgID, want string }{
		{"", "ORDERS-1700000000-7.erp.3"},
		{"e-1", "e-1.erp.3"},
		{"e 1", "e 1.erp.3"}, // encoded in the header, as before
		{strings.Repeat("x", 513), "sha256-35ade0090e64e74d6ad04204009c23a4e34b82bdf0f4f317fbcc5f26f9b10241.erp.3"},
		{"evil.1772366400.{}", ""},
	} {
		m := &event.Message{Seq: 7, Time: at, Subject: "x"}
		if tt.msgID != "" {
			m.Header = map[string][]string{"Nats-Msg-Id": {tt.msgID}}
		}
		e := d.Decode(m)
		now := event.DeliveryID(e.ID, "erp", 3)
		want := tt.want
		if want == "" {
			want = now
		}
		if got := (&Delivery{Subscription: s, Event: e, Generation: 3, Former: true}).ID(); got != want {
			t.Errorf("%q: former id %q, want %q", tt.msgID, got, want)
		}
		letter := DeadLetter{Subscription: "erp", Generation: 3, Event: e, former: true}
		if got := letter.IDOf(e); got != want {
			t.Errorf("%q: the letter says %q, want %q", tt.msgID, got, want)
		}
		if got := (&Delivery{Subscription: s, Event: e, Generation: 3}).ID(); got != now {
			t.Errorf("%q: id %q, want %q", tt.msgID, got, now)
		}
	}
	for id, want := range map[string]bool{
		"e-1.erp.3": true, "ORDERS-1-7.erp.3": true, "a.b.erp.3": false, "e-1.erp.4": false, "e-1.other.3": false, ".erp.3": false, "": false,
		event.DeliveryID("e", "erp", 3): true, strings.Repeat("A", 32): false,
	} {
		got := (&DeadLetter{Subscription: "erp", Generation: 3, DeliveryID: id}).KnownID()
		if (got == id && id != "") != want || got != "" && got != id {
			t.Errorf("dead letter with id %q: known as %q", id, got)
		}
	}
}
