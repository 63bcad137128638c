package record

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"orderbridge/bridge/event"
	"orderbridge/internal/limits"
)

// hearingMembers say which events a record hears, and from when on.
func hearingMembers() []member {
	return []member{
		{
			name:    "source",
			value:   keep(oneOf(sourceEvents, sourceAlerts), func(r *recordReader, s string) { r.s.Alerts = s == sourceAlerts }),
			initial: sourceEvents,
			about: "What the record hears: the events of the stream, or the bridge's alerts. A record with a tenant hears " +
				"the alerts about subscriptions of that tenant; of alerts, eventTypes are orderbridge.alert.suspended and so on.",
			example: `"events"`,
		},
		{
			name:    "subjects",
			value:   subjects,
			about:   "NATS subject filters; * stands for a token, > at the end for one or more. Left out: all.",
			samples: []any{[]any{"orders.acme.>"}},
			example: `["orders.acme.>"]`,
			also:    "subject topic topics",
		},
		{
			name:    "eventTypes",
			value:   eventTypes,
			about:   "Event types; * stands for any text. Left out: all.",
			samples: []any{[]any{"OrderAccepted", "OrderLines*"}},
			example: `["OrderAccepted"]`,
			also:    "events event type types eventtype",
		},
		{
			name:  "filter",
			value: filter,
			about: "A CEL expression that is true for the events to deliver, over event (the parsed JSON), " +
				"headers (name to first value) and subject. Left out: all.",
			samples: []any{`event.total > 100 && subject.startsWith("orders.acme.")`},
			example: `"event.total > 100"`,
		},
		{
			name:    "startFrom",
			value:   startFrom,
			initial: "new",
			about: "Where a record that is first put begins: new events, all that the stream holds, or those " +
				"from a time on.",
			example: `"all"`,
		},
		{
			name:    "tenant",
			value:   keep(tenant, func(r *recordReader, s string) { r.s.Tenant = s }),
			about:   "Hear only the events of this tenant, and those that tell none.",
			example: `"acme"`,
		},
	}
}

// The values of the member source.
const (
	sourceEvents = "events"
	sourceAlerts = "alerts"
)

// listSchema describes an array of 1 to most different entries.
func listSchema(most int, items fragment) fragment {
	return fragment{{"type", "array"}, {"minItems", 1}, {"maxItems", most}, {"items", items}}
}

var subjects = value{
	schema: listSchema(limits.RecordList, fragment{{"type", "string"}, {"maxLength", limits.RecordSubject},
		{"pattern", `^(?:>|(?:\*|[^\s\x00-\x1f\x7f-\x9f.*>]+)(?:\.(?:\*|[^\s\x00-\x1f\x7f-\x9f.*>]+))*(?:\.>)?)$`}}),
	read: (*recordReader).subjects,
}

var eventTypes = value{
	schema: listSchema(limits.RecordList, text(limits.RecordName).schema),
	read:   (*recordReader).eventTypes,
}

var filter = value{
	schema: fragment{{"type", "string"}, {"minLength", 1}, {"maxLength", limits.RecordFilter},
		{"pattern", `^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$`}},
	read: (*recordReader).filter,
}

func (r *recordReader) subjects(field string, v gjson.Result) {
	r.s.Subjects = withoutSubsumed(r.list(field, v, limits.RecordSubject, checkFilter), ">", subjectSubsumes)
}

// checkFilter says what is wrong with a subject filter, "" if nothing.
func checkFilter(filter string) string {
	if strings.ContainsFunc(filter, unicode.IsSpace) {
		return "is not a valid subject filter: it holds a space"
	}
	tokens, stars := strings.Split(filter, "."), 0
	for i, token := range tokens {
		switch {
		case token == "":
			return "is not a valid subject filter: it has an empty token (a dot too many)"
		case token == ">" && i < len(tokens)-1:
			return "is not a valid subject filter: > may only be its last token"
		case i == limits.SubjectTokens:
			return fmt.Sprintf("has %d tokens; at most %d are allowed: end it earlier, with >",
				len(tokens), limits.SubjectTokens)
		case len(token) > 1 && strings.ContainsAny(token, "*>"):
			return "is not a valid subject filter: * and > stand for whole tokens only, as in orders.*.created or orders.>"
		case token == "*":
			stars++
		}
	}
	if stars > limits.SubjectStars {
		return fmt.Sprintf("has %d tokens *; at most %d are allowed", stars, limits.SubjectStars)
	}
	return ""
}

func (r *recordReader) eventTypes(field string, v gjson.Result) {
	within := 0
	types := r.list(field, v, limits.RecordName, func(s string) string {
		stars := strings.Count(s, "*")
		if textWithin(s) {
			within++
		}
		switch {
		case stars > limits.PatternStars && stars < len(s):
			return fmt.Sprintf("has %d stars; at most %d are allowed", stars, limits.PatternStars)
		case within == limits.PatternsWithin+1:
			return fmt.Sprintf("is one more than the %d patterns with text between two stars that are allowed",
				limits.PatternsWithin)
		}
		return ""
	})
	for i, t := range types {
		if strings.Trim(t, "*") == "" {
			types[i] = "*"
		}
	}
	r.s.Types = withoutSubsumed(types, "*", typeMatches)
}

// filter reads an expression, which may have several lines.
func (r *recordReader) filter(field string, v gjson.Result) {
	if !r.is(field, v, "a string") {
		return
	}
	isControl := func(c rune) bool { return unicode.IsControl(c) && !strings.ContainsRune("\t\r\n", c) }
	switch n := utf8.RuneCountInString(v.Str); {
	case strings.TrimSpace(v.Str) == "":
		r.fail(field, `is empty; give an expression like event.total > 100, or leave it out`)
	case n > limits.RecordFilter:
		r.fail(field, "has %d characters; at most %d are allowed", n, limits.RecordFilter)
	case strings.ContainsFunc(v.Str, isControl):
		r.fail(field, "holds a control character; remove it")
	case r.policy.CheckFilter == nil:
		r.fail(field, "cannot be checked here; leave it out")
	default:
		if err := r.policy.CheckFilter(v.Str); err != nil {
			r.fail(field, "%s", err)
			return
		}
		r.more().Filter = strings.Clone(v.Str)
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
		if ok && !event.IsSafeID(s) {
			r.fail(field, "is %s; it must be made of A-Z a-z 0-9 _ -", quote(s))
		}
		return s, ok
	},
}
