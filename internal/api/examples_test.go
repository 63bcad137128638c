package api

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
)

// Each body that is sent or answered has an example; TestLinted holds them
// against their schemas.
func TestBodiesHaveExamples(t *testing.T) {
	t.Parallel()
	a, _ := start(t, nil)
	type body struct {
		Content map[string]struct{ Example any }
	}
	var doc struct {
		Paths map[string]map[string]struct {
			RequestBody body
			Responses   map[string]body
		}
	}
	if err := json.Unmarshal(a.spec, &doc); err != nil {
		t.Fatal(err)
	}
	for path, item := range doc.Paths {
		for method, op := range item {
			bodies := maps.Clone(op.Responses)
			bodies["request"] = op.RequestBody
			for of, body := range bodies {
				for kind, media := range body.Content {
					if strings.Contains(kind, "json") && media.Example == nil {
						t.Errorf("%s %s: %s of %s has no example", method, path, kind, of)
					}
				}
			}
		}
	}
	deadLetter := doc.Paths["/api/v1/dead-letters/{sequence}"]["get"].Responses["200"].Content["application/json"].Example
	if text, err := json.Marshal(deadLetter); err != nil || !strings.Contains(string(text), `"subscription":"crm"`) {
		t.Errorf("a dead letter is %s (%v)", text, err)
	}
}

// Linters (redocly's no-required-schema-properties-undefined) want what is
// required to be declared beside it.
func TestRequiredMembersAreDeclared(t *testing.T) {
	t.Parallel()
	a, _ := start(t, nil)
	var doc any
	if err := json.Unmarshal(a.spec, &doc); err != nil {
		t.Fatal(err)
	}
	var walk func(at string, node any)
	walk = func(at string, node any) {
		switch node := node.(type) {
		case []any:
			for _, part := range node {
				walk(at, part)
			}
		case tree:
			properties, _ := node["properties"].(tree)
			required, _ := node["required"].([]any)
			for _, name := range required {
				if _, ok := properties[name.(string)]; !ok {
					t.Errorf("%s requires %s and does not declare it", at, name)
				}
			}
			for name, part := range node {
				walk(at+"/"+name, part)
			}
		}
	}
	walk("", doc.(tree)["components"])
}
