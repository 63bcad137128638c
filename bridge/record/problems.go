package record

import (
	"hash/fnv"
	"strconv"
	"strings"
)

// Problem is one thing about a record that is wrong, or (Warning) unwise.
type Problem struct {
	Field   string `json:"field"`   // the member, e.g. "auth.password"; "" for the record as a whole
	Message string `json:"message"` // one line with the value (unless secret) and the remedy
	Warning bool   `json:"warning,omitempty"`
}

func (p Problem) String() string {
	if p.Field == "" {
		return p.Message
	}
	return p.Field + ": " + p.Message
}

// Error makes a problem an error.
func (p Problem) Error() string { return p.String() }

// Problems are all problems of one record, in the order of its members.
type Problems []Problem

// Errors are the problems because of which the record cannot be used.
func (p Problems) Errors() Problems { return p.where(false) }

// Warnings are the others.
func (p Problems) Warnings() Problems { return p.where(true) }

func (p Problems) where(warning bool) Problems {
	var out Problems
	for _, x := range p {
		if x.Warning == warning {
			out = append(out, x)
		}
	}
	return out
}

// Err returns an error of all problems that are not warnings, nil if there is none.
func (p Problems) Err() error {
	if errs := p.Errors(); len(errs) > 0 {
		return errs
	}
	return nil
}

// Error joins all problems, "targetURL: …; method: …".
func (p Problems) Error() string {
	texts := make([]string, len(p))
	for i, x := range p {
		texts[i] = x.String()
	}
	return strings.Join(texts, "; ")
}

// Digest tells problems apart, in whatever order errors stand among warnings.
func (p Problems) Digest() uint64 {
	if len(p) == 0 {
		return 0
	}
	h := fnv.New64a()
	for _, x := range append(p.Errors(), p.Warnings()...) {
		h.Write([]byte(x.Field + "\x00" + x.Message + "\x00"))
	}
	return h.Sum64()
}

// quote makes a value fit for one line of a message, at most 80 characters of it.
func quote(s string) string {
	const most = 80
	if n := 0; len(s) > most {
		for i := range s {
			if n == most {
				return strconv.Quote(s[:i]) + "…"
			}
			n++
		}
	}
	return strconv.Quote(s)
}

// Edits is the Levenshtein distance, letter case apart.
func Edits(a, b string) int {
	x, y := []rune(strings.ToLower(a)), []rune(strings.ToLower(b))
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range x {
		diagonal := row[0]
		row[0] = i + 1
		for j := range y {
			change := diagonal
			if x[i] != y[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(y)]
}
