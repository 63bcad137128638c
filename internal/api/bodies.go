package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"
)

// What the page shows of requests and answers: an example of each, made from
// its schema, and the members of each schema.

// docsBody is a request or an answer.
type docsBody struct {
	Status  string // of an answer
	About   string
	Media   string
	Schema  string // its name among the schemas, "" if it has none
	Example string // JSON
}

type docsSchema struct {
	Name, About string
	Members     []docsMember
}

type docsMember struct{ Name, Type, About string }

// schemas are the components of a description.
type schemas tree

// resolve follows a reference.
func (s schemas) resolve(schema any) (resolved tree, name string) {
	t, _ := schema.(tree)
	at, isRef := t["$ref"].(string)
	if !isRef {
		return t, ""
	}
	parts := strings.Split(strings.TrimPrefix(at, "#/components/schemas/"), "/")
	var node any = tree(s)
	for _, part := range parts {
		next, _ := node.(tree)
		node = next[part]
	}
	t, _ = node.(tree)
	return t, parts[0]
}

// body describes the content of a request or an answer.
func (s schemas) body(content any) docsBody {
	media, _ := content.(tree)
	for _, name := range slices.Sorted(maps.Keys(media)) {
		schema := media[name].(tree)["schema"]
		_, ref := s.resolve(schema)
		return docsBody{Media: name, Schema: ref, Example: pretty(s.example(schema, 0))}
	}
	return docsBody{}
}

// example makes a value that is right by the schema.
func (s schemas) example(schema any, depth int) any {
	t, _ := s.resolve(schema)
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
			return s.example(list[0], depth+1)
		}
	}
	if depth > 6 {
		return nil
	}
	switch typeOf(t) {
	case "object":
		out := tree{}
		properties, _ := t["properties"].(tree)
		for name, p := range properties {
			out[name] = s.example(p, depth+1)
		}
		return out
	case "array":
		return []any{s.example(t["items"], depth+1)}
	case "integer", "number":
		return 1
	case "boolean":
		return true
	case "string":
		if t["format"] == "date-time" {
			return "2026-03-01T12:00:00Z"
		}
		return "…"
	}
	return tree{}
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

// members lists what a schema holds.
func (s schemas) members(name string) docsSchema {
	t, _ := s[name].(tree)
	about, _ := t["description"].(string)
	out := docsSchema{Name: name, About: about}
	required, _ := t["required"].([]any)
	properties, _ := t["properties"].(tree)
	for _, member := range slices.Sorted(maps.Keys(properties)) {
		p, ref := s.resolve(properties[member])
		kind := typeOf(p)
		if kind == "array" {
			if items, of := s.resolve(p["items"]); of != "" {
				kind = "array of " + of
			} else if of := typeOf(items); of != "" {
				kind = "array of " + of
			}
		}
		if ref != "" && kind == "object" {
			kind = ref
		}
		if slices.Contains(required, any(member)) {
			kind += ", required"
		}
		about, _ := properties[member].(tree)["description"].(string)
		if about == "" {
			about, _ = p["description"].(string)
		}
		if words, ok := p["enum"].([]any); ok {
			about = strings.TrimSpace(about + " One of " + strings.Trim(fmt.Sprint(words), "[]") + ".")
		}
		out.Members = append(out.Members, docsMember{member, strings.TrimPrefix(kind, ", "), about})
	}
	return out
}

func pretty(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return "" // a schema is JSON, so its examples are
	}
	return strings.TrimSpace(b.String())
}

// operationBodies are the request and the answers of an operation.
func (s schemas) operationBodies(op tree) (request *docsBody, answers []docsBody) {
	if r, ok := op["requestBody"].(tree); ok {
		body := s.body(r["content"])
		body.About = "optional"
		if r["required"] == true {
			body.About = "required"
		}
		request = &body
	}
	responses, _ := op["responses"].(tree)
	for _, status := range slices.Sorted(maps.Keys(responses)) {
		r := responses[status].(tree)
		body := s.body(r["content"])
		body.Status = status
		body.About, _ = r["description"].(string)
		if !strings.HasPrefix(status, "2") {
			body.Example = "" // the schema says it
		}
		answers = append(answers, body)
	}
	return request, answers
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

// codeIn is a text with what stands between backquotes as code.
func codeIn(text string) template.HTML {
	var b strings.Builder
	for i, part := range strings.Split(text, "`") {
		if part = template.HTMLEscapeString(part); i%2 == 1 {
			part = "<code>" + part + "</code>"
		}
		b.WriteString(part)
	}
	return template.HTML(b.String()) //nolint:gosec // escaped above
}
