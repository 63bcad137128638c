package publishers

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"orderbridge/internal/limits"
)

func TestForeignTextHoldsNoSecret(t *testing.T) {
	t.Parallel()
	const secret = `Planted-"secret"&<ü>/+ 7`
	const other = "another-one"
	e := &endpoint{secrets: []string{secret, other, "Planted"}}
	quoted, _ := json.Marshal("auth: " + secret) // a string
	twice, _ := json.Marshal(string(quoted))     // a string
	for name, text := range map[string]string{
		"as it is":     "you sent " + secret + "!",
		"lower case":   strings.ToLower("you sent " + secret),
		"upper case":   strings.ReplaceAll(strings.ToUpper("you sent "+secret), "Ü", "ü"),
		"query":        "?x=" + url.QueryEscape(secret) + "&y=1",
		"path":         "/x/" + strings.ToLower(url.PathEscape(secret)),
		"all escaped":  "/x/" + escapeValue(secret),
		"json":         string(quoted),
		"json twice":   string(twice),
		"hex":          hex.EncodeToString([]byte("Authorization: " + secret + "\r\n")),
		"base64 0":     base64.StdEncoding.EncodeToString([]byte("abc" + secret + " and more")),
		"base64 1":     base64.StdEncoding.EncodeToString([]byte("a" + secret + " and more")),
		"base64 2":     base64.URLEncoding.EncodeToString([]byte("ab" + secret)),
		"basic":        base64.StdEncoding.EncodeToString([]byte("user:" + secret)),
		"split by ZWJ": "you sent " + strings.ReplaceAll(secret, "-", "\u200d-\u202e"),
		"split by NUL": "you sent " + strings.ReplaceAll(secret, "t", "\x00t\x1b"),
		"no UTF-8":     "you sent " + strings.ReplaceAll(secret, "e", "\xffe"),
		"much":         strings.Repeat("x ", 600) + secret,
		"cut off":      strings.Repeat("x", limits.ForeignTextBytes-8) + secret,
		"at the end":   "you sent " + secret[:9],
		"in another":   "xPlanted" + secret,
		"both":         secret + other + secret,
	} {
		got := e.redact(text)
		for _, part := range []string{secret, "secret", "-one", hex.EncodeToString([]byte("secret")), "c2VjcmV0", "another", "Planted"} {
			if strings.Contains(strings.ToLower(got), strings.ToLower(part)) {
				t.Errorf("%s: %q holds %q", name, got[max(0, len(got)-200):], part)
			}
		}
		for n := range 3 { // what base64 shows of the inside
			if form := inBase64("secret", n, base64.RawStdEncoding); len(form) >= 4 && strings.Contains(got, form) {
				t.Errorf("%s: %q holds %q", name, got, form)
			}
		}
		if len(got) > limits.ReasonBytes {
			t.Errorf("%s: %d bytes", name, len(got))
		}
	}
	if got := e.redact("nothing of it: order 4711 not found"); got != "nothing of it: order 4711 not found" {
		t.Errorf("got %q", got)
	}
	if got := (&endpoint{}).redact("a\nb"); got != "a b" {
		t.Errorf("got %q", got)
	}
}

// A path that only its owner knows comes back in what the endpoint says.
func TestSecretPathIsNotTold(t *testing.T) {
	t.Parallel()
	server := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", r.URL.String())
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte("Cannot POST " + r.URL.String()))
	})
	err := publish(shortly(t), newWebhook(t), delivery(server.URL+"/services/T000/B000/XXXX-planted?token=abcd"))
	if err == nil || strings.Contains(err.Error(), "planted") || strings.Contains(err.Error(), "T000") || strings.Contains(err.Error(), "abcd") ||
		!strings.Contains(err.Error(), "Cannot POST /services/[redacted]") {
		t.Errorf("got %v", err)
	}
}

func BenchmarkRedact(b *testing.B) {
	e := &endpoint{secrets: []string{"planted-password", base64.StdEncoding.EncodeToString([]byte("u:planted-password"))}}
	text := strings.Repeat("no such order ", 70)
	for b.Loop() {
		e.redact(text)
	}
}

func BenchmarkRedactMost(b *testing.B) {
	e := &endpoint{}
	for i := range 64 {
		e.hide(strings.Repeat(string(rune('a'+i%26)), 1024))
	}
	text := strings.Repeat("aaaaaaa ", 1024)
	for b.Loop() {
		e.redact(text)
	}
}
