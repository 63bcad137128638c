package record

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"orderbridge/bridge/event"
	"orderbridge/internal/lab"
	"orderbridge/internal/limits"
)

// slowly matches a pattern by trying each way.
func slowly(pattern, typ string) bool {
	switch {
	case pattern == "":
		return typ == ""
	case pattern[0] == '*':
		return slowly(pattern[1:], typ) || typ != "" && slowly(pattern, typ[1:])
	}
	return typ != "" && pattern[0] == typ[0] && slowly(pattern[1:], typ[1:])
}

// FuzzTypeMatches holds the matcher, and the index, against the slow one.
func FuzzTypeMatches(f *testing.F) {
	for _, seed := range [][2]string{{"a*b*c", "a--b--b--c"}, {"*ab*ab*", "abab"}, {"*ab*ab*", "aab"}, {"a*a", "a"}, {"**", ""}, {"*aa*aa", "aaa"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, typ string) {
		if len(pattern) > 12 || len(typ) > 24 || strings.Contains(typ, "*") {
			return
		}
		want := slowly(pattern, typ)
		if got := typeMatches(pattern, typ); got != want {
			t.Fatalf("typeMatches(%q, %q) = %v", pattern, typ, got)
		}
		if !strings.Contains(pattern, "*") {
			return
		}
		d := NewDirectory()
		d.Put(&Subscription{ID: "s", Types: []string{pattern}})
		if got, _ := d.Match(&event.Event{Type: typ, Message: event.Message{Subject: "a"}}, nil); (len(got) == 1) != want {
			t.Fatalf("the index finds %q in %q: %v", pattern, typ, !want)
		}
		d.Remove("s")
		if *d.root != (node{}) {
			t.Fatal("the index keeps what was removed")
		}
	})
}

// TestManyHostilePatterns: 10,000 of them and a type of 1 MB cost little, each
// kind by itself, and so does one of 512 bytes, which is matched as it is.
func TestManyHostilePatterns(t *testing.T) {
	t.Parallel()
	a := func(n int) string { return strings.Repeat("a", n) }
	for name, pattern := range map[string]func(i int) string{
		"many stars":            func(i int) string { return "*" + strings.Repeat("a*", 7) + fmt.Sprint(i) },
		"long texts":            func(i int) string { return "*" + a(60) + "*" + a(58) + fmt.Sprint("b", i%10, "*") + a(i/1000) },
		"all but the last":      func(i int) string { return fmt.Sprint(a(20), "*", a(40), "*", a(39), "*", i, "*") },
		"one text, many ends":   func(i int) string { return fmt.Sprint("*", a(60), "*a*a*a*a*a*", i) },
		"text of each length":   func(i int) string { return fmt.Sprint("*", a(i%110+1), "*b", i, "*") },
		"beginnings":            func(i int) string { return fmt.Sprint(a(i%100), i, "*") },
		"each matches, no less": func(i int) string { return fmt.Sprint("*", a(i%100+1), "*", a(i/100+1)) },
	} {
		d := NewDirectory()
		for i := range 160 {
			s := &Subscription{ID: fmt.Sprint("s", i)}
			for k := range 63 {
				s.Types = append(s.Types, pattern(i*63+k))
			}
			d.Put(s)
		}
		for _, typ := range []string{a(1 << 20), a(limits.ValueBytes)} {
			ev := (&event.Decoder{}).Decode(&event.Message{Subject: "orders", Header: map[string][]string{"ce-type": {typ}}})
			best := time.Hour
			for try := 0; try < 50 && best > 10*time.Millisecond; try++ { // the machine may be busy
				start := time.Now()
				d.Match(ev, nil)
				best = min(best, time.Since(start))
			}
			lab.Promise(t, fmt.Sprintf("%s, a type of %d bytes", name, len(typ)), best, 10*time.Millisecond)
			if best > 10*time.Second { // thousandfold is another order of growth
				t.Errorf("%s: a type of %d bytes took %s", name, len(typ), best)
			}
		}
	}
}

// TestManyWildcardSubjects: filters that differ in which tokens are wildcards.
func TestManyWildcardSubjects(t *testing.T) {
	t.Parallel()
	d := NewDirectory()
	n := 0
	for i := range 250 {
		s := &Subscription{ID: fmt.Sprint("s", i)}
		for k := range 64 {
			tokens := strings.Split(strings.Repeat("a.", 14)+"a", ".")
			for b := range 14 {
				if (i*64+k)>>b&1 == 1 {
					tokens[b] = "*"
				}
			}
			if strings.Count(strings.Join(tokens, "."), "*") <= limits.SubjectStars {
				s.Subjects = append(s.Subjects, strings.Join(append(tokens, "b"), "."))
				n++
			}
		}
		if s.Subjects != nil {
			d.Put(s)
		}
	}
	ev := &event.Event{Message: event.Message{Subject: strings.Repeat("a.", 15) + "c"}}
	best := time.Hour
	for try := 0; try < 50 && best > 50*time.Millisecond; try++ {
		start := time.Now()
		d.Match(ev, nil)
		best = min(best, time.Since(start))
	}
	lab.Promise(t, fmt.Sprintf("%d filters", n), best, 50*time.Millisecond)
	if best > 50*time.Second { // thousandfold is another order of growth
		t.Errorf("%d filters took %s", n, best)
	}
}

func TestPatternsAreBounded(t *testing.T) {
	t.Parallel()
	list := func(n int, f func(int) string) string {
		var texts []string
		for i := range n {
			texts = append(texts, `"`+f(i)+`"`)
		}
		return "[" + strings.Join(texts, ",") + "]"
	}
	for _, c := range []struct{ member, problem string }{
		{`"eventTypes":["` + strings.Repeat("a*", limits.PatternStars) + `"]`, ""},
		{`"eventTypes":["` + strings.Repeat("a*", limits.PatternStars+1) + `"]`, `eventTypes\[0\].*has 9 stars; at most 8 are allowed`},
		{`"eventTypes":["` + strings.Repeat("*", 20) + `"]`, ""},
		{`"eventTypes":` + list(limits.PatternsWithin, func(i int) string { return fmt.Sprint("*x", i, "x*") }), ""},
		{`"eventTypes":` + list(limits.PatternsWithin+1, func(i int) string { return fmt.Sprint("*x", i, "x*") }), `eventTypes\[16\].*one more than the 16`},
		{`"eventTypes":` + list(64, func(i int) string { return fmt.Sprint("Order", i, "x*") }), ""},
		{`"eventTypes":` + list(64, func(i int) string { return fmt.Sprint("*x", i, "Order") }), ""},
		{`"subjects":["` + strings.Repeat("a.", limits.SubjectTokens-1) + `>"]`, ""},
		{`"subjects":["` + strings.Repeat("a.", limits.SubjectTokens) + `>"]`, `subjects\[0\].*has 17 tokens; at most 16`},
		{`"subjects":["` + strings.Repeat("*.", limits.SubjectStars) + `a"]`, ""},
		{`"subjects":["` + strings.Repeat("*.", limits.SubjectStars+1) + `a"]`, `has 5 tokens \*; at most 4`},
	} {
		_, problems := Parse("s", []byte(`{"targetURL":"https://h.example/",`+c.member+`}`), Policy{})
		err := problems.Err()
		switch {
		case c.problem == "" && err != nil:
			t.Errorf("%.60s: %v", c.member, err)
		case c.problem != "" && (err == nil || !regexp.MustCompile(c.problem).MatchString(err.Error())):
			t.Errorf("%.60s: %v, want %s", c.member, err, c.problem)
		}
	}
}
