package record

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
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
	if err := json.Unmarshal(Schema(), &s); err != nil {
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
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
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

var update = flag.Bool("update", false, "write subscription.schema.json again")

// The file is for people and editors; it is made from the members' declarations: go test -run TestSchemaFile -update.
func TestSchemaFile(t *testing.T) {
	t.Parallel()
	const name = "subscription.schema.json"
	if *update {
		if err := os.WriteFile(name, Schema(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(file), string(Schema())); diff != "" {
		t.Errorf("%s is not what the declarations say; write it with -update (-file +declarations):\n%s", name, diff)
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
