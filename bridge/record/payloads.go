package record

import (
	"strings"

	"github.com/tidwall/gjson"

	"orderbridge/bridge/event"
)

// payload names the body of the requests; the first is the default.
var payload = oneOf(payloadNames(nil)...)

// payloadNames are the names of the payloads that are wanted; nil wants all.
func payloadNames(wanted func(event.Payload) bool) (names []string) {
	for _, p := range event.Payloads() {
		if wanted == nil || wanted(p) {
			names = append(names, p.Name)
		}
	}
	return names
}

// aboutPayload says what each payload is.
func aboutPayload() string {
	var forms []string
	for _, p := range event.Payloads() {
		forms = append(forms, p.About)
	}
	last := len(forms) - 1
	return "The body: " + strings.Join(forms[:last], ", ") + ", or " + forms[last] + "."
}

// newestOnly are the payloads of which the newest is enough (coalesce).
var newestOnly = payloadNames(func(p event.Payload) bool { return p.Replaces != nil })

// ofAlerts are the payloads of alerts only.
var ofAlerts = payloadNames(func(p event.Payload) bool { return p.OfAlerts })

func (r *recordReader) payload(field string, v gjson.Result) {
	r.givenPayload = true
	if kind, ok := payload.read(r, field, v); ok {
		r.s.Payload = kind
	}
}
