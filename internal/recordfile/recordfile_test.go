package recordfile

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, file, text, want, problem string }{
		{"named by its file", "d/acme.yaml", "targetURL: https://h/", `acme {"targetURL":"https://h/"}`, ""},
		{"by itself", "x.yaml", "id: acme\ntargetURL: https://h/", `acme {"targetURL":"https://h/"}`, ""},
		{"an id of digits", "x.yaml", "id: 4711\na: 1", `4711 {"a":1}`, ""},
		{"documents", "x.yaml", "---\nid: a\n---\n---\nid: b\nc: [1, 2.50]\n", `a {}; b {"c":[1,2.50]}`, ""},
		{"a list", "x.yaml", "- id: a\n- id: b\n", `a {}; b {}`, ""},
		{"values", "a.yaml", "a: yes\nb: true\nc: ~\nd: 2026-01-01\ne: '1'\nf: |\n  two\n  lines\ng: 010\n", "", "a.yaml:9: g: 010 is not a number"},
		{"texts", "a.yaml", "a: yes\nb: True\nc: 2026-01-01T00:00:00Z\nd: '1'\n\"e\": 1e3\n", `a {"a":"yes","b":true,"c":"2026-01-01T00:00:00Z","d":"1","e":1e3}`, ""},
		{"an alias", "a.yaml", "a: &x {b: 1}\nc: *x\n", `a {"a":{"b":1},"c":{"b":1}}`, ""},
		{"an alias of itself", "a.yaml", "a: &x [*x]\n", "", "lies deeper than 256 levels"},
		{"a bomb", "a.yaml", "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n", "", "the record has more than 65536 bytes"},
		{"JSON", "a.json", "\n{\"b\": \"\\u00e9\\ud83d\\ude00<\",\n\"id\": \"x\", \"c\": {\"d\": null}}", `x {"b":"é😀<","c":{"d":null}}`, ""},
		{"JSON one after the other", "-", `{"id":"a"} {"id":"b"}`, `a {}; b {}`, ""},
		{"one without a name", "-", "a: 1\n", "", "-:1: says no id; what comes by stdin has no name, add the member id"},
		{"a JSON list", "x.json", `[{"id":"a"},{"id":"b","t":false}]`, `a {}; b {"t":false}`, ""},
		{"bad JSON", "x.json", "{\n\"a\": 1,\n}", "", "x.json:3: is not JSON: "},
		{"no JSON", "x.json", "a: 1", "", "x.json:1: is not JSON: "},
		{"a list of texts", "x.yaml", "- a\n- b\n", "", "x.yaml:1: is not a record; a list holds records"},
		{"twice within", "x.yaml", "labels:\n  a: '1'\n  b: '2'\n  a: '3'\n", "", "x.yaml:4: labels.a: is given more than once, first in line 2"},
		{"two ids", "x.yaml", "id: a\nid: b\n", "", "x.yaml:2: id: is given more than once"},
		{"a bad id", "x.yaml", "a: 1\nid: a.b\n", "", "x.yaml:2: id: \"a.b\" is not a valid subscription id"},
		{"a mapping as a name", "x.yaml", "? {a: 1}\n: 2\n", "", "the name of a member must be a text"},
		{"a tag", "x.yaml", "a: !!binary aGk=\n", "", "values of the kind !!binary are not read"},
		{"a mark", "x.yaml", "\xef\xbb\xbfa: 1", "", "byte order mark"},
		{"nothing", "x.yaml", "# only a comment\n", "", ""},
	} {
		records, problems := Parse(tt.file, []byte(tt.text))
		var got, wrong []string
		for _, r := range records {
			got = append(got, r.ID+" "+string(r.JSON))
		}
		for _, p := range problems {
			wrong = append(wrong, p.Place()+": "+p.Message)
		}
		if tt.problem != "" {
			if len(wrong) == 0 || !strings.Contains(wrong[0], tt.problem) {
				t.Errorf("%s: got %q, want %s", tt.name, wrong, tt.problem)
			}
			continue
		}
		if text := strings.Join(got, "; "); text != tt.want || len(wrong) > 0 {
			t.Errorf("%s: got %s, %q\nwant %s", tt.name, text, wrong, tt.want)
		}
	}
}

func TestWhere(t *testing.T) {
	t.Parallel()
	records, _ := Parse("a.yaml", []byte("# c\ntargetURL: x\nauth:\n  password: x\nlist:\n  - a\n  - b: 1\n"))
	for field, want := range map[string]string{"": "a.yaml:2", "method": "a.yaml:2", "auth.password": "a.yaml:4", "auth.token": "a.yaml:3",
		"list[1].b": "a.yaml:7", "list[1]": "a.yaml:7", "list[0]": "a.yaml:6"} {
		if got := records[0].Where(field); got != want {
			t.Errorf("%q stands at %s, want %s", field, got, want)
		}
	}
}

// What is written as YAML is read back as the same value.
func FuzzYAML(f *testing.F) {
	for _, s := range []string{`{"a":"yes","b":["1","0x1",1.50,true,null,"~",{}],"c":{"no":"é\u0007\n x: y"},"d":"","e":" a","f":"- x","g":"2026-01-01","h":"#a","i":"a\tb\r\n"}`,
		`{"0":"\u0085"}`, `{"a":"\u2028<&>"}`, `{"x":"=","<<":"y"}`, `{"x":{"":[[],[{}]]}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var want map[string]any // numbers beyond a float64 are none in YAML
		if len(data) > 4096 || json.Unmarshal(data, &want) != nil || want == nil {
			return
		}
		first, problems := Parse("x.json", data)
		if len(problems) > 0 || want["id"] != nil {
			return // twice the same name, or too deep
		}
		text, err := YAML(first[0].JSON)
		if err != nil {
			t.Fatal(err)
		}
		back, problems := Parse("x.yaml", text)
		if len(problems) > 0 || len(back) != 1 {
			t.Fatalf("%s\n%q is read as %v", data, text, problems)
		}
		var a, b any
		for _, v := range []struct {
			data []byte
			to   *any
		}{{first[0].JSON, &a}, {back[0].JSON, &b}} {
			dec := json.NewDecoder(bytes.NewReader(v.data))
			dec.UseNumber()
			if err := dec.Decode(v.to); err != nil {
				t.Fatal(err)
			}
		}
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("%s\n%q\nis read back as %s", data, text, back[0].JSON)
		}
	})
}
