package event

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"sort"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

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
	attributes := attributesOf(e)
	if unreadable != nil {
		data = e.Data
		attributes["contentencoding"] = e.ContentEncoding()
	}
	return writeCloudEvent(attributes, data, unreadable == nil), nil
}

// attributesOf are those that the publisher gave in binary mode, else those that are read from the event.
func attributesOf(e *Event) map[string]string {
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
	return attributes
}

// writeCloudEvent writes the JSON of a structured CloudEvent; data is embedded only if it can be read.
func writeCloudEvent(attributes map[string]string, data []byte, readable bool) []byte {
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
	case readable && isJSONType(attributes["datacontenttype"]) && json.Valid(data) && utf8.Valid(data):
		b = append(b, `,"data":`...)
		b = append(b, bytes.TrimSpace(data)...)
	default:
		b = append(b, `,"data_base64":"`...)
		b = base64.StdEncoding.AppendEncode(b, data)
		b = append(b, '"')
	}
	return append(b, '}')
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
