package store

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
)

// schemaOf describes a type as it stands in JSON, by JSON Schema.
type schemaOf map[string]any

// members are the names of an object's declared members, sorted.
func (s schemaOf) members() []string {
	members, _ := s["properties"].(schemaOf)
	return slices.Sorted(maps.Keys(members))
}

// closed lets objects have their declared members only.
func (s schemaOf) closed() schemaOf {
	if members, ok := s["properties"].(schemaOf); ok {
		s["additionalProperties"] = false
		for _, member := range members {
			member.(schemaOf).closed()
		}
	}
	return s
}

// requestShape is the JSON Schema of a request of that type, as ReadRequest reads it.
func requestShape(v any) string { return shapeText(describe(reflect.TypeOf(v), 0).closed()) }

// shape is the JSON Schema of what a value of that type is in JSON.
func shape(v any) string { return shapeText(describe(reflect.TypeOf(v), 0)) }

func shapeText(s schemaOf) string {
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // it holds nothing that could not be encoded
	}
	return string(text)
}

// known are the types whose JSON is not that of their fields.
var known = map[reflect.Type]schemaOf{
	reflect.TypeFor[time.Time]():             {"type": "string", "format": "date-time"},
	reflect.TypeFor[json.RawMessage]():       {},
	reflect.TypeFor[[]byte]():                {"type": "string", "contentEncoding": "base64"},
	reflect.TypeFor[event.Ref]():             {"type": "array", "items": schemaOf{"type": "integer"}},
	reflect.TypeFor[bridge.AttemptHeaders](): {"type": "object", "additionalProperties": schemaOf{"type": "string"}},
	reflect.TypeFor[EventHeaders](): {"type": "object", "additionalProperties": schemaOf{"anyOf": []any{
		schemaOf{"type": "string"}, schemaOf{"type": "array", "items": schemaOf{"type": "string"}}}}},
}

const deepest = 8 // of types within types

func describe(t reflect.Type, depth int) schemaOf {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if s, ok := known[t]; ok {
		out := schemaOf{}
		for k, v := range s {
			out[k] = v
		}
		return out
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[json.Marshaler]()) || depth > deepest {
		return schemaOf{}
	}
	switch t.Kind() {
	case reflect.Bool:
		return schemaOf{"type": "boolean"}
	case reflect.String:
		return schemaOf{"type": "string"}
	case reflect.Float32, reflect.Float64:
		return schemaOf{"type": "number"}
	case reflect.Slice, reflect.Array:
		return schemaOf{"type": "array", "items": describe(t.Elem(), depth+1)}
	case reflect.Map:
		return schemaOf{"type": "object", "additionalProperties": describe(t.Elem(), depth+1)}
	case reflect.Struct:
		s := schemaOf{"type": "object"}
		members, required := schemaOf{}, []string{}
		describeMembers(t, depth, members, &required)
		s["properties"] = members
		if len(required) > 0 {
			s["required"] = required
		}
		return s
	case reflect.Interface:
		return schemaOf{}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return schemaOf{"type": "integer", "minimum": 0}
	}
	return schemaOf{"type": "integer"}
}

func describeMembers(t reflect.Type, depth int, members schemaOf, required *[]string) {
	for f := range t.Fields() {
		tag, tagged := f.Tag.Lookup("json")
		name, options, _ := strings.Cut(tag, ",")
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		switch {
		case f.Anonymous && !tagged && inner.Kind() == reflect.Struct:
			describeMembers(inner, depth, members, required)
			continue
		case !f.IsExported() || name == "-":
			continue
		case name == "":
			name = f.Name
		}
		members[name] = describe(f.Type, depth+1)
		if !strings.Contains(options, "omit") {
			*required = append(*required, name)
		}
	}
}
