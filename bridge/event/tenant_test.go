package event

import (
	"slices"
	"strings"
	"testing"
	"time"

	"orderbridge/internal/limits"
)

// claims is a message that speaks as globex in every place but its subject.
func claims(subject string) *Message {
	return &Message{Seq: 7, Time: time.Unix(1, 0), Subject: subject,
		Header: header("ce-tenant", "globex", "Ce-Tenant", "globex", "Nats-Tenant", "globex"), Data: []byte(`{"tenant":"globex","specversion":"1.0","data":{"tenant":"globex"}}`)}
}

func TestTenantOfAnEvent(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", limits.ValueBytes+1)
	for _, c := range []struct {
		layout   string
		subjects []string
		subject  string
		want     string
	}{
		{"", nil, "orders.acme.OrderAccepted.1", "acme"},
		{"", nil, "orders.acme.x", "acme"},
		{"", nil, "orders.acme.a.b.c.d.e", "acme"},
		{"", nil, "orders.acme", ""}, // not within orders.acme.>
		{"", nil, "orders", ""},
		{"", nil, "orders.created", ""},
		{"", nil, "orders.acme.", ""},
		{"", nil, "orders..x.y", ""},
		{"", nil, "sales.acme.x.y", ""},
		{"", nil, "Orders.acme.x.y", ""},
		{"", nil, "orders.ACME.x.y", "ACME"},
		{"", nil, "orders.acme\u0301.x.y", "acme\u0301"},
		{"", nil, "orders." + long + ".x.y", ""},
		{"{tenant}.{eventType}", nil, "acme.x.y.z", "acme"},
		{"{tenant}.{eventType}", nil, "acme", ""},
		{"orders.{tenant}", nil, "orders.acme", "acme"},
		{"orders.{tenant}", nil, "orders.acme.more", "acme"},
		{"orders.*.{tenant}.{orderId}", nil, "orders.eu.acme.1", "acme"},
		{"orders.*.{tenant}.{orderId}", nil, "orders.eu.acme", ""},
		{"orders.{eventType}.{tenant}.{orderId}", nil, "orders.created.acme.1.2.3", "acme"},
		{"orders.{eventType}.{tenant}.v1.>", nil, "orders.created.acme.v2", "acme"},
		{"", []string{"shop.{tenant}.>"}, "shop.acme.x", "acme"},
		{"", []string{"shop.{tenant}.>"}, "mill.acme.x", ""},
		{"-", []string{"shop.{tenant}.>"}, "shop.acme.x", "acme"},
		{"-", []string{"shop.{tenant}.>"}, "mill.acme.x", ""},
		{"-", []string{"shop.{tenant}.>", "shop.*.{tenant}.>"}, "shop.acme.initech.x", ""}, // which of them?
		{"-", nil, "orders.acme.x.y", "globex"},
		{"orders.{eventType}", nil, "orders.created", "globex"},
	} {
		d := &Decoder{Stream: "ORDERS", SubjectLayout: c.layout, TenantSubjects: c.subjects}
		e := d.Decode(claims(c.subject))
		if e.Tenant != c.want {
			t.Errorf("layout %q, %q: subject %.60s is of tenant %q, want %q", c.layout, c.subjects, c.subject, e.Tenant, c.want)
		}
		if why := e.Untold(); (why == "") != (e.Tenant != "") {
			t.Errorf("subject %.60s: tenant %q, %q", c.subject, e.Tenant, why)
		}
	}
}

// TestLongTenant: one by header or payload that is too long is none.
func TestLongTenant(t *testing.T) {
	t.Parallel()
	d := &Decoder{Stream: "ORDERS", SubjectLayout: "-"}
	e := d.Decode(&Message{Seq: 1, Subject: "orders", Data: []byte(`{"tenant":"` + strings.Repeat("x", 600) + `"}`)})
	if e.Tenant != "" || e.Untold() != untoldLong || e.TooLong("tenant") == "" {
		t.Errorf("tenant %.20q, %q", e.Tenant, e.Untold())
	}
}

// TestRedrivenTenant: a dead letter that a former build wrote tells the tenant
// that the subject tells, not what its payload claims.
func TestRedrivenTenant(t *testing.T) {
	t.Parallel()
	d := &Decoder{Stream: "ORDERS"}
	was := &Event{Message: *claims("orders.acme.x"), Tenant: "globex", OrderID: strings.Repeat("o", 9000), Type: "T"}
	e := d.Redriven(was, "ORDERS")
	if e.Tenant != "acme" || e.Type != "T" || len(e.OrderID) > limits.ValueBytes {
		t.Errorf("tenant %q, type %q, an order id of %d bytes", e.Tenant, e.Type, len(e.OrderID))
	}
}

func TestLongValues(t *testing.T) {
	t.Parallel()
	d := &Decoder{Stream: "ORDERS"}
	a, b := strings.Repeat("x", 900<<10), strings.Repeat("x", 900<<10)+"y"
	event := func(id, legacy, typ string) *Event {
		return d.Decode(&Message{Seq: 7, Subject: "orders.acme.x", Data: []byte(`{"orderId":"` + id + `","legacyOrderId":"` + legacy + `","eventType":"` + typ + `"}`)})
	}
	one, two := event(a, "", a), event(b, "", b)
	tokenOne, plain := one.Key(OrderingOrder)
	tokenTwo, _ := two.Key(OrderingOrder)
	if tokenOne == tokenTwo || len(tokenOne) > maxToken || len(plain) > 100 || tokenOne != hashToken("", "acme", a) {
		t.Errorf("lanes %q (%q) and %q: want two, by the hash that former builds used", tokenOne, plain, tokenTwo)
	}
	if again, _ := event(a, "L", "").Key(OrderingOrder); again != tokenOne {
		t.Errorf("lanes %q and %q of one order", again, tokenOne)
	}
	if token, _ := one.Key(OrderingNone); token != "=s7" {
		t.Errorf("without order: %q", token)
	}
	if token, _ := event("1", a, "").Key(OrderingOrder); token != "acme=1" {
		t.Errorf("an order id beside a long legacy one: %q", token)
	}
	if token, _ := event("", a, "").Key(OrderingOrder); token != hashToken("l", "acme", a) {
		t.Errorf("only a long legacy id: %q", token)
	}
	if one.OrderID != "" || one.Type != "" || one.Size() > 2<<20 || len(one.Order()) > 100 {
		t.Errorf("an order id of %d bytes, type %d, shown %q", len(one.OrderID), len(one.Type), one.Order())
	}
}

// What a tenant's own subjects are is what its events have.
func TestOwnSubjects(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		layout string
		more   []string
		own    []string
	}{
		{"", nil, []string{"orders.acme.>"}},
		{"", []string{"orders.{tenant}.>"}, []string{"orders.acme.>"}},
		{"{eventType}.x.{tenant}", nil, []string{"*.x.acme", "*.x.acme.>"}},
		{"-", []string{"eu.{tenant}.>", "us.*.{tenant}.orders"}, []string{"eu.acme.>", "us.*.acme.>"}},
		{"-", nil, nil},
	} {
		d := Decoder{SubjectLayout: tt.layout, TenantSubjects: tt.more}
		if own := d.OwnSubjects("acme"); !slices.Equal(own, tt.own) {
			t.Errorf("%q, %q: %q", tt.layout, tt.more, own)
		}
		if own := d.OwnSubjects("a.*"); own != nil {
			t.Errorf("of what is no tenant: %q", own)
		}
	}
}
