package bridge

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

type schemaText struct {
	Properties map[string]json.RawMessage
	Defs       map[string]struct{ Pattern string } `json:"$defs"`
}

func readSchema(t testing.TB) (s schemaText) {
	t.Helper()
	if err := json.Unmarshal(SubscriptionSchema(), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func schemaPattern(t testing.TB, def string) string {
	t.Helper()
	return readSchema(t).Defs[def].Pattern
}

func compileSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(SubscriptionSchema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("subscription.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("subscription.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func TestSchemaKnowsTheMembersOfTheParser(t *testing.T) {
	t.Parallel()
	properties := readSchema(t).Properties
	if diff := cmp.Diff(slices.Sorted(maps.Keys(recordMembers)), slices.Sorted(maps.Keys(properties))); diff != "" {
		t.Errorf("members of the parser (-) and the schema (+):\n%s", diff)
	}
	for name, members := range map[string]map[string]memberReader{"retry": retryMembers, "signing": signingMembers, "tls": tlsMembers} {
		var object schemaText
		if err := json.Unmarshal(properties[name], &object); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(slices.Sorted(maps.Keys(members)), slices.Sorted(maps.Keys(object.Properties))); diff != "" {
			t.Errorf("members of %s in the parser (-) and the schema (+):\n%s", name, diff)
		}
	}
	var auth struct {
		OneOf []struct {
			Properties map[string]struct{ Const string }
		}
	}
	if err := json.Unmarshal(properties["auth"], &auth); err != nil {
		t.Fatal(err)
	}
	parser, schema := map[string][]string{}, map[string][]string{}
	for kind, members := range authMembers {
		parser[kind] = slices.Sorted(maps.Keys(members))
	}
	for _, one := range auth.OneOf {
		schema[one.Properties["type"].Const] = slices.Sorted(maps.Keys(one.Properties))
	}
	if diff := cmp.Diff(parser, schema); diff != "" {
		t.Errorf("members of auth in the parser (-) and the schema (+):\n%s", diff)
	}
}

// TestSchemaJudgesAsTheParser runs the tables of record_test.go through the schema.
func TestSchemaJudgesAsTheParser(t *testing.T) {
	t.Parallel()
	schema := compileSchema(t)
	judge := func(record string) error {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(record)))
		if err != nil {
			return err
		}
		return schema.Validate(v)
	}
	for _, record := range goodRecords {
		if err := judge(record); err != nil {
			t.Errorf("the schema refuses %s: %v", record, err)
		}
	}
	for _, c := range badRecords {
		if err := judge(c.record); (err == nil) != c.beyond {
			t.Errorf("the schema on %.200s (%s): %v, beyond it: %v", c.record, c.name, err, c.beyond)
		}
	}
}
