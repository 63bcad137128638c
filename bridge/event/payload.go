package event

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tidwall/gjson"
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

// Where an event does not say these itself.
const (
	defaultSource = "/orderbridge"
	defaultType   = "order.changed"
)

// cloudEvent is the event as a structured CloudEvent 1.0 in JSON. One that came
// as such is passed on byte for byte (decompressed, without a byte order mark);
// one in binary mode keeps all its attributes; for any other id, source
// (/orderbridge), type, subject (the order id) and time are made from the event.
// Data is embedded if it is JSON, else it stands in data_base64; what cannot be
// decompressed stands there as it came, and contentencoding names its encoding.
func cloudEvent(e *Event) ([]byte, error) {
	data, unreadable := e.Body()
	switch named := mediaType(e.HeaderValue("Content-Type")); {
	case named == typeCloudEvent:
		if problem := e.bodyProblem(); problem != "" {
			return nil, errors.New("the event says that it is a structured CloudEvent, but " + problem)
		}
		return data, nil
	case named == typeCloudEventBatch:
		return nil, errors.New("the event is a batch of CloudEvents, which payload cloudevent cannot send: publish each as a message of its own")
	case unreadable == nil && isStructured(data):
		return data, nil
	}
	attributes := binaryAttributes(e)
	if attributes["specversion"] == "" {
		attributes = map[string]string{"id": e.ID, "source": defaultSource, "type": e.Type}
		if e.Type == "" {
			attributes["type"] = defaultType
		}
		if e.OrderID != "" {
			attributes["subject"] = e.OrderID
		}
		if !e.Time.IsZero() {
			attributes["time"] = e.Time.UTC().Format(time.RFC3339Nano)
		}
		if contentType := contentTypeOf(e); len(e.Data) > 0 {
			attributes["datacontenttype"] = contentType
		}
		attributes["specversion"] = "1.0"
	}
	// Required attributes that a publisher left out are mended, not refused.
	for name, value := range map[string]string{"id": e.ID, "source": defaultSource, "type": defaultType} {
		if attributes[name] == "" {
			attributes[name] = value
		}
	}

	if unreadable != nil {
		data = e.Data
		attributes["contentencoding"] = e.ContentEncoding()
	}

	names := make([]string, 0, len(attributes))
	for name := range attributes {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool { return attributeOrder(names[i]) < attributeOrder(names[j]) })
	b := append(make([]byte, 0, len(data)+512), '{')
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = AppendJSONString(b, name)
		b = append(b, ':')
		b = AppendJSONString(b, attributes[name])
	}
	switch {
	case len(data) == 0:
	case unreadable == nil && isJSONType(attributes["datacontenttype"]) && json.Valid(data) && utf8.Valid(data):
		b = append(b, `,"data":`...)
		b = append(b, bytes.TrimSpace(data)...)
	default:
		b = append(b, `,"data_base64":"`...)
		b = base64.StdEncoding.AppendEncode(b, data)
		b = append(b, '"')
	}
	return append(b, '}'), nil
}

// isStructured reports whether the data is a CloudEvent in JSON, with all that
// the specification requires.
func isStructured(data []byte) bool {
	if !looksLikeJSON(data) || !json.Valid(data) {
		return false
	}
	for _, v := range gjson.GetManyBytes(data, "specversion", "id", "source", "type") {
		if v.Type != gjson.String || v.Str == "" {
			return false
		}
	}
	return true
}

// binaryAttributes are the attributes of a CloudEvent in binary mode, or an
// empty map.
func binaryAttributes(e *Event) map[string]string {
	attributes := map[string]string{}
	for k, v := range e.Header {
		if len(k) <= 3 || len(v) == 0 || !strings.EqualFold(k[:3], "ce-") {
			continue
		}
		if name := strings.ToLower(k[3:]); attributeName(name) {
			attributes[name] = CloudEventValue(v[0])
		}
	}
	if v := e.HeaderValue("Content-Type"); v != "" && attributes["datacontenttype"] == "" && len(attributes) > 0 {
		attributes["datacontenttype"] = v
	}
	return attributes
}

// attributeName reports whether CloudEvents allows the name; data is not an attribute.
func attributeName(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return s != "data"
}

// attributeOrder sorts the well-known attributes first, in the order in which
// the specification shows them.
func attributeOrder(name string) string {
	for i, known := range [...]string{"specversion", "id", "source", "type", "subject", "time", "datacontenttype"} {
		if name == known {
			return string(rune('0' + i))
		}
	}
	return "~" + name
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
