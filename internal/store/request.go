package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"orderbridge/bridge/event"
	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

// ReadRequest reads a request of the bus, or the body of one of the API, into what
// into points to: one JSON object that is as the schema of that type says, each
// member under its exact name, at most once, and no other. The error is record.Problems:
// they name the member, what was given (unless it may hold a secret) and what may be.
func ReadRequest(data []byte, into any) error {
	var r requestReader
	schema := describe(reflect.TypeOf(into).Elem(), 0)
	v := gjson.ParseBytes(data)
	known := strings.Join(schema.members(), ", ")
	switch {
	case len(bytes.TrimSpace(data)) == 0 && known == "":
		return nil
	case len(bytes.TrimSpace(data)) == 0:
		r.fail("", "the request is empty; it is a JSON object, known are %s", known)
	case !json.Valid(data):
		r.fail("", "%s", record.NotJSON("the request", data))
	case !v.IsObject():
		r.fail("", "the request must be an object, is %s; known are %s", record.Kind(v), known)
	default:
		r.object("", v, schema)
	}
	if len(r.problems) == 0 {
		if err := json.Unmarshal(data, into); err != nil {
			r.fail("", "the request cannot be read: %s", err)
		}
	}
	return r.problems.Err()
}

// requestReader holds a request against its schema.
type requestReader struct{ problems record.Problems }

func (r *requestReader) fail(field, format string, args ...any) {
	r.problems = append(r.problems, record.Problem{Field: field, Message: fmt.Sprintf(format, args...)})
}

func (r *requestReader) full() bool { return len(r.problems) >= limits.RecordProblems }

// object reads each member of an object; prefix is its path with a dot at its end.
func (r *requestReader) object(prefix string, v gjson.Result, schema schemaOf) {
	members, declared := schema["properties"].(schemaOf)
	seen := map[string]bool{}
	v.ForEach(func(k, v gjson.Result) bool {
		name := k.String()
		member, ok := members[name].(schemaOf)
		if !declared { // any name
			member, ok = schema["additionalProperties"].(schemaOf)
		}
		field := prefix + strings.Trim(strconv.Quote(event.Shown(name)), `"`)
		switch {
		case !ok:
			r.problems = append(r.problems, record.Unknown(prefix, name, schema.members()))
		case seen[name]:
			r.fail(field, record.Twice)
		default:
			r.value(field, v, member)
		}
		seen[name] = true
		return !r.full()
	})
}

func (r *requestReader) value(field string, v gjson.Result, schema schemaOf) {
	want, fits := wanted(v, schema)
	switch {
	case want == "": // anything
	case v.Type == gjson.Null:
		r.fail(field, record.Null)
	case !fits:
		r.fail(field, "must be %s, is %s%s", want, record.Kind(v), shownValue(v, schema))
	case v.IsObject():
		r.object(field+".", v, schema)
	}
}

// wanted says what a value must be, and whether it is that, members of an object apart.
func wanted(v gjson.Result, schema schemaOf) (want string, fits bool) {
	if forms, ok := schema["anyOf"].([]any); ok {
		wants := make([]string, len(forms))
		for i, form := range forms {
			want, ok := wanted(v, form.(schemaOf))
			wants[i], fits = want, fits || ok
		}
		return strings.Join(wants, " or "), fits
	}
	switch schema["type"] {
	case "boolean":
		return "a boolean", v.IsBool()
	case "integer":
		if schema["minimum"] == nil {
			_, err := strconv.ParseInt(v.Raw, 10, 64)
			return "a whole number", err == nil
		}
		_, err := strconv.ParseUint(v.Raw, 10, 64)
		return "a whole number of at least 0", err == nil
	case "object":
		return "an object", v.IsObject()
	case "array":
		items := schema["items"].(schemaOf)
		want, _ := wanted(gjson.Result{}, items)
		if fits = v.IsArray(); fits {
			v.ForEach(func(_, item gjson.Result) bool {
				_, fits = wanted(item, items)
				return fits
			})
		}
		return "an array, each item " + want, fits
	case "string":
		switch {
		case schema["format"] == "date-time":
			return "a time like 2026-03-01T12:00:00Z", v.Type == gjson.String && new(time.Time).UnmarshalJSON([]byte(v.Raw)) == nil
		case schema["contentEncoding"] == "base64":
			return "a string in base64", v.Type == gjson.String && json.Unmarshal([]byte(v.Raw), new([]byte)) == nil
		}
		return "a string", v.Type == gjson.String
	}
	return "", true
}

// shownValue is a value in a message, where it can be no secret.
func shownValue(v gjson.Result, schema schemaOf) string {
	if v.Type == gjson.JSON || schema["anyOf"] != nil || schema["contentEncoding"] != nil || schema["type"] == "object" {
		return ""
	}
	shown := v.Raw
	if v.Type == gjson.String {
		shown = strconv.Quote(v.Str)
	}
	const most = 80
	if len(shown) > most {
		shown = strings.ToValidUTF8(shown[:most], "") + "…"
	}
	return " (" + shown + ")"
}
