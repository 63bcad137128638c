package api

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"orderbridge/bridge/record"
)

//go:embed docs.html
var docsPage string

//go:embed docs.css
var docsStyle string

// description is openapi.yaml, written by hand: the file says what of it is added here.
//
//go:embed openapi.yaml
var description []byte

var subscriptionExample = tree{"targetURL": "https://example.com/notify",
	"eventTypes": []any{"OrderAccepted", "OrderSigned"},
	"auth":       tree{"type": "basic", "username": "USERNAME", "password": "PASSWORD"}}

// tree is a JSON object.
type tree = map[string]any

// describe makes what /openapi.json and /docs answer.
func (a *API) describe() error {
	var doc tree
	if err := yaml.Unmarshal(description, &doc); err != nil {
		return err
	}
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
	schema["examples"] = []any{subscriptionExample}
	doc["components"].(tree)["schemas"].(tree)["Subscription"] = schema
	var err error
	if a.spec, err = json.MarshalIndent(doc, "", "  "); err != nil {
		return err
	}
	if err := json.Unmarshal(a.spec, &doc); err != nil { // numbers as JSON has them
		return err
	}
	return a.render(doc)
}

// docsOperation is one operation on the page.
type docsOperation struct {
	ID, Method, Path, Summary, Description string
	Parameters                             []docsParameter
	Request                                *docsBody
	Answers                                []docsBody
}

type docsParameter struct{ Name, In, About string }

// render makes the page of the operations; nothing on it comes from elsewhere.
func (a *API) render(doc tree) error {
	t, err := template.New("docs").Funcs(template.FuncMap{"code": codeIn}).Parse(docsPage)
	if err != nil {
		return err
	}
	groups := map[string][]docsOperation{}
	paths := doc["paths"].(tree)
	known := schemas(doc["components"].(tree)["schemas"].(tree))
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		for _, method := range []string{"get", "post", "put", "delete"} {
			op, ok := paths[path].(tree)[method].(tree)
			if !ok {
				continue
			}
			o := docsOperation{ID: op["operationId"].(string), Method: strings.ToUpper(method), Path: path,
				Summary: op["summary"].(string), Description: op["description"].(string)}
			parameters, _ := op["parameters"].([]any)
			for _, p := range parameters {
				p := p.(tree)
				description, _ := p["description"].(string)
				o.Parameters = append(o.Parameters, docsParameter{p["name"].(string), p["in"].(string), description})
			}
			o.Request, o.Answers = known.operationBodies(op)
			tag := op["tags"].([]any)[0].(string)
			groups[tag] = append(groups[tag], o)
		}
	}
	var b bytes.Buffer
	type group struct {
		Name, About string
		Operations  []docsOperation
	}
	var page struct {
		Version, About string
		Style          template.CSS
		Groups         []group
		Schemas        []docsSchema
	}
	page.Version, page.About, page.Style = a.o.Version, doc["info"].(tree)["description"].(string), template.CSS(docsStyle) //nolint:gosec // our own file
	for _, tag := range doc["tags"].([]any) {
		name := tag.(tree)["name"].(string)
		page.Groups = append(page.Groups, group{name, tag.(tree)["description"].(string), groups[name]})
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		page.Schemas = append(page.Schemas, known.members(name))
	}
	if err := t.Execute(&b, page); err != nil {
		return err
	}
	a.docs = b.Bytes()
	sum := sha256.Sum256([]byte(docsStyle))
	a.style = base64.StdEncoding.EncodeToString(sum[:])
	return nil
}

func (a *API) writeSpec(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(a.spec) // a caller that has gone away is nobody's failure
}

func (a *API) writeDocs(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy",
		"default-src 'none'; style-src 'sha256-"+a.style+"'; frame-ancestors 'none'; base-uri 'none'")
	w.Header().Set("Referrer-Policy", "no-referrer")
	_, _ = w.Write(a.docs) // likewise
}
