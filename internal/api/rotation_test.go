package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"orderbridge/internal/store"
)

var whsec = regexp.MustCompile(`"whsec_[^"]*"`)

// sealing seals signing secrets, as far as a record shows.
func sealing(o *Options) {
	o.Seal = func(_ context.Context, _ string, rec []byte) ([]byte, error) {
		return whsec.ReplaceAll(bytes.Clone(rec), []byte(`"sealed:abc"`)), nil
	}
}

// Whoever types a secret is warned where it would be stored in plain text, and not where
// it would be sealed.
func TestJudgeWarnsOfPlainText(t *testing.T) {
	t.Parallel()
	rec := `{"targetURL":"https://h.example.com/","signing":{"secrets":["whsec_c2Vjb25kLXNlY29uZC1zZWNvbmQtc2Vjb25k"]}}`
	for _, seals := range []bool{false, true} {
		var change func(*Options)
		if seals {
			change = sealing
		}
		a, _ := start(t, change)
		body, err := json.Marshal(store.JudgeRequest{ID: "a", Record: []byte(rec)})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/api/v1/judge", bytes.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		if a.ServeHTTP(w, r); w.Code != 200 || !strings.Contains(w.Body.String(), `"hears":"`) || strings.Contains(w.Body.String(), "in plain text") == seals {
			t.Errorf("sealing %t: %d %s", seals, w.Code, w.Body)
		}
	}
}

// A rotation tells whether the record holds the new secret in plain text.
func TestRotationTellsOfPlainText(t *testing.T) {
	t.Parallel()
	for name, one := range map[string]struct {
		change func(*Options)
		body   string
		plain  bool
	}{
		"made here":                 {nil, "", true},
		"a reference":               {nil, `{"secret":"env:ORDERBRIDGE_SECRET_A"}`, false},
		"made here, and sealed":     {sealing, "", false},
		"given in plain and sealed": {sealing, `{"secret":"whsec_c2Vjb25kLXNlY29uZC1zZWNvbmQtc2Vjb25k"}`, false},
	} {
		a, catalog := start(t, one.change)
		if _, err := catalog.Put(t.Context(), store.Everything(), "a", []byte(`{"targetURL":"https://h.example.com/"}`), 0); err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/api/notifications/v1/webhooks/a/rotate-secret", strings.NewReader(one.body))
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		if a.ServeHTTP(w, r); w.Code != 200 || strings.Contains(w.Body.String(), `"plain":true`) != one.plain {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}
