package safetext

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"
)

const hostile = "a\u202eb\u2066c\u200bd\ufeffe\u0085f\u009bg\x7fh\u2028i\u2029j\u00adk\U000e0041l\u3164m"

func TestText(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"plain ü 注文 🚚":    "plain ü 注文 🚚",
		"a\u202eb":        `a\u202eb`,
		"a\nb\tc\x1b[2Jd": `a\nb\u0009c\u001b[2Jd`,
		"\x7f\u009b\xff":  `\u007f\u009b\xff`,
		"\U000e0041":      `\udb40\udc41`,
	} {
		if got := escape(given, false); got != want {
			t.Errorf("%q: %s, want %s", given, got, want)
		}
	}
	if got := Lines("a\n\tb\r\u200b"); got != "a\n\tb"+`\u000d\u200b` {
		t.Errorf("%q", got)
	}
}

func TestWriter(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	text := "\x1b[1mhead\x1b[0m\nü \x1b[2J\u202e\x9b31m\r\n"
	if n, err := (Writer{&b}).Write([]byte(text)); err != nil || n != len(text) {
		t.Fatal(n, err)
	}
	if want := "\x1b[1mhead\x1b[0m\nü " + `\u001b[2J\u202e\x9b31m\u000d` + "\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}

// FuzzJSON: the same JSON, and nothing in it that cannot be seen.
func FuzzJSON(f *testing.F) {
	f.Add(hostile)
	f.Add("\x00\x1b\xff")
	f.Fuzz(func(t *testing.T, s string) {
		given, err := json.Marshal(map[string]string{s: s})
		if err != nil {
			t.Skip()
		}
		safe := JSON(given)
		var a, b map[string]string
		if json.Unmarshal(given, &a) != nil || json.Unmarshal(safe, &b) != nil || len(a) != len(b) {
			t.Fatalf("%q became %q", given, safe)
		}
		for k, v := range a {
			if b[k] != v {
				t.Fatalf("%q became %q", given, safe)
			}
		}
		if !utf8.Valid(safe) || bytes.ContainsFunc(safe, func(r rune) bool { return hidden(r) || r < ' ' }) {
			t.Fatalf("%q", safe)
		}
	})
}
