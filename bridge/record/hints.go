package record

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// What a record's writer is shown beside what is wrong: how a member looks that
// is right, and which name was meant.

// asIn is the example for a field, as the end of a message; "" if there is none.
func asIn(field string, v gjson.Result, want string) string {
	switch {
	case v.Type == gjson.String && want == "an array" && len(v.Str) <= 80 && json.Valid([]byte(v.Raw)) &&
		memberAt[field].visibility() != hidden:
		return "; write [" + v.Raw + "]"
	case v.Type == gjson.String && want == "a boolean" && (v.Str == "true" || v.Str == "false"):
		return "; write " + v.Str + " without quotes"
	case v.Type == gjson.String && want == "a number" && len(v.Str) <= 12 &&
		gjson.Valid(v.Str) && gjson.Parse(v.Str).Type == gjson.Number:
		return "; write " + v.Str + " without quotes"
	}
	if m := memberAt[field]; m != nil && m.example != "" {
		return "; write it like " + m.example
	}
	if i := strings.IndexByte(field, '['); i > 0 && want == "a string" {
		return "; write it in quotes"
	}
	return ""
}

// meant tells which of the members may be meant by an unknown name, as the end of a message.
func (o *memberSet) meant(prefix, name string) string {
	if r := []rune(name); len(r) > 64 {
		name = string(r[:64])
	}
	if m := o.aka(strings.ToLower(name)); m != nil {
		return "the nearest known member is " + quote(prefix+m.name)
	}
	return meantOf(prefix, name, o.names)
}

func meantOf(prefix, name string, known []string) string {
	if len(known) == 0 {
		return "nothing is known here"
	}
	best := nearest(name, known)
	if n := Edits(name, best); 2*n > max(len(name), len(best)) && !strings.HasPrefix(strings.ToLower(best), strings.ToLower(name)) {
		return "known are " + strings.Join(known, ", ")
	}
	return "the nearest known member is " + quote(prefix+best)
}

// Unknown is the problem of a member that is none of the known ones, which are sorted.
func Unknown(prefix, name string, known []string) Problem {
	short := name
	if r := []rune(name); len(r) > 64 {
		short = string(r[:64])
	}
	return unknown(prefix, name, meantOf(prefix, short, known))
}

func unknown(prefix, name, meant string) Problem {
	return Problem{Field: prefix + strings.Trim(quote(name), `"`), Message: "is unknown; " + meant}
}

// nearest returns the known name that differs least from name: by edits, a
// common beginning counting half an edit a letter.
func nearest(name string, known []string) string {
	score := func(k string) int {
		a, b := strings.ToLower(name), strings.ToLower(k)
		common := 0
		for common < len(a) && common < len(b) && a[common] == b[common] {
			common++
		}
		return 2*Edits(name, k) - common
	}
	return slices.MinFunc(known, func(a, b string) int {
		if d := score(a) - score(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
}
