package filter

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"

	"orderbridge/bridge/event"
)

// Whole numbers are integers, kinds mix, and comparisons are exact.
func TestNumbers(t *testing.T) {
	t.Parallel()
	f := New()
	const n = `{"n":7,"whole":8.0,"half":2.5,"neg":-3,"zero":0,"max":9223372036854775807,"min":-9223372036854775808,"big":18446744073709551615,"beyond":18446744073709551616,
		"edge":9007199254740992,"edge1":9007199254740993,"edged":9007199254740993.0,"edgee":9007199254740993e0,"tiny":1e-400,"long":0.1000000000000000000000000000000000000000000000000000000000000000000001,"list":["a","b"]}`
	for _, c := range []struct {
		expression string
		want       bool
		reason     string
	}{
		{`event.n % 2 == 1 && event.neg % 2 == -1 && event.whole % 3 == 2 && event.whole % 3.0 == 2`, true, ""},
		{`event.half % 2 == 0`, false, "% needs whole numbers, not 2.5 and 2"},
		{`event.n % event.zero == 1`, false, "modulus by zero"},
		{`event.n * 2 == 14 && event.half * 2 == 5 && event.half * 2.0 == 5.0 && event.n * 2.0 == 14.0`, true, ""},
		{`2 * event.n == 14 && 2 * event.half == 5 && 2.0 * event.n == 14.0`, true, ""},
		{`event.n + 1 == 8 && event.half + 1 == 3.5 && 1 + event.half == 3.5 && event.n - 0.5 == 6.5 && 10 - event.half == 7.5`, true, ""},
		{`event.n / 2 == 3 && event.n / 2.0 == 3.5 && event.half / 2 == 1.25 && event.whole / 3 > 2.6`, true, ""},
		{`event.n / event.zero == 1`, false, "division by zero"},
		{`event.max + 1 > 0`, false, "overflow"},
		{`type(event.n) == int && type(event.half) == double && type(event.whole) == double && type(event.big) == uint && type(event.edge1) == int`, true, ""},
		{`event.n == 7 && event.n == 7.0 && event.n == 7u && event.n in [7] && event.whole == 8 && event.whole in [8]`, true, ""},

		// 2^53, 2^63 and 2^64
		{`event.edge1 > 9007199254740992 && event.edge1 == 9007199254740993 && event.edge1 != event.edge && event.edge < event.edge1`, true, ""},
		{`event.edged > 9007199254740992 && event.edged == 9007199254740993 && event.edgee == event.edge1`, true, ""},
		{`event.edge1 > 9007199254740992.0 && !(event.edge1 <= 9007199254740992.0) && 9007199254740992.0 < event.edge1`, true, ""},
		{`event.edge == 9007199254740992.0 && event.edge >= 9007199254740992.0`, true, ""},
		{`event.max < 9223372036854775808.0 && event.max == 9223372036854775807 && event.min == -9223372036854775808 && event.max < event.big`, true, ""},
		{`event.big > event.max && event.big == 18446744073709551615u && event.big > -1 && event.beyond > event.big && event.big % 2 == 1`, true, ""},
		{`event.big - 1u == 18446744073709551614u && event.n + 1u == 8`, true, ""},
		{`event.tiny == 0 && event.long > 0.1 - 0.01 && event.long < 0.2`, true, ""},

		// what was there before is there still
		{`event.list[0] + event.list[1] == "ab" && event.list + ["c"] == ["a","b","c"] && "a" < "b"`, true, ""},
		{`duration("1h") + duration("1m") > duration("1h") && timestamp("2026-01-01T00:00:00Z") - duration("1h") < timestamp("2026-01-01T00:00:00Z")`, true, ""},
		{`true > false && b"a" < b"b" && string(event.n) == "7" && int(event.half) == 2 && double(event.n) == 7.0`, true, ""},
		{`event.n + "x" == "7x"`, false, "no such overload"},
		{`event.list < 3`, false, "no such overload"},
	} {
		got, err := f.Wants(t.Context(), c.expression, eventOf(n))
		switch {
		case c.reason == "" && (err != nil || got != c.want):
			t.Errorf("%s: %v, %v; want %v", c.expression, got, err, c.want)
		case c.reason != "" && (err == nil || !strings.Contains(err.Error(), c.reason)):
			t.Errorf("%s: %v, %v; want an error with %q", c.expression, got, err, c.reason)
		}
	}
	for _, bad := range []string{`subject % 2 == 0`, `subject * 2 == ""`, `1 + "x" == "1x"`} {
		if err := f.Check(bad); err == nil || !strings.Contains(err.Error(), "no matching overload") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// A filter sees the body: decompressed and without a byte order mark.
func TestFilterReadsTheBody(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte("\xef\xbb\xbf" + `{"n":1}`))
	z.Close()
	for name, e := range map[string]*event.Event{
		"mark": {Message: event.Message{Data: []byte("\xef\xbb\xbf" + `{"n":1}`)}},
		"gzip": {Message: event.Message{Data: b.Bytes(), Header: map[string][]string{"Content-Encoding": {"gzip"}}}},
	} {
		if got, err := New().Wants(t.Context(), `event.n == 1`, e); err != nil || !got {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	for encoding, want := range map[string]string{
		"br": `filter: the event cannot be read: its Content-Encoding is "br": only gzip and deflate can be read`, "": "filter: the event is not JSON: it is UTF-16, but JSON is UTF-8",
	} {
		e := &event.Event{Message: event.Message{Data: []byte("\xff\xfe{\x00}\x00")}}
		if encoding != "" {
			e.Header = map[string][]string{"Content-Encoding": {encoding}}
		}
		if _, err := New().Wants(t.Context(), `event.n == 1`, e); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", encoding, err, want)
		}
	}
}
