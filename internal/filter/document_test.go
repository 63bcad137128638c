package filter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

// decoded is the value as encoding/json has it, with the numbers of numbers.go.
func decoded(text string) (any, bool) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil, false
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, false
	}
	return v, true
}

// same compares what a filter sees with what encoding/json made.
func same(v ref.Val, want any) bool {
	switch want := want.(type) {
	case map[string]any:
		m, ok := v.(traits.Mapper)
		if !ok || m.Size() != types.Int(len(want)) {
			return false
		}
		seen := map[string]bool{}
		for it := m.Iterator(); it.HasNext() == types.True; {
			name, ok := it.Next().(types.String)
			x, found := m.Find(name)
			if w, has := want[string(name)]; !ok || !found || !has || seen[string(name)] || !same(x, w) || !same(m.Get(name), w) {
				return false
			}
			seen[string(name)] = true
		}
		_, found := m.Find(types.String("no such name"))
		_, has := want["no such name"]
		return found == has && m.Equal(m) == types.True
	case []any:
		l, ok := v.(traits.Lister)
		if !ok || l.Size() != types.Int(len(want)) {
			return false
		}
		i := 0
		for it := l.Iterator(); it.HasNext() == types.True; i++ {
			if x := it.Next(); !same(x, want[i]) || !same(l.Get(types.Int(i)), want[i]) {
				return false
			}
		}
		return i == len(want)
	case json.Number:
		if len(want) > limits.FilterNumberDigits {
			return types.IsError(v)
		}
		return reflect.DeepEqual(v.Value(), number(want.String()))
	case nil:
		return v == types.NullValue
	}
	return reflect.DeepEqual(v.Value(), want)
}

var texts = []string{order, ``, ` `, `{}`, `[]`, `[[],{},[{}]]`, `{"a":1,"a":2,"b":[1,2,{"a":3}]}`, `"x"`, `-0`, `01`, `1.`, `1e5`, `-`, `1e999999999`, `.5`, `+1`,
	`{"a":1}}`, `{"a" : 1 , "b":null}`, `[1,]`, `{"a":1,}`, `{,}`, `[,]`, `{"a"}`, `{"a":}`, `{1:2}`, `tru`, `true`, `nullx`, `[true,false,null]`,
	`"\u00e9\ud800\n\"\\"`, "\"\xff\"", "\"a\nb\"", `"\x"`, `"\u12"`, `{"\u0061":1,"a":2}`, "{\"\xff\":1,\"\xfe\":2}", `[1 2]`, `{"a":1 "b":2}`, `[}`, `{]`, `[`, `{"`, `"`,
	`{"` + strings.Repeat("k", 100) + `":"` + strings.Repeat("\\n", 100) + `"}`, many(20), "\xef\xbb\xbf{}", `1 2`, `"" ""`}

// many is an object with so many members, some of them twice.
func many(n int) string {
	var b strings.Builder
	b.WriteString(`{`)
	for i := range n {
		fmt.Fprintf(&b, `"k%d":%d,"k%d":[%d],`, i, i, i/2, i)
	}
	return b.String() + `"":0}`
}

func checkDocument(t *testing.T, text string) {
	want, good := decoded(text)
	s := scanner{text: []byte(text)}
	err := s.scan()
	if err != nil && !strings.Contains(err.Error(), "JSON") && !strings.Contains(err.Error(), "more follows") {
		return // a bound
	}
	if (err == nil) != good {
		t.Fatalf("%.200q: %v, encoding/json takes it: %v", text, err, good)
	}
	if !good {
		return
	}
	d := fill([]byte(text), s.count)
	if d == nil || !same(d.root(), want) {
		t.Fatalf("%.200q is %v, want %v", text, d, want)
	}
	again := fill([]byte(text), s.count)
	if d.root().Equal(again.root()) != types.True && !strings.ContainsAny(text, "0123456789") {
		t.Fatalf("%.200q does not equal itself", text)
	}
	if deep(d.root(), math.MaxInt) <= 0 {
		t.Fatalf("%.200q costs nothing", text)
	}
}

func TestDocument(t *testing.T) {
	t.Parallel()
	for _, text := range texts {
		checkDocument(t, text)
	}
	checkDocument(t, many(3000))
}

// FuzzDocument holds the view of an event's JSON against encoding/json.
func FuzzDocument(f *testing.F) {
	for _, text := range texts {
		f.Add(text)
	}
	f.Fuzz(checkDocument)
}

func TestBoundsOfADocument(t *testing.T) {
	t.Parallel()
	f := New()
	for _, c := range []struct{ expression, data, reason string }{
		{`event[0] == 0`, `[0` + strings.Repeat(",0", limits.FilterValues) + `]`, "holds more than 1048576 values"},
		{`size(event) > 0`, strings.Repeat("[", limits.FilterDepth) + strings.Repeat("]", limits.FilterDepth), ""},
		{`size(event) > 0`, strings.Repeat("[", limits.FilterDepth+1) + strings.Repeat("]", limits.FilterDepth+1), "nests deeper than 512 levels"},
		{`event.a.b == 1`, strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000), "nests deeper"},
		{`event.n > 1`, `{"n":` + strings.Repeat("9", limits.FilterNumberDigits+1) + `,"m":1}`, "a number of 513 characters; at most 512"},
		{`event.m == 1`, `{"n":` + strings.Repeat("9", 1<<20) + `,"m":1}`, ""},
		{`event.n > 1.0`, `{"n":1e999999999}`, ""},
		{`event.n > 1.0`, `{"n":1e` + strings.Repeat("9", 500) + `}`, ""},
		{`event.m == 1`, `{"x":"` + strings.Repeat("x", limits.FilterEventBytes) + `","m":1}`, "at most 8388608 are evaluated"},
		{`size(event) == 524288`, `[0` + strings.Repeat(",0", 1<<19-1) + `]`, ""},
		{`event.last == 1`, `{` + strings.Repeat(`"":0,`, 200_000) + `"last":1}`, ""},
		{`event.k7 == [15]`, many(50_000), ""},
	} {
		ok, err := f.Wants(t.Context(), c.expression, eventOf(c.data))
		switch {
		case c.reason == "" && (err != nil || !ok):
			t.Errorf("%s, %d bytes: %v, %v", c.expression, len(c.data), ok, err)
		case c.reason != "" && (err == nil || !strings.Contains(err.Error(), c.reason) || bridge.Judge(err, false).Verdict != protocol.GiveUp):
			t.Errorf("%s, %d bytes: %v, %v, want %q", c.expression, len(c.data), ok, err, c.reason)
		}
	}
	e := eventOf(`{}`)
	e.Header = map[string][]string{}
	for i := range limits.FilterHeaders + 1 {
		e.Header[fmt.Sprint(i)] = []string{""}
	}
	if _, err := f.Wants(t.Context(), `size(headers) > 1`, e); err == nil || !strings.Contains(err.Error(), "has 4097 headers; at most 4096") {
		t.Errorf("many headers: %v", err)
	}
}

// TestNeed: what a document takes is not more than was reserved for it.
func TestNeed(t *testing.T) {
	if testing.Short() {
		t.Skip("measures memory")
	}
	for name, text := range map[string]string{
		"list":     `[0` + strings.Repeat(",0", 1<<19-1) + `]`,
		"members":  `{` + strings.Repeat(`"":0,`, 200_000) + `"last":1}`,
		"names":    many(30_000),
		"lists":    `[` + strings.Repeat(`[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0],`, 30_000) + `0]`,
		"empty":    `[` + strings.Repeat(`[],`, 300_000) + `0]`,
		"texts":    `[` + strings.Repeat(`"\n`+strings.Repeat("x", 70)+`",`, 14_000) + `0]`,
		"one text": `"\n` + strings.Repeat("\xff", 300_000) + `"`,
	} {
		s := scanner{text: []byte(text)}
		if err := s.scan(); err != nil {
			t.Fatal(name, err)
		}
		need := s.count.need(s.text)
		before := inUse()
		d := fill(bytes.Clone(s.text), s.count)
		touch(d.root())
		used := int(inUse() - before)
		t.Logf("%s: %d bytes of JSON, %d reserved, %d used", name, len(text), need, used)
		if used > need+1<<20 {
			t.Errorf("%s: %d bytes were reserved, %d are used", name, need, used)
		}
		if !utf8.ValidString(fmt.Sprint(d.root().Type())) {
			t.Fatal("kept alive")
		}
	}
}

// touch asks for all that a value holds.
func touch(v ref.Val) {
	switch v := v.(type) {
	case traits.Mapper:
		for it := v.Iterator(); it.HasNext() == types.True; {
			touch(v.Get(it.Next()))
		}
	case traits.Lister:
		v.Size()
		for it := v.Iterator(); it.HasNext() == types.True; {
			touch(it.Next())
		}
	}
}
