package record

import (
	"slices"
	"strings"

	"orderbridge/bridge/event"
)

// checkTogether looks at what no member shows alone.
func (r *recordReader) checkTogether() {
	s := r.s
	if r.hasTarget && s.Method == "GET" && !r.hasPlaceholder {
		r.fail("targetURL",
			"has no placeholder, but method is GET; put {orderId} or {legacyOrderId} into its path or query")
	}
	if s.Method == "GET" && r.givenPayload {
		r.warn("payload", "has no effect: method is GET, and a GET has no body")
	}
	if s.Coalesce && s.Method != "GET" && !slices.Contains(newestOnly, s.Payload) {
		r.fail("coalesce",
			"true would lose changes: %s sends the content of each event; use it with method GET or payload %s",
			quote(s.Payload), strings.Join(newestOnly, ", "))
	}
	if s.Coalesce && s.More != nil && s.More.Filter != "" {
		r.fail("coalesce",
			"true would lose events: one that the filter rejects would take the place of one that it wants; "+
				"use one of the two")
	}
	if s.Coalesce && s.Ordering == event.OrderingNone {
		r.warn("coalesce", "has no effect: with ordering none no event waits for another")
	}
	r.checkSource()
	if s.More != nil && !s.More.FormerUntil.IsZero() && len(s.More.Signing) == 1 {
		r.warn("signing.formerUntil", "has no effect: there is no secret after the first")
	}
	if s.More != nil && s.More.Auth != nil && s.More.Headers[s.More.Auth.sets()] != "" {
		r.fail("headers", "%q is set by auth already; use one of the two", s.More.Auth.sets())
	}
	for _, ref := range r.references {
		if err := CheckReference(s.Tenant, ref.value); err != nil {
			r.fail(ref.field, "%s", err)
		}
	}
	for _, file := range r.files {
		if err := CheckFileName(s.Tenant, file.value); err != nil {
			r.fail(file.field, "%s %s", quote(file.value), err)
		}
	}
	r.checkTLS()
}

// checkSource looks at what only events, or only alerts, have.
func (r *recordReader) checkSource() {
	s := r.s
	if p, known := event.PayloadOf(s.Payload); known && p.OfAlerts && !s.Alerts {
		r.fail("payload", `%s is a body for alerts: use it with "source": "alerts", or another payload`, quote(s.Payload))
	}
	if !s.Alerts {
		return
	}
	for field, given := range map[string]bool{"startFrom": s.More != nil && s.More.StartFrom != "", "coalesce": s.Coalesce} {
		if given {
			r.fail(field, "is for events: a record with source alerts hears what is raised from now on, each alert; leave it out")
		}
	}
	if p, _ := event.PayloadOf(s.Payload); p.KeyMember != "" && (s.More == nil || s.More.Key == "") {
		r.warn("key", "is not given, and %s wants it in the body, as %s", quote(s.Payload), p.KeyMember)
	}
	if r.hasPlaceholder {
		r.fail("targetURL", "has a placeholder, but an alert has no order; leave it out")
	}
}

// recordRules is what the schema says of several members at once; checkTogether says it as well, and more.
var recordRules = fragment{{"allOf", []any{
	fragment{
		{"if", given("method", "GET")},
		{"then", fragment{{"properties", fragment{{"targetURL", fragment{{"pattern", placeholder}}}}}}},
	},
	fragment{
		{"if", given("coalesce", true)},
		{"then", fragment{
			{"anyOf", coalescible()},
			{"not", fragment{{"required", []string{"filter"}}}},
		}},
	},
	fragment{
		{"if", fragment{{"required", []string{"payload"}}, {"properties", fragment{{"payload", fragment{{"enum", ofAlerts}}}}}}},
		{"then", given("source", sourceAlerts)},
	},
}}}

// coalescible says which records may coalesce.
func coalescible() []any {
	list := []any{given("method", "GET")}
	for _, name := range newestOnly {
		list = append(list, given("payload", name))
	}
	return list
}

// given is the schema of objects that have the member with this value.
func given(name string, v any) fragment {
	return fragment{{"required", []string{name}}, {"properties", fragment{{name, fragment{{"const", v}}}}}}
}
