package record

import (
	"slices"

	"github.com/tidwall/gjson"

	"orderbridge/bridge/event"
	"orderbridge/internal/limits"
)

// recordMembers are the members of a record.
func recordMembers() []member {
	return slices.Concat(requestMembers(), credentialMembers(), hearingMembers(), paceMembers(), otherMembers())
}

// requestMembers say what is sent, and where to.
func requestMembers() []member {
	return []member{
		{
			name:  "targetURL",
			value: targetURL,
			about: "https URL that each event is sent to. {orderId} and {legacyOrderId} (or <orderId>, " +
				"<legacyOrderId>) may stand in its path or query, never in its host; they are percent-encoded " +
				"for their place. No user info, no fragment. http only where the operator permits it.",
			samples:  []any{"https://erp.example.com/orders/{orderId}"},
			example:  `"https://erp.example.com/orders"`,
			required: "is required: the https URL that the events are sent to",
			also:     "url uri endpoint target webhook callback callbackurl",
		},
		{
			name:    "method",
			value:   keep(oneOf("POST", "PUT", "GET"), func(r *recordReader, s string) { r.s.Method = s }),
			initial: "POST",
			about:   "The method of each request. GET carries the order id in the URL and no body.",
			example: `"PUT"`,
			also:    "verb httpmethod",
		},
		{
			name:    "payload",
			value:   value{schema: payload.schema, read: (*recordReader).payload},
			initial: event.Payloads()[0].Name,
			about:   aboutPayload(),
			example: `"event"`,
		},
		{
			name:  "transform",
			value: value{schema: fragment{{"not", fragment{}}}, read: (*recordReader).notYet},
			about: "Not supported yet. A CEL expression that builds the body.",
		},
	}
}

// credentialMembers say how requests prove who sends them, and what else their headers hold.
func credentialMembers() []member {
	return []member{
		{
			name:    "key",
			value:   secretAt(func(more *More) *Secret { return &more.Key }),
			about:   "Appended to the URL as the query parameter key. A secret.",
			example: `"env:ORDERBRIDGE_SECRET_KEY"`,
		},
		{
			name:    "secret",
			value:   secretAt(func(more *More) *Secret { return &more.Secret }),
			about:   "Signs the body: X-Signature, the HMAC-SHA256 of its exact bytes in lower-case hex.",
			example: `"env:ORDERBRIDGE_SECRET_SIGNATURE"`,
		},
		{
			name:  "signing",
			value: nested("signing", nil, signingMembers),
			about: "Signs by Standard Webhooks: Webhook-Signature. Several secrets, for rotation, give several " +
				"signatures.",
			example: `{"secrets":["env:ORDERBRIDGE_SECRET_SIGNING"]}`,
		},
		{
			name:    "auth",
			value:   authValue(),
			about:   "How a request authenticates itself, with the first request.",
			example: `{"type":"bearer","token":"env:ORDERBRIDGE_SECRET_TOKEN"}`,
			also:    "authentication authorization",
		},
		{
			name:    "tls",
			value:   nested("tls", func(r *recordReader) { r.more().TLS = &TLS{} }, tlsMembers()).with(tlsRules),
			about:   "How the endpoint, and its token server, are verified and what is shown to them.",
			example: `{"trustFile":"partner-ca.pem"}`,
		},
		{
			name:  "headers",
			value: headers,
			about: "Constant request headers; a value may be a reference. Those that the bridge sets itself and " +
				"those of the connection are reserved.",
			example: `{"X-Team":"sales"}`,
		},
	}
}

// The values of the member status.
const (
	StatusActive      = "active"
	StatusPaused      = "paused"
	StatusDeactivated = "deactivated"
)

// otherMembers say what the record is. Its times are the API's to show.
func otherMembers() []member {
	return []member{
		{
			name:    "status",
			value:   keep(oneOf(StatusActive, StatusPaused, StatusDeactivated), (*recordReader).status),
			initial: StatusActive,
			about: "A paused subscription is sent nothing, and loses nothing: what is published meanwhile is owed, and " +
				"comes in order once it is active again. A deactivated one hears nothing: what is published meanwhile " +
				"is not for it.",
			example: `"active"`,
			also:    "enabled active state disabled",
		},
		{
			name:    "description",
			value:   keep(text(limits.RecordText), func(r *recordReader, s string) { r.more().Description = s }),
			about:   "For people.",
			example: `"order lines for the ERP"`,
			also:    "name comment",
		},
		{
			name:    "labels",
			value:   labels,
			about:   "For people and tools.",
			example: `{"team":"sales"}`,
			also:    "tags",
		},
		{
			name:  "id",
			value: value{schema: safeID, read: (*recordReader).id},
			about: "Must equal the key of the record.",
		},
		{
			name:  "createdAt",
			value: keep(moment, ignored),
		},
		{
			name:  "updatedAt",
			value: keep(moment, ignored),
		},
	}
}

func ignored(*recordReader, string) {}

func (r *recordReader) status(s string) {
	r.s.Inactive, r.s.Paused = s == StatusDeactivated, s == StatusPaused
}

func (r *recordReader) notYet(field string, _ gjson.Result) {
	r.fail(field, "is not supported yet; leave it out")
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
	most := func(gjson.Result) int { return limits.RecordText }
	r.dictionary(field, v, most, func(_, name, value string) { labels[name] = value })
	if len(labels) > 0 {
		r.more().Labels = labels
	}
}

func (r *recordReader) id(field string, v gjson.Result) {
	if r.is(field, v, "a string") && v.Str != r.s.ID {
		r.fail(field, "is %s, but the record stands under the key %s; make them equal or leave it out", quote(v.Str), quote(r.s.ID))
	}
}
