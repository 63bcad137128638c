package record

import (
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

func TestSubjectMatches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		filter, subject string
		want            bool
	}{
		{"orders", "orders", true},
		{"orders", "orders.a", false},
		{"orders.a", "orders", false},
		{"orders.*", "orders.a", true},
		{"orders.*", "orders.a.b", false},
		{"orders.*", "orders", false},
		{"orders.>", "orders.a", true},
		{"orders.>", "orders.a.b.c", true},
		{"orders.>", "orders", false},
		{">", "orders", true},
		{"*", "orders", true},
		{"*.*.c", "a.b.c", true},
		{"*.*.c", "a.b.d", false},
		{"a.*.>", "a.b", false},
		{"a.*.>", "a.b.c", true},
		{"Orders", "orders", false},
	} {
		if got := SubjectMatches(c.filter, c.subject); got != c.want {
			t.Errorf("SubjectMatches(%q, %q) = %v", c.filter, c.subject, got)
		}
	}
}

func FuzzSubjectMatches(f *testing.F) {
	f.Add("orders.*.>", "orders.a.b")
	f.Add("orders.*", "orders.a.b")
	f.Add(">", "a")
	f.Add("a.b", "a.b")
	f.Fuzz(func(t *testing.T, filter, subject string) {
		// A record may not hold filters like a*b, over which the server's own functions differ.
		if checkFilter(filter) != "" || !server.IsValidSubject(filter) || !server.IsValidLiteralSubject(subject) {
			return
		}
		if got, want := SubjectMatches(filter, subject), server.SubjectMatchesFilter(subject, filter); got != want {
			t.Errorf("SubjectMatches(%q, %q) = %v, the server says %v", filter, subject, got, want)
		}
		if got, want := subjectsOverlap(filter, subject), server.SubjectsCollide(filter, subject); got != want {
			t.Errorf("subjectsOverlap(%q, %q) = %v, the server says %v", filter, subject, got, want)
		}
	})
}

// words builds each text of up to n tokens out of the alphabet.
func words(alphabet []string, n int) []string {
	var out, longest []string
	longest = []string{""}
	for range n {
		var next []string
		for _, w := range longest {
			for _, a := range alphabet {
				next = append(next, strings.TrimPrefix(w+"."+a, "."))
			}
		}
		out = append(out, next...)
		longest = next
	}
	return out
}

func TestFiltersAgainstAllSubjects(t *testing.T) {
	t.Parallel()
	subjects := words([]string{"a", "b"}, 4)
	filters := slices.DeleteFunc(words([]string{"a", "b", "*", ">"}, 3), func(f string) bool { return !server.IsValidSubject(f) })
	for _, a := range filters {
		for _, b := range filters {
			all, any := true, false
			for _, s := range subjects {
				inA, inB := SubjectMatches(a, s), SubjectMatches(b, s)
				all = all && (!inB || inA)
				any = any || inA && inB
			}
			if got := subjectSubsumes(a, b); got != all {
				t.Errorf("subjectSubsumes(%q, %q) = %v, want %v", a, b, got, all)
			}
			if got := subjectsOverlap(a, b); got != any {
				t.Errorf("subjectsOverlap(%q, %q) = %v, want %v", a, b, got, any)
			}
			if got := server.SubjectsCollide(a, b); got != any {
				t.Errorf("server.SubjectsCollide(%q, %q) = %v, want %v", a, b, got, any)
			}
		}
	}
}

func TestTypeMatches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, typ string
		want         bool
	}{
		{"OrderAccepted", "OrderAccepted", true},
		{"OrderAccepted", "orderaccepted", false},
		{"OrderAccepted", "OrderAccepted2", false},
		{"OrderLines*", "OrderLinesChanged", true},
		{"OrderLines*", "OrderLines", true},
		{"OrderLines*", "OrderLine", false},
		{"*Accepted", "OrderAccepted", true},
		{"*Accepted", "OrderAcceptedTwice", false},
		{"*Line*", "OrderLinesChanged", true},
		{"a*b*c", "a--b--b--c", true},
		{"a*b*c", "a--c--b", false},
		{"*ab", "aab", true},
		{"*", "", true},
		{"Order*", "", false},
		{"", "", true},
	} {
		if got := typeMatches(c.pattern, c.typ); got != c.want {
			t.Errorf("typeMatches(%q, %q) = %v", c.pattern, c.typ, got)
		}
	}
}

func TestWithoutSubsumed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want []string }{
		{nil, nil},
		{[]string{"a", "a"}, []string{"a"}},
		{[]string{"orders.a.b", "orders.*.b", "x", "orders.>"}, []string{"x", "orders.>"}},
		{[]string{"s.a.*", "s.*.b"}, []string{"s.a.*", "s.*.b"}},
		{[]string{"a", ">"}, nil},
		{[]string{"*.>", "a.b"}, []string{"*.>"}},
	} {
		if got := withoutSubsumed(c.in, ">", subjectSubsumes); !slices.Equal(got, c.want) {
			t.Errorf("withoutSubsumed(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}
