package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"orderbridge/internal/store"
)

// What a tenant's token puts gets its tenant and subjects; the judge tells that
// beforehand, and what the token may not put.
func TestJudgeKnowsTheTenant(t *testing.T) {
	const acme = "0123456789abcdef-acme"
	a, _ := start(t, func(o *Options) {
		o.Tokens = append(o.Tokens, Token{Name: "acme", Secret: acme, Tenant: "acme"}, Token{Name: "eu", Secret: "0123456789abcdef-eu", Tenant: "acme-eu"})
		o.TenantSubjects = []string{"orders.{tenant}.>"}
	})
	for _, tt := range []struct{ token, id, record, given, problem string }{
		{acme, "acme-erp", `{"targetURL":"https://erp.example.com/"}`, `{"subjects":["orders.acme.>"],"tenant":"acme"}`, ""},
		{acme, "acme-erp", `{"targetURL":"https://erp.example.com/","tenant":"acme","subjects":["orders.acme.x"]}`, `null`, ""},
		{acme, "acme-erp", `{"targetURL":"https://erp.example.com/","subjects":["orders.beta.>"]}`, `{"tenant":"acme"}`, "reaches beyond"},
		{acme, "acme-erp", `{"targetURL":"https://erp.example.com/","tenant":"beta"}`, `null`, "the tenant of the token"},
		{acme, "acme-erp", `{"source":"alerts","targetURL":"https://erp.example.com/"}`, `{"tenant":"acme"}`, ""},
		{acme, "acme-erp", `{"source":"alerts","targetURL":"https://erp.example.com/","subjects":["alerts.suspended.>"]}`, `{"tenant":"acme"}`, ""},
		{acme, "acme-erp", `{`, `null`, "JSON"},
		{acme, "erp", `{"targetURL":"https://erp.example.com/"}`, `{"subjects":["orders.acme.>"],"tenant":"acme"}`, "begin with acme-"},
		{acme, "acme-eu-erp", `{"targetURL":"https://erp.example.com/"}`, `{"subjects":["orders.acme.>"],"tenant":"acme"}`, "begin with acme-"},
		{token, "erp", `{"targetURL":"https://erp.example.com/","tenant":"beta"}`, `null`, ""},
	} {
		body, err := json.Marshal(store.JudgeRequest{ID: tt.id, Record: []byte(tt.record)})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/api/v1/judge", strings.NewReader(string(body)))
		r.Header.Set("Authorization", "Bearer "+tt.token)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		var out store.JudgeAnswer
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
			t.Fatalf("%s: %v: %s", tt.record, err, w.Body)
		}
		given, _ := json.Marshal(out.Given)
		given = bytes.ReplaceAll(given, []byte(`\u003e`), []byte(">"))
		bad := out.Problems.Err() != nil
		if string(given) != tt.given || bad != (tt.problem != "") || bad && !strings.Contains(out.Problems.Err().Error(), tt.problem) {
			t.Errorf("%s: given %s, problems %v; want %s, %q", tt.record, given, out.Problems, tt.given, tt.problem)
		}
	}
}
