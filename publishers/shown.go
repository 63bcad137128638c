package publishers

import (
	"slices"
	"strings"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/bridge/record"
	"orderbridge/publishers/http1"
)

// What of a request may be shown is decided by where it comes from, never by a
// search for secrets in it: whoever chooses an event could have such a search tell
// whether a guess is right.

const (
	shownSignature = "[signature]"
	shownToken     = "Bearer [token]" //nolint:gosec // it stands for one
)

// shownField is the value of a field of a request as it may be shown; what has no
// slot is the token.
func (e *endpoint) shownField(f http1.Field) string {
	at, found := slices.BinarySearchFunc(e.slots, slot{name: f.Name}, byName)
	if !found {
		return shownToken
	}
	return e.slots[at].shown(f.Value)
}

// shown is the value of a field as it may be shown.
func (s *slot) shown(value string) string {
	switch {
	case s.value == bodySignatureValue, s.value == signatureValue:
		if more := strings.Count(value, " "); more > 0 { // by former secrets
			return shownSignature + strings.Repeat(" "+shownSignature, more)
		}
		return shownSignature
	case s.given && value == s.static:
		return redacted
	}
	return value
}

// appendShown appends the fields of a request, which are sorted as the slots are.
func (e *endpoint) appendShown(to bridge.AttemptHeaders, fields []http1.Field) bridge.AttemptHeaders {
	at := 0
	for i := range fields {
		f := &fields[i]
		for at < len(e.slots) && e.slots[at].name < f.Name {
			at++
		}
		value := shownToken
		if at < len(e.slots) && e.slots[at].name == f.Name {
			value = e.slots[at].shown(f.Value)
		}
		to = append(to, bridge.AttemptHeader{Name: f.Name, Value: value})
	}
	if e.token != nil {
		to = append(to, bridge.AttemptHeader{Name: "Authorization", Value: shownToken})
	}
	return to
}

// shownURL is the target of a request: the record's, as it is shown, with the event's ids.
func (e *endpoint) shownURL(s *record.Subscription, ev *event.Event) string {
	pieces := e.shownTarget.Load()
	if pieces == nil {
		made := shownPieces(s)
		pieces = &made
		e.shownTarget.Store(pieces)
	}
	if len(*pieces) == 1 {
		return (*pieces)[0].text
	}
	var b strings.Builder
	for _, p := range *pieces {
		b.WriteString(p.text)
		if p.id != noPlaceholder {
			b.WriteString(escapeValue(p.id.of(ev)))
		}
	}
	return b.String()
}

func shownPieces(s *record.Subscription) []piece {
	target, _, _ := strings.Cut(record.ShownURL(s.TargetURL), "#")
	if s.More != nil && s.More.Key != "" {
		target += keySeparator(target, !strings.Contains(target, "?")) + "key=" + redacted
	}
	pieces, _, err := cutPlaceholders(target)
	if err != nil { // the URL itself has none of that
		return []piece{{text: target}}
	}
	return pieces
}
