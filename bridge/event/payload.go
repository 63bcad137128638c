package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	typeJSON       = "application/json"
	typeBinary     = "application/octet-stream"
	typeCloudEvent = "application/cloudevents+json"

	typeCloudEventBatch = "application/cloudevents-batch+json"
)

// A Payload is a form in which events are sent: all that the program knows of it stands in its declaration (payloads).
type Payload struct {
	Name  string
	About string // what the body is, in a few words
	// Verbatim: the body is the event's data as it was published, so that its Content-Encoding goes with it.
	Verbatim bool
	// Replaces reports whether a request for the newer of two events of an order makes one for the older needless (coalesce). nil: never,
	// since each tells something of its own.
	Replaces func(newer, older *Event) bool
	// OfAlerts: only alerts are sent so.
	OfAlerts bool
	// KeyMember is the member of the body that holds the record's key, which then does not go into the URL; "": none does.
	KeyMember string
	// Render makes the body of a request, not nil, and its content type. The error says why this event has no such body.
	Render func(e *Event) (body []byte, contentType string, err error)
}

var payloads = []Payload{
	{
		Name: "event", About: "the event's bytes as published",
		Verbatim: true,
		Render: func(e *Event) ([]byte, string, error) {
			if e.Data == nil {
				return []byte{}, contentTypeOf(e), nil
			}
			return e.Data, contentTypeOf(e), nil
		},
	},
	{
		Name: "notification", About: `{"orderId","eventType"}`,
		Replaces: func(newer, older *Event) bool { return newer.Type == older.Type },
		Render: func(e *Event) ([]byte, string, error) {
			body, err := notification(e)
			return body, typeJSON, err
		},
	},
	{
		Name: "cloudevent", About: "a structured CloudEvent",
		Render: func(e *Event) ([]byte, string, error) {
			body, err := cloudEvent(e)
			return body, typeCloudEvent, err
		},
	},
	alertPayload("slack", "for alerts a message of Slack", slackBody),
	alertPayload("teams", "of Microsoft Teams", teamsBody),
	alertPayload("pagerduty", "an event of PagerDuty, with the record's key as routing_key", pagerDutyBody).withKey("routing_key"),
	alertPayload("alertmanager", "what Alertmanager takes", alertmanagerBody),
}

func (p Payload) withKey(member string) Payload {
	p.KeyMember = member
	return p
}

// Payloads are all forms, the one that holds where a record names none first. They are shared and must not be changed.
func Payloads() []Payload { return payloads }

// PayloadOf is the form of that name; "" is the first one.
func PayloadOf(name string) (p Payload, known bool) {
	for _, p := range payloads {
		if p.Name == name || name == "" {
			return p, true
		}
	}
	return Payload{}, false
}

// contentTypeOf is the content type that the event's publisher gave it, by a
// Content-Type header or, for a CloudEvent in binary mode, ce-datacontenttype;
// without one application/json if the data is JSON, else
// application/octet-stream. An object or array is known by its first and last
// byte: it is not parsed on the way through.
func contentTypeOf(e *Event) string {
	for _, name := range [...]string{"Content-Type", "ce-datacontenttype"} {
		if v := e.HeaderValue(name); v != "" && len(v) <= 256 && strings.Contains(v, "/") && !strings.ContainsFunc(v, isControl) {
			return v
		}
	}
	body, err := e.Body()
	if err == nil && looksLikeJSON(body) {
		return typeJSON
	}
	return typeBinary
}

// isControl: what may not stand in a header, tabs apart.
func isControl(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }

func looksLikeJSON(data []byte) bool {
	data = bytes.TrimSpace(data)
	if len(data) == 0 {
		return false
	}
	switch first, last := data[0], data[len(data)-1]; {
	case first == '{':
		return last == '}'
	case first == '[':
		return last == ']'
	case len(data) > 4096: // a scalar of that size is not an event
		return false
	}
	return json.Valid(data)
}

// notification is contract B4's body, exactly two members.
func notification(e *Event) ([]byte, error) {
	switch {
	case e.OrderID == "":
		return nil, e.Missing("orderId", "payload notification")
	case e.Type == "":
		return nil, e.Missing("event type", "payload notification")
	}
	b := make([]byte, 0, len(e.OrderID)+len(e.Type)+32)
	b = append(b, `{"orderId":`...)
	b = AppendJSONString(b, e.OrderID)
	b = append(b, `,"eventType":`...)
	b = AppendJSONString(b, e.Type)
	return append(b, '}'), nil
}

// Missing is why an event that lacks an id cannot be sent: it has none, or its
// data cannot be read. what is as of TooLong; user says what needs it.
func (e *Event) Missing(what, user string) error {
	if long := e.TooLong(what); long != "" {
		return fmt.Errorf("%s: %s needs it", long, user)
	}
	if problem := e.bodyProblem(); problem != "" && len(e.Data) > 0 {
		return fmt.Errorf("the %s, which %s needs, cannot be read from the event: %s", what, user, problem)
	}
	return fmt.Errorf("the event has no %s, which %s needs", what, user)
}

func mediaType(contentType string) string {
	base, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(base))
}

// isJSONType follows CloudEvents: no datacontenttype means JSON.
func isJSONType(contentType string) bool {
	m := mediaType(contentType)
	return m == "" || m == typeJSON || m == "text/json" || strings.HasSuffix(m, "+json")
}

const hexDigits = "0123456789ABCDEF"

// AppendJSONString appends s as a JSON string and escapes only what JSON asks
// for: encoding/json would write < > & as \u003c and so on.
func AppendJSONString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				b = append(append(b, s[start:i]...), "\uFFFD"...)
				start = i + 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(b, s[start:]...), '"')
}
