package event

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestBodyProblem(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		encoding, data, want string
	}{
		{"", `{"a":1}`, ""},
		{"", "\xef\xbb\xbf {\"a\":1}\n", ""},
		{"", "", "it is empty"},
		{"", " \n", "it is empty"},
		{"", `[{"orderId":"1"}]`, "it is a JSON array, not an object: publish each event as a message of its own"},
		{"", `[{"specversion":"1.0","id":"1"}]`, "it is a batch of CloudEvents: publish each as a message of its own"},
		{"", `"{\"orderId\":1}"`, "it is a JSON string, not an object"},
		{"", `null`, "it is the JSON value null, not an object"},
		{"", `4711`, "it is the JSON value 4711, not an object"},
		{"", `{"orderId":"1","total":NaN}`, "it is not JSON: NaN at byte 24 is not a JSON value"},
		{"", `{"a":-Infinity}`, "it is not JSON: -Infinity at byte 6 is not a JSON value"},
		{"", `{"a":Infinity}`, "it is not JSON: Infinity at byte 6 is not a JSON value"},
		{"", `{"a":nan}`, "it is not JSON: nan at byte 6 is not a JSON value"},
		{"", `{"a":None,"b":1}`, "it is not JSON: None at byte 6 is not a JSON value"},
		{"", `{"a":1`, "it is not JSON: unexpected end of JSON input at byte 6"},
		{"", `{'a':1}`, `it is not JSON: invalid character '\'' looking for beginning of object key string at byte 2`},
		{"", `{"a":1}}`, "it is not JSON: invalid character '}' after top-level value at byte 8"},
		{"", "\xff\xfe{\x00}\x00", "it is UTF-16, but JSON is UTF-8"},
		{"", "\x00{\x00}", "it is UTF-16, but JSON is UTF-8"},
		{"", "{\x00}\x00", "it is UTF-16, but JSON is UTF-8"},
		{"", "\xff\xfe\x00\x00{\x00\x00\x00", "it is UTF-32, but JSON is UTF-8"},
		{"", "{\x00\x00\x00}\x00\x00\x00", "it is UTF-32, but JSON is UTF-8"},
		{"", "\x00\x01\x02", `it is not JSON: invalid character '\x00' looking for beginning of value at byte 1`},
		{"", "<order/>", `it is not JSON: invalid character '<' looking for beginning of value at byte 1`},
		{"gzip", gzipped(`{"a":1}`), ""},
		{"gzip", gzipped(`[1]`), "it is a JSON array, not an object: publish each event as a message of its own"},
		{"gzip", `{"orderId":"4711"}`, `its Content-Encoding is "gzip": the data is not so encoded: gzip: invalid header`},
		{"gzip", gzipped(`{"a":1}`)[:12], `its Content-Encoding is "gzip": the data is damaged: unexpected EOF`},
		{"gzip", gzipped(noise(1<<20 + 1)), `its Content-Encoding is "gzip": it holds more than 1048576 bytes when decompressed`},
		{"br", `x`, `its Content-Encoding is "br": only gzip and deflate can be read`},
		{"gzip, gzip", `x`, `its Content-Encoding is "gzip, gzip": only gzip and deflate can be read`},
	} {
		m := &Message{Data: []byte(tt.data)}
		if tt.encoding != "" {
			m.Header = header("Content-Encoding", tt.encoding)
		}
		if got := m.bodyProblem(); got != tt.want {
			t.Errorf("%s %.40q: %q, want %q", tt.encoding, tt.data, got, tt.want)
		}
	}
}

// noise is text that does not compress well.
func noise(n int) string {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range b {
		b[i] = byte('a' + r.IntN(26))
	}
	return string(b)
}

// TestInflateIsBounded: what a compressed body may hold grows with its size.
func TestInflateIsBounded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		holds string
		good  bool
	}{
		{`{"a":"` + strings.Repeat("a", 60<<10) + `"}`, true},
		{`{"a":"` + strings.Repeat("a", 1<<20-100) + `"}`, false},
		{`{"a":"` + noise(1<<20-100) + `"}`, true},
		{noise(1<<20 + 1), false},
		{strings.Repeat(`{"sku":"a","quantity":1,"note":"`+noise(20)+`"},`, 1000), true},
	} {
		m := &Message{Header: header("Content-Encoding", "gzip"), Data: []byte(gzipped(c.holds))}
		if _, err := m.Body(); (err == nil) != c.good {
			t.Errorf("%d bytes in %d: %v", len(c.holds), len(m.Data), err)
		}
	}
}
