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

	"github.com/danielgtaylor/huma/v2"

	"orderbridge/bridge"
)

//go:embed docs.html
var docsPage string

//go:embed docs.css
var docsStyle string

// The parts of the description that no Go type tells.
var (
	about = strings.TrimSpace(`
The management API of orderbridge. It writes the same records as ` + "`nats kv put`" + `; what one way changes, the other sees.
A token of a tenant sees and changes that tenant's part only; what belongs to others answers as if it were not there.
Secrets never come back.`)

	tags = []any{
		map[string]any{"name": "webhooks", "description": "Subscription records: who hears which events."},
		map[string]any{"name": "listeners", "description": "Callback URLs, registered as with a gateway."},
		map[string]any{"name": "operators", "description": "What the bridge says of subscriptions, owes, and has given up."},
	}

	security = map[string]any{
		"bearer": map[string]any{"type": "http", "scheme": "bearer", "description": "A token of ORDERBRIDGE_API_TOKENS."},
		"basic":  map[string]any{"type": "http", "scheme": "basic", "description": "A token as the user name, with an empty password."},
	}

	webhookSchema = `{
  "type": "object",
  "description": "A record without its secrets. It has the other members of Subscription as they were given; of headers the names only. A record that cannot be read, put by other means, has the required members only.",
  "required": ["id", "createdAt", "updatedAt"],
  "properties": {
    "id": {"type": "string", "description": "A UUID where this API made the record."},
    "createdAt": {"type": "string", "format": "date-time"},
    "updatedAt": {"type": "string", "format": "date-time"},
    "targetURL": {"type": "string", "description": "As it was given."},
    "auth": {"type": "object", "required": ["type"], "properties": {
      "type": {"type": "string"}, "username": {"type": "string"}, "clientID": {"type": "string"}, "tokenURL": {"type": "string"}}},
    "status": {"type": "string", "enum": ["active", "deactivated"]}
  },
  "additionalProperties": true,
  "examples": [{"id": "0b5f7c54-6f6c-4a52-8a2e-0a4c1f9b6d3e", "createdAt": "2026-03-01T12:00:00Z", "updatedAt": "2026-03-01T12:00:00Z",
    "targetURL": "https://example.com/notify", "auth": {"type": "basic", "username": "USERNAME"}, "status": "active"}]
}`
	subscriptionExample = tree{"targetURL": "https://example.com/notify", "eventTypes": []any{"OrderAccepted", "OrderSigned"},
		"auth": tree{"type": "basic", "username": "USERNAME", "password": "PASSWORD"}}
	listenerSchema = `{
  "type": "object", "required": ["http_client"],
  "properties": {"http_client": {"type": "string", "description": "The URL to invoke when an active order is modified."}},
  "examples": [{"http_client": "http://10.0.1.18:8989/v1/notify"}]
}`
	rotationSchema = `{
  "type": "object", "additionalProperties": false,
  "properties": {"secret": {"type": "string", "description": "The new secret; left out: one is made."}}
}`
	plainSchema = `{
  "type": "object", "required": ["status", "message"],
  "properties": {"status": {"type": "integer"}, "message": {"type": "string"}},
  "examples": [{"status": 200, "message": "Registered client at: http://10.0.1.18:8989/v1/notify"}]
}`
)

// tree is a JSON object.
type tree = map[string]any

// describe completes what huma has generated from the operations.
func (a *API) describe(generated *huma.OpenAPI) error {
	text, err := json.Marshal(generated)
	if err != nil {
		return err
	}
	var doc tree
	if err := json.Unmarshal(text, &doc); err != nil {
		return err
	}
	info := doc["info"].(tree)
	info["description"] = about
	info["license"] = tree{"name": "Apache-2.0", "identifier": "Apache-2.0"}
	doc["tags"] = tags
	doc["servers"] = []any{tree{"url": "/", "description": "This program"}}
	components := doc["components"].(tree)
	components["securitySchemes"] = security
	schemas := components["schemas"].(tree)
	record := strings.ReplaceAll(string(bridge.SubscriptionSchema()), `"#/$defs/`, `"#/components/schemas/Subscription/$defs/`)
	for name, text := range map[string]string{"Subscription": record, "Webhook": webhookSchema, "Listener": listenerSchema, "Plain": plainSchema, "NewSecret": rotationSchema} {
		var schema tree
		if err := json.Unmarshal([]byte(text), &schema); err != nil {
			return fmt.Errorf("schema %s: %w", name, err)
		}
		delete(schema, "$schema")
		delete(schema, "$id")
		declareRequired(schema)
		if name == "Subscription" {
			schema["examples"] = []any{subscriptionExample}
		}
		schemas[name] = schema
	}
	for path, item := range doc["paths"].(tree) {
		for _, op := range item.(tree) {
			describeOperation(path, op.(tree))
		}
	}
	if a.spec, err = json.MarshalIndent(doc, "", "  "); err != nil {
		return err
	}
	return a.render(doc)
}

func describeOperation(path string, op tree) {
	responses := op["responses"].(tree)
	if isGateway(path) {
		op["security"] = []any{tree{"basic": []any{}}}
		delete(responses, "204")
		for status, description := range map[string]string{
			"200": "Registered, or the present registrations", "400": "Malformed URL", "401": "The token is missing or wrong",
			"403": "Not allowed by the operator's policy", "404": "Not reachable: nothing is stored", "default": "Any other failure",
		} {
			responses[status] = tree{"description": description, "content": tree{"application/json": tree{"schema": ref("Plain")}}}
		}
		if _, ok := op["requestBody"]; ok {
			op["requestBody"] = tree{"required": false, "content": tree{
				"application/json":                  tree{"schema": ref("Listener")},
				"application/x-www-form-urlencoded": tree{"schema": ref("Listener")},
			}}
		}
		return
	}
	switch _, ok := op["requestBody"]; {
	case ok && op["operationId"] == "rotateSecret":
		op["requestBody"] = tree{"required": false, "content": tree{"application/json": tree{"schema": ref("NewSecret")}}}
	case ok:
		op["requestBody"] = tree{"required": true, "content": tree{"application/json": tree{"schema": ref("Subscription")}}}
	}
	failure := tree{"content": tree{"application/problem+json": tree{"schema": ref("Problem")}}}
	for status, description := range map[string]string{
		"401": "The token is missing or wrong", "404": "There is no such thing, or it belongs to somebody else",
	} {
		with := maps.Clone(failure)
		with["description"] = description
		responses[status] = with
	}
}

func ref(name string) tree { return tree{"$ref": "#/components/schemas/" + name} }

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
	page.Version, page.About, page.Style = a.o.Version, about, template.CSS(docsStyle) //nolint:gosec // our own file
	for _, tag := range tags {
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
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+a.style+"'; frame-ancestors 'none'; base-uri 'none'")
	w.Header().Set("Referrer-Policy", "no-referrer")
	_, _ = w.Write(a.docs) // likewise
}
