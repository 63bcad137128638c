package event

import (
	"strings"
	"testing"
)

// The plain order id is found again in what former builds wrote: a token and,
// where that is another one, the key.
func TestOrderOf(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		tenant, order, legacy string
	}{
		{"", "4711", ""}, {"acme", "4711", ""}, {"acme", "PO 1/2", ""}, {"", "PO 1/2", ""}, {"", "a=b", ""}, {"acme", "a=b=c", ""}, {"a=b", "c", ""},
		{"", "", "L1"}, {"acme", "", "L1"}, {"acme", "", "L 1"}, {"", "", "L=1"}, {"", "legacy 7", ""}, {"acme", "=all", ""}, {"", strings.Repeat("x", 65), ""},
	} {
		e := &Event{Tenant: tt.tenant, OrderID: tt.order, LegacyOrderID: tt.legacy}
		token, key := e.Key(OrderingOrder)
		if got := OrderOf(token, key); got != e.Order() {
			t.Errorf("token %q with key %q: order %q, want %q", token, key, got, e.Order())
		}
		if key == token { // then the ledger leaves the key out
			if got := OrderOf(token, ""); got != e.Order() {
				t.Errorf("token %q: order %q, want %q", token, got, e.Order())
			}
		}
		if got := OrderOf("=r12", key); tt.legacy == "" && !strings.ContainsAny(tt.order+tt.tenant, "= ") && got != tt.order {
			t.Errorf("redriven %q: order %q, want %q", key, got, tt.order)
		}
	}
	for _, token := range []string{"=all", "=s42"} {
		if got := OrderOf(token, ""); got != "" {
			t.Errorf("%s is of order %q", token, got)
		}
	}
	if key := strings.Repeat("=", 1<<20); OrderOf("="+strings.Repeat("a", 26), key) != key {
		t.Error("a key of a megabyte is tried out")
	}
}
