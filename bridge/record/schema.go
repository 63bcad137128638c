package record

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

//go:generate go test -run ^TestSchemaFile$ -update .

// Schema returns the JSON Schema (2020-12) of a record, as text. It
// accepts what Parse accepts, as far as a schema can tell. The file
// subscription.schema.json is a copy of it.
func Schema() []byte {
	schema := fragment{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"$id", "urn:orderbridge:subscription"},
		{"title", "orderbridge subscription"},
		{"description", "A record in the KV bucket of subscriptions; its key is the subscription's id. " +
			"Beyond this schema the record is at most 64 KiB of UTF-8, names no member twice, its host is a valid one, and http needs the operator's permission."},
	}
	schema = append(append(schema, recordObject.schema()...), recordRules...)
	schema = append(schema, pair{"$defs", fragment{
		{"duration", durationSchema}, {"reference", referenceSchema},
		{"secret", secretSchema}, {"fileName", fileNameSchema},
	}})
	var out bytes.Buffer
	schema.write(&out, "\n")
	return append(out.Bytes(), '\n')
}

// schema describes an object with these members and no others.
func (o *memberSet) schema() fragment {
	return append(fragment{{"type", "object"}}, o.properties()...)
}

func (o *memberSet) properties() fragment {
	var required []string
	properties := fragment{}
	for _, m := range o.members {
		if m.required != "" {
			required = append(required, m.name)
		}
		properties = append(properties, pair{m.name, m.describe()})
	}
	n := fragment{{"additionalProperties", false}}
	if len(required) > 0 {
		n = append(n, pair{"required", required})
	}
	return append(n, pair{"properties", properties})
}

// describe is the schema of a member.
func (m *member) describe() fragment {
	n := append(fragment{}, m.schema...)
	if m.initial != nil {
		n = append(n, pair{"default", m.initial})
	}
	if m.about != "" {
		n = append(n, pair{"description", m.about})
	}
	if m.samples != nil {
		n = append(n, pair{"examples", m.samples})
	}
	return n
}

// with adds to the schema of a value.
func (v value) with(more fragment) value {
	v.schema = append(v.schema, more...)
	return v
}

// fragment is a JSON object with its members in their order.
type fragment []pair

type pair struct {
	name  string
	value any // fragment, []any, []string, string, int, bool, time.Duration or []time.Duration
}

// ref is a schema that stands under $defs.
func ref(name string) fragment { return fragment{{"$ref", "#/$defs/" + name}} }

// write writes the object; newline begins its lines.
func (n fragment) write(out *bytes.Buffer, newline string) {
	writeLines(out, '{', '}', newline, len(n), func(i int, newline string) {
		out.WriteString(quoteJSON(n[i].name) + ": ")
		writeValue(out, n[i].value, newline)
	})
}

func writeValue(out *bytes.Buffer, v any, newline string) {
	switch v := v.(type) {
	case fragment:
		v.write(out, newline)
	case []any:
		writeLines(out, '[', ']', newline, len(v), func(i int, newline string) { writeValue(out, v[i], newline) })
	case []string:
		writeLines(out, '[', ']', newline, len(v), func(i int, _ string) { out.WriteString(quoteJSON(v[i])) })
	case string:
		out.WriteString(quoteJSON(v))
	case int:
		out.WriteString(strconv.Itoa(v))
	case time.Duration:
		out.WriteString(quoteJSON(isoDuration(v)))
	case []time.Duration:
		writeLines(out, '[', ']', newline, len(v), func(i int, _ string) { out.WriteString(quoteJSON(isoDuration(v[i]))) })
	case bool:
		out.WriteString(strconv.FormatBool(v))
	}
}

// writeLines writes n entries, each on a line of its own.
func writeLines(out *bytes.Buffer, begin, end byte, newline string, n int, entry func(i int, newline string)) {
	out.WriteByte(begin)
	for i := range n {
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteString(newline + "  ")
		entry(i, newline+"  ")
	}
	if n > 0 {
		out.WriteString(newline)
	}
	out.WriteByte(end)
}

// isoDuration writes whole seconds in their ISO-8601 form: PT1M30S.
func isoDuration(d time.Duration) string { return "PT" + strings.ToUpper(brief(d)) }
