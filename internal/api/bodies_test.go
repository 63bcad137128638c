package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// The page shows what each operation takes and answers, and its links lead
// somewhere.
func TestDocsShowBodies(t *testing.T) {
	t.Parallel()
	a, _ := start(t, nil)
	w := httptest.NewRecorder()
	a.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1/docs", nil))
	page := w.Body.String()
	for _, part := range strings.Split(page, `<h3 id="`)[1:] {
		id, _, _ := strings.Cut(part, `"`)
		if strings.HasPrefix(id, "schema-") {
			continue
		}
		if !strings.Contains(part, "<h4>Answers</h4>") || id != "deleteWebhook" && !strings.Contains(part, "<pre") {
			t.Errorf("%s shows no answer", id)
		}
		if strings.HasPrefix(id, "register") && id != "registerListenerV1" && !strings.Contains(part, "<h4>Request") {
			t.Errorf("%s shows no request", id)
		}
	}
	for _, link := range regexp.MustCompile(`href="#([^"]+)"`).FindAllStringSubmatch(page, -1) {
		if !strings.Contains(page, `id="`+link[1]+`"`) {
			t.Errorf("the link to #%s leads nowhere", link[1])
		}
	}
	for _, want := range []string{"&#34;targetURL&#34;: &#34;https://example.com/notify&#34;", "<code>nats kv put</code>", "<td><code>maxInFlight</code></td>", "overflow-wrap: anywhere", "overflow-x: auto"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
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
