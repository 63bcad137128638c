package record

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"orderbridge/internal/limits"
)

// A form is what a value looks like: how it is read, and what the schema says of it.
type form[T any] struct {
	schema fragment
	// read returns false if it has told what is wrong.
	read func(r *recordReader, field string, v gjson.Result) (T, bool)
	url  bool // as of value
}

// keep is a value of the form that set keeps in the record.
func keep[T any](f form[T], set func(r *recordReader, v T)) value {
	return value{schema: f.schema, url: f.url, read: func(r *recordReader, field string, v gjson.Result) {
		if x, ok := f.read(r, field, v); ok {
			set(r, x)
		}
	}}
}

// nested is an object of declared members; begin, if not nil, is called before they are read.
func nested(path string, begin func(r *recordReader), members []member) value {
	o := newMemberSet(path+".", members)
	return value{object: o, schema: o.schema(), read: func(r *recordReader, field string, v gjson.Result) {
		if !r.is(field, v, "an object") {
			return
		}
		if begin != nil {
			begin(r)
		}
		r.object(field+".", v, o)
	}}
}

// text is a string of 1 to most characters without control characters.
func text(most int) form[string] {
	return form[string]{
		schema: fragment{{"type", "string"}, {"minLength", 1}, {"maxLength", most}, {"pattern", noControl}},
		read: func(r *recordReader, field string, v gjson.Result) (string, bool) {
			return r.text(field, v, most)
		},
	}
}

const noControl = `^[^\x00-\x1f\x7f-\x9f]*$`

// oneOf is one of a few words.
func oneOf(words ...string) form[string] {
	return form[string]{
		schema: fragment{{"enum", words}},
		read: func(r *recordReader, field string, v gjson.Result) (string, bool) {
			word := r.oneOf(field, v, words...)
			return word, word != ""
		},
	}
}

var boolean = form[bool]{
	schema: fragment{{"type", "boolean"}},
	read: func(r *recordReader, field string, v gjson.Result) (bool, bool) {
		return v.Bool(), r.is(field, v, "a boolean")
	},
}

// whole is a whole number from 1 to most.
func whole(most int) form[int] {
	return form[int]{
		schema: fragment{{"type", "integer"}, {"minimum", 1}, {"maximum", most}},
		read: func(r *recordReader, field string, v gjson.Result) (int, bool) {
			return r.whole(field, v, most)
		},
	}
}

// moment is a time of RFC 3339.
var moment = form[string]{
	schema: fragment{{"type", "string"}, {"format", "date-time"}},
	read: func(r *recordReader, field string, v gjson.Result) (string, bool) {
		if !r.is(field, v, "a string") {
			return "", false
		}
		if _, err := time.Parse(time.RFC3339, v.Str); err != nil {
			r.fail(field, "is %s; it must be a time like 2006-01-02T15:04:05Z", quote(v.Str))
			return "", false
		}
		return v.Str, true
	},
}

// safeID is what ids and tenants are made of.
var safeID = fragment{{"type", "string"}, {"pattern", `^[A-Za-z0-9_-]{1,64}$`}}

// duration is a time of at most most; one that is shorter than least is raised.
func duration(most, least time.Duration) form[time.Duration] {
	return form[time.Duration]{
		schema: ref("duration"),
		read: func(r *recordReader, field string, v gjson.Result) (time.Duration, bool) {
			d := r.atLeast(field, v, r.duration(field, v, most), least)
			return d, d > 0
		},
	}
}

var durationSchema = fragment{
	{"type", "string"}, {"maxLength", 64},
	{"pattern", `^(?:P(?:[0-9]+(?:[.,][0-9]{1,9})?D|(?:[0-9]+D)?T(?:(?:[0-9]+H)?(?:[0-9]+M)?[0-9]+(?:[.,][0-9]{1,9})?S|` +
		`(?:[0-9]+H)?[0-9]+(?:[.,][0-9]{1,9})?M|[0-9]+(?:[.,][0-9]{1,9})?H))|` +
		`(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+)$`},
	{"description", "ISO-8601 (PT1M30S) or Go's form (1m30s); more than nothing."},
	{"examples", []any{"PT30S", "30s"}},
}

// file is the name of a file of the tenant's part of the secrets directory.
var file = form[string]{
	schema: ref("fileName"),
	read: func(r *recordReader, field string, v gjson.Result) (string, bool) {
		s, ok := r.text(field, v, limits.RecordText)
		if ok {
			r.files = append(r.files, namedValue{field, s})
		}
		return s, ok
	},
}

// Kind says of what kind a value is.
func Kind(v gjson.Result) string {
	switch {
	case v.IsObject():
		return "an object"
	case v.IsArray():
		return "an array"
	case v.IsBool():
		return "a boolean"
	case v.Type == gjson.Number:
		return "a number"
	case v.Type == gjson.Null:
		return "null"
	}
	return "a string"
}

// is reports a value of a wrong kind.
func (r *recordReader) is(field string, v gjson.Result, want string) bool {
	kind := Kind(v)
	if kind == want {
		return true
	}
	r.fail(field, "must be %s, is %s%s", want, kind, asIn(field, v, want))
	return false
}

// text reads a string of 1 to most characters without control characters. Its
// messages do not show the value.
func (r *recordReader) text(field string, v gjson.Result, most int) (string, bool) {
	if !r.is(field, v, "a string") {
		return "", false
	}
	switch n := utf8.RuneCountInString(v.Str); {
	case n == 0:
		r.fail(field, "is empty; give a value or leave it out")
	case n > most:
		r.fail(field, "has %d characters; at most %d are allowed", n, most)
	case hasControl(v.Str):
		r.fail(field, "holds a control character; remove it")
	default:
		return strings.Clone(v.Str), true
	}
	return "", false
}

func hasControl(s string) bool { return strings.IndexFunc(s, unicode.IsControl) >= 0 }

// oneOf reads one of a few words; the result is the constant, not the record's memory.
func (r *recordReader) oneOf(field string, v gjson.Result, words ...string) string {
	if !r.is(field, v, "a string") {
		return ""
	}
	if i := slices.Index(words, v.Str); i >= 0 {
		return words[i]
	}
	for _, word := range words {
		if strings.EqualFold(word, strings.TrimSpace(v.Str)) {
			r.fail(field, "is %s; it must be one of %s: write %s", quote(v.Str), strings.Join(words, ", "), quote(word))
			return ""
		}
	}
	r.fail(field, "is %s; it must be one of %s", quote(v.Str), strings.Join(words, ", "))
	return ""
}

// list reads an array of strings, each different and checked by check, which
// returns "" or what is wrong.
func (r *recordReader) list(field string, v gjson.Result, most int, check func(string) string) []string {
	if !r.is(field, v, "an array") {
		return nil
	}
	var out []string
	n := 0
	v.ForEach(func(_, v gjson.Result) bool {
		at := field + "[" + strconv.Itoa(n) + "]"
		n++
		if n > limits.RecordList {
			return true
		}
		s, ok := r.text(at, v, most)
		if !ok {
			return true
		}
		if wrong := check(s); wrong != "" {
			r.fail(at, "%s %s", quote(s), wrong)
			return true
		}
		out = append(out, s)
		return true
	})
	if n == 0 {
		r.fail(field, "is empty; give at least one, or leave it out for all")
	}
	if n > limits.RecordList {
		r.fail(field, "has %d entries; at most %d are allowed", n, limits.RecordList)
	}
	return out
}

// dictionary reads an object whose values are strings.
func (r *recordReader) dictionary(
	field string, v gjson.Result, most func(gjson.Result) int, set func(field, name, value string),
) {
	if !r.is(field, v, "an object") {
		return
	}
	seen := map[string]bool{}
	n := 0
	v.ForEach(func(k, v gjson.Result) bool {
		n++
		if n > limits.RecordList {
			return true
		}
		name := k.String()
		at := field + "." + strings.Trim(quote(name), `"`)
		switch length := utf8.RuneCountInString(name); {
		case length == 0 || length > limits.RecordName || hasControl(name):
			r.fail(at, "a name must have 1 to %d characters and no control characters", limits.RecordName)
		case seen[name]:
			r.fail(at, "is given more than once; keep one")
		default:
			if value, ok := r.text(at, v, most(v)); ok {
				set(at, strings.Clone(name), value)
			}
		}
		seen[name] = true
		return true
	})
	if n > limits.RecordList {
		r.fail(field, "has %d members; at most %d are allowed", n, limits.RecordList)
	}
}

func (r *recordReader) duration(field string, v gjson.Result, most time.Duration) time.Duration {
	if v.Type == gjson.Number {
		r.fail(field, "must be a string, is a number, which has no unit; write %q or %q", "PT"+v.Raw+"S", v.Raw+"s")
		return 0
	}
	if !r.is(field, v, "a string") {
		return 0
	}
	d, err := ParseDuration(v.Str)
	switch {
	case err != nil:
		r.fail(field, "%s", err)
	case d <= 0:
		r.fail(field, "is %s; it must be more than nothing", quote(v.Str))
	case d > most:
		r.fail(field, "is %s; at most %s is allowed", quote(v.Str), most)
	default:
		return d
	}
	return 0
}

// atLeast raises a duration that is too short, and says so.
func (r *recordReader) atLeast(field string, v gjson.Result, d, least time.Duration) time.Duration {
	if d <= 0 || d >= least {
		return d
	}
	r.warn(field, "is %s; the least is %s, which is used instead", quote(v.Str), least)
	return least
}

func (r *recordReader) leastWait() time.Duration {
	if r.policy.LeastWait > 0 {
		return r.policy.LeastWait
	}
	return limits.RecordLeastWait
}

// whole reads a whole number from 1 to most.
func (r *recordReader) whole(field string, v gjson.Result, most int) (n int, ok bool) {
	if !r.is(field, v, "a number") {
		return 0, false
	}
	if v.Num < 1 || v.Num > float64(most) || v.Num != math.Trunc(v.Num) {
		r.fail(field, "is %s; it must be a whole number from 1 to %d", quote(v.Raw), most)
		return 0, false
	}
	return int(v.Num), true
}
