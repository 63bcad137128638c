package event

import (
	"fmt"
	"unicode/utf8"

	"orderbridge/internal/limits"
)

// What is read from an event is bounded: it is held in memory, matched against
// patterns, written to the ledger and shown. A longer value counts as not told.
// What must be known of it all the same stands in the event's overlong: the
// lane of an order whose id is that long is named by a hash, and an event type
// that is that long is matched by its two ends, so that the records that may
// mean it get a dead letter that says why, and not nothing.

// overlong is what an event's values were that are longer than limits.ValueBytes.
type overlong struct {
	sizes [fields]int // in bytes; 0: within the bound
	token string      // lane, where the id that names it is too long
	plain string      // beginning of that id, for people
	typ   string      // both ends of the type
}

func (o *overlong) size(f field) int {
	if o == nil {
		return 0
	}
	return o.sizes[f]
}

// bound is the value, "" if it is too long.
func (e *Event) bound(f field, v string) string {
	if len(v) <= limits.ValueBytes {
		return v
	}
	if e.over == nil {
		e.over = &overlong{}
	}
	e.over.sizes[f] = len(v)
	if f == fieldType {
		e.over.typ = v[:limits.ValueBytes/2] + v[len(v)-limits.ValueBytes/2:]
	}
	return ""
}

// boundOrder bounds both order ids. The one that names the lane does so by the
// same hash as any id that is not a readable token.
func (e *Event) boundOrder(order, legacy string) {
	e.OrderID, e.LegacyOrderID = e.bound(fieldOrderID, order), e.bound(fieldLegacyOrderID, legacy)
	switch {
	case e.over.size(fieldOrderID) > 0:
		e.over.token, e.over.plain = hashToken("", e.Tenant, order), begin(order)
	case order == "" && e.over.size(fieldLegacyOrderID) > 0:
		e.over.token, e.over.plain = hashToken("l", e.Tenant, legacy), begin(legacy)
	}
}

// begin is the beginning of a long text, for people.
func begin(text string) string {
	const most = 64
	n := most
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + "…"
}

// Shown is a subject in a bounded form.
func Shown(subject string) string {
	if len(subject) <= limits.ValueBytes {
		return subject
	}
	return begin(subject)
}

// MatchedType is what stands for the event's type where it is matched.
func (e *Event) MatchedType() string {
	if e.over != nil && e.over.typ != "" {
		return e.over.typ
	}
	return e.Type
}

var fieldNames = [fields]string{fieldOrderID: "orderId", fieldLegacyOrderID: "legacyOrderId", fieldType: "event type",
	fieldTenant: "tenant"}

// TooLong says that one of the event's values was left out because of its
// length: "orderId", "legacyOrderId", "event type" or "tenant"; "" if it was not.
func (e *Event) TooLong(what string) string {
	if e.over == nil {
		return ""
	}
	for f, name := range fieldNames {
		if n := e.over.sizes[f]; n > 0 && name == what {
			return fmt.Sprintf("the event's %s has %d bytes; at most %d are used", what, n, limits.ValueBytes)
		}
	}
	return ""
}

// Overlong names the values that were left out because of their length.
func (e *Event) Overlong() (names []string) {
	if e.over == nil {
		return nil
	}
	for f, n := range e.over.sizes {
		if n > 0 {
			names = append(names, fieldNames[f])
		}
	}
	return names
}

// Shorten is a text of any length, for people.
func Shorten(text string) string {
	if len(text) <= 64 {
		return text
	}
	return begin(text)
}
