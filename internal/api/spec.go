package api

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"go.yaml.in/yaml/v3"

	"orderbridge/bridge/record"
)

// description is openapi.yaml, written by hand: the file says what of it is added here.
//
//go:embed openapi.yaml
var description []byte

var subscriptionExample = tree{"targetURL": "https://example.com/notify",
	"eventTypes": []any{"OrderAccepted", "OrderSigned"},
	"auth":       tree{"type": "basic", "username": "USERNAME", "password": "PASSWORD"}}

// tree is a JSON object.
type tree = map[string]any

// describe makes what /openapi.json answers.
func (a *API) describe() error {
	var doc tree
	if err := yaml.Unmarshal(description, &doc); err != nil {
		return err
	}
	samples := doc["x-parts"].(tree)["samples"].(tree)
	delete(doc, "x-parts")
	doc["info"].(tree)["version"] = a.o.Version
	record := strings.ReplaceAll(string(record.Schema()), `"#/$defs/`, `"#/components/schemas/Subscription/$defs/`)
	var schema tree
	if err := json.Unmarshal([]byte(record), &schema); err != nil {
		return fmt.Errorf("schema of the record: %w", err)
	}
	delete(schema, "$schema")
	delete(schema, "$id")
	declareRequired(schema)
	schema["properties"].(tree)["paused"] = tree{"type": "boolean", "description": "As the status paused, for those who know only active and deactivated. Left out, a pause goes on."}
	schema["examples"] = []any{subscriptionExample}
	doc["components"].(tree)["schemas"].(tree)["Subscription"] = schema
	examples{doc["components"].(tree)["schemas"].(tree), samples}.put(doc)
	var err error
	if a.spec, err = json.MarshalIndent(doc, "", "  "); err != nil {
		return err
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(a.spec) // a buffer takes all
	err = z.Close()
	a.packed = b.Bytes()
	return err
}

func (a *API) writeSpec(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Vary", "Accept-Encoding")
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(a.packed) // a caller that has gone away is nobody's failure
		return
	}
	_, _ = w.Write(a.spec) // likewise
}
