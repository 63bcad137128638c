package record

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// Difference is one member in which two records differ.
type Difference struct {
	Member string `json:"member"` // "auth.password", "labels.team"
	// Before and After are the values as they may be shown, nil where there is none. Those of a secret, and of a URL
	// that differs in what is not shown, may be equal.
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
	Secret bool            `json:"secret,omitempty"`
}

// Differences are the members in which two records differ, in the order in which they are declared; the order of
// members, and id and times, are no difference. A record that is nil, or cannot be read, has no members.
func Differences(before, after []byte) []Difference {
	c := comparison{}
	c.objects("", parsed(before), parsed(after), recordObject)
	return c.list
}

func parsed(data []byte) gjson.Result {
	if !gjson.ValidBytes(data) {
		return gjson.Result{}
	}
	return gjson.ParseBytes(data)
}

type comparison struct{ list []Difference }

func (c *comparison) objects(prefix string, a, b gjson.Result, o *memberSet) {
	for _, name := range memberNames(o, a, b) {
		if o == recordObject && isBookkeeping(name) {
			continue
		}
		c.values(prefix+name, valueOf(a, name), valueOf(b, name), declaredIn(o, name), o != nil)
	}
}

// values compares what stands at a path; declared is false below members whose names are free.
func (c *comparison) values(path string, a, b gjson.Result, m *member, declared bool) {
	if same(a, b) {
		return
	}
	if whole := a.Exists() && !a.IsObject() || b.Exists() && !b.IsObject(); !whole {
		switch {
		case m != nil && m.secrecy == secretsByName:
			for _, name := range memberNames(nil, a, b) {
				c.values(path+"."+name, valueOf(a, name), valueOf(b, name), m, true)
			}
			return
		case m != nil && m.object != nil:
			c.objects(path+".", a, b, m.object)
			return
		case !declared || m.visibility() == open && m.mayShow(a) && m.mayShow(b):
			c.objects(path+".", a, b, nil)
			return
		}
	}
	hides := declared && m.visibility() != open
	c.list = append(c.list, Difference{path, shownValue(a, !hides && m.mayShow(a)), shownValue(b, !hides && m.mayShow(b)), hides})
}

// shownValue is a value as it may be shown, nil if there is none.
func shownValue(v gjson.Result, open bool) json.RawMessage {
	if !v.Exists() {
		return nil
	}
	var out bytes.Buffer
	redactValue(&out, v, open, Redaction{References: true, URLs: true})
	return out.Bytes()
}

// same tells whether two values mean the same: the order of members does not count, nor how a number is written.
func same(a, b gjson.Result) bool {
	switch {
	case a.Exists() != b.Exists() || a.Type != b.Type || a.IsArray() != b.IsArray():
		return false
	case a.Type == gjson.String:
		return a.Str == b.Str
	case a.Type == gjson.Number:
		return a.Raw == b.Raw || a.Num == b.Num && a.Num < 1<<53 && a.Num > -1<<53
	case a.IsArray():
		return slices.EqualFunc(a.Array(), b.Array(), same)
	case a.IsObject():
		names := memberNames(nil, a, b)
		return !slices.ContainsFunc(names, func(name string) bool { return !same(valueOf(a, name), valueOf(b, name)) }) &&
			!hasTwice(a) && !hasTwice(b)
	}
	return true
}

// memberNames are the names of the members of some objects: declared ones in their order, then all others, sorted.
func memberNames(o *memberSet, objects ...gjson.Result) (names []string) {
	seen := map[string]bool{}
	var others []string
	for _, v := range objects {
		if !v.IsObject() {
			continue
		}
		v.ForEach(func(k, _ gjson.Result) bool {
			name := k.String()
			if !seen[name] && declaredIn(o, name) == nil {
				others = append(others, name)
			}
			seen[name] = true
			return true
		})
	}
	if o != nil {
		for _, m := range o.members {
			if seen[m.name] {
				names = append(names, m.name)
			}
		}
	}
	slices.SortFunc(others, strings.Compare)
	return append(names, others...)
}

func declaredIn(o *memberSet, name string) *member {
	if o == nil {
		return nil
	}
	return o.byName[name]
}

// valueOf is the value of a member, whatever its name is made of; the last one counts.
func valueOf(object gjson.Result, name string) (value gjson.Result) {
	if object.IsObject() {
		object.ForEach(func(k, v gjson.Result) bool {
			if k.String() == name {
				value = v
			}
			return true
		})
	}
	return value
}

func hasTwice(object gjson.Result) bool {
	n := 0
	object.ForEach(func(_, _ gjson.Result) bool {
		n++
		return true
	})
	return n != len(memberNames(nil, object))
}

// isBookkeeping: what a record says of itself, and not of what is delivered.
func isBookkeeping(name string) bool {
	return name == "id" || name == "createdAt" || name == "updatedAt"
}
