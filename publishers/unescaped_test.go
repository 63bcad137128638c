package publishers

import (
	"fmt"
	"html"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"orderbridge/internal/lab"
	"orderbridge/internal/limits"
)

// each writes a text with an escape for each rune or byte.
func eachRune(format, s string) string {
	var b strings.Builder
	for _, r := range s {
		fmt.Fprintf(&b, format, r)
	}
	return b.String()
}

func eachByte(format, s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, format, s[i])
	}
	return b.String()
}

func TestSecretsInEscapes(t *testing.T) {
	t.Parallel()
	const secret = `P'ss!w(0)rd* "ü"&<Ä🔑>/+~ x`
	e := &endpoint{secrets: []string{secret}}
	percent := eachByte("%%%02x", secret)
	units := ""
	for _, u := range utf16.Encode([]rune(secret)) {
		units += fmt.Sprintf(`\u%04X`, u)
	}
	for name, text := range map[string]string{
		"encodeURIComponent": strings.NewReplacer("%27", "'", "%21", "!", "%28", "(", "%29", ")", "%2A", "*", "+", "%20").Replace(url.QueryEscape(secret)),
		"URLSearchParams":    strings.NewReplacer("%2A", "*", "~", "%7E").Replace(url.QueryEscape(secret)),
		"each byte":          percent,
		"each byte, upper":   strings.ToUpper(percent),
		"twice":              url.QueryEscape(percent),
		"three times":        url.QueryEscape(url.QueryEscape(percent)),
		"HTML, decimal":      eachRune("&#%d;", secret),
		"HTML, hexadecimal":  eachRune("&#x%x;", secret),
		"HTML of Python":     strings.NewReplacer("&#34;", "&quot;", "&#39;", "&#x27;").Replace(html.EscapeString(secret)),
		"HTML of JSON":       html.EscapeString(units),
		"JSON":               units,
		"JSON twice":         strings.ReplaceAll(units, `\`, `\\`),
		"PHP":                strings.ReplaceAll(secret, "/", `\/`),
		"bytes of Python":    eachByte(`\x%02x`, secret),
		"upper case":         strings.ToUpper(secret),
		"lower case":         strings.ToLower(secret),
	} {
		if got := e.redact("you sent <" + text + "> to us"); got != "you sent <"+redacted+"> to us" {
			t.Errorf("%s: %q", name, got)
		}
	}
	for _, text := range []string{"100 % of &amp; \\x4", "%zz %4", `C:\users\u12`, "&#;&#x;&unknown; &", "ünicode \\ud83d", "\\ud83d\\u0041", "trailing %", `\`} {
		if got := e.redact(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
	begin := time.Now()
	for range 20 {
		e.redact(strings.Repeat("%25", limits.ForeignTextBytes/3))
	}
	lab.Promise(t, "20 texts full of escapes", time.Since(begin), 5*time.Second)
}

// FuzzUnescape: whatever the text is, each byte of a view comes from somewhere in it.
func FuzzUnescape(f *testing.F) {
	for _, s := range []string{"%41&#65;\\u0041", "ü%c3%bc", "\\ud83d\\udd11", "\xff%ff", "&"} {
		f.Add(s, "a")
	}
	f.Fuzz(func(t *testing.T, text, secret string) {
		for _, v := range readViews(text) {
			if len(v.text) != len(v.from) || len(v.text) != len(v.to) {
				t.Fatalf("%q: %d bytes, %d, %d", text, len(v.text), len(v.from), len(v.to))
			}
			for i := range v.from {
				if v.from[i] < 0 || v.from[i] >= v.to[i] || v.to[i] > len(text) {
					t.Fatalf("%q: byte %d comes from %d to %d", text, i, v.from[i], v.to[i])
				}
			}
		}
		_ = (&endpoint{secrets: []string{secret}}).redact(text)
	})
}
