package api

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Each request and each answer of the description has an example: the one that
// stands there, or one that is made of its schema.

// examples makes values that are right by their schemas.
type examples struct {
	schemas tree // the components
	samples tree // values of members, by their names; null: such a member is left out
}

// put gives each body of an operation its example.
func (e examples) put(doc tree) {
	for _, item := range doc["paths"].(tree) {
		for _, op := range item.(tree) {
			op := op.(tree)
			if r, ok := op["requestBody"].(tree); ok {
				e.putContent(r)
			}
			for _, r := range op["responses"].(tree) {
				e.putContent(r.(tree))
			}
		}
	}
}

func (e examples) putContent(body tree) {
	content, _ := body["content"].(tree)
	for kind, media := range content {
		media := media.(tree)
		if _, given := media["example"]; given || !strings.Contains(kind, "json") {
			continue
		}
		media["example"] = e.of(media["schema"], 0)
	}
}

// resolve follows a reference.
func (e examples) resolve(schema any) tree {
	t, _ := schema.(tree)
	at, isRef := t["$ref"].(string)
	if !isRef {
		return t
	}
	parts := strings.Split(strings.TrimPrefix(at, "#/components/schemas/"), "/")
	var node any = e.schemas
	for _, part := range parts {
		next, _ := node.(tree)
		node = next[part]
	}
	t, _ = node.(tree)
	return t
}

// of makes a value.
func (e examples) of(schema any, depth int) any {
	t := e.resolve(schema)
	if list, ok := t["examples"].([]any); ok && len(list) > 0 {
		return list[0]
	}
	for _, key := range []string{"example", "const", "default"} {
		if v, ok := t[key]; ok {
			return v
		}
	}
	if list, ok := t["enum"].([]any); ok && len(list) > 0 {
		return list[0]
	}
	for _, key := range []string{"oneOf", "anyOf"} {
		if list, ok := t[key].([]any); ok && len(list) > 0 {
			return e.of(list[0], depth+1)
		}
	}
	switch typeOf(t) {
	case "object":
		return e.object(t, depth)
	case "array":
		if least, _ := t["minItems"].(int); least > 1 {
			return slices.Repeat([]any{e.of(t["items"], depth+1)}, least)
		}
		if depth > 4 {
			return []any{}
		}
		return []any{e.of(t["items"], depth+1)}
	case "integer", "number":
		return 1
	case "boolean":
		return true
	case "string":
		if t["format"] == "date-time" {
			return "2026-03-01T12:00:00Z"
		}
		return "text"
	}
	return tree{}
}

// object makes one of the members that are required, and of those that say more
// than that they are there.
func (e examples) object(t tree, depth int) tree {
	out := tree{}
	required, _ := t["required"].([]any)
	properties, _ := t["properties"].(tree)
	for name, schema := range properties {
		must := slices.Contains(required, any(name))
		sample, known := e.samples[name]
		p := e.resolve(schema)
		switch {
		case known && sample != nil && fits(p, sample):
			out[name] = sample
		case must || depth < 4 && (p["properties"] != nil || p["items"] != nil || p["format"] == "date-time") && !(known && sample == nil):
			out[name] = e.of(schema, depth+1)
		}
	}
	return out
}

// fits tells whether a value may stand for a schema, as far as its type goes.
func fits(t tree, v any) bool {
	if list, ok := t["enum"].([]any); ok {
		return slices.Contains(list, v)
	}
	switch v := v.(type) {
	case string:
		_, err := time.Parse(time.RFC3339, v)
		return typeOf(t) == "string" && (err == nil) == (t["format"] == "date-time") || typeOf(t) == ""
	case int:
		return typeOf(t) == "integer" || typeOf(t) == "number"
	case []any:
		return typeOf(t) == "array"
	case tree:
		return typeOf(t) == "object" && t["properties"] == nil || typeOf(t) == ""
	}
	return false
}

// typeOf is the type of a schema; what may be null as well is its other type.
func typeOf(t tree) string {
	switch v := t["type"].(type) {
	case string:
		return v
	case []any:
		for _, one := range v {
			if one != "null" {
				return fmt.Sprint(one)
			}
		}
	}
	if _, ok := t["properties"]; ok {
		return "object"
	}
	return ""
}

// declareRequired names, in each part of a schema that demands members, those
// members: tools complain of conditions that demand what they do not declare.
func declareRequired(schema any) {
	switch node := schema.(type) {
	case []any:
		for _, part := range node {
			declareRequired(part)
		}
	case tree:
		if required, ok := node["required"].([]any); ok {
			properties, _ := node["properties"].(tree)
			if properties == nil {
				properties = tree{}
			}
			for _, name := range required {
				if name, ok := name.(string); ok && properties[name] == nil {
					properties[name] = tree{}
				}
			}
			node["properties"] = properties
		}
		for _, part := range node {
			declareRequired(part)
		}
	}
}
