package record

import (
	"strings"
	"testing"

	"orderbridge/bridge/event"
)

// Records without tenant hear all events, one with a tenant those of just that
// tenant, and nobody hears what is not an event; the directory says the same.
func TestWhoHearsAnEvent(t *testing.T) {
	t.Parallel()
	for _, e := range []*event.Event{
		{Tenant: "acme"}, {Tenant: "globex"}, {Tenant: ""}, {Tenant: "ACME"}, {Tenant: "acme\u0301"}, {Tenant: "acme", Not: "counter"}, {Not: "delete marker"},
	} {
		e.Subject = "orders.acme.OrderChanged.7"
		for _, s := range []*Subscription{{ID: "acme", Tenant: "acme"}, {ID: "globex", Tenant: "globex"}, {ID: "any"}} {
			d := NewDirectory()
			d.Put(s)
			got, _ := d.Match(e, nil)
			want := e.Not == "" && (s.Tenant == "" || s.Tenant == e.Tenant)
			if (len(got) == 1) != want || s.MatchesEvent(e) != want {
				t.Errorf("event of tenant %q (%s): the record of tenant %q hears it: %v", e.Tenant, e.Not, s.Tenant, !want)
			}
		}
	}
}

// What a former build owed may be of another tenant.
func TestRefusalOfAnotherTenant(t *testing.T) {
	t.Parallel()
	e := &event.Event{Tenant: "acme"}
	if why := (&Subscription{ID: "s", Tenant: "globex"}).Refusal(e); !strings.Contains(why, "of tenant acme, not of globex") {
		t.Errorf("refused with %q", why)
	}
	if why := (&Subscription{ID: "s", Tenant: "acme"}).Refusal(e); why != "" {
		t.Errorf("refused with %q", why)
	}
}

// An event type that is too long is matched by its ends, and refused with the reason.
func TestLongTypes(t *testing.T) {
	t.Parallel()
	d := &event.Decoder{Stream: "ORDERS"}
	e := d.Decode(&event.Message{Seq: 7, Subject: "orders.acme.x", Data: []byte(`{"eventType":"` + strings.Repeat("x", 900<<10) + `"}`)})
	for types, hears := range map[string]bool{"": true, "x*": true, "*xx": true, "y*": false, "xxx": false} {
		s := &Subscription{ID: "s"}
		if types != "" {
			s.Types = []string{types}
		}
		if s.MatchesEvent(e) != hears {
			t.Errorf("eventTypes %q hears a type of 900 KB: %v", types, !hears)
		}
		if why := s.Refusal(e); (why != "") != (types != "") || types != "" && !strings.Contains(why, "event type has 921600 bytes; at most 512") {
			t.Errorf("eventTypes %q: refused with %q", types, why)
		}
	}
}
