package bridge

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"orderbridge/internal/limits"
)

// recordMembers are the members of a record.
func recordMembers() []member {
	const attempt, least = limits.RecordAttemptTime, limits.RecordLeastTimeout
	return []member{
		{name: "targetURL", value: targetURL,
			about: "https URL that each event is sent to. {orderId} and {legacyOrderId} (or <orderId>, <legacyOrderId>) may stand in its path or query, " +
				"never in its host; they are percent-encoded for their place. No user info, no fragment. http only where the operator permits it.",
			samples: []any{"https://erp.example.com/orders/{orderId}"}, example: `"https://erp.example.com/orders"`,
			required: "is required: the https URL that the events are sent to", also: "url uri endpoint target webhook callback callbackurl"},
		{name: "method", value: keep(oneOf("POST", "PUT", "GET"), func(r *recordReader, s string) { r.s.Method = s }), initial: "POST",
			about: "The method of each request. GET carries the order id in the URL and no body.", example: `"PUT"`, also: "verb httpmethod"},
		{name: "subjects", value: subjects,
			about:   "NATS subject filters; * stands for a token, > at the end for one or more. Left out: all.",
			samples: []any{[]any{"orders.acme.>"}}, example: `["orders.acme.>"]`, also: "subject topic topics"},
		{name: "eventTypes", value: eventTypes,
			about:   "Event types; * stands for any text. Left out: all.",
			samples: []any{[]any{"OrderAccepted", "OrderLines*"}}, example: `["OrderAccepted"]`, also: "events event type types eventtype"},
		{name: "filter", value: filter,
			about: "A CEL expression that is true for the events to deliver, over event (the parsed JSON), headers (name to first value) and subject. " +
				"Left out: all.",
			samples: []any{`event.total > 100 && subject.startsWith("orders.acme.")`}, example: `"event.total > 100"`},
		{name: "payload", value: value{schema: payload.schema, read: (*recordReader).payload}, initial: "event",
			about:   `The body: the event's bytes as published, {"orderId","eventType"}, or a structured CloudEvent.`,
			example: `"event"`},
		{name: "transform", value: value{schema: fragment{{"not", fragment{}}}, read: (*recordReader).notYet},
			about: "Not supported yet. A CEL expression that builds the body."},

		{name: "key", value: secretAt(func(more *SubscriptionMore) *Secret { return &more.Key }),
			about: "Appended to the URL as the query parameter key. A secret.", example: `"env:ORDERBRIDGE_SECRET_KEY"`},
		{name: "secret", value: secretAt(func(more *SubscriptionMore) *Secret { return &more.Secret }), // contract B's: of any length
			about:   "Signs the body: X-Signature, the HMAC-SHA256 of its exact bytes in lower-case hex.",
			example: `"env:ORDERBRIDGE_SECRET_SIGNATURE"`},
		{name: "signing", value: nested("signing", nil, signingMembers),
			about:   "Signs by Standard Webhooks: Webhook-Signature. Several secrets, for rotation, give several signatures.",
			example: `{"secrets":["env:ORDERBRIDGE_SECRET_SIGNING"]}`},
		{name: "auth", value: authValue(),
			about:   "How a request authenticates itself, with the first request.",
			example: `{"type":"bearer","token":"env:ORDERBRIDGE_SECRET_TOKEN"}`, also: "authentication authorization"},
		{name: "tls", value: nested("tls", func(r *recordReader) { r.more().TLS = &TLS{} }, tlsMembers()).with(tlsRules),
			about: "How the endpoint, and its token server, are verified and what is shown to them.", example: `{"trustFile":"partner-ca.pem"}`},
		{name: "headers", value: headers,
			about:   "Constant request headers; a value may be a reference. Those that the bridge sets itself and those of the connection are reserved.",
			example: `{"X-Team":"sales"}`},

		{name: "connectionTimeout", value: keep(duration(attempt, least), func(r *recordReader, d time.Duration) { r.more().ConnectionTimeout = d }),
			initial: "PT10S", about: "Bounds dial and TLS handshake; at most 10 minutes.", example: `"PT5S" or "5s"`},
		{name: "timeout", value: keep(duration(attempt, least), func(r *recordReader, d time.Duration) { r.more().Timeout = d }),
			initial: "PT30S", about: "Bounds a whole attempt; at most 10 minutes.", example: `"PT10S" or "10s"`},
		{name: "retry", value: nested("retry", nil, retryMembers),
			about: "When a failed delivery is tried again.", example: `{"schedule":["PT5S","PT1M","PT1H"]}`, also: "retries retryschedule backoff"},
		{name: "ordering", value: keep(oneOf(orderings...), (*recordReader).ordering), initial: orderings[OrderingOrder],
			about: "Which events wait for one another: those of one order, none, all.", example: `"order"`},
		{name: "coalesce", value: keep(boolean, func(r *recordReader, b bool) { r.s.Coalesce = b }), initial: false,
			about: "While an order waits, send only its newest event. Needs method GET or payload notification.", example: `true`},
		{name: "maxInFlight", value: keep(whole(limits.RecordInFlight), func(r *recordReader, n int) { r.s.MaxInFlight = n }), initial: DefaultMaxInFlight,
			about: "Requests at once.", example: `16`, also: "concurrency parallel"},
		{name: "rateLimit", value: nested("rateLimit", func(r *recordReader) { r.more().RateLimit = &RateLimit{Per: time.Second} }, rateMembers),
			about: "The most requests that may start within a time, at most an hour.", example: `{"requests":100,"per":"PT1S"}`},
		{name: "startFrom", value: startFrom, initial: "new",
			about: "Where a record that is first put begins: new events, all that the stream holds, or those from a time on.", example: `"all"`},
		{name: "status", value: keep(oneOf("active", "deactivated"), func(r *recordReader, s string) { r.s.Inactive = s == "deactivated" }), initial: "active",
			about: "A deactivated subscription hears nothing.", example: `"active"`, also: "enabled active state disabled"},
		{name: "tenant", value: keep(tenant, func(r *recordReader, s string) { r.s.Tenant = s }),
			about: "Hear only the events of this tenant, and those that tell none.", example: `"acme"`},
		{name: "description", value: keep(text(limits.RecordText), func(r *recordReader, s string) { r.more().Description = s }),
			about: "For people.", example: `"order lines for the ERP"`, also: "name comment"},
		{name: "labels", value: labels,
			about: "For people and tools.", example: `{"team":"sales"}`, also: "tags"},

		{name: "id", value: value{schema: safeID, read: (*recordReader).id}, about: "Must equal the key of the record."},
		{name: "createdAt", value: keep(moment, ignored)}, // these two are the API's to show
		{name: "updatedAt", value: keep(moment, ignored)},
	}
}

// retryMembers are the members of retry.
var retryMembers = []member{{
	name: "schedule", value: value{
		schema: fragment{{"type", "array"}, {"maxItems", limits.RecordList}, {"items", ref("duration")}},
		read:   (*recordReader).schedule,
	},
	about: "The waits between attempts, from 1 s to 30 days each, with a jitter of 10 %; a shorter one is raised, with a warning. " +
		"After the last the delivery becomes a dead letter; an empty list means no retries.",
	initial: []any{"PT5S", "PT30S", "PT5M", "PT30M", "PT2H", "PT5H", "PT10H", "PT10H"},
	example: `["PT5S","PT1M","PT1H"]`, also: "intervals",
}}

// rateMembers are the members of rateLimit.
var rateMembers = []member{
	{name: "requests", value: keep(whole(limits.RecordRate), func(r *recordReader, n int) { r.s.More.RateLimit.Requests = n }), also: "limit",
		required: `is missing; give the number of requests, as in {"requests":100,"per":"PT1S"}`},
	{name: "per", value: keep(duration(limits.RecordRateTime, 0), func(r *recordReader, d time.Duration) { r.s.More.RateLimit.Per = d }),
		initial: "PT1S", example: `"PT1S" or "1s"`},
}

func ignored(*recordReader, string) {}

func (r *recordReader) notYet(field string, _ gjson.Result) {
	r.fail(field, "is not supported yet; leave it out")
}

func (r *recordReader) schedule(field string, v gjson.Result) {
	if !r.is(field, v, "an array") {
		return
	}
	waits := []time.Duration{}
	v.ForEach(func(_, v gjson.Result) bool {
		field := field + "[" + strconv.Itoa(len(waits)) + "]"
		waits = append(waits, r.atLeast(field, v, r.duration(field, v, limits.RecordWait), r.leastWait()))
		return len(waits) <= limits.RecordList
	})
	if len(waits) > limits.RecordList {
		r.fail(field, "has more than %d entries", limits.RecordList)
	}
	r.more().Schedule = slices.Clip(waits)
}

var payload = oneOf("event", "notification", "cloudevent")

func (r *recordReader) payload(field string, v gjson.Result) {
	r.givenPayload = true
	if kind, ok := payload.read(r, field, v); ok {
		r.s.Payload = kind
	}
}

// orderings are the names of Ordering.
var orderings = []string{OrderingOrder: "order", OrderingNone: "none", OrderingStrict: "strict"}

func (r *recordReader) ordering(name string) {
	for o, n := range orderings {
		if n == name {
			r.s.Ordering = Ordering(o)
		}
	}
}

var startFrom = value{
	schema: fragment{{"anyOf", []any{fragment{{"enum", []string{"new", "all"}}}, moment.schema}}},
	read:   (*recordReader).startFrom,
}

func (r *recordReader) startFrom(field string, v gjson.Result) {
	if !r.is(field, v, "a string") {
		return
	}
	_, err := time.Parse(time.RFC3339, v.Str)
	switch {
	case v.Str == "new":
	case v.Str == "all" || err == nil:
		r.more().StartFrom = strings.Clone(v.Str)
	default:
		r.fail(field, "is %s; it must be new, all, or a time like 2006-01-02T15:04:05Z", quote(v.Str))
	}
}

var tenant = form[string]{
	schema: safeID,
	read: func(r *recordReader, field string, v gjson.Result) (string, bool) {
		s, ok := r.text(field, v, 64)
		if ok && !isSafeID(s) {
			r.fail(field, "is %s; it must be made of A-Z a-z 0-9 _ -", quote(s))
		}
		return s, ok
	},
}

var labels = value{
	schema: fragment{
		{"type", "object"}, {"maxProperties", limits.RecordList},
		{"propertyNames", text(limits.RecordName).schema[1:]}, // that of a name needs no type
		{"additionalProperties", text(limits.RecordText).schema},
	},
	read: (*recordReader).labels,
}

func (r *recordReader) labels(field string, v gjson.Result) {
	labels := map[string]string{}
	r.dictionary(field, v, func(gjson.Result) int { return limits.RecordText }, func(_, name, value string) { labels[name] = value })
	if len(labels) > 0 {
		r.more().Labels = labels
	}
}

func (r *recordReader) id(field string, v gjson.Result) {
	if r.is(field, v, "a string") && v.Str != r.s.ID {
		r.fail(field, "is %s, but the record stands under the key %s; make them equal or leave it out", quote(v.Str), quote(r.s.ID))
	}
}
