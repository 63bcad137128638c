package publishers

import (
	"slices"
	"strings"

	"orderbridge/publishers/http1"
)

// Which fields a request of an endpoint may have, and their order, is known once
// its record is: an attempt only fills in the values.

// value is what of an attempt stands in a field.
type value int

const (
	noValue value = iota
	agentValue
	contentTypeValue
	contentEncodingValue
	idValue
	timestampValue
	bodySignatureValue
	signatureValue
	attemptValue
	eventIDValue
	orderIDValue
	eventTypeValue
	redriveValue
	replayValue
	replayIDValue
	testValue
	traceParentValue
	traceStateValue
	numValues
)

// values are those of one attempt; a field without one stands as the record has
// it, or not at all.
type values [numValues]string

// slot is a field of an endpoint's requests.
type slot struct {
	name   string // canonical
	value  value
	static string // if given
	given  bool   // by the record
}

// eventSlots are the fields that every request may have.
var eventSlots = []slot{
	{name: "User-Agent", value: agentValue},
	{name: "Content-Type", value: contentTypeValue},
	{name: "Content-Encoding", value: contentEncodingValue},
	{name: "Webhook-Id", value: idValue},
	{name: "Idempotency-Key", value: idValue},
	{name: "Webhook-Timestamp", value: timestampValue},
	{name: "X-Signature", value: bodySignatureValue},
	{name: "Webhook-Signature", value: signatureValue},
	{name: "X-Attempt", value: attemptValue},
	{name: "X-Event-Id", value: eventIDValue},
	{name: "X-Order-Id", value: orderIDValue},
	{name: "X-Event-Type", value: eventTypeValue},
	{name: "X-Redrive", value: redriveValue},
	{name: "X-Replay", value: replayValue},
	{name: "X-Replay-Id", value: replayIDValue},
	{name: "X-Test", value: testValue},
	{name: "Traceparent", value: traceParentValue},
	{name: "Tracestate", value: traceStateValue},
}

func byName(a, b slot) int { return strings.Compare(a.name, b.name) }

// slotsFor are the fields of every request and those of a record, sorted.
func slotsFor(static []http1.Field) []slot {
	slots := slices.Clone(eventSlots)
	slices.SortFunc(slots, byName)
	for _, f := range static {
		at, found := slices.BinarySearchFunc(slots, slot{name: f.Name}, byName)
		if !found {
			slots = slices.Insert(slots, at, slot{name: f.Name})
		}
		slots[at].static, slots[at].given = f.Value, true
	}
	return slots
}

// fill makes the fields of an attempt.
func fill(slots []slot, v *values) []http1.Field {
	fields := make([]http1.Field, 0, len(slots))
	for i := range slots {
		s := &slots[i]
		switch {
		case v[s.value] != "":
			fields = append(fields, http1.Field{Name: s.name, Value: v[s.value]})
		case s.given:
			fields = append(fields, http1.Field{Name: s.name, Value: s.static})
		}
	}
	return fields
}

// withTrace are the fields with another trace context.
func withTrace(fields []http1.Field, parent, state string) []http1.Field {
	for name, value := range map[string]string{"Traceparent": parent, "Tracestate": state} {
		if value != "" {
			fields = with(fields, http1.Field{Name: name, Value: value})
		}
	}
	return fields
}

// with are the fields with another one, in its place; the former are not changed.
func with(fields []http1.Field, f http1.Field) []http1.Field {
	at, found := slices.BinarySearchFunc(fields, f.Name,
		func(f http1.Field, name string) int { return strings.Compare(f.Name, name) })
	if found {
		fields = slices.Clone(fields)
		fields[at] = f
		return fields
	}
	return slices.Insert(slices.Clip(fields), at, f)
}
